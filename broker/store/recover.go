package store

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

func spoolDir(dir string) string { return filepath.Join(dir, "spool") }
func stateDir(dir string) string { return filepath.Join(dir, "state") }

// recover brings memory to where the log ends.
func (s *Store) recover() error {
	salt, err := checkFormat(s.dir, s.cfg.Compression, s.log)
	if err != nil {
		return err
	}
	s.spool.salt = salt
	if err := os.RemoveAll(filepath.Join(s.dir, copyName)); err != nil {
		return fmt.Errorf("remove the copy that a crash has left: %w", err)
	}
	// Badger makes files before it looks whether there is room.
	s.reserve.find()
	free, err := freeBytes(s.dir)
	if err != nil {
		return err
	}
	if free += s.reserve.held(); free < reserveBytes/2 {
		return fmt.Errorf("%v are free in the file system of %s, and %v are needed: make room there", Bytes(free), s.dir, Bytes(reserveBytes/2))
	}
	s.space.look(time.Now())
	s.ledger.load()
	s.opening.load(s.dir)
	if err := s.recoverLog(); err != nil {
		// What lies with the machine is not to count; but a disk that cannot be read
		// in one place may be that for ever.
		if !errors.Is(err, syscall.EIO) {
			err = errors.Join(err, s.opening.end())
		}
		return err
	}
	if err := s.opening.end(); err != nil {
		s.log.Warn("a file of the store's cannot be removed", "path", s.opening.path, "err", err)
	}
	s.ledger.flush()
	s.keepReserve()
	return nil
}

// recoverLog opens the databases and takes over what is in them.
func (s *Store) recoverLog() error {
	applied, err := s.recoverState()
	if err != nil {
		return err
	}
	if err := s.readLog(applied); err != nil {
		return err
	}
	s.recoverTail()
	s.ckpt.dead = s.spool.dead() // never the tail
	for _, g := range s.removable() {
		s.removeGeneration(g)
	}
	return nil
}

// readLog takes over what the log has.
func (s *Store) readLog(applied uint64) error {
	if err := s.spool.load(); err != nil {
		return fmt.Errorf("look into the spool: %w", err)
	}
	if err := s.findGap(applied); err != nil {
		return err
	}
	if err := s.replay(applied); err != nil {
		return err
	}
	last, err := s.count()
	if err != nil {
		return err
	}
	s.logged = last
	last = max(last, applied)
	s.next, s.firstNew = last+1, last+1
	s.durable.Store(last)
	s.ckpt.applied = applied
	s.reportMissing()
	s.spool.trim(nil, 0) // a reader opens what it comes to
	return nil
}

// recoverState opens the state database and takes over what it holds. One that
// cannot be read is put aside: then the log, as far as it goes back, is all.
func (s *Store) recoverState() (applied uint64, err error) {
	dir := stateDir(s.dir)
	var st *stateDB
	var c checkpoint
	if err = s.opening.begin(dir); err == nil {
		err = roomToOpen(dir, s.makeRoom)
	}
	if err == nil {
		st, c, err = loadState(dir, s)
	}
	if err != nil {
		if ours(err) || errors.Is(err, errNewer) {
			return 0, fmt.Errorf("open the state database %s: %w", dir, err)
		}
		to, perr := putAside(dir)
		if perr != nil {
			return 0, fmt.Errorf("put aside the state database, which cannot be read (%v): %w", err, perr)
		}
		s.log.Error("the state database cannot be read and was put aside: what the log does not have is lost", "path", to, "err", err)
		s.counters.damagedGenerations.Add(1)
		s.stateLost = true
		s.ledger.add(Loss{Reason: fmt.Sprintf("the state database was put aside to %s: %v", filepath.Base(to), err)})
		if st, c, err = loadState(dir, s); err != nil {
			return 0, fmt.Errorf("make a new state database: %w", err)
		}
	}
	s.state = st
	s.wear.begin(c.wear, time.Now())
	s.takeOver(&c)
	return c.applied, nil
}

// takeOver makes the queues of a checkpoint.
func (s *Store) takeOver(c *checkpoint) {
	s.nextID = c.nextID
	for _, qs := range c.queues {
		q := &Queue{s: s, id: qs.id, name: qs.name, next: qs.next, win: window{head: qs.head},
			drops: qs.drops, dropsAt: qs.dropsAt}
		q.replay(acknowledged, qs.acked)
		q.replay(received, qs.received)
		s.addQueue(q)
	}
}

func loadState(dir string, s *Store) (*stateDB, checkpoint, error) {
	st, err := openState(dir, s.log, s.makeRoom)
	if err != nil {
		return nil, checkpoint{}, errors.Join(err, st.close())
	}
	if cause := st.verify(); cause != nil {
		if err := s.mendState(st, cause); err != nil {
			return nil, checkpoint{}, errors.Join(err, st.close())
		}
	}
	c, err := st.load()
	if err != nil {
		return nil, c, errors.Join(err, st.close())
	}
	return st, c, nil
}

// mendState goes on with what can be read of a state database with damage.
func (s *Store) mendState(st *stateDB, cause error) error {
	aside, count, err := st.mend()
	if err != nil {
		return fmt.Errorf("%w; to save what can be read: %w", cause, err)
	}
	s.log.Error("the state database is damaged: it was put aside, and what can be read of it is kept", "path", aside, "count", count, "err", cause)
	s.counters.damagedGenerations.Add(1)
	s.stateLost = true
	s.ledger.add(Loss{Reason: fmt.Sprintf("the state database was damaged, and put aside to %s; %d entries of it could be read, of which some may be wrong", filepath.Base(aside), count)})
	return nil
}

// findGap looks whether the log reaches back to the checkpoint, as it does unless
// that is an old one: then what is in neither is lost.
func (s *Store) findGap(applied uint64) error {
	for _, g := range s.spool.list() {
		first, err := s.firstRecord(g)
		if err != nil {
			return err
		}
		if first == 0 {
			continue
		}
		if g.first > 0 && g.first < first && s.leftOutBefore(g) {
			first = g.first
		}
		if first > applied+1 && !s.stateLost {
			s.stateLost = true
			s.ledger.add(Loss{First: applied + 1, Last: first - 1, Reason: "the checkpoint is older than the log"})
			s.log.Error("the checkpoint is older than the log: what happened between them is lost", "path", s.dir, "first", applied+1, "last", first-1)
		}
		break
	}
	return nil
}

// leftOutBefore says whether what is missing before a generation's first record was
// left out of the log.
func (s *Store) leftOutBefore(g *generation) (yes bool) {
	if err := s.spool.acquire(g); err != nil {
		return false
	}
	defer s.spool.release(g)
	err := s.checked(g, len(g.keys)-len(g.own(g.keys)), func(v *segmentView) error { yes = v.gap; return nil })
	return yes && err == nil
}

// replay applies the records after the checkpoint.
func (s *Store) replay(applied uint64) error {
	gens := s.spool.list()
	first := len(gens)
	for first > 0 {
		first--
		begins, err := s.firstRecord(gens[first])
		if err != nil {
			return err
		}
		if begins != 0 && begins <= applied+1 {
			break
		}
	}
	for _, g := range gens[first:] {
		err := s.eachSegment(g, func(v *segmentView) error {
			if v.last() <= applied {
				return nil
			}
			return s.replaySegment(v, applied)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// firstRecord is the number of a generation's first record; 0 if it has none, or
// could not be opened and was put aside.
func (s *Store) firstRecord(g *generation) (uint64, error) {
	err := s.opening.begin(g.dir)
	if err == nil {
		err = s.spool.acquire(g)
	}
	if err == nil {
		defer s.spool.release(g)
		return g.firstOwn(), nil
	}
	switch {
	case errors.Is(err, errGone):
		return 0, nil
	case ours(err), s.look:
		return 0, err
	}
	s.counters.damagedGenerations.Add(1)
	s.ledger.add(Loss{Reason: fmt.Sprintf("generation %s was put aside: %v", filepath.Base(g.dir), err)})
	if err := s.spool.quarantine(g, err); err != nil {
		return 0, err
	}
	err = s.spool.acquire(g)
	if errors.Is(err, errGone) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer s.spool.release(g)
	return g.firstOwn(), nil
}

// firstOwn is the first record that was not evacuated to here; 0: there is none.
// The caller holds mu for reading.
func (g *generation) firstOwn() uint64 {
	if keys := g.own(g.keys); len(keys) > 0 {
		return keys[0]
	}
	return 0
}

// eachSegment gives a generation's own segments, of which the checksums are right.
// One that was put aside has none.
func (s *Store) eachSegment(g *generation, fn func(v *segmentView) error) error {
	if first, err := s.firstRecord(g); err != nil || first == 0 {
		return err
	}
	if err := s.spool.acquire(g); err != nil {
		return err
	}
	defer s.spool.release(g)
	for i := len(g.keys) - len(g.own(g.keys)); i < len(g.keys); i++ {
		if _, bad := g.bad.Load(g.keys[i]); bad {
			continue
		}
		if err := s.checked(g, i, fn); err != nil {
			s.damaged(g, i, err)
		}
	}
	return nil
}

// checked gives one segment, of which the checksums are right.
func (s *Store) checked(g *generation, i int, fn func(v *segmentView) error) error {
	return g.view(i, func(v *segmentView) error {
		if err := v.checkBody(); err != nil {
			return err
		}
		return fn(v)
	})
}

// damaged counts and logs a segment that cannot be read, once. The caller holds
// g.mu for reading.
func (s *Store) damaged(g *generation, i int, err error) {
	first := g.keys[i]
	if _, known := g.bad.LoadOrStore(first, true); known {
		return
	}
	s.counters.damagedSegments.Add(1)
	last := g.last.Load()
	if i+1 < len(g.keys) {
		last = g.keys[i+1] - 1
	}
	s.ledger.add(Loss{First: first, Last: max(first, last), Reason: fmt.Sprintf("a segment in generation %s cannot be read: %v", filepath.Base(g.dir), err)})
	s.log.Error("a segment of the log cannot be read and is left out", "path", g.dir, "first", first, "last", max(first, last), "err", err)
}

func (s *Store) replaySegment(v *segmentView, applied uint64) error {
	for i := range v.queueCount() {
		e := v.queueAt(i)
		s.nextID = max(s.nextID, e.queue+1)
		if q := s.queues[e.queue]; q != nil {
			q.next = max(q.next, e.first+uint64(e.count))
			s.touch(q)
		}
	}
	b, err := v.records(s.compressor)
	if err != nil {
		return err
	}
	for n := range uint64(v.count) {
		rec, rest, err := cutRecord(b)
		if err != nil {
			return err
		}
		b = rest
		if v.first+n <= applied {
			continue
		}
		if err := s.replayRecord(v, v.first+n, rec); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) replayRecord(v *segmentView, number uint64, rec []byte) error {
	switch k := Kind(rec[0]); k {
	case Message:
	case Put, Delete:
		key, value, err := cutState(rec)
		if err != nil {
			return err
		}
		s.dirty[key] = stateChange{key: key, value: slices.Clone(value), deleted: k == Delete}
	case queueCreated:
		id, name, err := cutQueueEvent(rec)
		if err != nil {
			return err
		}
		s.nextID = max(s.nextID, id+1)
		if s.queues[id] == nil {
			q := &Queue{s: s, id: id, name: string(name)}
			s.addQueue(q)
			// Its first messages may stand in the same segment.
			if e, ok := v.find(id); ok {
				q.next = e.first + uint64(e.count)
			}
			s.touch(q)
		}
	case queueRemoved:
		id, _, err := cutQueueEvent(rec)
		if err != nil {
			return err
		}
		if q := s.queues[id]; q != nil {
			delete(s.queues, id)
			if s.names[q.name] == q {
				delete(s.names, q.name)
			}
			q.removed = true
		}
		s.dropped = append(s.dropped, id)
	case acknowledged, received:
		id, body, err := cutQueueEvent(rec)
		if err != nil {
			return err
		}
		list, err := cutOrdinals(body)
		if err != nil {
			return err
		}
		if q := s.queues[id]; q != nil {
			q.replay(k, list)
			s.touch(q)
		}
	case dropped:
		id, body, err := cutQueueEvent(rec)
		if err != nil {
			return err
		}
		d, err := cutDrops(body)
		if err != nil {
			return err
		}
		if q := s.queues[id]; q != nil && number > q.dropsAt {
			q.drops.add(d)
			s.touch(q)
		}
	default:
		return segmentError("record of kind %d", k)
	}
	return nil
}

// replayBySlot is how many acknowledgements in a row are noted one by one: with
// more a gap costs less.
const replayBySlot = 64

// replay applies acknowledgements, or PUBRECs, of an earlier start.
func (q *Queue) replay(k Kind, list []ordinals) {
	for _, r := range list {
		if k == acknowledged { // it may have been left out of the log
			q.next = max(q.next, r.end)
		}
		r.end = min(r.end, q.next)
		if r.first >= r.end {
			continue
		}
		if k == acknowledged && r.first <= q.win.head {
			q.win.skipTo(r.end)
			continue
		}
		if end := max(r.first, q.win.end()); k == acknowledged && r.end > end+replayBySlot {
			q.win.drop(ordinals{end, r.end})
			r.end = end
		}
		for ord := max(r.first, q.win.head); ord < r.end; ord++ {
			if s := q.win.grow(ord); s != nil {
				s.acked = s.acked || k == acknowledged
				s.received = s.received || k == received
			}
		}
	}
}

// recoverTail opens the last generation for writing, or a new one if that is
// nearly full, damaged or of many tables. Without room for it the committer waits
// for some.
func (s *Store) recoverTail() {
	gens := s.spool.list()
	if len(gens) > 0 {
		g := gens[len(gens)-1]
		bad := g.end.Load() != math.MaxUint64
		g.bad.Range(func(any, any) bool { bad = true; return false })
		if g.bytes.Load() < s.spool.room/4*3 && !bad && g.tables() < mostTables && s.space.writable(memAlloc+s.spool.room) {
			g.mu.Lock()
			err := g.close()
			g.mu.Unlock()
			if err == nil {
				err = s.opening.begin(g.dir)
			}
			if err == nil {
				err = g.openTail(s.spool.room)
			}
			if err == nil {
				s.spool.tail = g
				s.space.follow(&g.tail)
				return
			}
			if !noRoom(err) {
				s.log.Warn("the last generation cannot be written any more, a new one is begun", "path", g.dir, "err", err)
			}
		}
	}
	if !s.space.writable(memAlloc + s.spool.room) {
		return
	}
	if _, err := s.spool.create(s.next, s.spool.room); err != nil {
		// The first commit tries again, and holds until it succeeds.
		s.log.Warn("no generation can be begun yet", "path", s.dir, "err", err)
		return
	}
	s.space.follow(&s.spool.tail.tail)
}
