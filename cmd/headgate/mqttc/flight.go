package mqttc

import (
	"cmp"
	"fmt"
	"slices"

	"headgate/broker/packet"
)

// progress is how far a message of ours is.
type progress byte

const (
	waiting   progress = iota // for its turn on this connection
	published                 // PUBLISH is sent
	released                  // PUBREC came, PUBREL is sent
)

// sent is a QoS 1 or 2 message that is not acknowledged.
type sent struct {
	p        packet.Publish
	size     int
	order    uint64
	progress progress
}

// flight is what is not acknowledged, by packet identifier.
type flight struct {
	messages map[uint16]*sent
	bytes    int
	waiting  int // of the messages, those not sent on this connection
	exact    int // of the others, those of QoS 2
}

func (f *flight) add(id uint16, m *sent) {
	f.messages[id] = m
	f.bytes += m.size
	f.count(m, 1)
}

func (f *flight) remove(id uint16) {
	m := f.messages[id]
	delete(f.messages, id)
	f.bytes -= m.size
	f.count(m, -1)
}

// move changes a message's progress.
func (f *flight) move(m *sent, p progress) {
	f.count(m, -1)
	m.progress = p
	f.count(m, 1)
}

func (f *flight) count(m *sent, n int) {
	switch {
	case m.progress == waiting:
		f.waiting += n
	case m.p.QoS == 2:
		f.exact += n
	}
}

// inOrder gives those that wait for their turn, the oldest first.
func (f *flight) inOrder() []*sent {
	list := make([]*sent, 0, f.waiting)
	for _, m := range f.messages {
		if m.progress == waiting {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b *sent) int { return cmp.Compare(a.order, b.order) })
	return list
}

// hasRoom says whether the message may go now.
func (c *Client) hasRoom(p *packet.Publish) bool {
	if c.conn == nil || c.conn.closing || c.finish || len(c.conn.out)+c.flight.bytes >= maxFlightBytes {
		return false
	}
	return p.QoS == 0 || c.flight.waiting == 0 && c.windowOpen(p.QoS)
}

// windowOpen says whether one more message may be on its way.
func (c *Client) windowOpen(qos byte) bool {
	l := &c.conn.limits
	return len(c.flight.messages)-c.flight.waiting < l.window && (qos < 2 || c.flight.exact < l.exact)
}

// send sends a message for which there is room, in the bounds of the server.
func (c *Client) send(p *packet.Publish) (uint16, error) {
	l := &c.conn.limits
	if p.QoS > l.maxQoS {
		return 0, &NotSent{packet.QoSNotSupported, fmt.Sprintf("%s takes QoS %d at most", c.conn.address, l.maxQoS)}
	}
	if p.Properties.Has(packet.PropTopicAlias) && p.Properties.TopicAlias > l.maxAlias { // [MQTT-3.3.2-9]
		return 0, &NotSent{packet.TopicAliasInvalid, fmt.Sprintf("%s takes topic aliases up to %d", c.conn.address, l.maxAlias)}
	}
	m := &sent{p: *p, progress: published}
	if p.Retain && !l.retain {
		m.p.Retain = false // [MQTT-3.2.2-14]
		if c.cfg.Warn != nil {
			c.cfg.Warn(c.conn.address + " keeps no retained messages: published as a plain one")
		}
	}
	id := c.nextID()
	if p.QoS > 0 {
		m.p.PacketID = id
	}
	before := len(c.conn.out)
	c.conn.out = m.p.Append(c.conn.out, c.version)
	m.size = len(c.conn.out) - before
	if m.size > l.maxPacket { // [MQTT-3.2.2-15]
		c.conn.out = c.conn.out[:before]
		return 0, &NotSent{packet.PacketTooLarge, fmt.Sprintf("the packet has %d bytes, and %s takes %d at most", m.size, c.conn.address, l.maxPacket)}
	}
	c.tracePublish("sending", id, &m.p)
	if p.QoS > 0 {
		c.order++
		m.order = c.order
		c.flight.add(id, m)
	}
	c.conn.poke()
	return id, nil
}

// resume decides, at a new connection, about what the one before left: where the
// server kept the session the messages go again as what they are, duplicates;
// else as new ones. [MQTT-4.4.0-1]
func (c *Client) resume(present bool) {
	for id, m := range c.flight.messages {
		if m.progress == released {
			c.release(id) // the server has had the message, and answers in any case
			continue
		}
		m.p.Dup = present && (m.p.Dup || m.progress == published)
		c.flight.move(m, waiting)
	}
	c.sendWaiting()
}

// sendWaiting sends what waits for its turn, in order, as far as the window goes.
func (c *Client) sendWaiting() {
	if c.flight.waiting == 0 {
		return
	}
	for _, m := range c.flight.inOrder() {
		if !c.windowOpen(m.p.QoS) {
			return
		}
		c.flight.move(m, published)
		c.tracePublish("sending", m.p.PacketID, &m.p)
		c.conn.out = m.p.Append(c.conn.out, c.version)
		c.conn.poke()
	}
}

// release sends PUBREL.
func (c *Client) release(id uint16) {
	ack := packet.Ack{Type: packet.PUBREL, PacketID: id}
	c.traceLocked("sending PUBREL (m%d)", id)
	c.conn.out = ack.Append(c.conn.out, c.version)
	c.conn.poke()
}

// acknowledged handles what the server says of a message of ours.
func (c *Client) acknowledged(conn *connection, a *packet.Ack) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch a.Type {
	case packet.PUBREC:
		c.traceLocked("received PUBREC (Mid: %d)", a.PacketID)
	default:
		c.traceLocked("received %v (Mid: %d, RC:%d)", a.Type, a.PacketID, a.Reason)
	}
	m := c.flight.messages[a.PacketID]
	if m == nil {
		if a.Type == packet.PUBREC && !a.Reason.Failed() {
			c.release(a.PacketID) // an identifier of a session before ours: let it go
		}
		return nil
	}
	if want := m.awaits(); a.Type != want && !(a.Type == packet.PUBREC && m.progress == released) {
		return &packet.Error{Reason: packet.ProtocolError, Text: fmt.Sprintf("%v for %d, which waits for %v", a.Type, a.PacketID, want)}
	}
	if a.Type == packet.PUBREC && !a.Reason.Failed() {
		c.flight.move(m, released)
		c.release(a.PacketID)
		return nil
	}
	if a.Reason.Failed() && a.Type != packet.PUBCOMP && c.cfg.Refused != nil {
		c.cfg.Refused(a.PacketID, string(m.p.Topic), &Refusal{
			Address: conn.address, Packet: a.Type, Version: c.version, Reason: a.Reason, Text: reasonText(&a.Properties)})
	}
	c.flight.remove(a.PacketID)
	if !conn.closing {
		c.sendWaiting()
	}
	c.finishIfIdle()
	c.broadcast()
	return nil
}

// awaits is the packet that is to come next.
func (m *sent) awaits() packet.Type {
	switch {
	case m.p.QoS == 1:
		return packet.PUBACK
	case m.progress == released:
		return packet.PUBCOMP
	}
	return packet.PUBREC
}
