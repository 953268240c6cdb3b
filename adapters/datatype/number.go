package datatype

import "math"

// Number says what becomes of a point's number; it is a part of the table of a
// point, whichever adapter reads it.
type Number struct {
	// Scale and Offset make the published value of the number in the device:
	// number * scale + offset; a write goes the other way. Defaults 1 and 0,
	// with which whole numbers stay exact to 64 bits.
	Scale  float64 `toml:"scale"`
	Offset float64 `toml:"offset"`

	// Decimals is how many digits after the point are published. Default: all.
	Decimals *int `toml:"decimals"`

	// Min and Max are the least and the greatest value that the point may have,
	// after scale and offset. What the device says beyond them is published as
	// OutOfRange tells: "keep" as it is, "clamp" as min or max, "bad" as no value.
	// Default: no bounds, and "keep".
	Min        *float64 `toml:"min"`
	Max        *float64 `toml:"max"`
	OutOfRange string   `toml:"out_of_range"`
}

// What becomes of a value out of its range.
const (
	outsideKeep  = "keep"
	outsideClamp = "clamp"
	outsideBad   = "bad"
)

const maxDecimals = 15

// SetDefaults fills what was left out.
func (p *Number) SetDefaults() {
	if p.Scale == 0 {
		p.Scale = 1
	}
	if p.OutOfRange == "" {
		p.OutOfRange = outsideKeep
	}
}

// Check reports each fault by its key; typ is the name of the type, "" when it
// is not known, and isNumber says whether its values are numbers.
func (p *Number) Check(fault func(key, format string, args ...any), typ string, isNumber bool) {
	for _, n := range []struct {
		key         string
		value, none float64
	}{{"scale", p.Scale, 1}, {"offset", p.Offset, 0}} {
		switch {
		case math.IsNaN(n.value) || math.IsInf(n.value, 0):
			fault(n.key, "%v: want a finite number", n.value)
		case typ != "" && !isNumber && n.value != n.none:
			fault(n.key, "%v: a %s has no %s", n.value, typ, n.key)
		}
	}
	if p.Decimals != nil && (*p.Decimals < 0 || *p.Decimals > maxDecimals) {
		fault("decimals", "%d: want 0 to %d", *p.Decimals, maxDecimals)
	}
	if p.Decimals != nil && typ != "" && !isNumber {
		fault("decimals", "a %s has none", typ)
	}
	for _, n := range []struct {
		key   string
		value *float64
	}{{"min", p.Min}, {"max", p.Max}} {
		switch {
		case n.value == nil:
		case math.IsNaN(*n.value) || math.IsInf(*n.value, 0):
			fault(n.key, "%v: want a finite number, or leave it out", *n.value)
		case typ != "" && !isNumber:
			fault(n.key, "%v: a %s has no %s", *n.value, typ, n.key)
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
