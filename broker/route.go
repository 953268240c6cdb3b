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
	b          *Broker
	from       *session                // the publisher, if it has only its rights; nil: everything is allowed
	cache      map[string]*destination // by topic name, while the index is at ver
	remembered int64                   // bytes of it
	ver        uint64
	window     time.Duration // of topics in no class
	finds      uint64

	batch batch
	stage stage
	woken []*conn // connections with something new to write

	behind []*conn // those of the last flush to be waited for
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
	*outlet
	subscription
	ids []uint32
}

// destination is where a topic's messages go.
type destination struct {
	targets []target
	denied  bool          // the publisher may not publish to it
	window  time.Duration // how long what is kept may wait for others
}

// What routers remember is bounded in bytes, each one's and all together.
const (
	maxRemembered      = 1 << 20
	maxRememberedInAll = 32 << 20

	destinationBytes = 160 // about, with its place in the map
	targetBytes      = 64
	outletBytes      = 112
)

// lookup says where name goes.
func (r *router) lookup(name []byte) *destination {
	if v := r.b.index.Version(); v != r.ver {
		r.forget()
		r.ver = v
	}
	if d, ok := r.cache[string(name)]; ok {
		return d
	}
	outlets := len(r.stage.outlets)
	d := r.find(string(name))
	cost := int64(destinationBytes + len(name) + len(d.targets)*targetBytes + (len(r.stage.outlets)-outlets)*outletBytes)
	if r.remembered+cost > maxRemembered || r.b.remembered.Load()+cost > maxRememberedInAll {
		r.forget() // d stands by itself
	}
	if cost > maxRemembered/8 {
		return d
	}
	if r.cache == nil {
		r.cache = make(map[string]*destination)
	}
	r.cache[string(name)] = d
	r.remembered += cost
	r.b.remembered.Add(cost)
	return d
}

// forget lets go of what the router remembers.
func (r *router) forget() {
	clear(r.cache)
	clear(r.stage.outlets)
	r.b.remembered.Add(-r.remembered)
	r.remembered = 0
}

func (r *router) find(name string) *destination {
	d := &destination{denied: r.from != nil && !r.from.rights.Load().MayPublish(name)}
	if d.denied {
		return d
	}
	d.window = windowOf(r.b.live.Load().classes, name, r.window)
	for !r.match(d, name) {
		d.targets = nil
	}
	goes := func(s *session) bool { o := r.stage.outlets[s]; return o != nil && o.found == r.finds }
	d.targets = slices.DeleteFunc(d.targets, func(t target) bool {
		return !t.session.rights.Load().MayReceive(name) || overtaken(t.session, goes)
	})
	return d
}

// match fills d with who subscribed to name; false: it is to be done again.
func (r *router) match(d *destination, name string) bool {
	r.finds++
	return r.b.index.Match(name, func(s *session, sub subscription) {
		o := r.stage.outlet(s)
		if o.found != r.finds {
			o.found, o.at = r.finds, len(d.targets)
			d.targets = append(d.targets, target{outlet: o, subscription: sub})
		} else {
			t := &d.targets[o.at]
			t.qos = max(t.qos, sub.qos)
			t.noLocal = t.noLocal && sub.noLocal
			t.retainAsPublished = t.retainAsPublished || sub.retainAsPublished
			t.raise = t.raise || sub.raise
		}
		if sub.id != 0 {
			d.targets[o.at].ids = append(d.targets[o.at].ids, sub.id)
		}
	})
}

// route sends m to every session that it matches: what goes to those who are
// there is staged until flush, and what must be kept is in r.batch for the log.
// It says how many sessions it went to, and where its topic leads. m may alias
// the caller's buffer until flush, but for its properties. What the publisher may
// not publish goes nowhere.
func (r *router) route(m *message, now time.Time) (matched int, dest *destination) {
	first := len(r.batch.refs)
	dest = r.lookup(m.topic)
	if dest.denied {
		return 0, dest
	}
	if m.retain {
		// Before it is told who gets it: whoever subscribes from here on finds it
		// retained, and whoever did before is found.
		r.retain(m, dest.window)
		dest = r.lookup(m.topic)
	}
	r.stage.number++
	spare := true // QoS 2 is exactly once by what is on disk
	for i := range dest.targets {
		t := &dest.targets[i]
		if t.noLocal && t.session.isFrom(m) {
			continue // [MQTT-3.8.3-3]
		}
		matched++
		d := delivery{qos: min(m.qos, t.qos), retain: m.retain && t.retainAsPublished, subIDs: t.ids}
		if t.raise {
			d.qos = t.qos
		}
		if ref, keep := r.deliver(t.outlet, m, d, now); keep {
			r.batch.refs = append(r.batch.refs, ref)
			spare = spare && d.qos == 1
		}
	}
	if refs := r.batch.refs[first:]; len(refs) > 0 {
		r.keep(store.Record{Kind: store.Message, Refs: refs[:len(refs):len(refs)], Data: r.batch.stored(m), Window: dest.window, Spare: spare})
	}
	return matched, dest
}

// deliver gives m to one session. keep is true when it goes by way of the log.
func (r *router) deliver(o *outlet, m *message, d delivery, now time.Time) (ref store.Ref, keep bool) {
	s := o.session
	if s.persistent() && d.qos > 0 {
		return store.Ref{Queue: s.taking().queue.ID(), Meta: metaOf(d)}, true
	}
	if c := s.conn.Load(); c != nil {
		r.send(o, c, m, d, now)
	} else if s.inside != nil {
		s.inside.receive(m.clone(), d)
	}
	return store.Ref{}, false
}

// send stages m for c's client. What no other client gets in the same form goes
// at once, and what is staged for this one goes before it.
func (r *router) send(o *outlet, c *conn, m *message, d delivery, now time.Time) {
	own := !c.plain || len(d.subIDs) > 0 || m.expires != nil
	if len(o.spans) > 0 && (own || o.conn != c) {
		r.hand(o)
	}
	if !own {
		if !r.stage.add(o, c, m, d, now) {
			r.b.stats.dropped.Add(1)
		}
		return
	}
	sent, wake := c.send(m, d, now)
	if wake {
		r.woken = append(r.woken, c)
	}
	if !sent {
		r.b.stats.dropped.Add(1)
	}
}

// hand gives a client what is staged for it.
func (r *router) hand(o *outlet) {
	got := o.conn.accept(&r.stage, o.spans)
	if got.wake {
		r.woken = append(r.woken, o.conn)
	}
	if got.behind {
		r.behind = append(r.behind, o.conn)
	}
	if got.dropped > 0 {
		r.b.stats.dropped.Add(got.dropped)
	}
	o.conn, o.spans = nil, o.spans[:0]
}

// maxBatchBytes is how much of one read is committed at a time.
const maxBatchBytes = 256 << 10

// full says that the batch is to end.
func (r *router) full() bool { return r.batch.bytes > maxBatchBytes || r.stage.bytes > maxStaged }

// keep adds a record to what is committed with this batch.
func (r *router) keep(rec store.Record) {
	r.batch.recs = append(r.batch.recs, rec)
	r.batch.bytes += int64(len(rec.Data) + len(rec.Key))
}

// flush hands over what is staged, and wakes every connection that was given
// something since the last flush.
func (r *router) flush() {
	clear(r.behind)
	r.behind = r.behind[:0]
	if len(r.stage.lent) > 0 {
		for _, o := range r.stage.lent {
			if len(o.spans) > 0 {
				r.hand(o)
			}
		}
		r.stage.reset()
	}
	if len(r.woken) == 1 {
		r.woken[0].wakeHere(writeApart)
	} else if len(r.woken) > 0 {
		r.b.flusher.add(r.woken)
	}
	clear(r.woken)
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
