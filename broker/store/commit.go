package store

import (
	"fmt"
	"math"
	"time"
)

// Commit appends records to the log. All of recs become durable together, in the
// order of the calls; a message is in its queues at once, and their readers may
// give it before it is durable (Item.Durable).
//
// A commit that moves messages, with an Acknowledge in it, or that lets a queue go,
// with a Remove, is refused by neither MaxBytes nor MinFree: it is what makes room.
//
// done, which may be nil, runs on a goroutine of the store's, one at a time and in
// the order of the calls: with nil after the sync, or with why there is none. It
// must neither block nor wait for the store, but may call its methods. With no
// records at all it runs when everything before is durable, however long the disk
// takes for that, and hastens nothing of it.
//
// What has a Window waits for its end, but never beyond windowBytes that wait
// with it, nor Close.
//
// What a limit refuses ends with ErrFull, and nothing of it is kept: messages
// for queues beyond MaxBytes or MinFree, unless Config.AtLimit says otherwise, or
// beyond the Quota of one of them that refuses; and anything beyond PendingBytes
// waiting for the disk. A disk that does not take them holds commits for 10 seconds;
// then they end with ErrHeld, and until it does later ones with ErrUnavailable. After Close done runs at once,
// with ErrClosed. The slices in recs may be used again when Commit has returned.
func (s *Store) Commit(recs []Record, done func(error)) {
	window := time.Duration(math.MaxInt64)
	for i := range recs {
		window = min(window, recs[i].Window)
	}
	s.commitWithin(window, recs, done)
}

// windowBytes is how much what has a Window may come to, in bytes, before it is
// written at once: to so much a longer wait adds little.
const windowBytes = 4 * maxSegmentBytes

// commitWithin is Commit with a window for all of recs.
func (s *Store) commitWithin(window time.Duration, recs []Record, done func(error)) {
	bytes, limited, err := s.measure(recs)
	now := time.Now()
	if limited {
		s.space.look(now)
	}
	var report func()
	s.mu.Lock()
	if s.closing || s.look {
		err = ErrClosed
		if s.look {
			err = errLook
		}
		s.mu.Unlock()
		if done != nil {
			done(err)
		}
		return
	}
	if err == nil {
		err = s.admit(recs, bytes, limited)
		report = s.refusal.note(err, limited, now, s.log)
	}
	hasten := window <= 0
	if due := now.Add(window); !s.waits() {
		s.due = due
		if len(recs) == 0 {
			s.due = now // there is nothing that it could wait for
		}
		hasten = true
	} else if due.Before(s.due) {
		s.due, hasten = due, true
	}
	if err == nil {
		s.pending += bytes
		a := appending{limited: limited, now: now, due: now.Add(window), spare: mayBeSpared(recs)}
		if a.spare {
			s.cutShort(window, now)
		}
		for i := range recs {
			s.append(&recs[i], a)
		}
	}
	if done != nil {
		s.waiters = append(s.waiters, waiter{done: done, after: s.next - 1, err: err, patient: len(recs) == 0, prompt: window <= 0})
		if window <= 0 {
			s.prompt++
		}
	}
	hasten = hasten || s.pending >= windowBytes
	refusing := s.refusing != nil
	var few [8]*Reader
	wakes := append(few[:0], s.notify...)
	clear(s.notify)
	s.notify = s.notify[:0]
	s.mu.Unlock()
	if hasten {
		s.nudge()
	}
	if refusing {
		select {
		case s.refused <- struct{}{}:
		default:
		}
	}
	if report != nil {
		report()
	}
	for _, r := range wakes {
		if r.notify != nil {
			r.notify()
		}
	}
}

// mayBeSpared says whether a commit of these records may be left out of the log.
func mayBeSpared(recs []Record) bool {
	for i := range recs {
		if r := &recs[i]; r.Kind != Message || !r.Spare || r.Window <= 0 {
			return false
		}
	}
	return true
}

// appending is what is the same for all records of a commit.
type appending struct {
	limited bool // the queues' quotas hold
	now     time.Time
	due     time.Time // when they are to be written
	spare   bool      // or to be left out
}

// waits says whether anything is there to be written, or anybody to be told. The
// caller holds mu.
func (s *Store) waits() bool { return len(s.waiters) > 0 || s.open != nil || len(s.sealed) > 0 }

// measure checks records and bounds what they take in segments. limited says
// whether there is one that goes to a queue, and none that moves.
func (s *Store) measure(recs []Record) (bytes int64, limited bool, err error) {
	messages, moves := false, false
	for i := range recs {
		n, err := recs[i].maxEncoded()
		if err != nil {
			return 0, false, fmt.Errorf("commit record %d of %d: %w", i+1, len(recs), err)
		}
		n += len(recs[i].Refs) * queueEntrySize
		if n > s.maxRecord {
			return 0, false, fmt.Errorf("commit record %d of %d: %d bytes: with these limits of the store a record takes at most %d",
				i+1, len(recs), n, s.maxRecord)
		}
		messages = messages || recs[i].Kind == Message && len(recs[i].Refs) > 0
		moves = moves || recs[i].Kind == Acknowledge || recs[i].Kind == Remove
		bytes += int64(n)
	}
	if bytes > int64(s.cfg.PendingBytes) {
		return 0, false, fmt.Errorf("commit %d records of %d bytes: pending_bytes allows %v at once", len(recs), bytes, s.cfg.PendingBytes)
	}
	return bytes, messages && !moves, nil
}

// admit says whether there is room, and makes some where that is the policy. The
// caller holds mu.
func (s *Store) admit(recs []Record, bytes int64, limited bool) error {
	s.shedding = false
	switch {
	case s.refusing != nil && bytes > 0:
		return s.refusing
	case bytes > 0 && s.pending > 0 && s.pending+bytes > int64(s.cfg.PendingBytes):
		s.counters.refused.Add(1)
		return fmt.Errorf("%w: %v wait for the disk", ErrFull, Bytes(s.pending))
	case limited:
		err := s.admitQueues(recs)
		if err == nil {
			err = s.admitMessages(bytes)
		}
		if err != nil {
			s.counters.refused.Add(1)
			return err
		}
	}
	return nil
}

// append encodes one record into the open segment. The caller holds mu.
func (s *Store) append(r *Record, a appending) {
	n, err := r.maxEncoded()
	if err != nil {
		return // measure has seen it
	}
	switch r.Kind {
	case Acknowledge:
		s.acknowledge(r)
		return
	case Remove:
		if q := s.queues[r.Refs[0].Queue]; q != nil {
			s.removeQueue(q)
		}
		return
	}
	if r.Kind != Message {
		seg := s.segmentFor(n, 0)
		seg.buf = appendState(seg.buf, r)
		s.counters.payload.Add(int64(len(r.Data)))
		s.changes = append(s.changes, newStateChange(r))
		seg.dueBy(a.due)
		s.appended(seg)
		return
	}
	s.targets = s.targets[:0]
	for i := range r.Refs {
		q, meta := s.queues[r.Refs[i].Queue], r.Refs[i].Meta
		if q == nil || q.aimed == s.next {
			continue
		}
		q.aimed = s.next
		switch {
		case s.shedding:
			q.leaveOut()
		case !a.limited || q.makeRoom(int64(len(r.Data)+len(meta))):
			s.targets = append(s.targets, target{q, meta})
		}
	}
	data := r.Data
	if len(s.targets) == 0 {
		data = nil // for nobody: only the number counts
	}
	seg := s.segmentFor(n, len(s.targets))
	off := len(seg.buf)
	seg.buf = appendMessage(seg.buf, s.targets, data)
	s.counters.payload.Add(int64(len(data)))
	for _, t := range s.targets {
		if rd := t.q.enqueue(seg, off, len(seg.buf), len(data)+len(t.meta)); rd != nil {
			s.notify = append(s.notify, rd)
		}
		s.touch(t.q)
	}
	clear(s.targets)
	seg.dueBy(a.due)
	if !a.spare {
		s.appended(seg)
		return
	}
	if seg.count == 0 {
		seg.begun = a.now
		s.sparable.Add(1)
	}
	seg.unsettled += len(s.targets)
	seg.charged += int64(n + len(r.Refs)*queueEntrySize)
	seg.count++
	s.next++
}

// acknowledge encodes an Acknowledge. The caller holds mu.
func (s *Store) acknowledge(r *Record) {
	q := s.queues[r.Refs[0].Queue]
	if q == nil {
		return
	}
	if ord, ok := q.acknowledge(r.Number); ok {
		s.counters.acks.Add(1)
		s.logOrdinals(acknowledged, q.id, []ordinals{{ord, ord + 1}})
		s.touch(q)
	}
}

const chunkBytes = maxSegmentBytes

// segmentFor gives the open segment if a record of n bytes for so many queues
// fits in, and else a new one. The caller holds mu.
func (s *Store) segmentFor(n, queues int) *segment {
	if s.open != nil && s.open.fits(n, queues) {
		return s.open
	}
	s.closeSegment()
	need := headerSize + n + queues*queueEntrySize
	mem := s.chunk
	switch {
	case need > chunkBytes:
		mem = make([]byte, need)
	case need > len(mem) || len(mem) < chunkBytes/16:
		s.chunk = make([]byte, chunkBytes)
		mem = s.chunk
	}
	s.open = newSegment(mem, s.next)
	s.open.salt = s.spool.salt
	return s.open
}

// appended counts the record that was just encoded, which has to be written. The
// caller holds mu.
func (s *Store) appended(seg *segment) {
	if !seg.must && seg.count > 0 {
		s.sparable.Add(-1)
	}
	seg.must = true
	seg.count++
	s.next++
}

// closeSegment ends the open segment, if there is one. The caller holds mu.
func (s *Store) closeSegment() {
	g := s.open
	if g == nil {
		return
	}
	s.open = nil
	if len(g.mem) == len(s.chunk) && &g.mem[0] == &s.chunk[0] {
		s.chunk = s.chunk[g.size():]
	}
	s.sealed = append(s.sealed, g)
	if s.memory && len(g.queues) == 0 {
		return // nobody reads it, and no disk will let it go
	}
	s.ring.push(g)
}
