package broker

import (
	"time"

	"headgate/broker/packet"
)

// volatile is the sending side of a session that ends with its connection: its
// QoS 1 and 2 messages are in memory only. Sent ones need no copy, as there is
// no later connection to send them again on; only their identifiers are kept.
// conn.mu guards it.
type volatile struct {
	window  int
	flight  flight
	leases  map[uint16]*lease // of those in flight, a group's
	pending []pending         // what the window has no room for, oldest first
	bytes   int64             // of pending
}

// pending is a message that waits. Other clients may have it too.
type pending struct {
	m *message
	d delivery
}

// full says that the next message has to wait.
func (v *volatile) full() bool { return len(v.pending) > 0 || v.flight.n >= v.window }

// id takes a free packet identifier.
func (v *volatile) id(qos byte) uint16 {
	if qos == 1 {
		return v.flight.take(v.window, awaitPuback)
	}
	return v.flight.take(v.window, awaitPubrec)
}

// postpone keeps m, which is nobody's to change any more, until acknowledgements
// open the window. The caller holds c.mu.
func (c *conn) postpone(m *message, d delivery) bool {
	v := &c.volatile
	if v.bytes+m.bytes() > int64(c.b.live.Load().MaxQueuedBytes) || !c.charge(m.bytes()) {
		return false
	}
	v.pending = append(v.pending, pending{m, d})
	v.bytes += m.bytes()
	return true
}

// send gives m to the client of a session that is not persistent, or at QoS 0
// to any. wake: the caller must wake the writer. What there is no room for is
// not sent, and the caller's to drop and count: a slow client slows nobody.
func (c *conn) send(m *message, d delivery, now time.Time) (sent, wake bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m = c.entry.unmount(m)
	size := m.publishSize(c.version, d)
	switch {
	case c.last:
		return false, false
	case c.maxPacket > 0 && size > c.maxPacket: // [MQTT-3.1.2-24]
		return false, false
	case d.qos > 0 && c.volatile.full():
		return c.postpone(m.clone(), d), false
	case !c.roomFor(size):
		return false, false
	}
	c.appendPublish(m, d, now)
	wake, c.signaled = !c.signaled, true
	return true, wake
}

// appendPublish writes one out. The caller holds c.mu and has looked for room.
func (c *conn) appendPublish(m *message, d delivery, now time.Time) {
	if d.qos > 0 {
		v := &c.volatile
		d.packetID = v.id(d.qos)
		if d.lease != nil {
			if v.leases == nil {
				v.leases = make(map[uint16]*lease)
			}
			v.leases[d.packetID] = d.lease
		}
	}
	c.appendPacket(m, d, now)
}

// acked takes the acknowledgement that ends id's delivery, and sends what waited
// for the window. It is false when id is not in flight. The caller holds c.mu.
func (c *conn) acked(id uint16, now time.Time) bool {
	v := &c.volatile
	if v.flight.of(id) == notInFlight {
		return false
	}
	v.flight.end(id)
	if l := v.leases[id]; l != nil {
		delete(v.leases, id)
		l.end()
	}
	for len(v.pending) > 0 && v.flight.n < v.window {
		p := v.pending[0]
		v.pending[0] = pending{}
		v.pending = v.pending[1:]
		v.bytes -= p.m.bytes()
		if p.m.expired(now) {
			c.b.stats.dropped.Add(1)
			continue
		}
		c.appendPublish(p.m, p.d, now)
	}
	if len(v.pending) == 0 {
		v.pending = nil
	}
	return true
}

// chargeStep is what a connection may hold for nothing, and the steps in which
// it is charged for more.
const chargeStep = 64 << 10

// outBytes is what waits to be written, and of what is being written all that a
// client that takes its messages does not have. The caller holds c.mu.
func (c *conn) outBytes() int64 { return int64(c.out.len() + max(0, c.writing-chargeStep)) }

// charge takes from the memory that all slow clients share, if what waits for
// this one and more bytes need it. It is false when that is used up. The caller
// holds c.mu.
func (c *conn) charge(more int64) bool {
	for c.outBytes()+c.volatile.bytes+more > c.charged+chargeStep {
		if c.b.queued.Add(chargeStep) > int64(c.b.live.Load().MaxQueuedTotalBytes) {
			c.b.queued.Add(-chargeStep)
			return false
		}
		c.charged += chargeStep
	}
	return true
}

// discharge gives back what is not needed any more. The caller holds c.mu.
func (c *conn) discharge() {
	need := c.outBytes() + c.volatile.bytes
	for c.charged > 0 && need <= c.charged {
		c.charged -= chargeStep
		c.b.queued.Add(-chargeStep)
	}
}

// takeAcks takes the acknowledgements that came for what was sent. One that does
// not fit closes the connection, after those before it.
func (c *conn) takeAcks(now time.Time) error {
	if len(c.acksIn) == 0 {
		return nil
	}
	defer func() { c.acksIn = c.acksIn[:0] }()
	take := c.ackDurable
	if s := c.session; s.persistent() {
		s.mu.Lock()
		defer s.mu.Unlock()
	} else {
		c.mu.Lock()
		defer c.mu.Unlock()
		take = func(a receivedAck) error { return c.takeAck(a, now) }
	}
	for _, a := range c.acksIn {
		if err := take(a); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) takeAck(a receivedAck, now time.Time) error {
	state := c.volatile.flight.of(a.id)
	known := state != notInFlight
	if known && !fits(a, state.qos(), state == awaitPubcomp) {
		return unfitting(a, state.qos())
	}
	if a.typ != packet.PUBREC || a.failed {
		c.acked(a.id, now)
		return nil
	}
	answer := ack{typ: packet.PUBREL, id: a.id}
	switch {
	case known:
		c.volatile.flight.set(a.id, awaitPubcomp)
	case c.version == packet.V5:
		answer.reason = packet.PacketIdentifierNotFound
	}
	c.answer(answer)
	return nil
}
