package modbus

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// order is the order in which a value's bytes come over the wire. The zero
// order has the most significant byte first, as Modbus sends a register and
// nearly every device its registers. [MB-APP 4.2]
type order struct {
	swapBytes  bool // within each register
	swapWords  bool // the least significant register first
	swapHalves bool // then the two halves of 64 bits the other way round
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
	{"EFGHABCD", order{swapHalves: true}, 4},
	{"CDABGHEF", order{swapWords: true, swapHalves: true}, 4},
	{"FEHGBADC", order{swapBytes: true, swapHalves: true}, 4},
	{"DCBAHGFE", order{swapBytes: true, swapWords: true, swapHalves: true}, 4},
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

// word is where, among n registers, the i-th one by significance stands.
func (o order) word(i, n int) int {
	if o.swapWords {
		i = n - 1 - i
	}
	if o.swapHalves {
		i ^= n / 2
	}
	return i
}

// bits gives the value's bits from the wire; b has the bytes of its registers,
// four at most.
func (o order) bits(b []byte) uint64 {
	var v uint64
	n := len(b) / 2
	for i := range n {
		word := binary.BigEndian.Uint16(b[2*o.word(i, n):])
		if o.swapBytes {
			word = word<<8 | word>>8
		}
		v = v<<16 | uint64(word)
	}
	return v
}

// put is the inverse of bits.
func (o order) put(b []byte, v uint64) {
	n := len(b) / 2
	for i := n - 1; i >= 0; i-- {
		word := uint16(v)
		if o.swapBytes {
			word = word<<8 | word>>8
		}
		binary.BigEndian.PutUint16(b[2*o.word(i, n):], word)
		v >>= 16
	}
}
