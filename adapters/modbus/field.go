package modbus

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"headgate/gateway/point"
)

// field is one point of a device, made ready from its config.
type field struct {
	name     string
	unit     string   // of measure
	register register // the first of those that a read must have
	count    int      // how many those are, or bits of a table of bits
	writable bool
	interval time.Duration
	function byte // that writes it; 0: what fits
	report   point.Report

	typ          dataType
	at           int // registers from the first to the value
	registers    int // that the value takes
	order        order
	shift, width int // of bits that are a part of them; width 0: all
	length       int // of a text, in bytes

	// exponent is how many registers from the first the power of ten stands that
	// the value has; -1: there is none. powers are the scalings for each.
	exponent int
	scaling  scaling
	powers   []scaling

	decimals int // -1: as they come
	min, max *float64
	outside  string            // of min and max: what becomes of it
	invalid  []uint64          // bits that mean that there is no value
	texts    map[uint64]string // by the bits that stand for them
}

// maxExponent bounds the power of ten that a register may give: SunSpec's sunssf
// goes from -10 to 10, and has 0x8000 for "not implemented".
const maxExponent = 10

// newField makes a field of a config in which Check has found no fault.
func newField(d Device, p Point) (field, error) {
	f := field{
		name: p.Name, unit: p.Unit, writable: p.Access == "rw", interval: p.Interval, function: p.WriteFunction, report: p.Report,
		scaling: newScaling(p.Scale, p.Offset), exponent: -1, decimals: -1, length: p.Length, min: p.Min, max: p.Max, outside: p.OutOfRange,
	}
	if p.Decimals != nil {
		f.decimals = *p.Decimals
	}
	var err error
	if f.register, err = parseRegister(p.Register); err != nil {
		return field{}, fmt.Errorf("point %s: register: %w", p.Name, err)
	}
	if f.typ, err = parseType(p.Type); err != nil {
		return field{}, fmt.Errorf("point %s: type: %w", p.Name, err)
	}
	f.registers = registersOf(f.typ, p.Length)
	f.count = f.registers
	if err := f.setOrder(d, p); err != nil {
		return field{}, fmt.Errorf("point %s: order: %w", p.Name, err)
	}
	f.shift, f.width = f.typ.shift, f.typ.width
	if p.Bits != "" {
		if f.shift, f.width, err = parseBits(p.Bits, f.typ); err != nil {
			return field{}, fmt.Errorf("point %s: bits: %w", p.Name, err)
		}
	}
	if err := f.setExponent(p); err != nil {
		return field{}, fmt.Errorf("point %s: exponent: %w", p.Name, err)
	}
	for _, v := range p.Invalid {
		if bits, any, err := f.pattern(v); err != nil {
			return field{}, fmt.Errorf("point %s: invalid: %w", p.Name, err)
		} else if any {
			f.invalid = append(f.invalid, bits)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.Enum)) {
		bits, err := f.enumKey(key)
		if err != nil {
			return field{}, fmt.Errorf("point %s: enum: %w", p.Name, err)
		}
		if f.texts == nil {
			f.texts = map[uint64]string{}
		}
		f.texts[bits] = p.Enum[key]
	}
	return f, nil
}

// size is how many registers, or bits of a table of bits, a read needs.
func (f *field) size() int { return f.count }

// target is where the value itself begins, which a write goes to.
func (f *field) target() register {
	return register{f.register.table, f.register.address + uint16(f.at)}
}

// bits is how many bits the value has.
func (f *field) bits() int {
	if f.width > 0 {
		return f.width
	}
	return 16 * f.registers
}

// registersOf is how many registers a value takes; length is that of a text.
func registersOf(t dataType, length int) int {
	switch t.kind {
	case kindText:
		return (length + 1) / 2
	case kindText8:
		return length
	}
	return t.registers
}

func (f *field) setOrder(d Device, p Point) error {
	order, registers := p.Order, f.registers
	if f.typ.isText() {
		registers = 1 // the order of characters is that of each register
	}
	if order == "" {
		order, registers = cmp.Or(d.Order, defaultOrder), 0
	}
	o, err := parseOrder(order, registers)
	if !f.typ.isText() || p.Order != "" { // that of a device is about its numbers
		f.order = o
	}
	return err
}

// setExponent has the field read from the first of value and exponent to the last.
func (f *field) setExponent(p Point) error {
	if p.Exponent == "" {
		return nil
	}
	e, err := parseRegister(p.Exponent)
	if err != nil {
		return err
	}
	if e.table != f.register.table || e.table.isBits() {
		return fmt.Errorf("%q is not in the point's own table", p.Exponent)
	}
	value, exponent := int(f.register.address), int(e.address)
	first, end := min(value, exponent), max(value+f.registers, exponent+1)
	if end-first > e.table.maxRead() {
		return fmt.Errorf("%q is too far from the value: one request reads %d registers", p.Exponent, e.table.maxRead())
	}
	f.register.address, f.count = uint16(first), end-first
	f.at, f.exponent = value-first, exponent-first
	for n := -maxExponent; n <= maxExponent; n++ {
		f.powers = append(f.powers, f.scaling.times10(n))
	}
	return nil
}

// parseBits reads "shift:width", or "shift" for one bit. Shift 0 is the least
// significant one.
func parseBits(s string, t dataType) (shift, width int, err error) {
	first, second, both := strings.Cut(s, ":")
	shift, err = strconv.Atoi(first)
	width = 1
	if both && err == nil {
		width, err = strconv.Atoi(second)
	}
	all := 16 * t.registers
	switch {
	case err != nil || shift < 0 || width < 1:
		return 0, 0, fmt.Errorf("%q: want the lowest bit and how many there are, like \"4:3\", or one bit, like \"7\"", s)
	case !t.isWhole() && t.kind != kindBool || t.width > 0:
		return 0, 0, fmt.Errorf("%q: bits are taken out of whole numbers: want type bool, u16, i16, u32, i32, u64 or i64, not %s", s, t)
	case shift+width > all:
		return 0, 0, fmt.Errorf("%q: %s has the bits 0 to %d", s, t, all-1)
	}
	return shift, width, nil
}

// pattern gives the bits that v, one of invalid, means; any is false for "nan",
// which is never a value.
func (f *field) pattern(v any) (bits uint64, any bool, err error) {
	mask := ^uint64(0) >> (64 - f.bits())
	switch v := v.(type) {
	case int64:
		if f.typ.kind == kindFloat {
			bits, _ = f.typ.floatBits(float64(v))
			return bits, true, nil
		}
		if bits = uint64(v) & mask; v >= 0 && bits != uint64(v) || v < 0 && signed(bits, f.bits()) != v {
			return 0, false, fmt.Errorf("%d does not fit the %d bits of the value", v, f.bits())
		}
		return bits, true, nil
	case float64:
		if f.typ.kind == kindFloat {
			bits, _ = f.typ.floatBits(v)
			return bits, true, nil
		}
	case string:
		if f.typ.kind == kindFloat && strings.EqualFold(v, "nan") {
			return 0, false, nil
		}
		bits, err := strconv.ParseUint(v, 0, 64)
		if err == nil && bits&mask == bits && strings.HasPrefix(v, "0x") {
			return bits, true, nil
		}
	}
	return 0, false, fmt.Errorf("%v: want numbers as the device has them, like 65535 or -32768, or bits, like \"0xffff\"", v)
}

// enumKey gives the bits that a key of enum means.
func (f *field) enumKey(key string) (uint64, error) {
	n, err := strconv.ParseInt(key, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%q: want a whole number as the device has it, like 3 or 0x10, before the text", key)
	}
	if f.typ.kind == kindBool && (n < 0 || n > 1) {
		return 0, fmt.Errorf("%q: a bool is 0 or 1", key)
	}
	bits, _, err := f.pattern(n)
	return bits, err
}
