package modbus

import (
	"maps"
	"slices"

	"headgate/adapters/datatype"
	"headgate/gateway/point"
)

const (
	maxCharacters = 250 // characters: as many registers as one request reads
)

// checkPoint checks one point of the device.
func (d *Device) checkPoint(p *Point, fault faultFunc) {
	checkName(p.Name, "point", "voltage", point.CheckPointName, func(format string, args ...any) { fault("name", format, args...) })
	r, err := d.parseRegister(p.Register)
	if err != nil {
		fault("register", "%v", err)
	}
	known := err == nil
	bits := known && r.table.isBits()
	t, err := datatype.ParseType(p.Type)
	switch {
	case err != nil:
		fault("type", "%v", err)
		known = false
	case bits && t.Kind != datatype.Bool:
		fault("type", "%q: a %s is one bit: want bool, or leave the type out", p.Type, tableNames[r.table])
		known = false
	case !p.checkLength(t, fault):
		known = false
	case known && int(r.address)+datatype.RegistersOf(t, p.Length) > 1<<16:
		fault("register", "%q: a %s takes %d registers, and the last one is 65535", p.Register, t, datatype.RegistersOf(t, p.Length))
		known = false
	}
	if bits {
		p.checkOneBit(tableNames[r.table], fault)
	}
	if known && !bits {
		p.checkRegisters(d, t, fault)
	}
	p.Number.Check(fault, t.Name, t.IsNumber())
	p.checkAccess(fault, r, known)
	p.Report.Check(fault)
}

// checkLength says whether the length fits the type.
func (p *Point) checkLength(t datatype.Type, fault faultFunc) bool {
	most := maxCharacters
	if t.Kind == datatype.Text8 {
		most /= 2
	}
	switch {
	case t.IsText() && (p.Length < 1 || p.Length > most):
		fault("length", "%d: a %s has a length of 1 to %d characters", p.Length, t, most)
	case !t.IsText() && p.Length != 0:
		fault("length", "%d: only a string has one", p.Length)
	default:
		return true
	}
	return false
}

// checkOneBit finds what a point of a table of bits cannot have.
func (p *Point) checkOneBit(table string, fault faultFunc) {
	for _, k := range []struct {
		key, value string
	}{{"order", p.Order}, {"bits", p.Bits}, {"exponent", p.Exponent}} {
		if k.value != "" {
			fault(k.key, "%q: a %s is one bit and has no %s", k.value, table, k.key)
		}
	}
	if len(p.Invalid) > 0 {
		fault("invalid", "a %s is one bit, and either is a value", table)
	}
	for _, key := range slices.Sorted(maps.Keys(p.Enum)) {
		if key != "0" && key != "1" {
			fault("enum", "%q: a %s is 0 or 1", key, table)
		}
	}
}

// checkRegisters checks how the value is taken out of registers whose type is t.
// Each part is made ready as newField does it, so that nothing is checked
// otherwise than it is used.
func (p *Point) checkRegisters(d *Device, t datatype.Type, fault faultFunc) {
	f := field{exponent: -1, Field: datatype.Field{
		Type: t, Registers: datatype.RegistersOf(t, p.Length), Shift: t.Shift, Width: t.Width, Scaling: datatype.NewScaling(1, 0),
	}}
	f.register, _ = d.parseRegister(p.Register) // it is good
	if p.Order != "" {
		if err := f.setOrder(*d, *p); err != nil {
			fault("order", "%v", err)
		}
	}
	if p.Bits != "" {
		shift, width, err := datatype.ParseBits(p.Bits, t)
		if err != nil {
			fault("bits", "%v", err)
			return
		}
		f.Shift, f.Width = shift, width
	}
	switch err := f.setExponent(*d, *p); {
	case err != nil:
		fault("exponent", "%v", err)
	case p.Exponent != "" && !t.IsNumber():
		fault("exponent", "%q: a %s is no number", p.Exponent, t)
	}
	if t.IsText() || t.Kind == datatype.Bool && p.Bits == "" {
		if len(p.Invalid) > 0 {
			fault("invalid", "a %s has none", t)
		}
	} else {
		for _, v := range p.Invalid {
			if _, _, err := f.Pattern(v); err != nil {
				fault("invalid", "%v", err)
			}
		}
	}
	if len(p.Enum) > 0 && !t.IsWhole() && t.Kind != datatype.Bool {
		fault("enum", "a %s has none: it is for whole numbers and bool", t)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(p.Enum)) {
		if _, err := f.EnumKey(key); err != nil {
			fault("enum", "%v", err)
		}
	}
}

// checkAccess checks whether and how the point can be written; known says that
// register and type are good.
func (p *Point) checkAccess(fault faultFunc, r register, known bool) {
	switch p.Access {
	case "r":
		if p.WriteFunction != 0 {
			fault("write_function", "%d: nothing is written: want access = \"rw\", or leave it out", p.WriteFunction)
		}
		return
	case "rw", "w":
	default:
		fault("access", "%q: want \"r\", \"rw\" for a point that commands may write, or \"w\" for one that is never read", p.Access)
		return
	}
	if !known {
		return
	}
	if !r.table.writable() {
		fault("access", "%q: a %s can only be read: the protocol has no function that writes it", p.Access, map[table]string{discreteInputs: "discrete input", inputRegisters: "input register"}[r.table])
		return
	}
	if p.Exponent != "" {
		fault("access", "%q: a point with an exponent can only be read", p.Access)
	}
	p.checkNeverRead(fault)
	texts := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(p.Enum)) {
		if other, twice := texts[p.Enum[key]]; twice {
			fault("enum", "%q means both %s and %s: which should a command write?", p.Enum[key], other, key)
		}
		texts[p.Enum[key]] = key
	}
	p.checkWriteFunction(fault, r)
}

// checkNeverRead checks that a point which is only written need not be read for it.
func (p *Point) checkNeverRead(fault faultFunc) {
	t, err := datatype.ParseType(p.Type)
	if p.Access != "w" || err != nil {
		return
	}
	if p.WriteFunction == readWriteRegisters {
		fault("write_function", "%d reads too, and access = \"w\" is for what must not be read", p.WriteFunction)
	}
	if (p.Bits != "" || t.Width > 0) && p.WriteFunction != maskWriteRegister {
		fault("access", "\"w\": to leave its other bits as they are the register must be read; want write_function = %d, where the device knows that", maskWriteRegister)
	}
}

// checkWriteFunction checks that the function can write the point.
func (p *Point) checkWriteFunction(fault faultFunc, r register) {
	t, err := datatype.ParseType(p.Type)
	if err != nil || p.WriteFunction == 0 {
		return
	}
	partly := p.Bits != "" || t.Width > 0
	one := datatype.RegistersOf(t, p.Length) == 1
	for _, f := range []struct {
		function byte
		table    table
		fits     bool
		what     string
	}{
		{writeSingleCoil, coils, true, ""},
		{writeMultipleCoils, coils, true, ""},
		{writeSingleRegister, holdingRegisters, one, "writes one register"},
		{writeMultipleRegisters, holdingRegisters, true, ""},
		{maskWriteRegister, holdingRegisters, one && partly, "writes bits of one register"},
		{readWriteRegisters, holdingRegisters, true, ""},
	} {
		switch {
		case f.function != p.WriteFunction:
			continue
		case f.table != r.table:
			fault("write_function", "%d does not write a %s", p.WriteFunction, tableNames[r.table])
		case !f.fits:
			fault("write_function", "%d %s, which the point is not", p.WriteFunction, f.what)
		}
		return
	}
	fault("write_function", "%d: want 5 or 15 for a coil, 6, 16, 22 or 23 for holding registers", p.WriteFunction)
}
