package store

import (
	"sort"
	"sync"
	"time"
)

// A Queue is one receiver's messages in the order of the log. Its methods may be
// called from any goroutine.
type Queue struct {
	s    *Store
	id   QueueID
	name string

	// Guarded by Store.mu. touched: the queue is in Store.touched. aimed: the last
	// record that was for the queue.
	touched bool
	aimed   uint64

	// What a commit that is being looked at would add. Guarded by Store.mu.
	askedMessages, askedBytes int64

	share *share // of the quota; nil: q has its own. Guarded by Store.mu
	quota Quota  // changed with Store.mu and mu held

	mu       sync.Mutex // guards what follows; taken after Store.mu, never before it
	next     uint64     // ordinal of the next message
	win      window
	unsent   timeline // of the messages after the window
	messages int64    // not acknowledged
	bytes    int64    // of their Data and Meta
	parts    []part
	filed    uint64      // ordinal after the last one that is in a part, or is missing
	recent   []recentRef // what the ring holds of it, oldest first, without a gap
	reader   *Reader
	removed  bool

	// What the log does not have yet. listed: the queue is in Store.unlogged.
	newAcked    []ordinals
	newReceived []ordinals
	newDrops    Drops
	listed      bool

	drops   Drops
	dropsAt uint64 // of recovery: the record up to which drops count
	untold  Drops  // of drops: not said yet
	toldAt  time.Time
	refused int64 // commits, for the quota

	missing uint64   // ordinals known since Open to be missing, not passed yet
	lost    ordinals // the range in which those are
}

// A part is the stretch of a queue that stands in one generation.
type part struct {
	g *generation
	ordinals
	living int64 // not acknowledged
}

// A recentRef is the stretch of a queue that stands in one segment in memory.
type recentRef struct {
	seg *segment
	ordinals
	off, end uint32 // in seg.mem, from the first record of the queue to after the last
	index    uint32 // of that first record within the segment
	entry    int    // in seg.queues, until that is finished
}

// ID gives the queue's id, which a Ref names it by.
func (q *Queue) ID() QueueID { return q.id }

// Name gives the name that it was created with.
func (q *Queue) Name() string { return q.name }

// Stats says where the queue stands. What was lost to damage counts until a
// reader comes past it.
func (q *Queue) Stats() QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	st := QueueStats{Messages: q.messages, Bytes: q.bytes, Next: q.next, Head: q.win.head, Dropped: q.drops, Refused: q.refused}
	if q.win.len() > 0 {
		st.Oldest = q.win.slots[q.win.start].number
	} else if list := q.unsent.stretches(); len(list) > 0 {
		st.Oldest = list[0].from
	}
	return st
}

// Reader gives a reader that starts at the first message that is not
// acknowledged. The reader before it ends: its Next gives nothing more. notify
// is called, from any goroutine and never blocking for long, when Next would
// give a message after it had given none; it must not call into the store.
func (q *Queue) Reader(notify func()) *Reader {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.reader != nil {
		q.reader.ended = true
	}
	r := &Reader{q: q, notify: notify, next: q.win.head, waiting: true, ended: q.removed}
	q.reader = r
	return r
}

// Ack says that the receiver has a message that the reader gave. It becomes
// durable with the next commit, at the latest after a second or with the 1,000th
// acknowledgement; after a minute while messages are acknowledged before they are
// written. Another time, or with a number that was not given, it does
// nothing.
func (q *Queue) Ack(number uint64) {
	q.mu.Lock()
	ord, s := q.win.find(number)
	if s == nil || s.acked || q.removed {
		q.mu.Unlock()
		return
	}
	q.settleOne(ord, s)
	q.newAcked = addOrdinals(q.newAcked, ordinals{ord, ord + 1})
	if n := len(q.newAcked); n >= 256 && n&(n-1) == 0 {
		q.newAcked = mergeOrdinals(q.newAcked)
	}
	list, early := q.list(), ord >= q.filed
	q.mu.Unlock()
	q.s.acknowledged(q, list)
	if !early || !q.s.settled(number) {
		q.s.owed()
	}
}

// acknowledge is Ack for a record of a commit; it gives the message's ordinal,
// false if there is nothing to acknowledge.
func (q *Queue) acknowledge(number uint64) (ord uint64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	ord, s := q.win.find(number)
	if s == nil || s.acked || q.removed {
		return 0, false
	}
	q.settleOne(ord, s)
	return ord, true
}

// settleOne marks a message as acknowledged. The caller holds mu.
func (q *Queue) settleOne(ord uint64, s *slot) {
	s.acked = true
	q.letGo(ord, int64(s.bytes))
	if ord == q.win.head {
		q.win.settle()
	}
}

// letGo counts a message out. The caller holds mu.
func (q *Queue) letGo(ord uint64, bytes int64) {
	q.bytes -= bytes
	i := q.partAt(ord)
	if i < len(q.parts) && q.parts[i].first <= ord {
		q.parts[i].living--
		q.parts[i].g.living.Add(-1)
	} else if ord < q.filed {
		return // it is missing, and was not counted
	}
	q.counted(-1)
}

// partAt is the index of the first part that ends after an ordinal.
func (q *Queue) partAt(ord uint64) int {
	if len(q.parts) > 0 && q.parts[0].end > ord {
		return 0
	}
	return sort.Search(len(q.parts), func(i int) bool { return q.parts[i].end > ord })
}

// list says whether the queue is to be put on the list of those that the log
// has not all of. The caller holds mu.
func (q *Queue) list() bool {
	was := q.listed
	q.listed = true
	return !was
}

// Received notes that PUBREC has come for a message that the reader gave; done
// runs, on the committer's goroutine, when that is on disk. It is in the Item of
// every later reader until the message is acknowledged.
func (q *Queue) Received(number uint64, done func(error)) {
	q.mu.Lock()
	list := false
	ord, s := q.win.find(number)
	if s != nil && !s.received && !s.acked && !q.removed {
		s.received = true
		q.newReceived = addOrdinals(q.newReceived, ordinals{ord, ord + 1})
		list = q.list()
	}
	q.mu.Unlock()
	if list {
		q.s.listUnlogged(q)
	}
	// A commit of nothing ends after all that was before it.
	q.s.commitWithin(0, nil, done)
}

// Unreleased is how many messages Received was noted for that are not acknowledged.
func (q *Queue) Unreleased() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range q.win.receivedRanges() {
		n += int(r.len())
	}
	return n
}

// enqueue notes a message that was just appended to seg, between off and end. It
// gives the reader that is to be notified, or nil. The caller holds Store.mu.
func (q *Queue) enqueue(seg *segment, off, end, bytes int) *Reader {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.recent); n > 0 && q.recent[n-1].seg == seg {
		ref := &q.recent[n-1]
		ref.ordinals.end++
		ref.end = uint32(end)
		e := &seg.queues[ref.entry]
		e.count++
		e.bytes += int64(bytes)
	} else {
		q.recent = append(q.recent, recentRef{
			seg: seg, ordinals: ordinals{q.next, q.next + 1},
			off: uint32(off), end: uint32(end), index: uint32(seg.count), entry: len(seg.queues),
		})
		seg.queues = append(seg.queues, segmentQueue{q, queueEntry{queue: q.id, count: 1, bytes: int64(bytes), first: q.next}})
	}
	number := seg.first + uint64(seg.count)
	q.unsent.add(ordinals{q.next, q.next + 1}, int64(bytes), number, number)
	q.next++
	q.messages++
	q.bytes += int64(bytes)
	if r := q.reader; r != nil && r.waiting {
		r.waiting = false
		return r
	}
	return nil
}

// file notes in which generation messages are. Only those that are in no part
// yet may come, in order. It gives how many are not acknowledged. The caller
// holds mu.
func (q *Queue) file(g *generation, r ordinals) int64 {
	if q.removed {
		return 0
	}
	q.filed = max(q.filed, r.end)
	n := len(q.parts)
	if n > 0 && q.parts[n-1].g == g {
		p := &q.parts[n-1]
		living := int64(q.win.unacked(ordinals{p.end, r.end})) // with what is missing between
		p.end = r.end
		p.living += living
		g.living.Add(living)
		return living
	}
	// The parts that nobody comes back to.
	keep := q.parts[:0]
	for _, p := range q.parts {
		if p.living > 0 {
			keep = append(keep, p)
		}
	}
	clear(q.parts[len(keep):])
	p := part{g: g, ordinals: r, living: int64(q.win.unacked(r))}
	q.parts = append(keep, p)
	g.living.Add(p.living)
	return p.living
}

// evict forgets what the queue has in a segment that leaves the ring.
func (q *Queue) evict(seg *segment) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.recent) == 0 || q.recent[0].seg != seg {
		return
	}
	q.recent[0] = recentRef{}
	q.recent = q.recent[1:]
	if len(q.recent) == 0 {
		q.recent = nil
	}
}

// remove lets all go. It gives the reader that is to be notified of its end. The
// caller holds Store.mu.
func (q *Queue) remove() *Reader {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.removed = true
	if q.quota.AtLimit == Refuse {
		q.s.refusers--
	}
	for _, p := range q.parts {
		p.g.living.Add(-p.living)
	}
	q.parts, q.recent, q.win, q.unsent = nil, nil, window{}, timeline{}
	q.newAcked, q.newReceived, q.newDrops = nil, nil, Drops{}
	q.messages, q.bytes = 0, 0
	r := q.reader
	if r != nil {
		r.ended = true
	}
	return r
}
