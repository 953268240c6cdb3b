package datatype

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

// OfBits makes the value of its bits.
func (f *Field) OfBits(bits uint64, s *Scaling) (point.Value, error) {
	for _, none := range f.Invalid {
		if bits == none {
			return point.Value{}, fmt.Errorf("the device says that it has no value: it gives %#x", bits)
		}
	}
	if f.Type.Kind == Bool {
		bits = min(bits, 1)
	}
	if text, ok := f.Texts[bits]; ok {
		return point.OfString(text), nil
	}
	var v point.Value
	switch f.Type.Kind {
	case Bool:
		return point.OfBool(bits != 0), nil
	case Time:
		return f.time(bits)
	case Float:
		n := f.Type.Float(bits)
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return point.Value{}, fmt.Errorf("the device says that the value is %v", n)
		}
		v = s.OfFloat(n)
	case BCD:
		n, err := fromBCD(bits)
		if err != nil {
			return point.Value{}, err
		}
		v = s.OfInt(n, true)
	case Unsigned:
		v = s.OfInt(bits, true)
	default:
		v = s.OfInt(uint64(signed(bits, f.Bits())), false)
	}
	v = f.Round(v)
	switch n, _ := v.Float(); {
	case math.IsInf(n, 0):
		return point.Value{}, errors.New("scale and offset make the value too great for a number")
	case n == 0 && v.Kind() == point.Float:
		v = point.OfFloat(0) // -0 is for nobody
	}
	return f.Within(v)
}

// Round gives v with the decimals of the config.
func (f *Field) Round(v point.Value) point.Value {
	if f.Decimals < 0 || v.Kind() != point.Float {
		return v
	}
	n, _ := v.Float()
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(n, 'f', f.Decimals, 64), 64)
	if err != nil {
		return v
	}
	return point.OfFloat(rounded)
}

// Within does with a value outside of min and max what the config says.
func (f *Field) Within(v point.Value) (point.Value, error) {
	n, _ := v.Float()
	var bound float64
	switch {
	case f.Min != nil && n < *f.Min:
		bound = *f.Min
	case f.Max != nil && n > *f.Max:
		bound = *f.Max
	default:
		return v, nil
	}
	switch f.Outside {
	case outsideClamp:
		return OfRat(decimal(bound)), nil
	case outsideBad:
		return point.Value{}, fmt.Errorf("the value is %v, out of the range %s", v, f.RangeText())
	}
	return v, nil
}

// RangeText is min and max as a person reads them.
func (f *Field) RangeText() string {
	text := func(n *float64, none string) string {
		if n == nil {
			return none
		}
		return OfRat(decimal(*n)).String()
	}
	return text(f.Min, "anything") + " to " + text(f.Max, "anything")
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
func (f *Field) time(bits uint64) (point.Value, error) {
	if f.Type.Registers == 2 {
		return point.OfString(time.Unix(int64(bits), 0).UTC().Format(time.RFC3339)), nil
	}
	n, perSecond, layout := int64(bits), int64(1), time.RFC3339
	if f.Type.Milli {
		perSecond, layout = 1000, "2006-01-02T15:04:05.000Z07:00"
	}
	if n < minSeconds*perSecond || n > maxSeconds*perSecond {
		return point.Value{}, fmt.Errorf("the device gives %d, which is no time of the years 0 to 9999", n)
	}
	t := time.Unix(n, 0)
	if f.Type.Milli {
		t = time.UnixMilli(n)
	}
	return point.OfString(t.UTC().Format(layout)), nil
}

// Text makes the text of its registers, see Chars.
func (f *Field) Text(b []byte) string {
	var chars []byte
	for i := 0; i < len(b); i += 2 {
		first, second := b[i], b[i+1]
		if f.Order.SwapBytes {
			first, second = second, first
		}
		if f.Type.Kind == Text {
			chars = append(chars, first)
		}
		chars = append(chars, second)
	}
	return Chars(chars[:f.Length])
}

// Chars makes the text of its characters, a byte each: up to the first NUL,
// without blanks around it. What is not UTF-8 is taken for ISO 8859-1, as old
// devices write it.
func Chars(chars []byte) string {
	s, _, _ := strings.Cut(string(chars), "\x00")
	if !utf8.ValidString(s) {
		var runes strings.Builder
		for i := range len(s) {
			runes.WriteRune(rune(s[i]))
		}
		s = runes.String()
	}
	return strings.TrimSpace(s)
}
