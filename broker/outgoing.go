package broker

import (
	"cmp"
	"fmt"
	"time"

	"headgate/broker/clock"
	"headgate/broker/store"
)

// outgoing is the sending side of a persistent session: it reads the session's
// queue in order, gives each QoS 1 and 2 message its packet identifier, and
// knows what is in flight. Its owner serialises the calls.
type outgoing struct {
	queue  *store.Queue
	clock  *clock.Clock
	reader *store.Reader
	window int // messages in flight at most

	// The identifiers that the queue's messages have: count of them, 0 for all,
	// after the first skip.
	skip  uint16
	count int

	flight map[uint16]inflight // by packet identifier
	held   *store.Item         // a QoS 2 message that is not on disk yet

	message *outgoingMessage // the one that next gave last

	lastLease uint16 // the packet identifier that a group's message got last

	// Since start, what is to come that the receiver may hold: so many PUBRELs, and
	// the QoS 2 messages of records up to againTo that were in flight.
	releases int
	againTo  uint64

	sent     uint64 // the highest record number ever handed out
	doubtful int    // how many recovered records may have been sent before a crash
}

type inflight struct {
	number   uint64
	qos      byte
	received bool   // QoS 2: PUBREC has come
	released bool   // and is on disk: PUBREL may go
	lease    *lease // it is a group's, not the queue's
}

// outgoingMessage is the next thing to send.
type outgoingMessage struct {
	message
	delivery
	number  uint64
	queue   *store.Queue // a group's
	release bool         // QoS 2: PUBREC came before: send PUBREL, not PUBLISH
}

// identifiers is how many packet identifiers there are: 1 to 65535.
const identifiers = 65_535

// packetID derives a message's packet identifier from its place in the queue, so
// that it is the same after a restart without having been written.
func (o *outgoing) packetID(ordinal uint64) uint16 {
	count := uint64(cmp.Or(o.count, identifiers))
	return o.skip + uint16(ordinal%count) + 1
}

// start begins at the first message that is not acknowledged.
func (o *outgoing) start(window int, notify func()) {
	o.window = min(window, cmp.Or(o.count, identifiers))
	for _, f := range o.flight {
		if f.qos == 2 {
			o.againTo = max(o.againTo, f.number)
		}
	}
	o.releases = o.queue.Unreleased()
	o.flight = make(map[uint16]inflight)
	o.held = nil
	o.message = new(outgoingMessage)
	o.reader = o.queue.Reader(notify)
	// Far from those that the queue's own messages will have.
	o.lastLease = o.packetID(o.queue.Stats().Next + identifiers/2)
}

// lease puts a group's message in flight and gives it a packet identifier.
func (o *outgoing) lease(l *lease) uint16 {
	for {
		o.lastLease++
		if _, taken := o.flight[o.lastLease]; !taken && o.lastLease != 0 {
			o.flight[o.lastLease] = inflight{number: l.number, qos: 1, lease: l}
			return o.lastLease
		}
	}
}

// endLeases takes the groups' messages out of flight.
func (o *outgoing) endLeases() (ls []*lease) {
	for id, f := range o.flight {
		if f.lease != nil {
			ls = append(ls, f.lease)
			delete(o.flight, id)
		}
	}
	return ls
}

// next gives the next message, or false when there is none, the window is
// closed, or the next one must wait until it is on disk: then waitDurable is
// called, once, with the number of its record, and next is to be called again
// after durable. What it gives stands until the next call.
func (o *outgoing) next(now time.Time, waitDurable func(number uint64), drop func(m *outgoingMessage, reason string)) (*outgoingMessage, bool, error) {
	for len(o.flight) < o.window {
		it, ok, err := o.nextItem()
		if err != nil || !ok {
			return nil, false, err
		}
		m := o.message
		*m = outgoingMessage{number: it.Number}
		m.delivery, err = parseMeta(it.Meta)
		if err == nil {
			err = m.message.fromStored(it.Data, o.clock)
		}
		if err != nil {
			o.queue.Ack(it.Number)
			return nil, false, fmt.Errorf("record %d of queue %s: %w", it.Number, o.queue.Name(), err)
		}
		if m.delivery.qos == 2 && !it.Durable {
			// Exactly once needs an identifier that a crash cannot give to
			// another message.
			if o.held == nil {
				o.hold(it)
				waitDurable(it.Number)
			}
			return nil, false, nil
		}
		if id := o.packetID(it.Ordinal); m.delivery.qos > 0 && o.taken(id) {
			// One is unacknowledged since as many messages as there are: wait for it.
			o.hold(it)
			return nil, false, nil
		}
		o.held = nil
		m.dup = it.Number <= o.sent
		begun := m.dup
		if it.Recovered && it.Number > o.sent && o.doubtful > 0 {
			o.doubtful--
			m.dup = true
			// At QoS 2 its identifier may be known to the receiver; at QoS 1 it is safe
			// to take it for one that was not sent.
			begun = m.delivery.qos == 2
		}
		o.sent = max(o.sent, it.Number)
		if m.delivery.qos == 0 {
			m.dup = false // [MQTT-3.3.1-2]
			o.queue.Ack(it.Number)
			if m.expired(now) {
				drop(m, "expired")
				continue
			}
			return m, true, nil
		}
		m.packetID = o.packetID(it.Ordinal)
		if m.release = it.Received && m.delivery.qos == 2; m.release {
			o.releases--
		}
		if m.number >= o.againTo {
			o.againTo = 0
		}
		if !m.release && !begun && m.expired(now) {
			// Not begun: it need not be sent any more. [MQTT-3.3.2-5]
			o.queue.Ack(it.Number)
			drop(m, "expired")
			continue
		}
		o.flight[m.packetID] = inflight{number: it.Number, qos: m.delivery.qos, received: m.release, released: m.release}
		return m, true, nil
	}
	return nil, false, nil
}

func (o *outgoing) hold(it store.Item) { o.held = &it }

func (o *outgoing) nextItem() (store.Item, bool, error) {
	if o.held != nil {
		return *o.held, true, nil
	}
	return o.reader.Next()
}

func (o *outgoing) taken(id uint16) bool {
	_, taken := o.flight[id]
	return taken
}

// durable says that a record is on disk which was held back for that. By now it
// may be another one, of a later connection.
func (o *outgoing) durable(number uint64) {
	if o.held != nil && o.held.Number <= number {
		o.held.Durable = true
	}
}

// ack takes a PUBACK, a PUBCOMP, or a PUBREC that refuses: the message has been
// dealt with. It is false for an identifier that is not in flight.
func (o *outgoing) ack(id uint16) bool {
	f, ok := o.flight[id]
	if !ok {
		return false
	}
	delete(o.flight, id)
	if f.lease != nil {
		f.lease.end()
	} else {
		o.queue.Ack(f.number)
	}
	return true
}

// receive takes a PUBREC. PUBREL may go only once that is on disk: at once, if it
// came before, and else when done runs, which is to call released. For one that
// comes again meanwhile only the first one's done runs. known is false for an
// identifier that is not a QoS 2 message in flight.
func (o *outgoing) receive(id uint16, done func(error)) (known, atOnce bool) {
	f, ok := o.flight[id]
	if !ok || f.qos != 2 {
		return false, false
	}
	if !f.received {
		f.received = true
		o.flight[id] = f
		o.queue.Received(f.number, done)
	}
	return true, f.released
}

// released notes that a PUBREC is on disk.
func (o *outgoing) released(id uint16) {
	if f, ok := o.flight[id]; ok && f.received {
		f.released = true
		o.flight[id] = f
	}
}
