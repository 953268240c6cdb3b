package main

import "testing"

func TestOnlyWholeFramesAreCounted(t *testing.T) {
	small := []byte{0x30, 3, 0, 1, 'a'}
	large := append([]byte{0x30, 0x80, 0x01}, make([]byte, 128)...)
	for _, c := range []struct {
		b    []byte
		want int
	}{
		{nil, 0},
		{small[:1], 0},
		{small[:4], 0},
		{small, 5},
		{large, 131},
		{large[:2], 0}, // length not complete
		{append(append([]byte{}, large...), small[:3]...), 131},
		{append(append([]byte{}, small...), small...), 10},
	} {
		if got := whole(c.b); got != c.want {
			t.Errorf("%d bytes: got %d of whole frames, want %d", len(c.b), got, c.want)
		}
	}
}
