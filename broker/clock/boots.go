package clock

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// boots are what is known of the machine's boots, oldest first, with rising
// numbers; the last one runs. A boot that is left out has been folded into the
// one after it.
type boots []boot

type boot struct {
	number uint32
	last   int64 // ms since the boot when it was last seen to run
	offset int64 // wall clock less time since the boot, ms, if it is known
	known  bool  // the wall clock was synced
	// before is the running time, ms, that is known between the boot before this
	// one and its begin. In the first one, before anything was folded into it, it
	// is negative: what had passed of the boot when it was first seen.
	before int64
}

// maxBoots bounds the record, to about 3 kB. It is written once a minute.
const maxBoots = 200

// firstNumber begins the counting. Not at 1, so that instants from before a
// record was lost are those of unknown boots: a boot id is random.
func firstNumber(id [16]byte) uint32 { return binary.BigEndian.Uint32(id[:])>>4 + 1 }

func (bs boots) clone() boots { return slices.Clone(bs) }

func (bs boots) lastSeen() Instant {
	b := bs[len(bs)-1]
	i := Instant{Boot: b.number, Mono: b.last, Synced: b.known}
	if b.known {
		i.Wall = b.offset + b.last
	}
	return i
}

// find gives the boot of that number, or the one that it was folded into. A
// number that is in neither is taken for older than all.
func (bs boots) find(number uint32) (i int, exact bool) {
	i, exact = slices.BinarySearchFunc(bs, number, func(b boot, n uint32) int { return cmp.Compare(b.number, n) })
	if i == len(bs) {
		return 0, false
	}
	return i, exact
}

// elapsed counts from since to now, an instant of a boot that is there, in ms.
// Walking from boot to boot it adds up what ran. Where the wall clock is known,
// that is compared: by how much it has gone further, between the first and the
// last such place, the machine was switched off, or ran unseen.
func (bs boots) elapsed(since, now Instant) int64 {
	end, ok := bs.find(now.Boot)
	if !ok {
		return 0
	}
	i, exact := bs.find(since.Boot)
	if i > end {
		return 0
	}
	var w walk
	switch b := bs[i]; {
	case exact && i == end:
		return max(0, now.Mono-since.Mono)
	case exact:
		if b.known {
			w.compare(b.offset + since.Mono)
		}
		w.ran += max(0, b.last-since.Mono) // it may be later than that
		i++
	default:
		if since.Synced {
			w.compare(since.Wall)
		}
		// Somewhere before the boot's begin, or before it was first seen.
		w.through(b, b.lastAt(now), min(0, b.before))
		i++
	}
	for ; i <= end; i++ {
		w.through(bs[i], bs[i].lastAt(now), bs[i].before)
	}
	return max(0, w.ran+max(0, w.gain))
}

// lastAt is when b was last seen, as of now.
func (b boot) lastAt(now Instant) int64 {
	if b.number == now.Boot {
		return now.Mono
	}
	return b.last
}

// walk is what elapsed has found on its way.
type walk struct {
	ran  int64 // running time
	gain int64 // by how much the wall clock has gone further than ran

	first    int64 // wall clock less ran, where they were first compared
	compared bool
}

func (w *walk) compare(wall int64) {
	if !w.compared {
		w.first, w.compared = wall-w.ran, true
	}
	w.gain = wall - w.ran - w.first
}

// through goes through a whole boot.
func (w *walk) through(b boot, last, before int64) {
	w.ran += before
	if b.known {
		w.compare(b.offset)
	}
	w.ran += last
	if b.known {
		w.compare(b.offset + last)
	}
}

// fold leaves out boots until at most most are there: each time the one that ran
// least, with what was folded into it. An instant in it then counts from the
// begin of the next one, which is later by no more than that.
func (bs boots) fold(most int) boots {
	for len(bs) > most {
		least := 0
		for i := range bs[:len(bs)-1] {
			if bs[i].before+bs[i].last < bs[least].before+bs[least].last {
				least = i
			}
		}
		bs[least+1].before += bs[least].before + bs[least].last
		bs = slices.Delete(bs, least, least+1)
	}
	return bs
}
