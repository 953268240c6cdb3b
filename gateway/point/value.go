package point

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Kind is the type of a Value.
type Kind uint8

const (
	None   Kind = iota // no value: the zero Value, "null" in JSON
	Bool               // a coil, a bit
	Int                // a signed integer, exact to 64 bits
	Uint               // an unsigned integer, exact to 64 bits
	Float              // a float64
	String             // text
)

// Value is a bool, a number or a text. Integers stay exact to 64 bits.
// Values compare with ==.
type Value struct {
	kind Kind
	bits uint64
	text string
}

// OfBool, OfInt, OfUint, OfFloat and OfString make a Value of that kind.
func OfBool(b bool) Value {
	v := Value{kind: Bool}
	if b {
		v.bits = 1
	}
	return v
}

func OfInt(i int64) Value     { return Value{kind: Int, bits: uint64(i)} }
func OfUint(u uint64) Value   { return Value{kind: Uint, bits: u} }
func OfFloat(f float64) Value { return Value{kind: Float, bits: math.Float64bits(f)} }
func OfString(s string) Value { return Value{kind: String, text: s} }

// Kind says which type v is of.
func (v Value) Kind() Kind { return v.kind }

// Float gives v as a number: a bool is 0 or 1; ok is false for None and String.
func (v Value) Float() (f float64, ok bool) {
	switch v.kind {
	case Bool, Uint:
		return float64(v.bits), true
	case Int:
		return float64(int64(v.bits)), true
	case Float:
		return math.Float64frombits(v.bits), true
	}
	return 0, false
}

// Int gives v as a whole number; ok is false when it is not one, or does not fit.
func (v Value) Int() (i int64, ok bool) {
	switch v.kind {
	case Bool, Int:
		return int64(v.bits), true
	case Uint:
		return int64(v.bits), v.bits <= math.MaxInt64
	case Float:
		f := math.Float64frombits(v.bits)
		if f == math.Trunc(f) && f >= -(1<<63) && f < 1<<63 {
			return int64(f), true
		}
	}
	return 0, false
}

// Uint gives v as a whole number of at least 0; ok is false when it is not one,
// or does not fit.
func (v Value) Uint() (u uint64, ok bool) {
	switch v.kind {
	case Bool, Uint:
		return v.bits, true
	case Int:
		return v.bits, int64(v.bits) >= 0
	case Float:
		f := math.Float64frombits(v.bits)
		if f == math.Trunc(f) && f >= 0 && f < 1<<64 {
			return uint64(f), true
		}
	}
	return 0, false
}

// Bool gives v as a switch: true, a number other than 0, or one of the texts
// "true", "on" and "1" (any case) is on; their opposites are off; ok is false
// for anything else.
func (v Value) Bool() (on, ok bool) {
	switch v.kind {
	case Bool, Int, Uint:
		return v.bits != 0, true
	case Float:
		return math.Float64frombits(v.bits) != 0, true
	case String:
		switch strings.ToLower(v.text) {
		case "true", "on", "1":
			return true, true
		case "false", "off", "0":
			return false, true
		}
	}
	return false, false
}

// String gives v as a person reads it; a None is "-".
func (v Value) String() string {
	switch v.kind {
	case None:
		return "-"
	case String:
		return v.text
	}
	return string(v.AppendJSON(nil))
}

// AppendJSON appends v as a JSON value. None, and a float that JSON has no
// number for (NaN, infinities), is null.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.kind {
	case Bool:
		return strconv.AppendBool(dst, v.bits != 0)
	case Int:
		return strconv.AppendInt(dst, int64(v.bits), 10)
	case Uint:
		return strconv.AppendUint(dst, v.bits, 10)
	case Float:
		f := math.Float64frombits(v.bits)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			break
		}
		format := byte('f')
		if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
			format = 'e'
		}
		return strconv.AppendFloat(dst, f, format, -1, 64)
	case String:
		b, _ := json.Marshal(v.text) // a string always marshals
		return append(dst, b...)
	}
	return append(dst, "null"...)
}

// ParseJSON reads one JSON scalar: true, 12, -3, 1.5 or "text". Whole numbers
// that fit stay exact. Objects, arrays and null are errors.
func ParseJSON(b []byte) (Value, error) {
	if !json.Valid(b) {
		return Value{}, fmt.Errorf("value %.40q is not JSON", b)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var x any
	if err := d.Decode(&x); err != nil {
		return Value{}, fmt.Errorf("value %.40q is not JSON: %w", b, err)
	}
	switch x := x.(type) {
	case bool:
		return OfBool(x), nil
	case string:
		return OfString(x), nil
	case json.Number:
		return ParseNumber(x.String())
	}
	return Value{}, fmt.Errorf("value %.40q is not a number, a bool or a text", b)
}

// ParseNumber reads a decimal number: a whole one that fits 64 bits as Int or
// Uint, every other as Float.
func ParseNumber(s string) (Value, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return OfInt(i), nil
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return OfUint(u), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return Value{}, fmt.Errorf("%.40q is not a number", s)
	}
	return OfFloat(f), nil
}
