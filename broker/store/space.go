package store

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// space guards the disk. Badger writes through memory maps: where a full disk
// has no block for a page, the process dies. So there is room before a write, or
// no write.
type space struct {
	dir      string
	minFree  int64
	maxBytes int64

	free   atomic.Int64 // as last seen
	seenAt atomic.Int64 // when, in ns since 1970
	unused atomic.Int64 // of the tail's allocated files
	left   atomic.Int64 // what the tail takes for sure
	last   atomic.Bool  // it stands in the reserve's place
	next   int64        // what the next generation takes on disk

	promised atomic.Int64 // what the state database takes just now, at most
}

// follow takes how full the tail is.
func (sp *space) follow(t *tailFiles) {
	sp.unused.Store(t.unused())
	sp.left.Store(min(t.memRoom-t.memUsed, t.vlogRoom-t.vlogUsed))
}

// lookInterval is how old the free space may be.
const lookInterval = 10 * time.Millisecond

// look brings the free space up to date, if it is old.
func (sp *space) look(now time.Time) {
	if sp.dir == "" {
		return // no disk
	}
	seen := sp.seenAt.Load()
	if d := now.UnixNano() - seen; d >= 0 && d < int64(lookInterval) || !sp.seenAt.CompareAndSwap(seen, now.UnixNano()) {
		return
	}
	// Without an answer the last one holds.
	if free, err := freeBytes(sp.dir); err == nil {
		sp.free.Store(free)
	}
}

// admit says whether so many bytes more may go to disk, with spool bytes there
// already.
func (sp *space) admit(bytes, spool int64) error {
	if spool+bytes > sp.maxBytes {
		return fmt.Errorf("%w: the spool holds %v of max_bytes %v", ErrFull, Bytes(spool), Bytes(sp.maxBytes))
	}
	// Where there is no room for another generation, what is left of the tail is
	// for acknowledgements and state; all of it, if it stands in the reserve's place.
	if free := sp.free.Load(); sp.next > 0 && free-sp.next < sp.minFree/4 && (sp.last.Load() || bytes > sp.left.Load()-sp.next/16) {
		return fmt.Errorf("%w: %v free in the file system of %s are not enough for another generation", ErrFull, Bytes(free), sp.dir)
	}
	if free := sp.free.Load(); free+sp.unused.Load()-bytes < sp.minFree {
		return fmt.Errorf("%w: %v free in the file system of %s, min_free is %v", ErrFull, Bytes(free), sp.dir, Bytes(sp.minFree))
	}
	return nil
}

// admitMessages is admit for messages that go to queues. The caller holds mu.
func (s *Store) admitMessages(bytes int64) error {
	bytes += s.pending
	if s.cfg.AtLimit == DropOldest {
		s.freeOldest(bytes)
	}
	err := s.space.admit(bytes, s.spool.bytes.Load())
	if err != nil && s.cfg.AtLimit == DropNewest {
		s.shedding = true
		return nil
	}
	return err
}

// freeOldest drops what waits in the oldest generations, so that there is room
// for so many bytes. A generation goes with the checkpoint that follows: so this
// begins when there is room for one more. The caller holds mu.
func (s *Store) freeOldest(bytes int64) {
	over := s.spool.bytes.Load() + bytes + s.spool.room - int64(s.cfg.MaxBytes)
	if over <= 0 {
		return
	}
	if s.memory {
		for _, g := range s.ring.segs[s.ring.begin:] {
			if over -= g.memory(); g.living != nil && g.living.living.Load() > 0 {
				for i := range g.queues {
					g.queues[i].q.free(g.living)
				}
			}
			if over <= 0 {
				return
			}
		}
		return
	}
	gens := s.spool.list()
	for _, g := range gens[:max(len(gens), 1)-1] { // not the tail
		if over <= 0 {
			return
		}
		if g.living.Load() > 0 && !g.freed {
			g.freed = true
			for _, q := range s.queues {
				q.free(g)
			}
		}
		if g.living.Load() == 0 {
			over -= g.bytes.Load() // it is on its way out
		}
	}
}

// writable says whether what Badger may need by itself is free: then so many
// bytes more may be allocated.
func (sp *space) writable(bytes int64) bool {
	if sp.dir == "" {
		return true // no disk
	}
	free, err := freeBytes(sp.dir)
	if err != nil {
		return false
	}
	sp.free.Store(free)
	return free-sp.promised.Load()-bytes >= sp.minFree/4
}

// margin is what is left of the disk when the reserve is used: for directories, and
// for what Badger writes to files that are not allocated.
func (sp *space) margin() int64 { return min(sp.minFree/4, 1<<20) }

// refusal tells once that messages are refused and once that they are not any
// more. Guarded by Store.mu.
type refusal struct {
	reason error     // nil: not refusing
	since  time.Time // of the first one
	last   time.Time
	count  int64
}

// quietAfter is how long nothing must have been refused until it is said that
// messages are taken again: at the limit it goes to and fro.
const quietAfter = 10 * time.Second

// note takes what became of a commit. It gives what is to be logged, if anything
// is: not under the lock.
func (r *refusal) note(err error, messages bool, now time.Time, log *slog.Logger) func() {
	switch {
	case errors.Is(err, ErrFull):
		first := r.reason == nil
		if first {
			r.since = now
		}
		r.reason, r.last = err, now
		r.count++
		if first {
			return func() { log.Warn("messages are refused", "err", err) }
		}
	case err == nil && messages && r.reason != nil && now.Sub(r.last) > quietAfter:
		count := r.count
		*r = refusal{}
		return func() { log.Info("messages are taken again", "count", count) }
	}
	return nil
}
