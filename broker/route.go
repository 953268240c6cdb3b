package broker

import (
	"time"

	"headgate/broker/store"
)

// router takes the messages of one publisher. It belongs to one goroutine (a
// connection's reader, a client in the process under its lock): what it
// remembers between messages needs no lock.
type router struct {
	b     *Broker
	cache map[string][]target // by topic name, while the index is at version
	ver   uint64

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
	b.recs, b.refs, b.data, b.bytes = b.recs[:0], b.refs[:0], b.data[:0], 0
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

// maxCachedTopics bounds what a publisher's router remembers.
const maxCachedTopics = 512

// targets gives the sessions that name goes to.
func (r *router) targets(name []byte) []target {
	if v := r.b.index.Version(); v != r.ver || r.cache == nil {
		r.ver = v
		if r.cache == nil {
			r.cache = make(map[string][]target)
		}
		clear(r.cache)
	}
	if ts, ok := r.cache[string(name)]; ok {
		return ts
	}
	if len(r.cache) >= maxCachedTopics {
		clear(r.cache)
	}
	var ts []target
	at := make(map[*session]int)
	r.b.index.Match(string(name), func(s *session, sub subscription) {
		i, seen := at[s]
		if !seen {
			at[s] = len(ts)
			ts = append(ts, target{session: s, subscription: sub})
			i = len(ts) - 1
		} else {
			t := &ts[i]
			t.qos = max(t.qos, sub.qos)
			t.noLocal = t.noLocal && sub.noLocal
			t.retainAsPublished = t.retainAsPublished || sub.retainAsPublished
			t.raise = t.raise || sub.raise
		}
		if sub.id != 0 {
			ts[i].ids = append(ts[i].ids, sub.id)
		}
	})
	r.cache[string(name)] = ts
	return ts
}

// route sends m to every session that it matches: to those who are there at
// once, and into r.batch for the log what must be kept. It says how many
// sessions it went to. m may alias the caller's buffer.
func (r *router) route(m *message, now time.Time) (matched int) {
	first := len(r.batch.refs)
	for _, t := range r.targets(m.topic) {
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
		r.retain(m)
	}
	if refs := r.batch.refs[first:]; len(refs) > 0 {
		r.keep(store.Record{Kind: store.Message, Refs: refs[:len(refs):len(refs)], Data: r.batch.stored(m)})
	}
	return matched
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

// commit hands the batch to the log; done runs when it is on disk. It is false
// when there is nothing to commit: then done does not run.
func (r *router) commit(done func(error)) bool {
	if len(r.batch.recs) == 0 {
		return false
	}
	r.b.store.Commit(r.batch.recs, done)
	r.batch.reset()
	return true
}
