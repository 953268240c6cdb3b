package sparkplug

import (
	"errors"
	"fmt"
	"math"
)

// Value is the value of a metric or property in the form that it has on the wire,
// which does not say its type: two's complement for what is signed. The zero Value
// is none.
type Value struct {
	form  form
	bits  uint64
	bytes []byte // of text and bytes; a data set or a template as it came
}

// IsZero says that there is no value.
func (v Value) IsZero() bool { return v.form == none }

// Equal says that the two are the same on the wire.
func (v Value) Equal(w Value) bool {
	return v.form == w.form && v.bits == w.bits && string(v.bytes) == string(w.bytes)
}

// Of makes a value of type t of an int64, uint64, float64, bool, string or []byte.
// Numbers become each other where they fit; the error says why one does not.
func Of(t DataType, x any) (Value, error) {
	v := Value{form: t.form()}
	no := func() (Value, error) { return Value{}, fmt.Errorf("%v is no %v", x, t) }
	switch v.form {
	case intForm, longForm:
		bits, negative, ok := whole(x)
		if !ok || !t.holds(bits, negative) {
			return no()
		}
		if v.bits = bits; v.form == intForm {
			v.bits = uint64(uint32(bits))
		}
	case floatForm, doubleForm:
		f, ok := number(x)
		if !ok {
			return no()
		}
		if v.bits = math.Float64bits(f); v.form == floatForm {
			v.bits = uint64(math.Float32bits(float32(f)))
		}
	case boolForm:
		b, ok := x.(bool)
		if !ok {
			return no()
		}
		if b {
			v.bits = 1
		}
	case stringForm, bytesForm:
		switch x := x.(type) {
		case string:
			v.bytes = []byte(x)
		case []byte:
			v.bytes = x
		default:
			return no()
		}
	default:
		return no()
	}
	return v, nil
}

// whole gives a number as 64 bits in two's complement.
func whole(x any) (bits uint64, negative, ok bool) {
	switch x := x.(type) {
	case int64:
		return uint64(x), x < 0, true
	case uint64:
		return x, false, true
	case float64:
		switch {
		case x != math.Trunc(x) || x < -(1<<63) || x >= 1<<64:
			return 0, false, false
		case x < 0:
			return uint64(int64(x)), true, true
		}
		return uint64(x), false, true
	}
	return 0, false, false
}

func number(x any) (f float64, ok bool) {
	switch x := x.(type) {
	case int64:
		return float64(x), true
	case uint64:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

// width gives the bits of a whole type, and whether it has a sign.
func (t DataType) width() (bits int, signed bool) {
	switch t {
	case Int8, Int16, Int32, Int64:
		return 8 << (t - Int8), true
	case UInt8, UInt16, UInt32, UInt64:
		return 8 << (t - UInt8), false
	}
	return 64, false // DateTime
}

// holds says whether a whole number fits into the type.
func (t DataType) holds(bits uint64, negative bool) bool {
	width, signed := t.width()
	switch {
	case negative:
		return signed && int64(bits) >= -1<<(width-1)
	case signed:
		return bits < 1<<(width-1)
	}
	return width == 64 || bits < 1<<width
}

// As gives the value as one of type t: an int64, uint64, float64, bool, string or
// []byte. A number may stand in another field than the type's own, as some
// encoders have it; it must fit all the same. The error says what is wrong.
func (v Value) As(t DataType) (any, error) {
	switch want := t.form(); {
	case v.form == none:
		return nil, errors.New("there is no value")
	case want == none || want == dataSetForm || want == templateForm:
		return nil, fmt.Errorf("values of type %v are not read", t)
	case want == boolForm && v.form == boolForm:
		return v.bits != 0, nil
	case want == stringForm && v.form == stringForm:
		return string(v.bytes), nil
	case want == bytesForm && v.form == bytesForm:
		return v.bytes, nil
	case want == floatForm || want == doubleForm:
		if f, ok := v.float(); ok {
			return f, nil
		}
	case want == intForm || want == longForm:
		return v.integer(t)
	}
	return nil, fmt.Errorf("the value is no %v", t)
}

func (v Value) float() (float64, bool) {
	switch v.form {
	case floatForm:
		return float64(math.Float32frombits(uint32(v.bits))), true
	case doubleForm:
		return math.Float64frombits(v.bits), true
	case intForm: // nobody says whether it has a sign; whole numbers are hardly above 2^31
		return float64(int32(uint32(v.bits))), true
	case longForm:
		return float64(int64(v.bits)), true
	}
	return 0, false
}

// integer gives a whole number of type t, an int64 or uint64.
func (v Value) integer(t DataType) (any, error) {
	width, signed := t.width()
	bits, negative := v.bits, false
	switch v.form {
	case intForm:
		// Two's complement of 8, 16 or 32 bits, as the encoder likes.
		if signed {
			if width < 64 && bits>>(width-1) == 1 && bits < 1<<width {
				bits |= ^uint64(0) << width
			} else {
				bits = uint64(int64(int32(uint32(bits))))
			}
			negative = int64(bits) < 0
		}
	case longForm:
		negative = signed && int64(bits) < 0
		if signed && width == 32 && bits>>31 == 1 { // as a uint32
			bits, negative = uint64(int64(int32(uint32(bits)))), true
		}
	case floatForm, doubleForm:
		f, _ := v.float()
		var ok bool
		if bits, negative, ok = whole(f); !ok {
			return nil, fmt.Errorf("%v is no %v", f, t)
		}
	default:
		return nil, fmt.Errorf("the value is no %v", t)
	}
	if !t.holds(bits, negative) {
		return nil, fmt.Errorf("the value does not fit into %v", t)
	}
	if signed {
		return int64(bits), nil
	}
	return bits, nil
}
