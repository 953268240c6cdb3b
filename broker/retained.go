package broker

import (
	"bytes"
	"context"
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

	mu    sync.Mutex
	bytes int64               // without what is under $SYS, which is bounded by itself
	count int                 // the same
	dirty map[string]struct{} // topics whose QoS 0 message is not written yet
	full  bool                // said already
}

const retainedInterval = 10 * time.Second

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
			b.retained.dirty[string(m.topic)] = struct{}{}
			return nil
		}
		m = m.clone()
		b.retained.tree.Set(string(m.topic), m)
		b.retained.charge(string(m.topic), 1, m.bytes())
		return nil
	})
}

// set keeps m as its topic's retained message, or with an empty payload removes
// the one that stands. It is false when there is no room. [MQTT-3.3.1-5] [MQTT-3.3.1-6]
func (r *retained) set(m *message, l *Limits) bool {
	name := string(m.topic)
	r.mu.Lock()
	defer r.mu.Unlock()
	var before int64
	old, had := r.tree.Get(name)
	if had {
		before = old.bytes()
	}
	if len(m.payload) == 0 {
		if had {
			r.tree.Delete(name)
			r.charge(name, -1, -before)
			r.mark(m)
		}
		return true
	}
	if !r.hasRoom(m, l) {
		return false
	}
	c := m.clone()
	c.from = nil
	r.tree.Set(name, c)
	if had {
		r.charge(name, 0, c.bytes()-before)
	} else {
		r.charge(name, 1, c.bytes())
	}
	r.mark(m)
	return true
}

// charge counts what is kept. The caller holds r.mu.
func (r *retained) charge(name string, count int, bytes int64) {
	if !strings.HasPrefix(name, SysPrefix) {
		r.count += count
		r.bytes += bytes
	}
}

// mark remembers that m's topic changed, unless its publish goes through the
// log by itself. The caller holds r.mu.
func (r *retained) mark(m *message) {
	if bytes.HasPrefix(m.topic, []byte(SysPrefix)) {
		return // never on disk
	}
	if m.qos == 0 {
		r.dirty[string(m.topic)] = struct{}{}
	} else {
		delete(r.dirty, string(m.topic))
	}
}

// retain keeps m, and if it has a QoS, adds it to what is committed before its
// publisher is answered.
func (r *router) retain(m *message) {
	if !r.b.retained.set(m, &r.b.live.Load().Limits) {
		r.b.retainedFull()
		return
	}
	if m.qos > 0 {
		r.keep(retainedRecord(m, r.batch.stored(m)))
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
	if len(m.topic) > maxKeyBytes-len(retainedPrefix) {
		return false
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
	said := b.retained.full
	b.retained.full = true
	b.retained.mu.Unlock()
	if !said {
		b.log.Warn("retained messages are at their limit: new topics are not kept", "count", b.retained.tree.Len(), "bytes", b.retained.bytes, "reason", "max_retained or max_retained_bytes")
	}
}

// writeRetained commits the QoS 0 retained messages that changed.
func (b *Broker) writeRetained() {
	r := b.retained
	r.mu.Lock()
	recs := make([]store.Record, 0, len(r.dirty))
	for name := range r.dirty {
		if m, ok := r.tree.Get(name); ok {
			recs = append(recs, retainedRecord(m, m.appendStored(nil)))
		} else {
			recs = append(recs, store.Record{Kind: store.Delete, Key: retainedPrefix + name})
		}
	}
	clear(r.dirty)
	r.mu.Unlock()
	if len(recs) == 0 {
		return
	}
	b.store.Commit(recs, func(err error) {
		if err != nil {
			b.log.Warn("retained messages of QoS 0 are not on disk", "count", len(recs), "err", err)
		}
	})
}

// keepRetained writes the changed ones every retainedInterval.
func (b *Broker) keepRetained(ctx context.Context) {
	tick := time.NewTicker(retainedInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			b.retained.expire(now)
			b.writeRetained()
		}
	}
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
			r.dirty[name] = struct{}{}
		}
	}
}
