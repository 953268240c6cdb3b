package broker

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

func TestWhatGoesIntoAnOutboxComesOutInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	o := outbox{rooms: new(sync.Pool)}
	var want, got []byte
	var list, shared, copies [][]byte
	next := byte(0)
	fill := func(b []byte) []byte {
		for i := range b {
			next++
			b[i] = next
		}
		want = append(want, b...)
		return b
	}
	for range 2000 {
		switch rng.IntN(5) {
		case 4:
			b := fill(make([]byte, []int{100, readRoom, readRoom + 1}[rng.IntN(3)]))
			shared = append(shared, b)
			copies = append(copies, bytes.Clone(b))
			o.share(b)
		case 0:
			o.write(fill(make([]byte, rng.IntN(3*readRoom))))
		case 1:
			o.write(fill(make([]byte, rng.IntN(100))))
		case 2:
			n := rng.IntN(2 * readRoom)
			o.buf = append(o.room(n), fill(make([]byte, n))...)
		case 3:
			waiting := o.len()
			pieces := o.take(list)
			if n := len(slices.Concat(pieces...)); n != waiting || o.len() != 0 {
				t.Fatalf("%d bytes came out, %d are left; want %d and none", n, o.len(), waiting)
			}
			got = append(got, slices.Concat(pieces...)...)
			for _, p := range pieces {
				o.giveBack(p)
			}
			list = pieces
		}
	}
	got = append(got, slices.Concat(o.take(nil)...)...)
	for i := range shared {
		if !bytes.Equal(shared[i], copies[i]) {
			t.Fatal("what others share was written over")
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes came out; want the %d that went in, in their order", len(got), len(want))
	}
}

func TestAnIdleOutboxHoldsLittle(t *testing.T) {
	o := outbox{rooms: new(sync.Pool)}
	o.write(make([]byte, 5*readRoom))
	for _, p := range o.take(nil) {
		o.giveBack(p)
	}
	if cap(o.buf) > idleRoom || len(o.full) > 0 {
		t.Errorf("it keeps %d bytes and %d pieces; want at most %d and none", cap(o.buf), len(o.full), idleRoom)
	}
}

func TestWhatIsLeftOfAPieceIsNotTakenForOneOfThePools(t *testing.T) {
	piece := make([]byte, 3*readRoom)
	piece[2*readRoom] = 1
	if rest := after(piece, 2*readRoom); cap(rest) == readRoom || len(rest) != readRoom || rest[0] != 1 {
		t.Errorf("%d bytes of %d are left, the first %d", len(rest), cap(rest), rest[0])
	}
}
