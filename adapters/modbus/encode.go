package modbus

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"headgate/gateway/point"

	"headgate/adapters/datatype"
)

// encode makes of a value the change that a write makes; the error says what the
// field can hold.
func (f *field) encode(v point.Value) (change, error) {
	c := change{register: f.target(), function: f.function}
	if f.Type.IsText() {
		var err error
		c.data, err = f.encodeText(v)
		return c, err
	}
	bits, err := f.encodeBits(v)
	if err != nil {
		return change{}, err
	}
	if f.register.table.isBits() {
		c.data = []byte{byte(bits)}
		return c, nil
	}
	c.data = make([]byte, 2*f.Registers)
	f.Order.Put(c.data, bits<<f.Shift)
	if f.Width > 0 {
		c.mask = make([]byte, 2*f.Registers)
		f.Order.Put(c.mask, (1<<f.Width-1)<<f.Shift)
	}
	return c, nil
}

// encodeBits gives the bits of a value.
func (f *field) encodeBits(v point.Value) (uint64, error) {
	if f.Texts != nil {
		return f.encodeEnum(v)
	}
	switch f.Type.Kind {
	case datatype.Bool:
		return f.encodeBool(v)
	case datatype.Time:
		return f.encodeTime(v)
	}
	return f.encodeNumber(v)
}

func (f *field) encodeNumber(v point.Value) (uint64, error) {
	n, ok := v.Float()
	switch {
	case !ok || v.Kind() == point.Bool:
		return 0, fmt.Errorf("%s is not a number", quoted(v))
	case math.IsNaN(n) || math.IsInf(n, 0):
		return 0, fmt.Errorf("%v is not a finite number", n)
	case f.Min != nil && n < *f.Min || f.Max != nil && n > *f.Max:
		return 0, fmt.Errorf("%v is out of range: want %s", v, f.RangeText())
	}
	number := f.Scaling.Inverse(v)
	if f.Type.Kind == datatype.Float {
		n, _ := number.Float64()
		bits, fits := f.Type.FloatBits(n)
		if !fits {
			return 0, fmt.Errorf("%v does not fit %s", v, f.Type)
		}
		return bits, nil
	}
	bits, err := f.intBits(v, number)
	if err == nil && f.Type.Kind == datatype.BCD {
		bits = toBCD(bits)
	}
	return bits, err
}

// encodeEnum takes one of the texts, or the number that stands for one: what the
// config does not name cannot be written.
func (f *field) encodeEnum(v point.Value) (uint64, error) {
	keys := slices.Sorted(maps.Keys(f.Texts))
	var want []string
	for _, bits := range keys {
		if v.Kind() == point.String && v.String() == f.Texts[bits] {
			return bits, nil
		}
		want = append(want, f.Texts[bits])
	}
	if n, ok := v.Int(); ok {
		if bits, _, err := f.Pattern(n); err == nil && f.Texts[bits] != "" {
			return bits, nil
		}
	}
	return 0, fmt.Errorf("%s is none of %s", quoted(v), strings.Join(want, ", "))
}

func (f *field) encodeBool(v point.Value) (uint64, error) {
	on, ok := v.Bool()
	if n, isNumber := v.Float(); isNumber && n != 0 && n != 1 {
		ok = false
	}
	switch {
	case !ok:
		return 0, fmt.Errorf("%s is neither on nor off: want true or false", quoted(v))
	case on:
		return 1, nil
	}
	return 0, nil
}

// encodeTime takes RFC 3339, or the number as the device has it.
func (f *field) encodeTime(v point.Value) (uint64, error) {
	n, ok := v.Int()
	if v.Kind() == point.String {
		t, err := time.Parse(time.RFC3339, v.String())
		n, ok = t.Unix(), err == nil
		if f.Type.Milli {
			n = t.UnixMilli()
		}
	}
	switch {
	case !ok || v.Kind() == point.Bool:
		return 0, fmt.Errorf("%s is no time: want one like \"2026-11-23T18:04:05Z\"", quoted(v))
	case f.Type.Registers == 2 && (n < 0 || n > math.MaxUint32):
		return 0, fmt.Errorf("%s does not fit %s, which holds 1970 to 2106", quoted(v), f.Type)
	}
	return uint64(n), nil
}

// encodeText gives the registers of a text, filled up with NUL.
func (f *field) encodeText(v point.Value) ([]byte, error) {
	if v.Kind() != point.String {
		return nil, fmt.Errorf("%s is not a text", quoted(v))
	}
	s := v.String()
	switch {
	case len(s) > f.Length:
		return nil, fmt.Errorf("%s is too long: %d bytes is the most", quoted(v), f.Length)
	case strings.ContainsRune(s, 0):
		return nil, errors.New("a text with NUL in it cannot be held")
	}
	b := make([]byte, 2*f.Registers)
	for i := range len(s) {
		at := i // of datatype.Text
		if f.Type.Kind == datatype.Text8 {
			at = 2*i + 1
		}
		if f.Order.SwapBytes {
			at ^= 1
		}
		b[at] = s[i]
	}
	return b, nil
}

// stepParts: a number may be this part of a step away from a whole one and
// still be meant for it: 0.30000000000000004 with scale 0.1 is 3.
const stepParts = 1_000_000

// intBits gives the bits of a whole-number type, or the number of one in BCD.
func (f *field) intBits(v point.Value, number *big.Rat) (uint64, error) {
	n := nearest(number)
	away := new(big.Rat).Sub(number, new(big.Rat).SetInt(n))
	low, high := f.Range()
	if n.Cmp(low) < 0 || n.Cmp(high) > 0 {
		least, most := new(big.Rat).SetInt(low), new(big.Rat).SetInt(high)
		if f.Scaling.Scale.Sign() < 0 {
			least, most = most, least
		}
		return 0, fmt.Errorf("%v does not fit: %s holds %s to %s", v, f.holder(), f.Scaling.Apply(least), f.Scaling.Apply(most))
	}
	if away.Abs(away).Cmp(big.NewRat(1, stepParts)) > 0 {
		return 0, fmt.Errorf("%v cannot be held: %s has steps of %s, the nearest is %s",
			v, f.holder(), datatype.OfRat(new(big.Rat).Abs(f.Scaling.Scale)), f.Scaling.Apply(new(big.Rat).SetInt(n)))
	}
	mask := ^uint64(0) >> (64 - f.Bits())
	if n.Sign() < 0 {
		return uint64(n.Int64()) & mask, nil
	}
	return n.Uint64(), nil
}

// holder names what holds a whole number.
func (f *field) holder() string {
	if f.Width > 0 && f.Type.Width == 0 {
		return fmt.Sprintf("%d bits of %s", f.Width, f.Type)
	}
	return f.Type.String()
}

// toBCD is the inverse of fromBCD for a number that fits.
func toBCD(n uint64) (bits uint64) {
	for i := 0; n > 0; i += 4 {
		bits |= n % 10 << i
		n /= 10
	}
	return bits
}

// nearest is the whole number nearest to r; a half goes up.
func nearest(r *big.Rat) *big.Int {
	num := new(big.Int).Lsh(r.Num(), 1)
	num.Add(num, r.Denom())
	return num.Div(num, new(big.Int).Lsh(r.Denom(), 1)) // Euclidean: down, for a positive divisor
}

// quoted is v as it stands in JSON, cut where it is long.
func quoted(v point.Value) string {
	b := v.AppendJSON(nil)
	const most = 40
	if len(b) > most {
		return string(b[:most]) + "..."
	}
	return string(b)
}
