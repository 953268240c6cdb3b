package broker

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"headgate/broker/store"
	"headgate/broker/topic"
)

// retained holds the last retained message of each topic. All of them are in
// memory, bounded in bytes; at QoS 1 and 2 each goes through the log with its
// publish, at QoS 0 it is written at most every retainedInterval per topic, for
// the flash's sake, and at shutdown.
type retained struct {
	tree *topic.Tree[*message]

	mu         sync.Mutex          // held while values go to the log, so that they come there in their order
	bytes      int64               // without what is under $SYS, which is bounded by itself
	count      int                 // the same
	dirty      map[string]struct{} // topics whose QoS 0 message is not written yet
	dirtyBytes int64               // of their names
	full       bool                // said already
}

const (
	retainedInterval = 10 * time.Second

	// maxDirtyBytes bounds the names of the topics that wait to be written: past
	// it a QoS 0 message goes through the log with its publish too.
	maxDirtyBytes = 1 << 20

	// retainedBatch is how many bytes of them are committed at a time, and
	// retainedWait how long one commit may take before the next is put off.
	retainedBatch = 1 << 20
	retainedWait  = 5 * time.Second
)

func newRetained() *retained {
	return &retained{tree: topic.NewTree[*message](), dirty: make(map[string]struct{})}
}

func (b *Broker) restoreRetained(now time.Time) error {
	return b.store.State(retainedPrefix, func(key string, value []byte) error {
		m := new(message)
		if err := m.fromStored(value, b.clock); err != nil {
			return fmt.Errorf("retained message %q: %w", strings.TrimPrefix(key, retainedPrefix), err)
		}
		if m.expired(now) {
			b.retained.addDirty(string(m.topic))
			return nil
		}
		m = m.clone()
		b.retained.tree.Set(string(m.topic), m)
		b.retained.charge(string(m.topic), 1, m.bytes())
		return nil
	})
}

// set keeps m as its topic's retained message, or with an empty payload removes
// the one that stands. c is what it keeps; log says that the publish takes it to
// the log. ok is false when there is no room. [MQTT-3.3.1-5] [MQTT-3.3.1-6]
func (r *retained) set(m *message, l *Limits) (c *message, log, ok bool) {
	name := string(m.topic)
	r.mu.Lock()
	defer r.mu.Unlock()
	var before int64
	old, had := r.tree.Get(name)
	if had {
		before = old.bytes()
	}
	if len(m.payload) == 0 {
		if !had {
			return nil, m.qos > 0, true
		}
		r.tree.Delete(name)
		r.charge(name, -1, -before)
		return nil, r.mark(m), true
	}
	if !r.hasRoom(m, l) {
		return nil, false, false
	}
	c = m.clone()
	c.from = nil
	r.tree.Set(name, c)
	if had {
		r.charge(name, 0, c.bytes()-before)
	} else {
		r.charge(name, 1, c.bytes())
	}
	return c, r.mark(m), true
}

// charge counts what is kept. The caller holds r.mu.
func (r *retained) charge(name string, count int, bytes int64) {
	if !strings.HasPrefix(name, SysPrefix) {
		r.count += count
		r.bytes += bytes
	}
}

// mark remembers that m's topic changed, unless its publish takes it to the log:
// then it is true. The caller holds r.mu.
func (r *retained) mark(m *message) (log bool) {
	name := string(m.topic)
	_, waits := r.dirty[name]
	switch {
	case strings.HasPrefix(name, SysPrefix):
		return false // never on disk
	case m.qos > 0:
		if waits {
			delete(r.dirty, name)
			r.dirtyBytes -= dirtyCost(name)
		}
		return true
	case !waits && r.dirtyBytes+dirtyCost(name) > maxDirtyBytes:
		return true
	}
	r.addDirty(name)
	return false
}

// addDirty has name written later. The caller holds r.mu.
func (r *retained) addDirty(name string) {
	if _, waits := r.dirty[name]; !waits {
		r.dirty[name] = struct{}{}
		r.dirtyBytes += dirtyCost(name)
	}
}

func dirtyCost(name string) int64 { return int64(len(name)) + 32 }

// retain keeps m, and if it goes to the log with its publish, adds it to what is
// committed before its publisher is answered.
func (r *router) retain(m *message, window time.Duration) {
	c, log, ok := r.b.retained.set(m, &r.b.live.Load().Limits)
	if !ok {
		r.b.retainedFull()
		return
	}
	if log {
		r.batch.retained = append(r.batch.retained, retainedAt{len(r.batch.recs), c})
		rec := retainedRecord(m, r.batch.stored(m))
		rec.Window = window
		r.keep(rec)
	}
}

// retainedAt is where a batch has a topic's retained message.
type retainedAt struct {
	rec int
	m   *message // nil: there is none any more
}

// renew gives the records of a batch the values that are there by now: another
// publisher may have been quicker, and what comes to the log last must be what
// counts. The caller holds retained.mu.
func (r *router) renew() {
	for _, at := range r.batch.retained {
		rec := &r.batch.recs[at.rec]
		m, _ := r.b.retained.tree.Get(strings.TrimPrefix(rec.Key, retainedPrefix))
		switch {
		case m == at.m:
		case m == nil:
			*rec = store.Record{Kind: store.Delete, Key: rec.Key, Window: rec.Window}
		default:
			*rec = store.Record{Kind: store.Put, Key: rec.Key, Data: r.batch.stored(m), Window: rec.Window}
		}
	}
}

// retainedRecord gives the record of a topic's retained message, whose stored
// form is data.
func retainedRecord(m *message, data []byte) store.Record {
	key := retainedPrefix + string(m.topic)
	if len(m.payload) == 0 {
		return store.Record{Kind: store.Delete, Key: key}
	}
	return store.Record{Kind: store.Put, Key: key, Data: data}
}

// has says whether what m would have its topic retain is what it retains: the same
// bytes, or nothing.
func (r *retained) has(m *message) bool {
	is, ok := r.tree.Get(string(m.topic))
	if !ok {
		return len(m.payload) == 0
	}
	return bytes.Equal(is.payload, m.payload) && bytes.Equal(is.props, m.props)
}

// fits says whether m can be retained.
func (r *retained) fits(m *message, l *Limits) bool {
	if len(m.payload) == 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hasRoom(m, l)
}

// hasRoom is fits for a message with a payload. The caller holds r.mu.
func (r *retained) hasRoom(m *message, l *Limits) bool {
	if bytes.HasPrefix(m.topic, []byte(SysPrefix)) {
		return true
	}
	if len(retainedPrefix)+len(m.topic) > store.MaxKeyBytes {
		return false // the store has no key for it
	}
	var before int64
	old, had := r.tree.Get(string(m.topic))
	if had {
		before = old.bytes()
	}
	return r.bytes-before+m.bytes() <= int64(l.MaxRetainedBytes) && (had || r.count < int(l.MaxRetained))
}

func (b *Broker) retainedFull() {
	b.stats.retainedRefused.Add(1)
	b.retained.mu.Lock()
	said, bytes := b.retained.full, b.retained.bytes
	b.retained.full = true
	b.retained.mu.Unlock()
	if !said {
		b.log.Warn("retained messages are at their limit: new topics are not kept", "count", b.retained.tree.Len(), "bytes", bytes, "reason", "max_retained or max_retained_bytes")
	}
}

// writeRetained commits the QoS 0 retained messages that changed, some at a time,
// so that they do not take the room of all others who wait for the disk. What is
// refused, or not reached because the disk is slow, waits for the next time.
func (b *Broker) writeRetained() {
	for {
		done := make(chan error, 1)
		n := b.retained.commitDirty(b.store, done)
		if n == 0 {
			return
		}
		slow := time.NewTimer(retainedWait)
		select {
		case err := <-done:
			slow.Stop()
			if err == nil {
				continue
			}
			b.log.Warn("retained messages of QoS 0 are not on disk", "count", n, "err", err)
		case <-slow.C:
		}
		return
	}
}

// commitDirty commits a part of them, and says how many those are.
func (r *retained) commitDirty(st *store.Store, done chan<- error) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	var recs []store.Record
	size := 0
	for name := range r.dirty {
		rec := store.Record{Kind: store.Delete, Key: retainedPrefix + name}
		if m, ok := r.tree.Get(name); ok {
			rec = retainedRecord(m, m.appendStored(nil))
		}
		names, recs = append(names, name), append(recs, rec)
		delete(r.dirty, name)
		r.dirtyBytes -= dirtyCost(name)
		if size += len(rec.Key) + len(rec.Data); size > retainedBatch {
			break
		}
	}
	if len(recs) == 0 {
		return 0
	}
	st.Commit(recs, func(err error) {
		if err != nil && !errors.Is(err, store.ErrHeld) && !errors.Is(err, store.ErrClosed) {
			r.mu.Lock()
			for _, name := range names {
				r.addDirty(name)
			}
			r.mu.Unlock()
		}
		done <- err
	})
	return len(recs)
}

// keepRetained lets go those whose time has passed, and writes the changed ones.
func (b *Broker) keepRetained(now time.Time) {
	b.retained.expire(now)
	b.writeRetained()
}

// expire removes the messages whose time has passed.
func (r *retained) expire(now time.Time) {
	var old []string
	r.tree.Match("#", func(name string, m *message) {
		if m.expired(now) {
			old = append(old, name)
		}
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range old {
		if m, ok := r.tree.Get(name); ok && m.expired(now) {
			r.tree.Delete(name)
			r.charge(name, -1, -m.bytes())
			r.addDirty(name)
		}
	}
}
