package modbus

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// kind is what the bits of a type mean.
type kind uint8

const (
	kindBool     kind = iota
	kindUnsigned      // whole numbers
	kindSigned        // in two's complement
	kindFloat         // IEEE 754
	kindBCD           // a decimal digit in each four bits
	kindTime          // since 1970-01-01 00:00 UTC
	kindText          // characters in each register, high byte first
	kindText8         // one character in the low byte of each register
)

// dataType is what a point's registers hold.
type dataType struct {
	name      string
	kind      kind
	registers int // that a value takes; 0 of a text, which has a length

	// A value that takes a part of its registers: width bits, shift bits up;
	// 0 bits: all.
	shift, width int

	milli bool // of kindTime: milliseconds, not seconds
}

// dataTypes are the types by their names in a config.
var dataTypes = []dataType{
	{name: "bool", kind: kindBool, registers: 1},
	{name: "u16", kind: kindUnsigned, registers: 1},
	{name: "i16", kind: kindSigned, registers: 1},
	{name: "u32", kind: kindUnsigned, registers: 2},
	{name: "i32", kind: kindSigned, registers: 2},
	{name: "u64", kind: kindUnsigned, registers: 4},
	{name: "i64", kind: kindSigned, registers: 4},
	{name: "f32", kind: kindFloat, registers: 2},
	{name: "f64", kind: kindFloat, registers: 4},
	{name: "f16", kind: kindFloat, registers: 1},
	{name: "u8l", kind: kindUnsigned, registers: 1, width: 8},
	{name: "u8h", kind: kindUnsigned, registers: 1, shift: 8, width: 8},
	{name: "i8l", kind: kindSigned, registers: 1, width: 8},
	{name: "i8h", kind: kindSigned, registers: 1, shift: 8, width: 8},
	{name: "u24", kind: kindUnsigned, registers: 2, width: 24},
	{name: "i24", kind: kindSigned, registers: 2, width: 24},
	{name: "u48", kind: kindUnsigned, registers: 3},
	{name: "i48", kind: kindSigned, registers: 3},
	{name: "bcd16", kind: kindBCD, registers: 1},
	{name: "bcd32", kind: kindBCD, registers: 2},
	{name: "bcd64", kind: kindBCD, registers: 4},
	{name: "epoch32", kind: kindTime, registers: 2},
	{name: "epoch64", kind: kindTime, registers: 4},
	{name: "epochms64", kind: kindTime, registers: 4, milli: true},
	{name: "string", kind: kindText},
	{name: "string8", kind: kindText8},
}

// otherTypeNames are what other programs call them.
var otherTypeNames = map[string]string{
	"boolean": "bool", "bit": "bool", "uint": "u16", "uint16": "u16", "word": "u16", "ushort": "u16", "int": "i16", "int16": "i16", "short": "i16", "s16": "i16",
	"uint32": "u32", "dword": "u32", "int32": "i32", "s32": "i32", "long": "i32", "uint64": "u64", "qword": "u64", "int64": "i64", "s64": "i64",
	"float": "f32", "float32": "f32", "real": "f32", "single": "f32", "double": "f64", "float64": "f64", "float16": "f16", "half": "f16",
	"u8": "u8l", "uint8": "u8l", "byte": "u8l", "uint8l": "u8l", "uint8h": "u8h", "i8": "i8l", "int8": "i8l", "s8": "i8l", "int8l": "i8l", "int8h": "i8h",
	"s24": "i24", "bcd": "bcd16", "bcd8": "bcd16", "text": "string", "str": "string", "char": "string", "epoch": "epoch32", "unixtime": "epoch32", "time": "epoch32",
}

func (t dataType) String() string { return t.name }

// isText says whether it is one of characters.
func (t dataType) isText() bool { return t.kind == kindText || t.kind == kindText8 }

// isWhole says whether its values are whole numbers in two's complement, which
// bits can be taken out of.
func (t dataType) isWhole() bool { return t.kind == kindUnsigned || t.kind == kindSigned }

// isNumber says whether it has a scale.
func (t dataType) isNumber() bool { return t.isWhole() || t.kind == kindFloat || t.kind == kindBCD }

func parseType(s string) (dataType, error) {
	var names []string
	for _, t := range dataTypes {
		if s == t.name {
			return t, nil
		}
		names = append(names, t.name)
	}
	meant := didYouMean(s, names)
	if name, ok := otherTypeNames[strings.ToLower(s)]; ok {
		meant = fmt.Sprintf("; did you mean %q?", name)
	}
	slices.Sort(names)
	return dataType{}, fmt.Errorf("%q is no type%s; there are %s", s, meant, strings.Join(names, ", "))
}

// signed makes of so many bits the number that they are in two's complement.
func signed(bits uint64, width int) int64 {
	return int64(bits<<(64-width)) >> (64 - width)
}

// float makes of the bits of a float the number. That of an f32 is the float64
// next to its shortest decimal, so that 23.45 is not published as
// 23.450000762939453.
func (t dataType) float(bits uint64) float64 {
	switch t.registers {
	case 4:
		return math.Float64frombits(bits)
	case 2:
		return widen(math.Float32frombits(uint32(bits)))
	}
	return half(uint16(bits))
}

// floatBits is the inverse of float, for n in the type's range.
func (t dataType) floatBits(n float64) (bits uint64, fits bool) {
	switch t.registers {
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
