package broker

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"headgate/broker/store"
)

// group is one shared subscription, $share/NAME/FILTER: what matches FILTER goes
// to one of its members. [MQTT 4.8.2] While all members are sessions that end
// with their connection, a message goes straight to one that is there. From the
// first persistent member on it is a queue of its own, from which each member
// takes as much as it has room for.
//
// A QoS 1 message is leased: it stays in the queue until it is acknowledged, and
// goes to another member when the connection ends before that. [MQTT-4.8.2-5] A
// QoS 2 message moves out of the queue and into the member's session, and with
// the session it ends. [MQTT-4.8.2-4]
type group struct {
	b      *Broker
	name   string // $share/NAME/FILTER
	filter string

	members atomic.Pointer[[]*member] // replaced under groups.mu
	turn    atomic.Uint32

	indexed *session // what the index has; nil: nothing. Guarded by groups.mu.

	mu     sync.Mutex
	s      *session            // stands for the group in the index; with the queue, if there is one
	reader *store.Reader       // nil: begin at the first that is not acknowledged
	leases map[uint64]struct{} // numbers of the records that a member has
}

// member is a session in a group. A new subscription makes a new one.
type member struct {
	g    *group
	s    *session
	sub  subscription
	full *atomic.Bool // it had no room for more when it was last asked
}

// groups are a broker's, by name.
type groups struct {
	mu     sync.Mutex // guards byName and each group's making and ending
	byName map[string]*group

	memberships atomic.Int64 // of all groups
}

// shareBatch is how many messages a member takes before the next one is asked.
const shareBatch = 32

// join makes s a member of the group that filter names, or gives it other
// options.
func (b *Broker) join(s *session, filter, inner string, sub subscription) error {
	b.groups.mu.Lock()
	defer b.groups.mu.Unlock()
	g := b.groups.byName[filter]
	if g == nil {
		g = &group{b: b, name: filter, filter: inner, s: newSession(filter), leases: make(map[uint64]struct{})}
		g.s.inside = g
		g.members.Store(&[]*member{})
		b.groups.byName[filter] = g
	}
	if s.persistent() && !g.s.persistent() {
		if err := g.keep(); err != nil {
			return err
		}
	}
	m := &member{g: g, s: s, sub: sub, full: new(atomic.Bool)}
	g.replace(s, m)
	s.setMember(g, m)
	return nil
}

// leave takes s out of the group that filter names; a group without members ends.
func (b *Broker) leave(s *session, filter string) {
	b.groups.mu.Lock()
	defer b.groups.mu.Unlock()
	g := b.groups.byName[filter]
	if g == nil {
		return
	}
	s.setMember(g, nil)
	g.replace(s, nil)
	if len(*g.members.Load()) > 0 {
		g.wakeNext()
		return
	}
	delete(b.groups.byName, filter)
	b.index.Delete(g.filter, g.s)
	if g.s.persistent() {
		b.store.RemoveQueue(g.s.queue)
	}
}

// keep gives the group a queue. The session that stands for it is replaced, so
// that nobody reads a session that changes; the index has the old one until
// replace. The caller holds groups.mu.
func (g *group) keep() error {
	s := newSession(g.name)
	s.inside = g
	if err := g.b.makePersistent(s); err != nil {
		return fmt.Errorf("shared subscription %s: %w", g.name, err)
	}
	g.mu.Lock()
	g.s = s
	g.mu.Unlock()
	return nil
}

// replace puts m in the place of s's membership; nil ends it. The index gets the
// highest QoS of all, and g.s in the place of what it has. The caller holds groups.mu.
func (g *group) replace(s *session, m *member) {
	old := *g.members.Load()
	list := make([]*member, 0, len(old)+1)
	var qos byte
	for _, o := range old {
		if o.s == s {
			o, m = m, nil
		}
		if o != nil {
			list = append(list, o)
			qos = max(qos, o.sub.qos)
		}
	}
	if m != nil {
		list = append(list, m)
		qos = max(qos, m.sub.qos)
	}
	g.members.Store(&list)
	g.b.groups.memberships.Add(int64(len(list) - len(old)))
	if len(list) > 0 {
		// At once, where the group just got its queue: publishers go on meanwhile.
		g.b.index.Replace(g.filter, g.indexed, g.s, subscription{qos: qos, retainAsPublished: true})
		g.indexed = g.s
	}
}

// setMember notes a session's membership of a group; nil: none.
func (s *session) setMember(g *group, m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*member
	if old := s.memberships.Load(); old != nil {
		for _, o := range *old {
			if o.g != g {
				list = append(list, o)
			}
		}
	}
	if m != nil {
		list = append(list, m)
	}
	if len(list) == 0 {
		s.memberships.Store(nil)
		return
	}
	s.memberships.Store(&list)
}

// delivery is how a message goes to this member, which may ask for less than
// others. [MQTT-4.8.2-3]
func (m *member) delivery(d delivery) delivery {
	d.qos = min(d.qos, m.sub.qos)
	d.retain = d.retain && m.sub.retainAsPublished
	d.subIDs = nil
	if m.sub.id != 0 {
		d.subIDs = []uint32{m.sub.id}
	}
	return d
}

// receive gives a message that is in no queue to a member that is there, to one
// with room first.
func (g *group) receive(m *message, d delivery) {
	now := time.Now()
	ms := *g.members.Load()
	start := g.start(len(ms))
	for _, anyhow := range [2]bool{false, true} {
		for i := range ms {
			mem := ms[(start+i)%len(ms)]
			c := mem.s.conn.Load()
			if c == nil || !anyhow && c.crowded() {
				continue
			}
			to := mem.delivery(d)
			if to.qos == 1 {
				to.lease = &lease{group: g, m: m, d: d}
			}
			if sent, wake := c.send(m, to, now); sent {
				if wake {
					c.wake()
				}
				return
			}
		}
	}
	g.b.stats.dropped.Add(1)
}

// start gives the index of the member whose turn it is, of n.
func (g *group) start(n int) int {
	return int(g.turn.Add(1) % uint32(max(n, 1))) // an int may have 32 bits
}

// wakeNext tells the next member that has room that there may be something. It
// takes no lock: the store calls it.
func (g *group) wakeNext() {
	ms := *g.members.Load()
	start := g.start(len(ms))
	for i := range ms {
		mem := ms[(start+i)%len(ms)]
		if c := mem.s.conn.Load(); c != nil && !mem.full.Load() {
			c.wake()
			return
		}
	}
}

// lease is a QoS 1 message that a member has and has not acknowledged.
type lease struct {
	group  *group
	number uint64 // of its record in the group's queue; 0: it is in none

	m *message // in no queue: it must be kept here
	d delivery // as it came to the group
}

// end says that the member has acknowledged the message.
func (l *lease) end() {
	if l.number == 0 {
		return
	}
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.leases, l.number)
	g.s.queue.Ack(l.number)
}

// giveBack lets another member have it.
func (l *lease) giveBack() {
	if l.number == 0 {
		l.group.receive(l.m, l.d)
		return
	}
	l.group.unlease(l.number)
}

// take leases the next message of the queue to mem. It is false when there is
// none.
func (g *group) take(mem *member, now time.Time) (m *outgoingMessage, ok bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.s.queue
	if q == nil {
		return nil, false, nil
	}
	if g.reader == nil {
		g.reader = q.Reader(g.wakeNext)
	}
	for {
		it, ok, err := g.reader.Next()
		if err != nil || !ok {
			return nil, false, err
		}
		if _, leased := g.leases[it.Number]; leased {
			continue
		}
		m := &outgoingMessage{number: it.Number, queue: q}
		if m.delivery, err = parseMeta(it.Meta); err == nil {
			err = m.message.fromStored(it.Data, g.b.clock)
		}
		if err != nil {
			q.Ack(it.Number)
			return nil, false, fmt.Errorf("record %d of queue %s: %w", it.Number, q.Name(), err)
		}
		m.delivery = mem.delivery(m.delivery)
		if m.expired(now) {
			q.Ack(it.Number)
			g.b.stats.dropped.Add(1)
			continue
		}
		switch m.delivery.qos {
		case 0:
			q.Ack(it.Number)
		case 1:
			m.lease = &lease{group: g, number: it.Number}
			g.leases[it.Number] = struct{}{}
		default:
			g.leases[it.Number] = struct{}{}
		}
		return m, true, nil
	}
}

// move takes a QoS 2 message out of the queue for good, and into the member's,
// if it has one. done runs when that is on disk.
func (g *group) move(mem *member, m *outgoingMessage, done func(error)) {
	recs := []store.Record{{Kind: store.Acknowledge, Refs: []store.Ref{{Queue: m.queue.ID()}}, Number: m.number}}
	if mem.s.persistent() {
		ref := store.Ref{Queue: mem.s.queue.ID(), Meta: metaOf(m.delivery)}
		recs = append(recs, store.Record{Kind: store.Message, Refs: []store.Ref{ref}, Data: m.appendStored(nil)})
	}
	g.b.store.Commit(recs, func(err error) {
		if err != nil {
			g.unlease(m.number)
		} else {
			g.mu.Lock()
			delete(g.leases, m.number)
			g.mu.Unlock()
		}
		done(err)
	})
}

// unlease lets another member have a record.
func (g *group) unlease(number uint64) {
	g.mu.Lock()
	delete(g.leases, number)
	g.reader = nil
	g.mu.Unlock()
	g.wakeNext()
}
