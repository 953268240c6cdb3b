package bridge

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"headgate/broker/packet"
)

// QueuedProperty is the user property (with the value "1") of a message from the
// upstream that may have waited there while we were away, or be a retained one:
// how old it is, nobody can say. It is the bridge's own word: one that came from
// outside is taken off.
const QueuedProperty = "headgate-queued"

const (
	// queuedFor is how long after CONNACK the upstream sends what it kept.
	queuedFor = 2 * time.Second

	maxArrived      = 10_000   // packets that wait for the local broker, before reading stops
	maxArrivedBytes = 16 << 20 // bytes of them

	holdFor = time.Second // between attempts, when the local broker does not take a message
)

// downlink is what came from the upstream and is not answered yet, in the order
// in which it came and will be answered. [MQTT-4.6.0-2] [MQTT-4.6.0-3]
type downlink struct {
	queue []*arrival
	bytes int
	held  bool // the local broker refused one: nothing is handed on before it
	told  bool // and the log says so
}

type standing uint8

const (
	handed   standing = iota // to the Source
	held                     // to be handed to it again
	answered                 // the answer may go
)

// arrival is a PUBLISH or PUBREL of the upstream.
type arrival struct {
	answer   packet.Type // PUBACK, PUBREC or PUBCOMP; 0 for none
	packetID uint16
	reason   packet.ReasonCode
	size     int
	standing standing
	message  Message // but for PUBCOMP
}

func (d *downlink) waiting() bool { return len(d.queue) > 0 }

// incoming takes a PUBLISH.
func (r *reader) incoming(ctx context.Context, in incomingPacket) error {
	// One copy, which the local broker may keep: the buffer is read into again.
	var p packet.Publish
	if err := p.Decode(r.link.version, in.Flags, bytes.Clone(in.body)); err != nil {
		return err
	}
	if p.Properties.Has(packet.PropTopicAlias) {
		// We allow none. [MQTT-3.3.2-9]
		return &packet.Error{Reason: packet.TopicAliasInvalid, Clause: "MQTT-3.3.2-9", Text: "PUBLISH with a topic alias"}
	}
	if r.b.edge != nil {
		r.nodeMessage(ctx, &p)
		return nil
	}
	a := &arrival{answer: answerTo(p.QoS), packetID: p.PacketID, size: len(in.body)}
	topic := string(p.Topic)
	local, down, ok := r.b.cfg.localTopic(topic)
	if !ok {
		r.b.counters.unmapped.Add(1)
		if times, ok := r.b.repeats.note("unmapped"); ok {
			r.b.log.Warn("message from the upstream fits no [[bridge.down]]", "topic", topic, "count", times)
		}
		a.standing = answered
		r.accept(ctx, a)
		return nil
	}
	a.message = Message{
		Topic: local, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain && down.Retain == retainKeep,
		Properties: p.Properties,
	}
	a.message.Properties.SubscriptionIDs = nil
	old := p.Dup || r.age() < queuedFor && (r.link.present || p.Retain)
	markQueued(&a.message.Properties, old)
	r.accept(ctx, a)
	return nil
}

// tooLarge takes the beginning of a PUBLISH above maxIncoming. It is answered,
// or the upstream would send it at each connection again.
func (r *reader) tooLarge(ctx context.Context, in incomingPacket) error {
	qos := in.Flags >> 1 & 3
	n := 2 + int(binary.BigEndian.Uint16(in.body))
	a := &arrival{answer: answerTo(qos), standing: answered}
	if qos > 0 {
		if a.packetID = binary.BigEndian.Uint16(in.body[n:]); a.packetID == 0 || qos == 3 {
			return &packet.Error{Reason: packet.MalformedPacket, Text: "PUBLISH: packet identifier 0 or QoS 3"}
		}
		a.reason = packet.ImplementationSpecificError
	}
	r.b.counters.tooLarge.Add(1)
	if times, ok := r.b.repeats.note("too large"); ok {
		r.b.log.Warn("message from the upstream is too large and not taken", "topic", string(in.body[2:n]), "bytes", in.Remaining, "count", times)
	}
	r.accept(ctx, a)
	return nil
}

// release takes a PUBREL.
func (r *reader) release(ctx context.Context) error {
	r.accept(ctx, &arrival{answer: packet.PUBCOMP, packetID: r.ack.PacketID})
	return nil
}

func answerTo(qos byte) packet.Type {
	switch qos {
	case 1:
		return packet.PUBACK
	case 2:
		return packet.PUBREC
	}
	return 0
}

// markQueued sets or takes off the QueuedProperty.
func markQueued(p *packet.Properties, queued bool) {
	p.User = slices.DeleteFunc(p.User, func(u packet.UserProperty) bool { return string(u.Key) == QueuedProperty })
	if queued {
		p.User = append(p.User, packet.UserProperty{Key: []byte(QueuedProperty), Value: []byte("1")})
	}
}

// accept puts an arrival at the end of the line and hands it to the Source.
func (r *reader) accept(ctx context.Context, a *arrival) {
	if !r.awaitRoom(ctx) {
		return
	}
	r.mu.Lock()
	r.down.queue = append(r.down.queue, a)
	r.down.bytes += a.size
	switch {
	case a.standing == answered:
		r.answerDue()
		r.mu.Unlock()
		wake(r.wakeWrite)
		return
	case r.down.held:
		a.standing = held
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	r.hand(a)
}

// awaitRoom stops reading while the local broker is behind, or the upstream
// does not read our answers. False when ctx ended.
func (r *reader) awaitRoom(ctx context.Context) bool {
	for {
		r.mu.Lock()
		room := len(r.down.queue) < maxArrived && r.down.bytes < maxArrivedBytes && len(r.out) < 2*highWater
		r.mu.Unlock()
		if room {
			return ctx.Err() == nil
		}
		r.stalled.Store(true)
		ok := waitFor(ctx, r.wakeRead, 0)
		r.stalled.Store(false)
		if !ok {
			return false
		}
	}
}

// hand gives an arrival to the Source.
func (s *session) hand(a *arrival) {
	if a.answer == packet.PUBCOMP {
		s.src.Release(a.packetID, func(err error) { s.taken(a, err) })
		return
	}
	var id uint16
	if a.message.QoS == 2 {
		id = a.packetID
	}
	s.src.Publish(a.message, id, func(err error) { s.taken(a, err) })
}

// taken hears from the Source, on any goroutine, also after the session.
func (s *session) taken(a *arrival, err error) {
	s.mu.Lock()
	told := s.down.told
	if err != nil {
		a.standing = held
		s.down.held, s.down.told = true, true
	} else {
		a.standing = answered
		s.answerDue()
	}
	s.mu.Unlock()
	if err != nil {
		if !told {
			s.b.log.Warn("local broker does not take a message from the upstream, it is tried again", "topic", a.message.Topic, "err", err)
		}
		return
	}
	if a.answer != packet.PUBCOMP {
		s.b.counters.received.Add(1)
	}
	wake(s.wakeWrite)
	wake(s.wakeRead)
}

// answerDue answers from the front of the line as far as answers may go. The
// mutex is held.
func (s *session) answerDue() {
	d := &s.down
	for len(d.queue) > 0 && d.queue[0].standing == answered {
		a := d.queue[0]
		d.queue[0] = nil
		d.queue = d.queue[1:]
		d.bytes -= a.size
		if a.answer != 0 {
			ack := packet.Ack{Type: a.answer, PacketID: a.packetID, Reason: a.reason}
			s.out = ack.Append(s.out, s.link.version)
		}
	}
}

// handHeld hands again, in order, what the local broker did not take, up to the
// first one that it still does not.
func (s *session) handHeld() {
	for {
		s.mu.Lock()
		if !s.down.held {
			s.mu.Unlock()
			return
		}
		i := slices.IndexFunc(s.down.queue, func(a *arrival) bool { return a.standing == held })
		if i < 0 {
			s.down.held, s.down.told = false, false
			s.mu.Unlock()
			s.b.log.Info("local broker takes messages from the upstream again")
			return
		}
		a := s.down.queue[i]
		a.standing = handed
		s.mu.Unlock()
		s.hand(a)
		s.mu.Lock()
		again := a.standing == held
		s.mu.Unlock()
		if again {
			return
		}
	}
}
