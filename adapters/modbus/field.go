package modbus

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"headgate/adapters/datatype"
	"headgate/gateway/point"
)

// field is one point of a device, made ready from its config.
type field struct {
	name     string
	unit     string   // of measure
	register register // the first of those that a read must have
	count    int      // how many those are, or bits of a table of bits
	readable bool
	writable bool
	interval time.Duration
	function byte // that writes it; 0: what fits
	report   point.Report

	datatype.Field
	at int // registers from the first to the value

	// exponent is how many registers from the first the power of ten stands that
	// the value has; -1: there is none. powers are the scalings for each.
	exponent int
	powers   []datatype.Scaling
}

// maxExponent bounds the power of ten that a register may give: SunSpec's sunssf
// goes from -10 to 10, and has 0x8000 for "not implemented".
const maxExponent = 10

// newField makes a field of a config in which Check has found no fault.
func newField(d Device, p Point) (field, error) {
	f := field{
		name: p.Name, unit: p.Unit, readable: p.Access != "w", writable: p.Access != "r", interval: p.Interval, function: p.WriteFunction, report: p.Report,
		exponent: -1,
	}
	f.Length = p.Length
	f.SetNumber(p.Number)
	var err error
	if f.register, err = d.parseRegister(p.Register); err != nil {
		return field{}, fmt.Errorf("point %s: register: %w", p.Name, err)
	}
	if f.Type, err = datatype.ParseType(p.Type); err != nil {
		return field{}, fmt.Errorf("point %s: type: %w", p.Name, err)
	}
	f.Registers = datatype.RegistersOf(f.Type, p.Length)
	f.count = f.Registers
	if err := f.setOrder(d, p); err != nil {
		return field{}, fmt.Errorf("point %s: order: %w", p.Name, err)
	}
	f.Shift, f.Width = f.Type.Shift, f.Type.Width
	if p.Bits != "" {
		if f.Shift, f.Width, err = datatype.ParseBits(p.Bits, f.Type); err != nil {
			return field{}, fmt.Errorf("point %s: bits: %w", p.Name, err)
		}
	}
	if err := f.setExponent(d, p); err != nil {
		return field{}, fmt.Errorf("point %s: exponent: %w", p.Name, err)
	}
	for _, v := range p.Invalid {
		if bits, any, err := f.Pattern(v); err != nil {
			return field{}, fmt.Errorf("point %s: invalid: %w", p.Name, err)
		} else if any {
			f.Invalid = append(f.Invalid, bits)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.Enum)) {
		bits, err := f.EnumKey(key)
		if err != nil {
			return field{}, fmt.Errorf("point %s: enum: %w", p.Name, err)
		}
		if f.Texts == nil {
			f.Texts = map[uint64]string{}
		}
		f.Texts[bits] = p.Enum[key]
	}
	return f, nil
}

// info is the field as the gateway knows it.
func (f *field) info() point.Info {
	info := point.Info{
		Name: f.name, Unit: f.unit, Writable: f.writable, WriteOnly: !f.readable, Report: f.report, Interval: f.interval,
	}
	f.Describe(&info)
	if f.exponent >= 0 && info.Kind != point.String { // its scale is known when it is read
		info.Kind, info.Step = point.Float, 0
	}
	return info
}

// size is how many registers, or bits of a table of bits, a read needs.
func (f *field) size() int { return f.count }

// target is where the value itself begins, which a write goes to.
func (f *field) target() register {
	return register{f.register.table, f.register.address + uint16(f.at)}
}

func (f *field) setOrder(d Device, p Point) error {
	order, registers := p.Order, f.Registers
	if f.Type.IsText() {
		registers = 1 // the order of characters is that of each register
	}
	if order == "" {
		order, registers = cmp.Or(d.Order, defaultOrder), 0
	}
	o, err := datatype.ParseOrder(order, registers)
	if !f.Type.IsText() || p.Order != "" { // that of a device is about its numbers
		f.Order = o
	}
	return err
}

// setExponent has the field read from the first of value and exponent to the last.
func (f *field) setExponent(d Device, p Point) error {
	if p.Exponent == "" {
		return nil
	}
	e, err := d.parseRegister(p.Exponent)
	if err != nil {
		return err
	}
	if e.table != f.register.table || e.table.isBits() {
		return fmt.Errorf("%q is not in the point's own table", p.Exponent)
	}
	value, exponent := int(f.register.address), int(e.address)
	first, end := min(value, exponent), max(value+f.Registers, exponent+1)
	if end-first > e.table.maxRead() {
		return fmt.Errorf("%q is too far from the value: one request reads %d registers", p.Exponent, e.table.maxRead())
	}
	f.register.address, f.count = uint16(first), end-first
	f.at, f.exponent = value-first, exponent-first
	for n := -maxExponent; n <= maxExponent; n++ {
		f.powers = append(f.powers, f.Scaling.Times10(n))
	}
	return nil
}
