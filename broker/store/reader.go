package store

import "errors"

// Item is one message as a reader gives it. Its slices stay valid and unchanged;
// they may be shared, so nobody writes to them.
type Item struct {
	Number uint64 // the record's number: Ack and Received take it

	// Ordinal is the message's place in the queue, counted from 0 at the queue's
	// creation. It is the same after a restart.
	Ordinal uint64

	Meta, Data []byte
	Received   bool // Queue.Received was noted
	Durable    bool // it is on disk; one that is not is gone after a crash
	Recovered  bool // it was in the log before this start of the process
}

// A Reader gives a queue's messages in order: the newest from the ring, the
// others from disk. What it gave, and was not acknowledged, the queue remembers
// with 16 bytes each: how many that may be is the caller's to bound. One
// goroutine at a time calls Next.
type Reader struct {
	q      *Queue
	notify func()

	// Guarded by Queue.mu.
	ended   bool
	waiting bool // Next gave nothing: the next message calls notify

	peek bool   // it takes nothing
	end  uint64 // of one that peeks: the ordinal where it ends

	// Of the caller of Next.
	next  uint64 // ordinal after the last one in items
	last  uint64 // number of the last one that was given
	items []Item // read, from pos on not given yet
	pos   int

	seg   *segment // where reading from the ring goes on
	off   uint32
	index uint32
	gen   *generation // where reading from disk goes on
	key   int
}

// ringBatch is how many messages are taken from the ring at a time.
const ringBatch = 64

// Next gives the next message that is not acknowledged. ok is false when there
// is none now, or when another reader has taken the queue over, or the queue was
// removed. The error is ErrClosed, or one of opening a generation, which a later
// call tries again. What is damaged on disk is logged, counted and left out.
func (r *Reader) Next() (it Item, ok bool, err error) {
	q := r.q
	q.mu.Lock()
	defer q.mu.Unlock()
	for !r.ended {
		for r.pos < len(r.items) {
			it := r.items[r.pos]
			r.items[r.pos] = Item{}
			r.pos++
			var s *slot
			if r.peek {
				s = q.win.at(it.Ordinal)
				if s == nil && !q.win.acked(it.Ordinal) {
					s = new(slot)
				}
			} else {
				s = q.pass(it.Ordinal, it.Number, len(it.Meta)+len(it.Data))
			}
			if s == nil || s.acked {
				continue
			}
			r.last = it.Number
			it.Received = s.received
			it.Durable = it.Number <= q.s.durable.Load()
			it.Recovered = it.Number < q.s.firstNew
			return it, true, nil
		}
		r.items, r.pos = r.items[:0], 0
		if q.s.readersEnd.Load() {
			return Item{}, false, ErrClosed
		}
		if r.next >= q.next || r.peek && r.next >= r.end {
			r.waiting = true
			r.items, r.seg, r.gen = nil, nil, nil
			return Item{}, false, nil
		}
		if err := r.fill(); err != nil {
			return Item{}, false, err
		}
	}
	r.items, r.seg, r.gen = nil, nil, nil
	return Item{}, false, nil
}

// pass notes that a reader gives a message, and gives its slot; nil for one that
// was acknowledged or dropped meanwhile. The caller holds mu.
func (q *Queue) pass(ord, number uint64, bytes int) *slot {
	s := q.win.pass(ord, number, uint32(bytes))
	q.bytes += q.unsent.pass(ord+1, int64(bytes), number)
	return s
}

// fill reads on from r.next, or passes what is missing there. It holds Queue.mu
// when called and at its end, but not while it reads.
func (r *Reader) fill() error {
	q := r.q
	if next := q.win.gapEnd(max(r.next, q.win.head)); next > r.next { // what lies between was dropped
		r.next, r.seg = next, nil
		return nil
	}
	if n := len(q.recent); n > 0 && r.next >= q.recent[0].first {
		i := q.recentAt(r.next)
		ref := q.recent[i]
		q.mu.Unlock()
		err := r.readRing(&ref)
		q.mu.Lock()
		return err
	}
	i := q.partAt(r.next)
	if i == len(q.parts) {
		// Nothing on disk any more: what is still missing is lost.
		end := q.next
		if len(q.recent) > 0 {
			end = q.recent[0].first
		}
		r.lose(end)
		return nil
	}
	p := q.parts[i]
	if p.first > r.next {
		r.lose(p.first)
		return nil // what follows may be in the ring
	}
	if p.living == 0 {
		r.next = p.end // its generation may be gone already
		if !r.peek {
			q.win.skip(p.end, r.last)
		}
		return nil
	}
	q.mu.Unlock()
	found, err := r.readDisk(p.g)
	q.mu.Lock()
	switch {
	case errors.Is(err, errGone):
		r.lose(p.end)
		return nil
	case err != nil:
		return err
	case !found:
		r.lose(p.end)
		return nil
	}
	if first := r.items[0].Ordinal; first > r.next {
		r.lose(first)
	}
	r.next = r.items[len(r.items)-1].Ordinal + 1
	return nil
}

// lose passes the messages from r.next to before end, which are missing unless
// they are acknowledged. The caller holds Queue.mu.
func (r *Reader) lose(end uint64) {
	q := r.q
	if r.peek {
		r.next = end // who reads in earnest finds out
		return
	}
	var lost uint64
	begin := max(r.next, q.win.head)
	for ord := max(r.next, q.win.head); ord < end; ord++ {
		// One that was lost may be what the head waited for: then it is past ord.
		if s := q.pass(ord, r.last, q.bytesOf(ord)); s != nil && !s.acked {
			q.settleOne(ord, s)
			q.newAcked = addOrdinals(q.newAcked, ordinals{ord, ord + 1})
			lost++
		}
	}
	r.next = end
	if lost == 0 {
		return
	}
	if q.list() {
		q.s.listUnlogged(q)
	}
	if known := min(lost, q.missing); known < lost {
		q.s.ledger.add(Loss{Queue: q.name, ID: q.id, First: begin, Last: end - 1, Count: lost - known,
			Reason: "could not be read when its turn came"})
	}
	known := min(lost, q.missing)
	q.missing -= known
	q.s.lost.Add(int64(lost - known))
	q.s.log.Error("messages of a queue are lost", "client", q.name, "count", lost)
}

// bytesOf is how many bytes a message counts with that the window knows.
func (q *Queue) bytesOf(ord uint64) int {
	if s := q.win.at(ord); s != nil {
		return int(s.bytes)
	}
	return 0
}

// Peek gives the messages that wait, in order, up to the newest there is now,
// and changes nothing: no reader notices. What is damaged on disk is left out.
// An error of fn ends it, and is returned.
func (q *Queue) Peek(fn func(Item) error) error {
	q.mu.Lock()
	r := &Reader{q: q, peek: true, next: q.win.head, end: q.next, ended: q.removed}
	q.mu.Unlock()
	for {
		it, ok, err := r.Next()
		if err != nil || !ok || it.Ordinal >= r.end {
			return err
		}
		if err := fn(it); err != nil {
			return err
		}
	}
}

// recentAt is the index of the recentRef that has an ordinal.
func (q *Queue) recentAt(ord uint64) int {
	lo, hi := 0, len(q.recent)-1
	if q.recent[hi].first <= ord { // a reader that keeps up
		return hi
	}
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); q.recent[mid].ordinals.end <= ord {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// readRing takes the next messages from a segment in memory.
func (r *Reader) readRing(ref *recentRef) error {
	ord, off, index := ref.first, ref.off, ref.index
	if r.seg == ref.seg {
		ord, off, index = r.next, r.off, r.index
	}
	b := ref.seg.mem[:ref.end:ref.end]
	for off < ref.end && len(r.items) < ringBatch {
		rec, rest, err := cutRecord(b[off:])
		if err != nil {
			return err
		}
		meta, data, ok, err := cutMessage(rec, r.q.id)
		if err != nil {
			return err
		}
		if ok {
			if ord >= r.next {
				r.items = append(r.items, Item{Number: ref.seg.first + uint64(index), Ordinal: ord, Meta: meta, Data: data})
			}
			ord++
		}
		off = ref.end - uint32(len(rest))
		index++
	}
	r.next = ord
	r.seg, r.off, r.index = ref.seg, off, index
	return nil
}

// readDisk takes the queue's messages from the next segment of a generation that
// has some from r.next on. found is false if there is none any more.
func (r *Reader) readDisk(g *generation) (found bool, err error) {
	sp := r.q.s.spool
	if err := sp.acquire(g); err != nil {
		return false, err
	}
	defer sp.release(g)
	if r.gen != g {
		r.gen, r.key = g, 0
	}
	for ; r.key < len(g.keys); r.key++ {
		err := g.view(r.key, func(v *segmentView) error {
			e, ok := v.find(r.q.id)
			if !ok || e.first+uint64(e.count) <= r.next {
				return nil
			}
			items, err := v.items(r.q.s.compressor, e, r.next, r.items[:0])
			if err == nil {
				r.items = items
			}
			return err
		})
		if err != nil {
			r.items = r.items[:0]
			r.q.s.damaged(g, r.key, err)
			continue
		}
		if len(r.items) > 0 {
			r.key++
			return true, nil
		}
	}
	return false, nil
}

// items appends a queue's messages from an ordinal on, copied out of the segment.
func (v *segmentView) items(z *compressor, e queueEntry, from uint64, items []Item) ([]Item, error) {
	records, err := v.records(z)
	if err != nil {
		return nil, err
	}
	if e.count < 0 || e.bytes < 0 || e.bytes > int64(len(records)) || e.first+uint64(e.count) < e.first {
		return nil, segmentError("count of a queue's messages")
	}
	copies := make([]byte, 0, e.bytes)
	ord, b := e.first, records
	for i := 0; i < v.count && ord < e.first+uint64(e.count); i++ {
		rec, rest, err := cutRecord(b)
		if err != nil {
			return nil, err
		}
		b = rest
		meta, data, ok, err := cutMessage(rec, e.queue)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if ord >= from {
			n := len(copies)
			copies = append(append(copies, meta...), data...)
			m, end := n+len(meta), len(copies)
			items = append(items, Item{Number: v.first + uint64(i), Ordinal: ord, Meta: copies[n:m:m], Data: copies[m:end:end]})
		}
		ord++
	}
	if ord != e.first+uint64(e.count) {
		return nil, segmentError("%d messages of queue %d, its list says %d", ord-e.first, e.queue, e.count)
	}
	return items, nil
}
