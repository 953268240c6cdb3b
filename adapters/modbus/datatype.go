package modbus

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// dataType is what a point's registers hold.
type dataType uint8

const (
	typeBool dataType = iota
	typeU16
	typeI16
	typeU32
	typeI32
	typeU64
	typeI64
	typeF32
	typeF64
)

// typeNames are the types' names in a config, by dataType.
var typeNames = []string{"bool", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"}

// otherTypeNames are what other programs call them.
var otherTypeNames = map[string]string{
	"boolean": "bool", "bit": "bool", "uint": "u16", "uint16": "u16", "word": "u16", "ushort": "u16", "int": "i16", "int16": "i16", "short": "i16", "s16": "i16",
	"uint32": "u32", "dword": "u32", "int32": "i32", "s32": "i32", "long": "i32", "uint64": "u64", "qword": "u64", "int64": "i64", "s64": "i64",
	"float": "f32", "float32": "f32", "real": "f32", "single": "f32", "double": "f64", "float64": "f64",
}

// registers is how many registers a value takes.
func (t dataType) registers() int {
	switch t {
	case typeU32, typeI32, typeF32:
		return 2
	case typeU64, typeI64, typeF64:
		return 4
	}
	return 1
}

func (t dataType) String() string { return typeNames[t] }

// isFloat says whether it is a floating-point type.
func (t dataType) isFloat() bool { return t == typeF32 || t == typeF64 }

func parseType(s string) (dataType, error) {
	for t, name := range typeNames {
		if s == name {
			return dataType(t), nil
		}
	}
	meant := didYouMean(s, typeNames)
	if name, ok := otherTypeNames[strings.ToLower(s)]; ok {
		meant = fmt.Sprintf("; did you mean %q?", name)
	}
	return 0, fmt.Errorf("%q is no type%s; there are u16, i16, u32, i32, u64, i64, f32, f64 and bool", s, meant)
}

// order is the order in which a value's bytes come over the wire. The zero
// order has the most significant byte first, as Modbus sends a register and
// nearly every device its registers. [MB-APP 4.2]
type order struct {
	swapBytes bool // within each register
	swapWords bool // the least significant register first
}

// orders are the orders' names, in their short and long forms.
var orders = []struct {
	name    string
	order   order
	onlyFor int // registers; 0: of any type
}{
	{"ABCD", order{}, 0},
	{"CDAB", order{swapWords: true}, 0},
	{"BADC", order{swapBytes: true}, 0},
	{"DCBA", order{swapBytes: true, swapWords: true}, 0},
	{"AB", order{}, 1},
	{"BA", order{swapBytes: true}, 1},
	{"ABCDEFGH", order{}, 4},
	{"GHEFCDAB", order{swapWords: true}, 4},
	{"BADCFEHG", order{swapBytes: true}, 4},
	{"HGFEDCBA", order{swapBytes: true, swapWords: true}, 4},
}

// parseOrder reads an order for a value of so many registers; 0: for any.
func parseOrder(s string, registers int) (order, error) {
	var fit []string
	for _, o := range orders {
		if o.onlyFor != 0 && o.onlyFor != registers {
			if o.name == s && registers == 0 {
				return order{}, fmt.Errorf("%q is for one type only: as the default of a device want ABCD, CDAB, BADC or DCBA", s)
			}
			if o.name == s {
				return order{}, fmt.Errorf("%q is for %d registers, and the type has %d", s, o.onlyFor, registers)
			}
			continue
		}
		if o.name == s {
			return o.order, nil
		}
		fit = append(fit, o.name)
	}
	return order{}, fmt.Errorf("%q is no order of bytes%s; want one of %s", s, didYouMean(s, fit), strings.Join(fit, ", "))
}

// bits gives the value's bits from the wire; b has the bytes of its registers.
func (o order) bits(b []byte) uint64 {
	var v uint64
	for i := 0; i < len(b); i += 2 {
		at := i
		if o.swapWords {
			at = len(b) - 2 - i
		}
		word := binary.BigEndian.Uint16(b[at:])
		if o.swapBytes {
			word = word<<8 | word>>8
		}
		v = v<<16 | uint64(word)
	}
	return v
}

// put is the inverse of bits.
func (o order) put(b []byte, v uint64) {
	for i := len(b) - 2; i >= 0; i -= 2 {
		at := i
		if o.swapWords {
			at = len(b) - 2 - i
		}
		word := uint16(v)
		if o.swapBytes {
			word = word<<8 | word>>8
		}
		binary.BigEndian.PutUint16(b[at:], word)
		v >>= 16
	}
}

// signed makes of a type's bits the number that they are in two's complement.
func (t dataType) signed(bits uint64) int64 {
	switch t {
	case typeI16:
		return int64(int16(bits))
	case typeI32:
		return int64(int32(bits))
	}
	return int64(bits)
}

// float makes of the bits of f32 or f64 the number. That of an f32 is the
// float64 next to its shortest decimal, so that 23.45 is not published as
// 23.450000762939453.
func (t dataType) float(bits uint64) float64 {
	if t == typeF64 {
		return math.Float64frombits(bits)
	}
	return widen(math.Float32frombits(uint32(bits)))
}
