package store

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// A message of which every queue has been acknowledged before it was written need
// not be written any more: see Record.Spare. What waits for its window is a list of
// segments; those at its front in which nothing is wanted any more are left out of
// the log, and who waits for them is told as if they were on disk. Their numbers
// and ordinals are not used again by this process: the segment that follows them in
// the log says that there is a gap before it, and the acknowledgements of all that
// was left out are in the log no later than with what follows in the same queue. A
// crash before that has the log end where it does, and the same numbers come again
// for other messages.
//
// While acknowledgements come so early, segments are cut short, so that one message
// which is acknowledged late keeps few others; and acknowledgements of messages that
// are in the log wait longer for something to be written with.
const (
	// spareCuts is into how many segments a window is cut.
	spareCuts = 8

	// spareDelay is what ackDelay becomes.
	spareDelay = time.Minute
)

// settled takes note of an acknowledgement; false: the message's record is not one
// that may be left out. For each queue it is called once.
func (s *Store) settled(number uint64) bool {
	if s.sparable.Load() == 0 {
		return false
	}
	s.mu.Lock()
	g := s.waitingSegment(number)
	if g == nil || g.must {
		s.mu.Unlock()
		return false
	}
	s.earlyAt = time.Now()
	g.unsettled--
	first := g.spare() && g == s.firstWaiting()
	s.mu.Unlock()
	if first {
		s.nudge()
	}
	return true
}

// waitingSegment gives the segment that has a record and no batch yet; nil: it has
// one. The caller holds mu.
func (s *Store) waitingSegment(number uint64) *segment {
	if s.open != nil && number >= s.open.first {
		return s.open
	}
	i := sort.Search(len(s.sealed), func(i int) bool { return s.sealed[i].last() >= number })
	if i == len(s.sealed) || number < s.sealed[i].first {
		return nil
	}
	return s.sealed[i]
}

// firstWaiting is the first segment that has no batch yet. The caller holds mu.
func (s *Store) firstWaiting() *segment {
	if len(s.sealed) > 0 {
		return s.sealed[0]
	}
	return s.open
}

// spare says that nothing in the segment is wanted.
func (g *segment) spare() bool { return !g.must && g.unsettled == 0 && g.count > 0 }

// dueBy notes when what is about to be added is to be written.
func (g *segment) dueBy(at time.Time) {
	if g.count == 0 || at.Before(g.due) {
		g.due = at
	}
}

// leaveOut leaves the first segments out in which nothing is wanted. It gives the
// number of the last record in them, and who is to be told; 0: there are none. The
// caller holds mu.
func (s *Store) leaveOut() (last uint64, told []waiter) {
	if s.err != nil {
		return 0, nil
	}
	for g := s.firstWaiting(); g != nil && g.spare(); g = s.firstWaiting() {
		if g == s.open {
			s.closeSegment()
		}
		s.sealed[0] = nil
		s.sealed = s.sealed[1:]
		s.pending -= g.charged
		s.sparable.Add(-1)
		s.counters.spared.Add(int64(g.count))
		s.counters.sparedBytes.Add(int64(len(g.buf)))
		g.buf, g.living = nil, new(generation) // readers have mem
		last = g.last()
	}
	if last == 0 {
		return 0, nil
	}
	due := s.due
	s.due = time.Time{}
	for i, g := range append(s.sealed[:len(s.sealed):len(s.sealed)], s.open) {
		if g != nil && (i == 0 || g.due.Before(s.due)) {
			s.due = g.due
		}
	}
	told = s.waitedFor(last)
	// Who has no window, or waits for what the queues have that the log has not, is not
	// kept by those who have one.
	if s.prompt > 0 && (due.Before(s.due) || s.open == nil && len(s.sealed) == 0) {
		s.due = due
	}
	if len(s.waiters) > 0 && s.waiters[0].after <= last {
		s.due = time.Time{}
	}
	return last, told
}

// waitedFor takes those out of the waiters who wait for no record after a number, up
// to one who has no records: he may wait for an acknowledgement, a PUBREC or a purge.
// The caller holds mu.
func (s *Store) waitedFor(last uint64) (list []waiter) {
	n := 0
	for n < len(s.waiters) && s.waiters[n].after <= last && !s.waiters[n].patient {
		if s.waiters[n].prompt {
			s.prompt--
		}
		n++
	}
	list = s.waiters[:n:n]
	s.waiters = s.waiters[n:]
	return list
}

// cutShort ends the open segment if it has been open for a part of the window of
// what comes now, while that is worth it. The caller holds mu.
func (s *Store) cutShort(window time.Duration, now time.Time) {
	if s.early(now, 2*window) && s.open != nil && now.Sub(s.open.begun) >= window/spareCuts {
		s.closeSegment()
	}
}

// early says whether an acknowledgement has come before its message was written
// lately. The caller holds mu.
func (s *Store) early(now time.Time, within time.Duration) bool {
	return !s.earlyAt.IsZero() && now.Sub(s.earlyAt) < within
}

// mergeOrdinals puts ranges in order, and makes one of neighbours.
func mergeOrdinals(list []ordinals) []ordinals {
	slices.SortFunc(list, func(a, b ordinals) int { return cmp.Compare(a.first, b.first) })
	kept := list[:0]
	for _, r := range list {
		kept = addOrdinals(kept, r)
	}
	return kept
}
