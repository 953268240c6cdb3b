package store

import (
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
)

// OpenMemory gives a store without a disk, for tests: the same log, queues,
// readers and state, gone at Close. A commit is durable as soon as it is written
// down. The ring keeps every segment in which something is not acknowledged, and
// all after it, up to MaxBytes. MinFree, RingBytes and GenerationBytes have no
// meaning. A zero field of cfg takes its default.
func OpenMemory(cfg Config, log *slog.Logger) *Store {
	cfg.SetDefaults()
	s := newStore("", cfg, log)
	s.memory = true
	s.state = &memoryState{values: make(map[string][]byte)}
	s.space.free.Store(math.MaxInt64 / 2)
	go s.commitAll()
	go s.keepHouse()
	go func() { // there is nothing to watch
		<-s.closed
		close(s.watcher)
	}()
	return s
}

// memoryState takes the checkpoints of a store without a disk.
type memoryState struct {
	mu     sync.Mutex // guards values
	values map[string][]byte
}

func (st *memoryState) write(c *checkpoint) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	for key, ch := range c.changes {
		if ch.deleted {
			delete(st.values, key)
		} else {
			st.values[key] = ch.value
		}
	}
	return nil
}

// each gives the keys that begin with prefix, in order.
func (st *memoryState) each(prefix string, fn func(key string, value func() ([]byte, error)) error) error {
	values := make(map[string][]byte)
	var keys []string
	st.mu.Lock()
	for key, v := range st.values {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
			values[key] = v
		}
	}
	st.mu.Unlock()
	slices.Sort(keys)
	for _, key := range keys {
		if err := fn(key, func() ([]byte, error) { return slices.Clone(values[key]), nil }); err != nil {
			return err
		}
	}
	return nil
}

func (st *memoryState) close() error { return nil }

// home is where a committed segment's messages are counted: a generation on
// disk, and without one the segment by itself.
func (s *Store) home(g *segment) *generation {
	if !s.memory {
		return s.spool.tail
	}
	g.living = new(generation)
	return g.living
}

// shrinkAcked lets the oldest segments go, as far as nothing in them waits: no
// disk has them.
func (r *ring) shrinkAcked(durable uint64) {
	for r.begin < len(r.segs) {
		g := r.segs[r.begin]
		if g.last() > durable || g.living.living.Load() > 0 {
			return
		}
		r.drop()
	}
}
