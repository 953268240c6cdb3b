package modbus

import (
	"fmt"
	"slices"

	"headgate/gateway/point"
)

// Interpretation is what registers may mean: a type and an order, and the value
// that this makes of them.
type Interpretation struct {
	Type, Order string
	Value       point.Value
	Point       string // the line that a config needs for it
}

// Interpretations gives every value that the registers from a request's first on
// may have: of data as it was read. A type that takes fewer registers than were
// read is given for the first ones; what would be no value is left out.
func Interpretations(r Request, data []byte) []Interpretation {
	reg, err := parseRegister(r.Register)
	if err != nil || reg.table.isBits() || len(data) < 2 {
		return nil
	}
	var all []Interpretation
	for _, t := range dataTypes {
		registers, length := t.registers, 0
		if t.isText() {
			registers = len(data) / 2
			length = registers
			if t.kind == kindText {
				length = 2 * registers
			}
		}
		if registers > len(data)/2 {
			continue
		}
		for _, o := range orders {
			if o.onlyFor != orderClass(t, registers) || t.kind == kindBool && o.order.swapBytes {
				continue
			}
			p := Point{Register: r.Register, Type: t.name, Order: o.name, Length: length}
			f := field{typ: t, registers: registers, order: o.order, shift: t.shift, width: t.width, length: length, exponent: -1, decimals: -1, scaling: newScaling(1, 0)}
			f.register = register{reg.table, reg.address}
			v, err := f.decode(data[:2*registers])
			if err != nil || t.isText() && !printable(v.String()) {
				continue
			}
			all = append(all, Interpretation{t.name, o.name, v, p.line()})
		}
	}
	return all
}

// orderClass is which of the orders differ for a type, by what they are only for.
func orderClass(t dataType, registers int) int {
	switch {
	case registers == 1 || t.isText():
		return 1
	case registers == 4:
		return 4
	}
	return 0
}

// line is the point as it stands in a list of points in a config.
func (p Point) line() string {
	s := fmt.Sprintf("{ name = \"...\", register = %q, type = %q", p.Register, p.Type)
	if p.Length > 0 {
		s += fmt.Sprintf(", length = %d", p.Length)
	}
	if !slices.Contains([]string{"AB", "ABCD", "ABCDEFGH"}, p.Order) {
		s += fmt.Sprintf(", order = %q", p.Order)
	}
	return s + " }"
}

// printable says whether a text looks like one.
func printable(s string) bool {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return false
		}
	}
	return s != ""
}
