package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A sealed generation of which little is wanted any more is evacuated: the
// segments in which something waits are committed again, as they are, to the
// tail. Their numbers and ordinals stay, so they are older than what else is
// there: each generation has a file named after its first own record, and one
// that says whether there are older ones. Then nothing in the sealed one is
// wanted, and it goes.
const (
	firstPrefix = "FIRST-"
	movedFile   = "MOVED"

	// What is copied is at most a tenth of a generation, and only when so many
	// are kept.
	evacuateShare = 10
	evacuateAbove = 3
	evacuateMost  = 256 << 10 // bytes at a time
	evacuateCount = 64        // segments at a time
)

// move is a segment on its way to the tail.
type move struct {
	from  *generation
	first uint64
	data  []byte
}

// markFirst makes the file that says with which record a generation begins.
func (g *generation) markFirst(first uint64) error {
	g.first = first
	f, err := os.Create(filepath.Join(g.dir, firstPrefix+strconv.FormatUint(first, 10)))
	if err != nil {
		return err
	}
	return f.Close() // its name is all; the directory is synced before it is used
}

// readMarks looks for what markFirst and markMoved have left.
func (g *generation) readMarks() {
	entries, err := os.ReadDir(g.dir)
	if err != nil {
		return // it does not open either
	}
	for _, e := range entries {
		if text, ok := strings.CutPrefix(e.Name(), firstPrefix); ok {
			g.first, _ = strconv.ParseUint(text, 10, 64)
		}
		g.moved = g.moved || e.Name() == movedFile
	}
}

func (g *generation) markMoved() error {
	if g.moved {
		return nil
	}
	f, err := os.Create(filepath.Join(g.dir, movedFile))
	if err != nil {
		return err
	}
	if err := errors.Join(f.Close(), syncDir(g.dir)); err != nil {
		return err
	}
	g.moved = true
	return nil
}

// own gives those of a generation's keys that are not of evacuated segments.
func (g *generation) own(keys []uint64) []uint64 {
	i, _ := slices.BinarySearch(keys, g.first)
	return keys[i:]
}

// evacuate looks for a generation to evacuate, and gives its segments to the
// committer. Of the keeper.
func (s *Store) evacuate() {
	gens := s.spool.list()
	if s.memory || len(gens) <= evacuateAbove {
		return
	}
	s.mu.Lock()
	busy, applied := len(s.moves) > 0, s.ckpt.applied
	s.mu.Unlock()
	if busy {
		return
	}
	for _, g := range gens[:len(gens)-2] { // not the tail, nor what has just been sealed
		if g.living.Load() == 0 || g.last.Load() > applied {
			continue
		}
		moves, err := s.livingSegments(g)
		if err != nil {
			s.log.Warn("a generation of the spool cannot be looked into", "path", g.dir, "err", err)
		}
		if len(moves) == 0 {
			continue
		}
		s.mu.Lock()
		s.moves = moves
		s.mu.Unlock()
		s.nudge()
		return
	}
}

// livingSegments gives the segments of a generation in which something waits;
// none if they are too many. At most evacuateMost bytes: the rest is for later.
func (s *Store) livingSegments(g *generation) (moves []move, err error) {
	if err := s.spool.acquire(g); err != nil {
		return nil, err
	}
	defer s.spool.release(g)
	var all, copied int64
	for i, key := range g.keys {
		err := g.view(i, func(v *segmentView) error {
			if !s.lives(g, v) {
				return nil
			}
			n := int64(headerSize + len(v.body) + len(v.queues))
			if all += n; copied == 0 || copied+n <= evacuateMost && len(moves) < evacuateCount {
				copied += n
				moves = append(moves, move{g, key, bytes.Clone(v.whole)})
			}
			return v.checkBody()
		})
		if err != nil || all > g.bytes.Load()/evacuateShare {
			return nil, err // what is damaged stays where it is
		}
	}
	return moves, nil
}

// lives says whether something in a segment of g waits there.
func (s *Store) lives(g *generation, v *segmentView) bool {
	for i := range v.queueCount() {
		e := v.queueAt(i)
		s.mu.Lock()
		q := s.queues[e.queue]
		s.mu.Unlock()
		if q == nil {
			continue
		}
		q.mu.Lock()
		at := q.partAt(max(e.first, q.win.head))
		living := at < len(q.parts) && q.parts[at].g == g && q.win.unacked(ordinals{e.first, e.first + uint64(e.count)}) > 0
		q.mu.Unlock()
		if living {
			return true
		}
	}
	return false
}

// moveTo writes evacuated segments to the tail and syncs both of its logs: they are
// not looked for in the value log.
func (g *generation) moveTo(moves []move) error {
	if err := g.markMoved(); err != nil {
		return fmt.Errorf("move records to %s: %w", g.dir, err)
	}
	found := make(map[uint64][]byte, len(moves))
	var bytes int64
	for _, m := range moves {
		found[m.first] = m.data
		bytes += int64(len(m.data))
	}
	if err := writeSegments(g.db, found); err != nil {
		return fmt.Errorf("move records to %s: %w", g.dir, err)
	}
	if err := g.tail.sync(bytes, true); err != nil {
		return fmt.Errorf("move records to %s: %w", g.dir, err)
	}
	return g.blog.err()
}

// commitMoves makes a batch's moves durable, and then has the queues look for
// them there. Where there is no room for them, or they are not taken, they stay
// where they are.
func (s *Store) commitMoves(moves []move) {
	tail := s.spool.tail
	if len(moves) == 0 || tail == nil || tail.failed {
		return
	}
	var mem, vlog int64
	for _, m := range moves {
		mem += txnOverhead + memEntryOverhead + inlineBytes
		vlog += int64(len(m.data)) + vlogEntryOverhead
	}
	if tail.tail.memUsed+mem > tail.tail.memRoom || tail.tail.vlogUsed+vlog > tail.tail.vlogRoom {
		return // the next tail has room
	}
	tail.tail.memUsed += mem
	tail.tail.vlogUsed += vlog
	if err := tail.moveTo(moves); err != nil {
		s.log.Warn("a generation of the spool cannot be evacuated", "path", tail.dir, "err", err)
		s.setFailed(tail)
		return
	}
	tail.mu.Lock()
	for _, m := range moves {
		if i, there := slices.BinarySearch(tail.keys, m.first); !there {
			tail.keys = slices.Insert(tail.keys, i, m.first)
		}
	}
	tail.mu.Unlock()
	for _, m := range moves {
		tail.bytes.Add(int64(len(m.data)))
		s.spool.bytes.Add(int64(len(m.data)))
		s.follow(m, tail)
	}
	s.counters.evacuated.Add(int64(len(moves)))
}

// follow has the queues that are in a moved segment look for it in its new place.
func (s *Store) follow(m move, to *generation) {
	v, err := parseSegment(m.data)
	if err != nil {
		return // it was read just now
	}
	for i := range v.queueCount() {
		e := v.queueAt(i)
		s.mu.Lock()
		q := s.queues[e.queue]
		s.mu.Unlock()
		if q != nil {
			q.mu.Lock()
			q.move(m.from, to, ordinals{e.first, e.first + uint64(e.count)})
			q.mu.Unlock()
		}
	}
}

// move cuts a range out of the part that has it, and puts it into another
// generation. The caller holds mu.
func (q *Queue) move(from, to *generation, r ordinals) {
	i := q.partAt(r.first)
	if i == len(q.parts) || q.parts[i].g != from || q.removed {
		return
	}
	old := q.parts[i]
	r.first, r.end = max(r.first, old.first), min(r.end, old.end)
	var pieces []part
	for _, p := range []part{
		{g: from, ordinals: ordinals{old.first, r.first}},
		{g: to, ordinals: r},
		{g: from, ordinals: ordinals{r.end, old.end}},
	} {
		if p.first < p.end {
			p.living = int64(q.win.unacked(p.ordinals))
			p.g.living.Add(p.living)
			pieces = append(pieces, p)
		}
	}
	from.living.Add(-old.living)
	q.parts = slices.Replace(q.parts, i, i+1, pieces...)
}
