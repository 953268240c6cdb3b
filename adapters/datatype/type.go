// Package datatype is what bytes of a device mean: the types, in which order their
// bytes stand (Order), the number that they are (Scaling), and what becomes of it
// (Field). It reads no registers and no messages: adapters/modbus and
// adapters/serial do, and give it their bytes. It has no I/O.
package datatype

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Kind is what the bits of a type mean.
type Kind uint8

const (
	Bool     Kind = iota
	Unsigned      // whole numbers
	Signed        // in two's complement
	Float         // IEEE 754
	BCD           // a decimal digit in each four bits
	Time          // since 1970-01-01 00:00 UTC
	Text          // characters in each register, high byte first
	Text8         // one character in the low byte of each register
)

// Type is what a point's registers hold.
type Type struct {
	Name      string
	Kind      Kind
	Registers int // of 16 bits that a value takes; 0 of a text, which has a length

	// A value that takes a part of its registers: Width bits, Shift bits up;
	// 0 bits: all.
	Shift, Width int

	Milli bool // of Time: milliseconds, not seconds
}

// Types are the types by their names in a config.
var Types = []Type{
	{Name: "bool", Kind: Bool, Registers: 1},
	{Name: "u16", Kind: Unsigned, Registers: 1},
	{Name: "i16", Kind: Signed, Registers: 1},
	{Name: "u32", Kind: Unsigned, Registers: 2},
	{Name: "i32", Kind: Signed, Registers: 2},
	{Name: "u64", Kind: Unsigned, Registers: 4},
	{Name: "i64", Kind: Signed, Registers: 4},
	{Name: "f32", Kind: Float, Registers: 2},
	{Name: "f64", Kind: Float, Registers: 4},
	{Name: "f16", Kind: Float, Registers: 1},
	{Name: "u8l", Kind: Unsigned, Registers: 1, Width: 8},
	{Name: "u8h", Kind: Unsigned, Registers: 1, Shift: 8, Width: 8},
	{Name: "i8l", Kind: Signed, Registers: 1, Width: 8},
	{Name: "i8h", Kind: Signed, Registers: 1, Shift: 8, Width: 8},
	{Name: "u24", Kind: Unsigned, Registers: 2, Width: 24},
	{Name: "i24", Kind: Signed, Registers: 2, Width: 24},
	{Name: "u48", Kind: Unsigned, Registers: 3},
	{Name: "i48", Kind: Signed, Registers: 3},
	{Name: "bcd16", Kind: BCD, Registers: 1},
	{Name: "bcd32", Kind: BCD, Registers: 2},
	{Name: "bcd64", Kind: BCD, Registers: 4},
	{Name: "epoch32", Kind: Time, Registers: 2},
	{Name: "epoch64", Kind: Time, Registers: 4},
	{Name: "epochms64", Kind: Time, Registers: 4, Milli: true},
	{Name: "string", Kind: Text},
	{Name: "string8", Kind: Text8},
}

// otherTypeNames are what other programs call them.
var otherTypeNames = map[string]string{
	"boolean": "bool", "bit": "bool", "uint": "u16", "uint16": "u16", "word": "u16", "ushort": "u16", "int": "i16", "int16": "i16", "short": "i16", "s16": "i16",
	"uint32": "u32", "dword": "u32", "int32": "i32", "s32": "i32", "long": "i32", "uint64": "u64", "qword": "u64", "int64": "i64", "s64": "i64",
	"float": "f32", "float32": "f32", "real": "f32", "single": "f32", "double": "f64", "float64": "f64", "float16": "f16", "half": "f16",
	"u8": "u8l", "uint8": "u8l", "byte": "u8l", "uint8l": "u8l", "uint8h": "u8h", "i8": "i8l", "int8": "i8l", "s8": "i8l", "int8l": "i8l", "int8h": "i8h",
	"s24": "i24", "bcd": "bcd16", "bcd8": "bcd16", "text": "string", "str": "string", "char": "string", "epoch": "epoch32", "unixtime": "epoch32", "time": "epoch32",
}

func (t Type) String() string { return t.Name }

// IsText says whether it is one of characters.
func (t Type) IsText() bool { return t.Kind == Text || t.Kind == Text8 }

// IsWhole says whether its values are whole numbers in two's complement, which
// bits can be taken out of.
func (t Type) IsWhole() bool { return t.Kind == Unsigned || t.Kind == Signed }

// IsNumber says whether it has a scale.
func (t Type) IsNumber() bool { return t.IsWhole() || t.Kind == Float || t.Kind == BCD }

// ParseType gives the type of that name.
func ParseType(s string) (Type, error) {
	var names []string
	for _, t := range Types {
		if s == t.Name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	meant := DidYouMean(s, names)
	if name, ok := otherTypeNames[strings.ToLower(s)]; ok {
		meant = fmt.Sprintf("; did you mean %q?", name)
	}
	slices.Sort(names)
	return Type{}, fmt.Errorf("%q is no type%s; there are %s", s, meant, strings.Join(names, ", "))
}

// signed makes of so many bits the number that they are in two's complement.
func signed(bits uint64, width int) int64 {
	return int64(bits<<(64-width)) >> (64 - width)
}

// Float makes of the bits of a float the number. That of an f32 is the float64
// next to its shortest decimal, so that 23.45 is not published as
// 23.450000762939453.
func (t Type) Float(bits uint64) float64 {
	switch t.Registers {
	case 4:
		return math.Float64frombits(bits)
	case 2:
		return widen(math.Float32frombits(uint32(bits)))
	}
	return half(uint16(bits))
}

// FloatBits is the inverse of Float, for n in the type's range.
func (t Type) FloatBits(n float64) (bits uint64, fits bool) {
	switch t.Registers {
	case 4:
		return math.Float64bits(n), !math.IsInf(n, 0)
	case 2:
		return uint64(math.Float32bits(float32(n))), !math.IsInf(float64(float32(n)), 0)
	}
	b := halfBits(n)
	return uint64(b), b&0x7c00 != 0x7c00
}

// half makes of an IEEE 754 binary16 the number.
func half(b uint16) float64 {
	exponent, fraction := int(b>>10&0x1f), float64(b&0x3ff)
	var n float64
	switch {
	case exponent == 0x1f && fraction != 0:
		return math.NaN()
	case exponent == 0x1f:
		n = math.Inf(1)
	case exponent == 0:
		n = math.Ldexp(fraction, -24)
	default:
		n = math.Ldexp(1024+fraction, exponent-25)
	}
	if b>>15 != 0 {
		n = -n
	}
	return n
}

// halfBits is the binary16 nearest to n, of two the even one; that of infinity
// where n is too great.
func halfBits(n float64) uint16 {
	var sign uint16
	if math.Signbit(n) {
		sign = 1 << 15
	}
	n = math.Abs(n)
	if n >= 65520 { // half a step above the greatest
		return sign | 0x7c00
	}
	step := -24 // of the numbers near 0
	if _, exponent := math.Frexp(n); n != 0 {
		step = max(exponent-11, step) // n is below 2^exponent
	}
	steps := uint16(math.RoundToEven(math.Ldexp(n, -step)))
	// With the hidden bit the fraction carries into the exponent by itself.
	return sign | uint16(step+24)<<10 + steps
}
