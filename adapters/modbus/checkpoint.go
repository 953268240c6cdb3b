package modbus

import (
	"maps"
	"math"
	"slices"

	"headgate/gateway/point"
)

const (
	maxCharacters = 250 // characters: as many registers as one request reads
	maxDecimals   = 15
)

// checkPoint checks one point of the device.
func (d *Device) checkPoint(p *Point, fault faultFunc) {
	checkName(p.Name, "point", "voltage", point.CheckPointName, func(format string, args ...any) { fault("name", format, args...) })
	r, err := parseRegister(p.Register)
	if err != nil {
		fault("register", "%v", err)
	}
	known := err == nil
	bits := known && r.table.isBits()
	t, err := parseType(p.Type)
	switch {
	case err != nil:
		fault("type", "%v", err)
		known = false
	case bits && t.kind != kindBool:
		fault("type", "%q: a %s is one bit: want bool, or leave the type out", p.Type, tableNames[r.table])
		known = false
	case !p.checkLength(t, fault):
		known = false
	case known && int(r.address)+registersOf(t, p.Length) > 1<<16:
		fault("register", "%q: a %s takes %d registers, and the last one is 65535", p.Register, t, registersOf(t, p.Length))
		known = false
	}
	if bits {
		p.checkOneBit(tableNames[r.table], fault)
	}
	if known && !bits {
		p.checkRegisters(d, t, fault)
	}
	p.checkNumber(fault, t)
	p.checkAccess(fault, r, known)
	p.Report.Check(fault)
}

// checkLength says whether the length fits the type.
func (p *Point) checkLength(t dataType, fault faultFunc) bool {
	most := maxCharacters
	if t.kind == kindText8 {
		most /= 2
	}
	switch {
	case t.isText() && (p.Length < 1 || p.Length > most):
		fault("length", "%d: a %s has a length of 1 to %d characters", p.Length, t, most)
	case !t.isText() && p.Length != 0:
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
func (p *Point) checkRegisters(d *Device, t dataType, fault faultFunc) {
	f := field{typ: t, registers: registersOf(t, p.Length), shift: t.shift, width: t.width, exponent: -1, scaling: newScaling(1, 0)}
	f.register, _ = parseRegister(p.Register) // it is good
	if p.Order != "" {
		if err := f.setOrder(*d, *p); err != nil {
			fault("order", "%v", err)
		}
	}
	if p.Bits != "" {
		shift, width, err := parseBits(p.Bits, t)
		if err != nil {
			fault("bits", "%v", err)
			return
		}
		f.shift, f.width = shift, width
	}
	switch err := f.setExponent(*p); {
	case err != nil:
		fault("exponent", "%v", err)
	case p.Exponent != "" && !t.isNumber():
		fault("exponent", "%q: a %s is no number", p.Exponent, t)
	}
	if t.isText() || t.kind == kindBool && p.Bits == "" {
		if len(p.Invalid) > 0 {
			fault("invalid", "a %s has none", t)
		}
	} else {
		for _, v := range p.Invalid {
			if _, _, err := f.pattern(v); err != nil {
				fault("invalid", "%v", err)
			}
		}
	}
	if len(p.Enum) > 0 && !t.isWhole() && t.kind != kindBool {
		fault("enum", "a %s has none: it is for whole numbers and bool", t)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(p.Enum)) {
		if _, err := f.enumKey(key); err != nil {
			fault("enum", "%v", err)
		}
	}
}

// checkNumber checks what becomes of a number.
func (p *Point) checkNumber(fault faultFunc, t dataType) {
	for _, n := range []struct {
		key         string
		value, none float64
	}{{"scale", p.Scale, 1}, {"offset", p.Offset, 0}} {
		switch {
		case math.IsNaN(n.value) || math.IsInf(n.value, 0):
			fault(n.key, "%v: want a finite number", n.value)
		case t.name != "" && !t.isNumber() && n.value != n.none:
			fault(n.key, "%v: a %s has no %s", n.value, t, n.key)
		}
	}
	if p.Decimals != nil && (*p.Decimals < 0 || *p.Decimals > maxDecimals) {
		fault("decimals", "%d: want 0 to %d", *p.Decimals, maxDecimals)
	}
	if p.Decimals != nil && t.name != "" && !t.isNumber() {
		fault("decimals", "a %s has none", t)
	}
	for _, n := range []struct {
		key   string
		value *float64
	}{{"min", p.Min}, {"max", p.Max}} {
		switch {
		case n.value == nil:
		case math.IsNaN(*n.value) || math.IsInf(*n.value, 0):
			fault(n.key, "%v: want a finite number, or leave it out", *n.value)
		case t.name != "" && !t.isNumber():
			fault(n.key, "%v: a %s has no %s", *n.value, t, n.key)
		}
	}
	if p.Min != nil && p.Max != nil && *p.Min > *p.Max {
		fault("min", "%v is greater than max, %v", *p.Min, *p.Max)
	}
	switch p.OutOfRange {
	case outsideKeep:
	case outsideClamp, outsideBad:
		if p.Min == nil && p.Max == nil {
			fault("out_of_range", "%q: out of which range? want min or max", p.OutOfRange)
		}
	default:
		fault("out_of_range", "%q: want \"keep\", \"clamp\" or \"bad\"", p.OutOfRange)
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
	case "rw":
	default:
		fault("access", "%q: want \"r\", or \"rw\" for a point that commands may write", p.Access)
		return
	}
	if !known {
		return
	}
	if !r.table.writable() {
		fault("access", "\"rw\": a %s can only be read: the protocol has no function that writes it", map[table]string{discreteInputs: "discrete input", inputRegisters: "input register"}[r.table])
		return
	}
	if p.Exponent != "" {
		fault("access", "\"rw\": a point with an exponent can only be read")
	}
	texts := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(p.Enum)) {
		if other, twice := texts[p.Enum[key]]; twice {
			fault("enum", "%q means both %s and %s: which should a command write?", p.Enum[key], other, key)
		}
		texts[p.Enum[key]] = key
	}
	p.checkWriteFunction(fault, r)
}

// checkWriteFunction checks that the function can write the point.
func (p *Point) checkWriteFunction(fault faultFunc, r register) {
	t, err := parseType(p.Type)
	if err != nil || p.WriteFunction == 0 {
		return
	}
	partly := p.Bits != "" || t.width > 0
	one := registersOf(t, p.Length) == 1
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
