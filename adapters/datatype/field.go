package datatype

import (
	"fmt"
	"strconv"
	"strings"
)

// Field is what is known of one value in a device's bytes.
type Field struct {
	Type         Type
	Registers    int // of 16 bits that the value takes
	Order        Order
	Shift, Width int // of bits that are a part of them; Width 0: all
	Length       int // of a text, in bytes
	Scaling      Scaling
	Decimals     int // -1: as they come
	Min, Max     *float64
	Outside      string            // of Min and Max: what becomes of it
	Invalid      []uint64          // bits that mean that there is no value
	Texts        map[uint64]string // by the bits that stand for them
}

// SetNumber takes over what the config says of the point's number.
func (f *Field) SetNumber(n Number) {
	f.Scaling = NewScaling(n.Scale, n.Offset)
	f.Decimals = -1
	if n.Decimals != nil {
		f.Decimals = *n.Decimals
	}
	f.Min, f.Max, f.Outside = n.Min, n.Max, n.OutOfRange
}

// Bits is how many bits the value has.
func (f *Field) Bits() int {
	if f.Width > 0 {
		return f.Width
	}
	return 16 * f.Registers
}

// RegistersOf is how many registers a value takes; length is that of a text.
func RegistersOf(t Type, length int) int {
	switch t.Kind {
	case Text:
		return (length + 1) / 2
	case Text8:
		return length
	}
	return t.Registers
}

// ParseBits reads "shift:width", or "shift" for one bit. Shift 0 is the least
// significant one.
func ParseBits(s string, t Type) (shift, width int, err error) {
	first, second, both := strings.Cut(s, ":")
	shift, err = strconv.Atoi(first)
	width = 1
	if both && err == nil {
		width, err = strconv.Atoi(second)
	}
	all := 16 * t.Registers
	switch {
	case err != nil || shift < 0 || width < 1:
		return 0, 0, fmt.Errorf("%q: want the lowest bit and how many there are, like \"4:3\", or one bit, like \"7\"", s)
	case !t.IsWhole() && t.Kind != Bool || t.Width > 0:
		return 0, 0, fmt.Errorf("%q: bits are taken out of whole numbers: want type bool, u16, i16, u32, i32, u64 or i64, not %s", s, t)
	case shift+width > all:
		return 0, 0, fmt.Errorf("%q: %s has the bits 0 to %d", s, t, all-1)
	}
	return shift, width, nil
}

// Pattern gives the bits that v, one of invalid, means; any is false for "nan",
// which is never a value.
func (f *Field) Pattern(v any) (bits uint64, any bool, err error) {
	mask := ^uint64(0) >> (64 - f.Bits())
	switch v := v.(type) {
	case int64:
		if f.Type.Kind == Float {
			bits, _ = f.Type.FloatBits(float64(v))
			return bits, true, nil
		}
		if bits = uint64(v) & mask; v >= 0 && bits != uint64(v) || v < 0 && signed(bits, f.Bits()) != v {
			return 0, false, fmt.Errorf("%d does not fit the %d bits of the value", v, f.Bits())
		}
		return bits, true, nil
	case float64:
		if f.Type.Kind == Float {
			bits, _ = f.Type.FloatBits(v)
			return bits, true, nil
		}
	case string:
		if f.Type.Kind == Float && strings.EqualFold(v, "nan") {
			return 0, false, nil
		}
		bits, err := strconv.ParseUint(v, 0, 64)
		if err == nil && bits&mask == bits && strings.HasPrefix(v, "0x") {
			return bits, true, nil
		}
	}
	return 0, false, fmt.Errorf("%v: want numbers as the device has them, like 65535 or -32768, or bits, like \"0xffff\"", v)
}

// EnumKey gives the bits that a key of enum means.
func (f *Field) EnumKey(key string) (uint64, error) {
	n, err := strconv.ParseInt(key, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%q: want a whole number as the device has it, like 3 or 0x10, before the text", key)
	}
	if f.Type.Kind == Bool && (n < 0 || n > 1) {
		return 0, fmt.Errorf("%q: a bool is 0 or 1", key)
	}
	bits, _, err := f.Pattern(n)
	return bits, err
}
