package store

import (
	"cmp"
	"slices"
)

// evacuated is a segment that stands in another generation than its neighbours.
type evacuated struct {
	g   *generation
	key uint64
}

// evacuees gives the evacuated segments by their numbers.
func (s *Store) evacuees() ([]evacuated, error) {
	var list []evacuated
	for _, g := range s.spool.list() {
		if !g.moved {
			continue
		}
		if _, err := s.firstRecord(g); err != nil { // puts it aside if it must
			return nil, err
		}
		if err := s.spool.acquire(g); err != nil {
			continue // it was put aside
		}
		for _, key := range g.keys[:len(g.keys)-len(g.own(g.keys))] {
			list = append(list, evacuated{g, key})
		}
		s.spool.release(g)
	}
	slices.SortStableFunc(list, func(a, b evacuated) int { return cmp.Compare(a.key, b.key) })
	return list, nil
}

// count goes through the whole spool in the order of the records, and counts what
// waits. It gives the number of the last record.
func (s *Store) count() (last uint64, err error) {
	moved, err := s.evacuees()
	if err != nil {
		return 0, err
	}
	for _, g := range s.spool.list() {
		first, err := s.firstRecord(g)
		if err != nil {
			return 0, err
		}
		for first != 0 && len(moved) > 0 && moved[0].key < first {
			s.countMoved(moved[0])
			moved = moved[1:]
		}
		end := uint64(0) // the record that comes next in this generation
		unfinished := false
		err = s.eachSegment(g, func(v *segmentView) error {
			if v.place == 0 {
				unfinished = v.gap && !s.whole(g, v)
			} else {
				unfinished = unfinished && v.first == end
			}
			if end != 0 && v.first != end && !v.gap {
				s.log.Error("records are missing in the log", "path", g.dir, "first", end, "last", v.first-1)
			}
			end = v.last() + 1
			if unfinished {
				s.settleLeftOut(v)
			}
			return s.countSegment(g, v)
		})
		if err != nil {
			return 0, err
		}
		if end != 0 {
			last = end - 1
		}
		g.last.Store(last)
	}
	for _, m := range moved {
		s.countMoved(m)
	}
	return last, nil
}

// whole says whether all segments of the commit that begins with v can be read. Of
// one of 255 or more that is not known.
func (s *Store) whole(g *generation, v *segmentView) bool {
	i, _ := slices.BinarySearch(g.keys, v.first)
	for place := 1; place < int(v.of); place++ {
		if i++; i >= len(g.keys) {
			return false
		}
		err := s.checked(g, i, func(next *segmentView) error {
			if int(next.place) != place {
				return errSegment
			}
			return nil
		})
		if err != nil {
			return false
		}
	}
	return v.of < 255
}

// settleLeftOut takes what is missing of the queues before a segment as acknowledged.
// It is one of a commit that begins behind what was left out, and of which only the
// beginning is there: the acknowledgements stood at its end.
func (s *Store) settleLeftOut(v *segmentView) {
	for i := range v.queueCount() {
		e := v.queueAt(i)
		if q := s.queues[e.queue]; q != nil && q.filed < e.first {
			q.replay(acknowledged, []ordinals{{q.filed, e.first}})
			s.touch(q)
		}
	}
}

// countMoved counts an evacuated segment. One that cannot be read may stand where
// it was before: if not, the messages are missing, which is told.
func (s *Store) countMoved(m evacuated) {
	err := s.spool.acquire(m.g)
	if err != nil {
		return
	}
	defer s.spool.release(m.g)
	i, ok := slices.BinarySearch(m.g.keys, m.key)
	if ok {
		err = s.checked(m.g, i, func(v *segmentView) error { return s.countSegment(m.g, v) })
	}
	if err != nil {
		m.g.bad.Store(m.key, true)
	}
}

func (s *Store) countSegment(g *generation, v *segmentView) error {
	n := int64(len(v.whole))
	g.bytes.Add(n)
	s.spool.bytes.Add(n)
	for i := range v.queueCount() {
		if err := s.countQueue(g, v, v.queueAt(i)); err != nil {
			return err
		}
	}
	return nil
}

// countQueue counts what waits of one queue in a segment.
func (s *Store) countQueue(g *generation, v *segmentView, e queueEntry) error {
	s.nextID = max(s.nextID, e.queue+1)
	q := s.queues[e.queue]
	r := ordinals{e.first, e.first + uint64(e.count)}
	if q == nil || e.count <= 0 {
		return nil
	}
	// What was committed again stands in two generations, unless one has an end.
	from := max(q.win.head, q.filed)
	if r.end <= from {
		return nil
	}
	bytes := e.bytes
	var items []Item
	if r.first < max(from, q.win.end()) { // some of them may be acknowledged
		var err error
		if items, err = v.items(s.compressor, e, from, nil); err != nil {
			return err
		}
		bytes = 0
		for _, it := range items {
			if !q.win.acked(it.Ordinal) {
				bytes += int64(len(it.Meta) + len(it.Data))
			}
		}
	}
	r.first = max(r.first, q.filed)
	switch n := len(q.parts); {
	case n > 0 && q.parts[n-1].g == g:
		q.missing += q.win.unacked(ordinals{q.parts[n-1].end, r.first})
	case s.stateLost:
		// What had gone with its generation was acknowledged: only the state said so.
		q.replay(acknowledged, []ordinals{{q.filed, r.first}})
	}
	q.gap(q.filed, r.first)
	q.next = max(q.next, r.end)
	q.messages += q.file(g, r)
	q.bytes += bytes
	if items == nil {
		q.unsent.add(r, bytes, v.first, v.last())
	}
	for _, it := range items {
		q.countItem(&it)
	}
	return nil
}

// countItem notes where a message stands that was counted.
func (q *Queue) countItem(it *Item) {
	n := len(it.Meta) + len(it.Data)
	if s := q.win.at(it.Ordinal); s != nil {
		s.number, s.bytes = it.Number, uint32(n)
	} else if !q.win.acked(it.Ordinal) {
		q.unsent.add(ordinals{it.Ordinal, it.Ordinal + 1}, int64(n), it.Number, it.Number)
	}
}

// gap notes that nothing was found of a range of ordinals.
func (q *Queue) gap(first, end uint64) {
	first = max(first, q.win.head)
	for first < end && q.win.acked(first) {
		first++
	}
	if first >= end {
		return
	}
	if q.lost.end == 0 {
		q.lost.first = first
	}
	q.lost.end = end
}

// reportMissing counts and logs the messages that should be there and are not:
// a queue's ordinals have no gaps.
func (s *Store) reportMissing() {
	var total uint64
	queues := 0
	for _, q := range s.queues {
		q.gap(q.filed, q.next)
		q.filed = q.next
		q.missing += q.win.unacked(ordinals{q.win.head, q.next}) - uint64(q.messages)
		if q.missing > 0 {
			total += q.missing
			queues++
			s.ledger.add(Loss{Queue: q.name, ID: q.id, First: q.lost.first, Last: q.lost.end - 1, Count: q.missing,
				Reason: "missing in the log at the start"})
		}
	}
	if total > 0 {
		s.lost.Add(int64(total))
		s.log.Error("messages are missing in the log", "path", s.dir, "count", total, "queues", queues)
	}
}
