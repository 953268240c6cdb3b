package datatype

import (
	"math"
	"testing"
)

func TestEveryHalfGoesBothWays(t *testing.T) {
	for b := range 1 << 16 {
		n := half(uint16(b))
		if math.IsNaN(n) {
			continue
		}
		if got := halfBits(n); got != uint16(b) {
			t.Fatalf("%#04x is %v, which is %#04x", b, n, got)
		}
		next := half(uint16(b + 1))
		if b&0x7fff < 0x7bff && b&1 == 0 && halfBits((n+next)/2) != uint16(b) {
			t.Fatalf("half way above %#04x is %#04x, want the even one", b, halfBits((n+next)/2))
		}
	}
}
