package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"headgate/broker/packet"
	"headgate/broker/store"
)

// ackQueue holds the answers that a client is owed for what it published, in
// the order in which it published. [MQTT-4.6.0-2] [MQTT-4.6.0-3] An answer
// leaves when the commit that it waits for is on disk. conn.mu guards it.
type ackQueue struct {
	queue       []ack
	submitted   uint64 // commits handed to the log
	completed   uint64 // of them, those on disk
	outstanding int64  // bytes of those that are not
}

// receivedAck is an acknowledgement of the client's.
type receivedAck struct {
	typ    packet.Type // PUBACK, PUBREC, PUBREL or PUBCOMP
	id     uint16
	failed bool
}

type ack struct {
	typ    packet.Type // PUBACK, PUBREC or PUBCOMP
	id     uint16
	reason packet.ReasonCode
	after  uint64 // the number of the commit to wait for
	again  bool   // PUBREC for a PUBLISH that was sent again: it is not counted
}

// maxOutstanding bounds what one client's publishes may have waiting for the
// disk, in bytes: past it the client is not read any more.
const maxOutstanding = 4 << 20

// maxOwed bounds the answers that wait with them: those for what goes nowhere cost
// the disk nothing, and a client of 3.1.1 may send any number.
const maxOwed = 16 << 10

// owe adds an answer. durable: it waits for the batch that is being gathered;
// else only for those before it.
func (c *conn) owe(t packet.Type, id uint16, reason packet.ReasonCode, durable bool) {
	c.oweAck(ack{typ: t, id: id, reason: reason}, durable)
}

func (c *conn) oweAck(a ack, durable bool) {
	if durable {
		a.after = 1 // more than are submitted: see settle
	}
	c.owed = append(c.owed, a)
}

// settle takes the answers that the reader has gathered to those that wait, and
// gives those that need not wait.
func (c *conn) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unanswered += c.expected
	c.expected = 0
	if !c.last {
		c.out.expect(len(c.owed) * ackRoom)
	}
	for _, a := range c.owed {
		a.after += c.acks.submitted
		if len(c.acks.queue) == 0 && a.after <= c.acks.completed {
			c.answer(a)
			continue
		}
		c.acks.queue = append(c.acks.queue, a)
	}
	c.owed = c.owed[:0]
}

// expectAnswer counts a QoS 1 or 2 message that the client has on its way.
func (c *conn) expectAnswer() error {
	c.expected++
	if c.receiveMaximum == 0 || c.expected <= c.allowed {
		return nil
	}
	c.settle()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.allowed = c.receiveMaximum - c.unanswered
	if c.allowed < 0 {
		return &packet.Error{Reason: packet.ReceiveMaximumExceeded, Clause: "MQTT-3.3.4-7", Text: fmt.Sprintf("PUBLISH: more than %d messages are unanswered", c.receiveMaximum)}
	}
	return nil
}

// ackRoom is the size of an acknowledgement with a reason code.
const ackRoom = 5

// answer writes one out. The caller holds c.mu.
func (c *conn) answer(a ack) {
	if c.last {
		return // nothing follows a DISCONNECT
	}
	if a.typ == packet.PUBACK || a.typ == packet.PUBCOMP && !a.reason.Failed() || a.typ == packet.PUBREC && a.reason.Failed() && !a.again {
		// Only what came in this connection counts: with a PUBREL that is sent again
		// there may be more answers than that. [MQTT 4.9]
		c.unanswered = max(0, c.unanswered-1)
	}
	c.out.buf = packet.AppendAck(c.out.room(ackRoom), c.version, a.typ, a.id, a.reason)
	c.sent.packets++
}

// endBatch commits what the packets since the last one left to be kept, and
// wakes whom they were sent to.
func (c *conn) endBatch() {
	if len(c.owed) > 0 || c.expected > 0 {
		c.settle()
	}
	c.allowed = 0
	bytes := c.router.batch.bytes
	if len(c.router.batch.recs) > 0 {
		c.mu.Lock()
		c.acks.submitted++
		number := c.acks.submitted
		c.acks.outstanding += bytes
		c.mu.Unlock()
		c.router.commit(func(err error) { c.committed(number, bytes, err) })
	}
	c.router.flush()
	s := &c.b.stats
	c.got.addTo(&s.packetsIn, &s.messagesIn, &s.payloadIn)
	c.wakeHere(0)
	if len(c.router.behind) > 0 {
		c.waitFor(c.router.behind)
		clear(c.router.behind)
		c.router.behind = c.router.behind[:0]
	}
}

// committed sends the answers that waited for a commit. It runs on the log's
// goroutine.
func (c *conn) committed(number uint64, bytes int64, err error) {
	s := c.session
	if err != nil {
		s.mu.Lock() // what is refused is forgotten before the client hears of it
	}
	c.mu.Lock()
	c.acks.completed = number
	c.acks.outstanding -= bytes
	full, held := refusedFull(err), errors.Is(err, store.ErrHeld)
	owed := false
	var refused, unreleased []uint16 // QoS 2 identifiers
	n := 0
	if !c.last {
		c.out.expect(len(c.acks.queue) * ackRoom)
	}
	for _, a := range c.acks.queue {
		if a.after > number {
			break
		}
		n++
		if a.after == number && err != nil && !a.reason.Failed() {
			owed = true
			switch {
			case held && a.typ == packet.PUBREC:
				continue // it is there already when the message comes again
			case a.typ == packet.PUBREC && !a.again:
				refused = append(refused, a.id)
				delete(s.received, a.id)
			case a.typ == packet.PUBCOMP && s.persistent():
				unreleased = append(unreleased, a.id)
				s.receive(a.id) // as on disk
				continue
			}
			if !full || c.version != packet.V5 {
				continue // answered by closing the connection
			}
			if a.typ == packet.PUBACK || a.typ == packet.PUBREC && (!a.again || slices.Contains(refused, a.id)) {
				a.reason = packet.QuotaExceeded
			}
		}
		c.answer(a)
	}
	c.acks.queue = append(c.acks.queue[:0], c.acks.queue[n:]...)
	c.roomier()
	c.mu.Unlock()
	if err != nil {
		s.mu.Unlock()
	}
	switch {
	case len(unreleased) > 0 && full && c.version == packet.V5:
		c.b.stats.refusedFull.Add(1)
		c.release(unreleased)
	case err == nil:
	case !owed: // of QoS 0
		c.b.stats.dropped.Add(1)
	case full && c.version == packet.V5:
		c.b.stats.refusedFull.Add(1)
	case full:
		// MQTT 3.1.1 has no way to refuse a PUBLISH but to close: without an
		// acknowledgement the client keeps the message.
		c.b.stats.refusedFull.Add(1)
		c.end(packet.QuotaExceeded, err)
	default:
		c.end(packet.ServerBusy, err)
	}
	c.wake()
}

// refusedFull says whether a commit was refused for want of room, and nothing of it
// was kept.
func refusedFull(err error) bool {
	return errors.Is(err, store.ErrFull) && !errors.Is(err, store.ErrUnavailable)
}

// release takes PUBRELs to disk by themselves that were refused with messages: they
// need no room. PUBCOMP goes when they are there.
func (c *conn) release(ids []uint16) {
	recs := make([]store.Record, len(ids))
	for i, id := range ids {
		recs[i] = store.Record{Kind: store.Delete, Key: receivedKey(c.session.id, id)}
	}
	c.b.store.Commit(recs, func(err error) {
		if err != nil {
			c.end(packet.ServerBusy, err)
			return
		}
		c.session.mu.Lock()
		for _, id := range ids {
			delete(c.session.received, id)
		}
		c.session.mu.Unlock()
		c.mu.Lock()
		for _, id := range ids {
			c.answer(ack{typ: packet.PUBCOMP, id: id})
		}
		c.mu.Unlock()
		c.wake()
	})
}

// decodeAck reads the body of an acknowledgement of type t.
func (c *conn) decodeAck(t packet.Type, body []byte) (receivedAck, error) {
	if len(body) == 2 {
		if id := binary.BigEndian.Uint16(body); id != 0 {
			return receivedAck{typ: t, id: id}, nil
		}
	}
	var a packet.Ack
	err := a.Decode(c.version, t, body)
	return receivedAck{typ: t, id: a.PacketID, failed: a.Reason.Failed()}, err
}
