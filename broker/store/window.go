package store

import "sort"

// A window is what a queue knows of its messages one by one: those from the
// first unacknowledged one up to the last one that a reader was given, or that
// was acknowledged or received before the last start. All before it are
// acknowledged, all after it are untouched.
type window struct {
	head  uint64 // ordinal of slots[start]
	start int
	slots []slot
	known int // so many slots, from the first, have their number
}

type slot struct {
	number   uint64
	bytes    uint32 // of Data and Meta
	acked    bool
	received bool
}

func (w *window) len() int { return len(w.slots) - w.start }

// end is the ordinal after the last slot.
func (w *window) end() uint64 { return w.head + uint64(w.len()) }

// at gives the slot of an ordinal, or nil if it has none: see acked.
func (w *window) at(ord uint64) *slot {
	if ord < w.head || ord >= w.end() {
		return nil
	}
	return &w.slots[w.start+int(ord-w.head)]
}

// grow gives the slot of an ordinal that is not before the head.
func (w *window) grow(ord uint64) *slot {
	if w.start > 64 && w.start > len(w.slots)/2 {
		w.slots = w.slots[:copy(w.slots, w.slots[w.start:])]
		w.start = 0
	}
	for w.end() <= ord {
		w.slots = append(w.slots, slot{})
	}
	return w.at(ord)
}

// pass notes that a reader has come to an ordinal, and gives its slot; nil for
// one that is before the head.
func (w *window) pass(ord, number uint64, bytes uint32) *slot {
	if ord < w.head {
		return nil
	}
	s := w.grow(ord)
	s.number, s.bytes = number, bytes
	w.known = max(w.known, int(ord-w.head)+1)
	return s
}

// find gives the ordinal of a record that a reader was given, and its slot; nil
// if there is none such, or it lies before the head.
func (w *window) find(number uint64) (uint64, *slot) {
	known := w.slots[w.start : w.start+w.known]
	i := sort.Search(len(known), func(i int) bool { return known[i].number >= number })
	if i == len(known) || known[i].number != number {
		return 0, nil
	}
	return w.head + uint64(i), &known[i]
}

func (w *window) acked(ord uint64) bool {
	if ord < w.head {
		return true
	}
	s := w.at(ord)
	return s != nil && s.acked
}

// settle moves the head past what is acknowledged.
func (w *window) settle() {
	for w.start < len(w.slots) && w.slots[w.start].acked {
		w.start++
		w.head++
		w.known = max(0, w.known-1)
	}
	if w.start == len(w.slots) {
		w.start = 0
		if cap(w.slots) > 4096 {
			w.slots = nil
		}
		w.slots = w.slots[:0]
	}
}

// skipTo moves the head to an ordinal, all before it being acknowledged.
func (w *window) skipTo(ord uint64) {
	if ord <= w.head {
		return
	}
	n := min(int(min(ord-w.head, 1<<30)), w.len())
	w.start += n
	w.known = max(0, w.known-n)
	w.head = ord
	w.settle()
}

// unacked counts the ordinals of a range that are not acknowledged.
func (w *window) unacked(r ordinals) uint64 {
	r.first = max(r.first, w.head)
	if r.first >= r.end {
		return 0
	}
	n := r.len()
	for ord := r.first; ord < min(r.end, w.end()); ord++ {
		if w.at(ord).acked {
			n--
		}
	}
	return n
}

// ackedRanges and receivedRanges give the ordinals above the head that are so.
func (w *window) ackedRanges() []ordinals {
	return w.ranges(func(s *slot) bool { return s.acked })
}

func (w *window) receivedRanges() []ordinals {
	return w.ranges(func(s *slot) bool { return s.received && !s.acked })
}

func (w *window) ranges(is func(*slot) bool) []ordinals {
	var list []ordinals
	for i := w.start; i < len(w.slots); i++ {
		if is(&w.slots[i]) {
			list = addOrdinal(list, w.head+uint64(i-w.start))
		}
	}
	return list
}
