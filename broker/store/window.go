package store

import "sort"

// A window is what a queue knows of its messages one by one: those from the
// first unacknowledged one up to the last one that a reader was given, or that
// was acknowledged or received before the last start. All before it are
// acknowledged, all after it are untouched. What was dropped within it takes no
// slot, however much that is: those are the gaps.
type window struct {
	head    uint64 // ordinal of slots[start]
	start   int
	slots   []slot
	known   int        // so many slots, from the first, have their number
	gaps    []ordinals // acknowledged, ascending, all after the head
	skipped uint64     // ordinals in gaps
}

type slot struct {
	number   uint64
	bytes    uint32 // of Data and Meta
	acked    bool
	received bool
}

func (w *window) len() int { return len(w.slots) - w.start }

// end is the ordinal after the last one that the window knows.
func (w *window) end() uint64 { return w.head + uint64(w.len()) + w.skipped }

// before counts the slots that lie before an ordinal.
func (w *window) before(ord uint64) int {
	if ord <= w.head {
		return 0
	}
	n := ord - w.head
	for _, g := range w.gaps {
		if g.first >= ord {
			break
		}
		n -= min(g.end, ord) - g.first
	}
	return int(min(n, uint64(w.len())))
}

// ordinal is that of the i-th slot.
func (w *window) ordinal(i int) uint64 {
	ord := w.head + uint64(i)
	for _, g := range w.gaps {
		if g.first > ord {
			break
		}
		ord += g.len()
	}
	return ord
}

// gapEnd is where the gap ends that an ordinal lies in; else the ordinal itself.
func (w *window) gapEnd(ord uint64) uint64 {
	for _, g := range w.gaps {
		if g.first <= ord && ord < g.end {
			return g.end
		}
	}
	return ord
}

// at gives the slot of an ordinal, or nil if it has none: see acked.
func (w *window) at(ord uint64) *slot {
	if ord < w.head || ord >= w.end() || w.gapEnd(ord) != ord {
		return nil
	}
	return &w.slots[w.start+w.before(ord)]
}

// grow gives the slot of an ordinal that is not before the head; nil in a gap.
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
// one that is before the head, or in a gap.
func (w *window) pass(ord, number uint64, bytes uint32) *slot {
	if ord < w.head {
		return nil
	}
	s := w.grow(ord)
	if s == nil {
		return nil
	}
	s.number, s.bytes = number, bytes
	w.known = max(w.known, w.before(ord)+1)
	return s
}

// skip notes that a reader has left out what is before an ordinal, all of it
// being acknowledged; number is that of the last record that it gave.
func (w *window) skip(ord, number uint64) {
	for n := w.before(ord); w.known < n; w.known++ {
		w.slots[w.start+w.known].number = number
	}
}

// find gives the ordinal of a record that a reader was given, and its slot; nil
// if there is none such, or it lies before the head.
func (w *window) find(number uint64) (uint64, *slot) {
	known := w.slots[w.start : w.start+w.known]
	i := sort.Search(len(known), func(i int) bool { return known[i].number >= number })
	if i == len(known) || known[i].number != number {
		return 0, nil
	}
	return w.ordinal(i), &known[i]
}

func (w *window) acked(ord uint64) bool {
	if ord < w.head {
		return true
	}
	if s := w.at(ord); s != nil {
		return s.acked
	}
	return w.gapEnd(ord) != ord
}

// settle moves the head past what is acknowledged.
func (w *window) settle() {
	for {
		switch {
		case len(w.gaps) > 0 && w.gaps[0].first == w.head:
			w.head = w.gaps[0].end
			w.skipped -= w.gaps[0].len()
			if w.gaps = w.gaps[1:]; len(w.gaps) == 0 {
				w.gaps = nil
			}
			continue
		case w.start < len(w.slots) && w.slots[w.start].acked:
			w.start++
			w.head++
			w.known = max(0, w.known-1)
			continue
		}
		break
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
	n := w.before(ord)
	for len(w.gaps) > 0 && w.gaps[0].first < ord {
		g := &w.gaps[0]
		cut := min(g.end, ord) - g.first
		w.skipped -= cut
		if g.first += cut; g.first < g.end {
			break
		}
		w.gaps = w.gaps[1:]
	}
	w.start += n
	w.known = max(0, w.known-n)
	w.head = ord
	w.settle()
}

// drop marks a range as acknowledged that begins where the window ends, or after
// that.
func (w *window) drop(r ordinals) {
	if r.first > w.end() {
		w.grow(r.first - 1)
	}
	if n := len(w.gaps); n > 0 && w.gaps[n-1].end == r.first {
		w.gaps[n-1].end = r.end
	} else {
		w.gaps = append(w.gaps, r)
	}
	w.skipped += r.len()
	w.settle()
}

// unacked counts the ordinals of a range that are not acknowledged.
func (w *window) unacked(r ordinals) uint64 {
	r.first = max(r.first, w.head)
	if r.first >= r.end {
		return 0
	}
	n := r.len()
	for _, g := range w.gaps {
		if first, end := max(g.first, r.first), min(g.end, r.end); first < end {
			n -= end - first
		}
	}
	for i := w.before(r.first); i < w.before(r.end); i++ {
		if w.slots[w.start+i].acked {
			n--
		}
	}
	return n
}

// ackedRanges and receivedRanges give the ordinals above the head that are so.
func (w *window) ackedRanges() []ordinals {
	return w.ranges(w.gaps, func(s *slot) bool { return s.acked })
}

func (w *window) receivedRanges() []ordinals {
	return w.ranges(nil, func(s *slot) bool { return s.received && !s.acked })
}

// ranges gives the slots that are so, with the gaps among them that count too.
func (w *window) ranges(gaps []ordinals, is func(*slot) bool) (list []ordinals) {
	for i := w.start; i < len(w.slots); i++ {
		if !is(&w.slots[i]) {
			continue
		}
		ord := w.ordinal(i - w.start)
		for len(gaps) > 0 && gaps[0].first < ord {
			list = addOrdinals(list, gaps[0])
			gaps = gaps[1:]
		}
		list = addOrdinals(list, ordinals{ord, ord + 1})
	}
	for _, g := range gaps {
		list = addOrdinals(list, g)
	}
	return list
}
