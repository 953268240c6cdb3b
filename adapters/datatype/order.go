package datatype

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Order is the order in which a value's bytes come over the wire. The zero
// Order has the most significant byte first, as Modbus sends a register and
// nearly every device its registers. [MB-APP 4.2]
type Order struct {
	SwapBytes  bool // within each register
	SwapWords  bool // the least significant register first
	SwapHalves bool // then the two halves of 64 bits the other way round
}

// Orders are the orders' names, in their short and long forms.
var Orders = []struct {
	Name    string
	Order   Order
	OnlyFor int // registers; 0: of any type
}{
	{"ABCD", Order{}, 0},
	{"CDAB", Order{SwapWords: true}, 0},
	{"BADC", Order{SwapBytes: true}, 0},
	{"DCBA", Order{SwapBytes: true, SwapWords: true}, 0},
	{"AB", Order{}, 1},
	{"BA", Order{SwapBytes: true}, 1},
	{"ABCDEFGH", Order{}, 4},
	{"GHEFCDAB", Order{SwapWords: true}, 4},
	{"BADCFEHG", Order{SwapBytes: true}, 4},
	{"HGFEDCBA", Order{SwapBytes: true, SwapWords: true}, 4},
	{"EFGHABCD", Order{SwapHalves: true}, 4},
	{"CDABGHEF", Order{SwapWords: true, SwapHalves: true}, 4},
	{"FEHGBADC", Order{SwapBytes: true, SwapHalves: true}, 4},
	{"DCBAHGFE", Order{SwapBytes: true, SwapWords: true, SwapHalves: true}, 4},
}

// ParseOrder reads an order for a value of so many registers; 0: for any.
func ParseOrder(s string, registers int) (Order, error) {
	var fit []string
	for _, o := range Orders {
		if o.OnlyFor != 0 && o.OnlyFor != registers {
			if o.Name == s && registers == 0 {
				return Order{}, fmt.Errorf("%q is for one type only: as the default of a device want ABCD, CDAB, BADC or DCBA", s)
			}
			if o.Name == s {
				return Order{}, fmt.Errorf("%q is for %d registers, and the type has %d", s, o.OnlyFor, registers)
			}
			continue
		}
		if o.Name == s {
			return o.Order, nil
		}
		fit = append(fit, o.Name)
	}
	return Order{}, fmt.Errorf("%q is no order of bytes%s; want one of %s", s, DidYouMean(s, fit), strings.Join(fit, ", "))
}

// word is where, among n registers, the i-th one by significance stands.
func (o Order) word(i, n int) int {
	if o.SwapWords {
		i = n - 1 - i
	}
	if o.SwapHalves {
		i ^= n / 2
	}
	return i
}

// Bits gives the value's bits from the wire; b has the bytes of its registers,
// four at most.
func (o Order) Bits(b []byte) uint64 {
	var v uint64
	n := len(b) / 2
	for i := range n {
		word := binary.BigEndian.Uint16(b[2*o.word(i, n):])
		if o.SwapBytes {
			word = word<<8 | word>>8
		}
		v = v<<16 | uint64(word)
	}
	return v
}

// Put is the inverse of Bits.
func (o Order) Put(b []byte, v uint64) {
	n := len(b) / 2
	for i := n - 1; i >= 0; i-- {
		word := uint16(v)
		if o.SwapBytes {
			word = word<<8 | word>>8
		}
		binary.BigEndian.PutUint16(b[2*o.word(i, n):], word)
		v >>= 16
	}
}
