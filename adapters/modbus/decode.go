package modbus

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"headgate/gateway/point"
)

// decode makes the value of the bytes that a read gave: of a register table the
// bytes of the field's own registers, of a table of bits one byte, 0 or 1. The
// error says why there is no value.
func (f *field) decode(b []byte) (point.Value, error) {
	if f.register.table.isBits() {
		return f.ofBits(uint64(b[0]&1), nil)
	}
	value := b[2*f.at : 2*(f.at+f.registers)]
	if f.typ.isText() {
		return point.OfString(f.text(value)), nil
	}
	scaling := &f.scaling
	if f.exponent >= 0 {
		// SunSpec: an exponent of 0x8000 is not implemented, nor is the point.
		n := int(int16(order{}.bits(b[2*f.exponent : 2*f.exponent+2])))
		if n < -maxExponent || n > maxExponent {
			return point.Value{}, fmt.Errorf("the device gives %d for the power of ten that the value has: it has no value", n)
		}
		scaling = &f.powers[n+maxExponent]
	}
	bits := f.order.bits(value)
	if f.width > 0 {
		bits = bits >> f.shift & (1<<f.width - 1)
	}
	return f.ofBits(bits, scaling)
}

// ofBits makes the value of its bits.
func (f *field) ofBits(bits uint64, s *scaling) (point.Value, error) {
	for _, none := range f.invalid {
		if bits == none {
			return point.Value{}, fmt.Errorf("the device says that it has no value: it gives %#x", bits)
		}
	}
	if f.typ.kind == kindBool {
		bits = min(bits, 1)
	}
	if text, ok := f.texts[bits]; ok {
		return point.OfString(text), nil
	}
	var v point.Value
	switch f.typ.kind {
	case kindBool:
		return point.OfBool(bits != 0), nil
	case kindTime:
		return f.time(bits)
	case kindFloat:
		n := f.typ.float(bits)
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return point.Value{}, fmt.Errorf("the device says that the value is %v", n)
		}
		v = s.ofFloat(n)
	case kindBCD:
		n, err := fromBCD(bits)
		if err != nil {
			return point.Value{}, err
		}
		v = s.ofInt(n, true)
	case kindUnsigned:
		v = s.ofInt(bits, true)
	default:
		v = s.ofInt(uint64(signed(bits, f.bits())), false)
	}
	v = f.round(v)
	switch n, _ := v.Float(); {
	case math.IsInf(n, 0):
		return point.Value{}, errors.New("scale and offset make the value too great for a number")
	case n == 0 && v.Kind() == point.Float:
		v = point.OfFloat(0) // -0 is for nobody
	}
	return f.within(v)
}

// round gives v with the decimals of the config.
func (f *field) round(v point.Value) point.Value {
	if f.decimals < 0 || v.Kind() != point.Float {
		return v
	}
	n, _ := v.Float()
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(n, 'f', f.decimals, 64), 64)
	if err != nil {
		return v
	}
	return point.OfFloat(rounded)
}

// within does with a value outside of min and max what the config says.
func (f *field) within(v point.Value) (point.Value, error) {
	n, _ := v.Float()
	var bound float64
	switch {
	case f.min != nil && n < *f.min:
		bound = *f.min
	case f.max != nil && n > *f.max:
		bound = *f.max
	default:
		return v, nil
	}
	switch f.outside {
	case outsideClamp:
		return ofRat(decimal(bound)), nil
	case outsideBad:
		return point.Value{}, fmt.Errorf("the value is %v, out of the range %s", v, f.rangeText())
	}
	return v, nil
}

// rangeText is min and max as a person reads them.
func (f *field) rangeText() string {
	text := func(n *float64, none string) string {
		if n == nil {
			return none
		}
		return ofRat(decimal(*n)).String()
	}
	return text(f.min, "anything") + " to " + text(f.max, "anything")
}

// fromBCD makes the number of its decimal digits.
func fromBCD(bits uint64) (uint64, error) {
	var n uint64
	for i := 60; i >= 0; i -= 4 {
		digit := bits >> i & 15
		if digit > 9 {
			return 0, fmt.Errorf("the device gives %#x, which is no BCD number", bits)
		}
		n = 10*n + digit
	}
	return n, nil
}

// Of the times that RFC 3339 can write. [RFC 3339 5.6]
const (
	minSeconds = -62_167_219_200 // 0000-01-01
	maxSeconds = 253_402_300_799 // 9999-12-31
)

// time makes the text of a time, RFC 3339 in UTC.
func (f *field) time(bits uint64) (point.Value, error) {
	if f.typ.registers == 2 {
		return point.OfString(time.Unix(int64(bits), 0).UTC().Format(time.RFC3339)), nil
	}
	n, perSecond, layout := int64(bits), int64(1), time.RFC3339
	if f.typ.milli {
		perSecond, layout = 1000, "2006-01-02T15:04:05.000Z07:00"
	}
	if n < minSeconds*perSecond || n > maxSeconds*perSecond {
		return point.Value{}, fmt.Errorf("the device gives %d, which is no time of the years 0 to 9999", n)
	}
	t := time.Unix(n, 0)
	if f.typ.milli {
		t = time.UnixMilli(n)
	}
	return point.OfString(t.UTC().Format(layout)), nil
}

// text makes the text of its registers: up to the first NUL, without blanks
// around it. What is not UTF-8 is taken for ISO 8859-1, as old devices write it.
func (f *field) text(b []byte) string {
	var chars []byte
	for i := 0; i < len(b); i += 2 {
		first, second := b[i], b[i+1]
		if f.order.swapBytes {
			first, second = second, first
		}
		if f.typ.kind == kindText {
			chars = append(chars, first)
		}
		chars = append(chars, second)
	}
	s, _, _ := strings.Cut(string(chars[:f.length]), "\x00")
	if !utf8.ValidString(s) {
		var runes strings.Builder
		for i := range len(s) {
			runes.WriteRune(rune(s[i]))
		}
		s = runes.String()
	}
	return strings.TrimSpace(s)
}
