package modbus

import (
	"fmt"
	"slices"

	"headgate/adapters/datatype"
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
	for _, t := range datatype.Types {
		registers, length := t.Registers, 0
		if t.IsText() {
			registers = len(data) / 2
			length = registers
			if t.Kind == datatype.Text {
				length = 2 * registers
			}
		}
		if registers > len(data)/2 {
			continue
		}
		for _, o := range datatype.Orders {
			if o.OnlyFor != orderClass(t, registers) || t.Kind == datatype.Bool && o.Order.SwapBytes {
				continue
			}
			p := Point{Register: r.Register, Type: t.Name, Order: o.Name, Length: length}
			f := field{exponent: -1, Field: datatype.Field{
				Type: t, Registers: registers, Order: o.Order, Shift: t.Shift, Width: t.Width, Length: length, Decimals: -1, Scaling: datatype.NewScaling(1, 0),
			}}
			f.register = register{reg.table, reg.address}
			v, err := f.decode(data[:2*registers])
			if err != nil || t.IsText() && !printable(v.String()) {
				continue
			}
			all = append(all, Interpretation{t.Name, o.Name, v, p.line()})
		}
	}
	return all
}

// orderClass is which of the orders differ for a type, by what they are only for.
func orderClass(t datatype.Type, registers int) int {
	switch {
	case registers == 1 || t.IsText():
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
