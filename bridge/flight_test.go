package bridge

import (
	"math/rand/v2"
	"testing"
)

func TestTheWindowIsCountedFromTheFirstThatIsNotDone(t *testing.T) {
	const limit = 70
	random := rand.New(rand.NewPCG(7, 7))
	f := newFlight(limit, limit)
	next := uint16(65000) // so that it wraps
	var open []uint16
	first := func() uint16 { return open[0] }
	for range 20_000 {
		if !f.spanned() && random.IntN(2) == 0 {
			next = next%65535 + 1
			switch random.IntN(5) {
			case 0:
				f.add(next, done, true, "")
			default:
				f.add(next, progress(2+random.IntN(2)), next%3 == 0, "a")
				open = append(open, next)
			}
		}
		if len(open) > 0 && random.IntN(2) == 0 {
			i := random.IntN(len(open))
			if f.spanned() {
				i = 0
			}
			m := f.get(open[i])
			if m == nil || m.packetID != open[i] {
				t.Fatalf("%d is not found", open[i])
			}
			if random.IntN(8) == 0 && m.progress != refused {
				f.refuse(m)
			}
			f.finish(m)
			open = append(open[:i], open[i+1:]...)
		}
		if f.undone() != len(open) || f.n > limit || f.refused != 0 {
			t.Fatalf("%d undone, want %d; span %d; %d refused", f.undone(), len(open), f.n, f.refused)
		}
		if f.n > 0 && f.ring[f.head].packetID != first() {
			t.Fatalf("the first is %d, want %d", f.ring[f.head].packetID, first())
		}
	}
	for _, id := range open {
		f.finish(f.get(id))
	}
	if f.n != 0 || f.exact != 0 || f.replays != 0 || f.first() != unknown {
		t.Errorf("empty, but span %d, %d of QoS 2", f.n, f.exact)
	}
}
