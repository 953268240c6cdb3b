package broker

import (
	"slices"
	"time"

	"headgate/broker/store"
)

// router takes the messages of one publisher. It belongs to one goroutine (a
// connection's reader, a client in the process under its lock): what it
// remembers between messages needs no lock.
type router struct {
	b      *Broker
	from   *session                // the publisher, if it has only its rights; nil: everything is allowed
	cache  map[string]*destination // by topic name, while the index is at ver
	cached int                     // targets in it
	ver    uint64
	window time.Duration // of topics in no class

	batch batch
	woken []*conn // connections with something new to write
}

// batch is what one publisher commits together. Its room is used again for the
// next one: the store keeps nothing of what it is handed.
type batch struct {
	recs  []store.Record
	refs  []store.Ref // of the records
	data  []byte      // of the records
	bytes int64

	retained []retainedAt
}

// stored gives m's stored form, which stands until the commit.
func (b *batch) stored(m *message) []byte {
	start := len(b.data)
	b.data = m.appendStored(b.data)
	return b.data[start:len(b.data):len(b.data)]
}

// reset empties it. Much room is let go.
func (b *batch) reset() {
	clear(b.recs)
	clear(b.retained)
	b.recs, b.refs, b.data, b.bytes, b.retained = b.recs[:0], b.refs[:0], b.data[:0], 0, b.retained[:0]
	if cap(b.data) > 2*maxBatchBytes {
		b.data = nil
	}
}

// target is one session that a topic goes to, its overlapping subscriptions
// merged into one. [MQTT-3.3.4-2] [MQTT3-3.3.5-1]
type target struct {
	session *session
	subscription
	ids []uint32
}

// destination is where a topic's messages go.
type destination struct {
	targets []target
	denied  bool          // the publisher may not publish to it
	window  time.Duration // how long what is kept may wait for others
}

// What a router remembers is bounded: in topics, each of which is short, and in
// sessions that they go to.
const (
	maxCachedTopics  = 512
	maxCachedName    = 512 // bytes
	maxCachedTargets = 8192
)

// lookup says where name goes.
func (r *router) lookup(name []byte) *destination {
	if v := r.b.index.Version(); v != r.ver || r.cache == nil {
		r.ver = v
		r.forget()
	}
	if d, ok := r.cache[string(name)]; ok {
		return d
	}
	d := r.find(string(name))
	if len(name) > maxCachedName || len(d.targets) > maxCachedTargets {
		return d
	}
	if len(r.cache) >= maxCachedTopics || r.cached+len(d.targets) > maxCachedTargets {
		r.forget()
	}
	r.cache[string(name)] = d
	r.cached += len(d.targets)
	return d
}

func (r *router) forget() {
	if r.cache == nil {
		r.cache = make(map[string]*destination)
	}
	clear(r.cache)
	r.cached = 0
}

func (r *router) find(name string) *destination {
	d := &destination{denied: r.from != nil && !r.from.rights.Load().MayPublish(name)}
	if d.denied {
		return d
	}
	d.window = windowOf(r.b.live.Load().classes, name, r.window)
	at := make(map[*session]int)
	r.b.index.Match(name, func(s *session, sub subscription) {
		i, seen := at[s]
		if !seen {
			at[s] = len(d.targets)
			d.targets = append(d.targets, target{session: s, subscription: sub})
			i = len(d.targets) - 1
		} else {
			t := &d.targets[i]
			t.qos = max(t.qos, sub.qos)
			t.noLocal = t.noLocal && sub.noLocal
			t.retainAsPublished = t.retainAsPublished || sub.retainAsPublished
			t.raise = t.raise || sub.raise
		}
		if sub.id != 0 {
			d.targets[i].ids = append(d.targets[i].ids, sub.id)
		}
	})
	d.targets = slices.DeleteFunc(d.targets, func(t target) bool { return !t.session.rights.Load().MayReceive(name) })
	return d
}

// route sends m to every session that it matches: to those who are there at
// once, and into r.batch for the log what must be kept. It says how many
// sessions it went to, and where its topic leads. m may alias the caller's
// buffer. What the publisher may not publish goes nowhere.
func (r *router) route(m *message, now time.Time) (matched int, dest *destination) {
	first := len(r.batch.refs)
	dest = r.lookup(m.topic)
	if dest.denied {
		return 0, dest
	}
	for _, t := range dest.targets {
		if t.noLocal && t.session == m.from {
			continue // [MQTT-3.8.3-3]
		}
		matched++
		d := delivery{qos: min(m.qos, t.qos), retain: m.retain && t.retainAsPublished, subIDs: t.ids}
		if t.raise {
			d.qos = t.qos
		}
		if ref, keep := r.deliver(t.session, m, d, now); keep {
			r.batch.refs = append(r.batch.refs, ref)
		}
	}
	if m.retain {
		r.retain(m, dest.window)
	}
	if refs := r.batch.refs[first:]; len(refs) > 0 {
		r.keep(store.Record{Kind: store.Message, Refs: refs[:len(refs):len(refs)], Data: r.batch.stored(m), Window: dest.window})
	}
	return matched, dest
}

// deliver gives m to one session. keep is true when it goes by way of the log.
func (r *router) deliver(s *session, m *message, d delivery, now time.Time) (ref store.Ref, keep bool) {
	if s.persistent() && d.qos > 0 {
		return store.Ref{Queue: s.queue.ID(), Meta: metaOf(d)}, true
	}
	if c := s.conn.Load(); c != nil {
		sent, wake := c.send(m, d, now)
		if wake {
			r.woken = append(r.woken, c)
		}
		if !sent {
			r.b.stats.dropped.Add(1)
		}
	} else if s.inside != nil {
		s.inside.receive(m.clone(), d)
	}
	return store.Ref{}, false
}

// keep adds a record to what is committed with this batch.
func (r *router) keep(rec store.Record) {
	r.batch.recs = append(r.batch.recs, rec)
	r.batch.bytes += int64(len(rec.Data) + len(rec.Key))
}

// flush wakes every connection that was given something since the last flush.
func (r *router) flush() {
	for i, c := range r.woken {
		c.wake()
		r.woken[i] = nil
	}
	r.woken = r.woken[:0]
}

// commit hands the batch to the log and empties it; done runs when it is on disk.
// It is false when there is nothing to commit: then done does not run.
func (r *router) commit(done func(error)) bool {
	submitted := r.submit(done)
	if submitted {
		r.batch.reset()
	}
	return submitted
}

// submit is commit that leaves the batch as it is.
func (r *router) submit(done func(error)) bool {
	if len(r.batch.recs) == 0 {
		return false
	}
	if len(r.batch.retained) > 0 {
		r.b.retained.mu.Lock()
		defer r.b.retained.mu.Unlock()
		r.renew()
	}
	r.b.store.Commit(r.batch.recs, done)
	return true
}
