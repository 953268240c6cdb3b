package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	ackDelay = time.Second // an acknowledgement is in the log by then
	ackCount = 1000        // or with this one

	// A checkpoint follows the one before after checkpointSoon if a generation
	// waits for it or there is much to replay, and else after checkpointLate.
	checkpointSoon  = time.Second
	checkpointLate  = 10 * time.Second
	checkpointBytes = 16 << 20 // of segments: much
	checkpointDirty = 4 << 20  // of state: much

)

// batch is what one transaction commits.
type batch struct {
	segs    []*segment
	last    uint64 // number of the last record; of the last durable one if there is none
	pending int64
	changes []stateChange
	ckpt    *checkpoint // to be written after it
	dead    []*generation
	moves   []move
	told    []toldDrops
	end     bool // nothing comes after it
	spared  bool // it is only told: nothing of it is to be written
}

// checkpointState is what the committer knows of checkpoints. Guarded by
// Store.mu.
type checkpointState struct {
	busy    bool
	applied uint64
	at      time.Time
	bytes   int64 // of segments since
	dirty   int64 // bytes of state since
	dead    []*generation
}

// commitAll is the committer: it commits until Close, and everything that was
// there then.
func (s *Store) commitAll() {
	defer close(s.committer)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var crowd crowd
	for {
		crowd.gather(s, timer)
		s.beginCopy()
		b, wait := s.take(time.Now())
		if b == nil {
			timer.Reset(wait)
			select {
			case <-s.wake:
			case <-timer.C:
			}
			continue
		}
		if b.spared {
			s.complete(b, nil)
			continue
		}
		s.ledger.flush() // before an acknowledgement of what is lost
		begin := time.Now()
		err := s.gaveUp()
		if err == nil && len(b.segs) > 0 {
			if err = s.write(b); err != nil {
				err = s.recommit(b, err)
			}
		}
		took := time.Since(begin)
		crowd.written(s, took)
		if err == nil && len(b.segs) > 0 {
			s.latencies.add(took, begin.Add(took))
		}
		s.logDropped(b.told)
		s.complete(b, err)
		if err == nil {
			s.commitMoves(b.moves)
		}
		if b.end {
			return
		}
	}
}

// gaveUp is why nothing is written any more, or nil.
func (s *Store) gaveUp() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// take gathers what is to be committed. If that is nothing, it says how long
// that stays so at most.
func (s *Store) take(now time.Time) (*batch, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	acks := s.newAcks.Load()
	if acks > 0 && s.ackedSince.IsZero() {
		s.ackedSince = now
	}
	acksAt := s.ackedSince.Add(ackDelay)
	if s.early(now, spareDelay) && !s.newDrops.Load() {
		acksAt = s.ackedSince.Add(spareDelay)
	}
	spared, told := s.leaveOut()
	due, ckptAt := s.checkpointAt(now)
	last := s.closing && !s.ckpt.busy
	waits := s.waits()
	switch {
	case len(s.moves) > 0 && s.err == nil:
	case waits && (s.closing || s.pending >= windowBytes || !now.Before(s.due)):
	case acks >= ackCount || acks > 0 && !now.Before(acksAt):
	case !waits && (due || last): // else it goes with what waits
	case spared > 0:
		s.writing = told
		return &batch{last: spared, spared: true}, 0
	default:
		wait := time.Hour
		if waits {
			wait = s.due.Sub(now)
		}
		if acks > 0 {
			wait = min(wait, acksAt.Sub(now))
		}
		if !ckptAt.IsZero() && !waits {
			wait = min(wait, ckptAt.Sub(now))
		}
		return nil, max(wait, time.Millisecond)
	}
	drops := s.logProgress(now)
	s.closeSegment()
	if len(s.sealed) > 0 {
		s.sealed[0].leftOut = s.sealed[0].first - s.logged - 1
		s.logged = s.next - 1
		s.sparable.Store(0)
	}
	b := &batch{segs: s.sealed, pending: s.pending, changes: s.changes,
		last: s.next - 1, dead: s.spool.dead(), end: last}
	b.moves, b.told = s.moves, drops
	s.writing, s.begun, s.awaited = append(told, s.waiters...), now, s.prompt
	s.sealed, s.waiters, s.changes, s.pending, s.moves = nil, nil, nil, 0, nil
	s.prompt, s.due = 0, time.Time{}
	if due || last && s.err == nil && s.next-1 > s.ckpt.applied {
		b.ckpt = s.snapshot(now)
	}
	return b, 0
}

// checkpointAt says whether a checkpoint is due, and else when it will be; zero
// means that there is nothing to write. The caller holds mu.
func (s *Store) checkpointAt(now time.Time) (due bool, at time.Time) {
	c := &s.ckpt
	if c.busy || s.err != nil || s.logged <= c.applied && s.firstWaiting() == nil {
		return false, time.Time{}
	}
	wait := checkpointLate
	if len(c.dead) > 0 || c.bytes > checkpointBytes || c.dirty > checkpointDirty {
		wait = checkpointSoon
	}
	at = c.at.Add(wait)
	return !now.Before(at), at
}

// logProgress appends the acknowledgements, PUBRECs and drops that the log does
// not have, and gives what is to be said of these. The caller holds mu.
func (s *Store) logProgress(now time.Time) (told []toldDrops) {
	s.unloggedMu.Lock()
	queues := s.unlogged
	s.unlogged = nil
	s.newAcks.Store(0)
	s.newDrops.Store(false)
	s.unloggedMu.Unlock()
	s.ackedSince = time.Time{}
	for _, q := range queues {
		q.mu.Lock()
		acked, recv, drops := q.newAcked, q.newReceived, q.newDrops
		q.newAcked, q.newReceived, q.newDrops, q.listed = nil, nil, Drops{}, false
		if d, ok := q.tell(now); ok {
			told = append(told, d)
		}
		gone := q.removed
		q.mu.Unlock()
		if gone || s.err != nil {
			continue
		}
		s.logOrdinals(received, q.id, recv)
		s.logOrdinals(acknowledged, q.id, acked)
		if drops != (Drops{}) {
			seg := s.segmentFor(len(drops.encode())+32, 0)
			seg.buf = appendQueueEvent(seg.buf, dropped, q.id, string(drops.encode()))
			s.appended(seg)
		}
		s.touch(q)
	}
	return told
}

func (s *Store) logOrdinals(k Kind, id QueueID, list []ordinals) {
	for some := range slices.Chunk(list, maxOrdinals) {
		body := appendOrdinals(nil, some)
		seg := s.segmentFor(len(body)+32, 0)
		seg.buf = appendQueueEvent(seg.buf, k, id, string(body))
		s.appended(seg)
	}
}

// acknowledged counts an acknowledgement; list says that q is not on the list.
func (s *Store) acknowledged(q *Queue, list bool) {
	s.counters.acks.Add(1)
	if list {
		s.listUnlogged(q)
	}
}

// owed notes that the log is to have an acknowledgement soon.
func (s *Store) owed() {
	if n := s.newAcks.Add(1); n == 1 || n == ackCount {
		s.nudge()
	}
}

func (s *Store) listUnlogged(q *Queue) {
	s.unloggedMu.Lock()
	s.unlogged = append(s.unlogged, q)
	s.unloggedMu.Unlock()
}

// snapshot takes the queues as they are now, which is as the log has them: all
// acknowledgements have just been appended. The changes of the state come when
// the batch is durable. The caller holds mu.
func (s *Store) snapshot(now time.Time) *checkpoint {
	c := &checkpoint{applied: s.next - 1, nextID: s.nextID, dropped: s.dropped}
	for _, q := range s.touched {
		q.touched = false
		q.mu.Lock()
		if !q.removed {
			c.queues = append(c.queues, queueState{id: q.id, name: q.name, next: q.next, head: q.win.head,
				acked: q.win.ackedRanges(), received: q.win.receivedRanges(), drops: q.drops})
		}
		q.mu.Unlock()
	}
	clear(s.touched)
	s.touched, s.dropped = s.touched[:0], nil
	s.ckpt.busy, s.ckpt.at = true, now
	return c
}

// write makes a batch durable.
func (s *Store) write(b *batch) error {
	begin := time.Now()
	var bytes, records int64
	for i, g := range b.segs {
		g.place, g.of = i, len(b.segs)
		bytes += int64(len(g.finish(s.compressor)))
		records += int64(g.count)
	}
	if !s.memory {
		// One that has become read-only ends the process that writes to a mapped file.
		if err := takesWrites(s.dir); err != nil {
			return err
		}
		if t := s.spool.tail; t == nil || t.failed || t.full(b.segs) {
			if err := s.rotate(b.segs); err != nil {
				return err
			}
			begin = time.Now()
		}
		tail := s.spool.tail
		err := tail.append(b.segs, s.cfg.unsynced)
		if err == nil {
			// One that became read-only meanwhile may have said that it synced. It
			// is only known to have when its journal was asked for something.
			err = errors.Join(tail.tail.touch(), takesWrites(s.dir))
		}
		if err != nil {
			s.setFailed(tail)
			return err
		}
		s.spool.bytes.Add(bytes)
		s.space.follow(&tail.tail)
	}
	s.counters.synced(time.Since(begin))
	s.counters.commits.Add(1)
	s.counters.bytes.Add(bytes)
	s.counters.records.Add(records)
	return nil
}

// rotate begins a new generation for segments and what follows them. On a disk
// that others have filled it is a small one in the place of the reserve: without
// it no acknowledgement could be logged, and nothing would ever drain.
func (s *Store) rotate(segs []*segment) error {
	first, room := segs[0].first-segs[0].leftOut, s.spool.room
	for _, g := range s.failed {
		if err := g.setEnd(first); err != nil {
			return err
		}
	}
	if len(s.failed) > maxFailed {
		return fmt.Errorf("%d generations in a row have failed: restart, or look at the disk of %s", len(s.failed), s.dir)
	}
	if !s.space.writable(memAlloc + room) {
		_, values := cost(segs)
		room = min(room, values+fullRoom)
		s.space.last.Store(true)
		if free := s.space.free.Load() + s.reserve.held(); free < memAlloc+room+s.space.margin() {
			return fmt.Errorf("%w: %v free in the file system of %s are not enough for another generation", ErrFull, Bytes(s.space.free.Load()), s.dir)
		}
	}
	old, err := s.spool.create(first, room)
	if err != nil {
		return err
	}
	if old != nil && !old.failed {
		s.jobs <- job{seal: old}
	}
	return nil
}

// complete ends a batch: the store's memory follows the disk, and then the
// callers are told.
func (s *Store) complete(b *batch, err error) {
	if err == nil && len(b.segs) > 0 {
		for _, g := range b.segs {
			home := s.home(g)
			for i := range g.queues {
				e := &g.queues[i]
				e.q.mu.Lock()
				e.q.file(home, ordinals{e.first, e.first + uint64(e.count)})
				e.q.mu.Unlock()
			}
		}
	}
	if err == nil && (len(b.segs) > 0 || b.spared) {
		s.durable.Store(b.last)
	}
	s.mu.Lock()
	if err == nil {
		if s.memory {
			s.ring.shrinkAcked(b.last)
			s.spool.bytes.Store(s.ring.bytes)
		} else {
			s.ring.shrink(b.last)
		}
		for _, g := range b.segs {
			s.ckpt.bytes += int64(len(g.buf))
			g.buf = nil // readers have mem
		}
		for _, c := range b.changes {
			s.dirty[c.key] = c
			s.ckpt.dirty += int64(len(c.key) + len(c.value))
		}
		s.ckpt.dead = append(s.ckpt.dead, b.dead...)
		if b.ckpt != nil {
			b.ckpt.changes, s.saving = s.dirty, s.dirty
			s.dirty = make(stateChanges)
			s.ckpt.bytes, s.ckpt.dirty = 0, 0
		}
	} else if b.ckpt != nil {
		s.ckpt.busy = false
	}
	remove := s.removable()
	s.mu.Unlock()
	if err == nil && b.ckpt != nil {
		s.jobs <- job{ckpt: b.ckpt}
	}
	for _, g := range remove {
		s.jobs <- job{remove: g}
	}
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	waiters := s.writing
	s.writing, s.begun = nil, time.Time{}
	if err == nil {
		s.resumed(time.Now())
	}
	s.mu.Unlock()
	runWaiters(waiters, err)
}

// removable takes the generations that can go: all in them is acknowledged, which
// is durable, and the checkpoint has passed them. The caller holds mu.
func (s *Store) removable() []*generation {
	var list []*generation
	s.ckpt.dead = slices.DeleteFunc(s.ckpt.dead, func(g *generation) bool {
		if g.last.Load() <= s.ckpt.applied {
			list = append(list, g)
			return true
		}
		return false
	})
	return list
}

// State gives the state keys that begin with prefix, and their values, in the
// order of the keys, as all completed commits have left them. An error of fn ends
// it and is returned. It is made for the start: it copies what no checkpoint has
// yet.
func (s *Store) State(prefix string, fn func(key string, value []byte) error) error {
	newer := make(stateChanges)
	s.mu.Lock()
	for _, from := range []stateChanges{s.saving, s.dirty} {
		for k, c := range from {
			if len(k) >= len(prefix) && k[:len(prefix)] == prefix {
				newer[k] = c
			}
		}
	}
	s.mu.Unlock()
	keys := slices.Sorted(maps.Keys(newer))
	give := func(upTo string, all bool) error {
		for len(keys) > 0 && (all || keys[0] <= upTo) {
			c := newer[keys[0]]
			keys = keys[1:]
			if c.deleted {
				continue
			}
			if err := fn(c.key, c.value); err != nil {
				return err
			}
		}
		return nil
	}
	err := s.state.each(prefix, func(key string, value func() ([]byte, error)) error {
		if err := give(key, false); err != nil {
			return err
		}
		if _, ok := newer[key]; ok {
			return nil
		}
		v, err := value()
		if err != nil {
			return err
		}
		return fn(key, v)
	})
	if err != nil {
		return err
	}
	return give("", true)
}
