package broker

import (
	"time"
)

// volatile is the sending side of a session that ends with its connection: its
// QoS 1 and 2 messages are in memory only. Sent ones need no copy, as there is
// no later connection to send them again on; only their identifiers are kept.
// conn.mu guards it.
type volatile struct {
	window  int
	flight  map[uint16]inflight // by packet identifier
	leases  map[uint16]*lease   // of those in flight, a group's
	lastID  uint16
	pending []pending // what the window has no room for, oldest first
	bytes   int64     // of pending
}

type pending struct {
	m *message
	d delivery
}

// id takes a free packet identifier. The window is smaller than their number,
// so there is one.
func (v *volatile) id(qos byte) uint16 {
	for {
		v.lastID++
		if v.lastID == 0 {
			continue // [MQTT-2.2.1-3]
		}
		if _, taken := v.flight[v.lastID]; !taken {
			v.flight[v.lastID] = inflight{qos: qos}
			return v.lastID
		}
	}
}

// send gives m to the client of a session that is not persistent, or at QoS 0
// to any. wake: the caller must wake the writer. What there is no room for is
// not sent, and the caller's to drop and count: a slow client slows nobody.
func (c *conn) send(m *message, d delivery, now time.Time) (sent, wake bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m = c.entry.unmount(m)
	size := m.publishSize(c.version, d)
	limit := int64(c.b.live.Load().MaxQueuedBytes)
	v := &c.volatile
	switch {
	case c.last:
		return false, false
	case c.maxPacket > 0 && size > c.maxPacket: // [MQTT-3.1.2-24]
		return false, false
	case d.qos > 0 && (len(v.pending) > 0 || len(v.flight) >= v.window):
		if v.bytes+m.bytes() > limit || !c.charge(m.bytes()) {
			return false, false
		}
		v.pending = append(v.pending, pending{m.clone(), d})
		v.bytes += m.bytes()
		return true, false // an acknowledgement opens the window
	case c.outBytes()+int64(size) > limit || !c.charge(int64(size)):
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
	if _, ok := v.flight[id]; !ok {
		return false
	}
	delete(v.flight, id)
	if l := v.leases[id]; l != nil {
		delete(v.leases, id)
		l.end()
	}
	for len(v.pending) > 0 && len(v.flight) < v.window {
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
func (c *conn) outBytes() int64 { return int64(len(c.out) + max(0, c.writing-chargeStep)) }

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
