package bridge

import (
	"context"
	"fmt"
	"time"

	"headgate/broker/packet"
)

// handOn lets the messages go whose PUBACKs came.
func (r *reader) handOn() {
	if len(r.acked) > 0 {
		r.answered(r.acked, sent1)
		r.acked = r.acked[:0]
	}
}

// answered lets messages go with which the upstream is done, and wakes the drain
// for the room that they leave. Identifiers that are not at progress p are
// passed over. ids is overwritten.
func (s *session) answered(ids []uint16, p progress) {
	if len(ids) == 0 {
		return
	}
	known, again := s.finish(ids, p)
	s.letGo(known)
	if again {
		s.b.log.Info("upstream takes messages again")
	}
	s.b.counters.forwarded.Add(uint64(len(known)))
	s.lastProgress.Store(int64(s.age()))
	wake(s.wakeDrain)
}

// finish takes those of ids that are at progress p out of what is on its way.
// again says that the upstream was full before.
func (s *session) finish(ids []uint16, p progress) (known []uint16, again bool) {
	known = ids[:0]
	var others []uint16 // that went in a batch with these
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if m := s.flight.get(id); m != nil && m.progress == p {
			s.flight.finish(m)
			known = append(known, id)
			for _, other := range s.flight.unload(id) {
				s.flight.finish(s.flight.get(other))
				others = append(others, other)
			}
			s.hurryEnds()
		}
		if p == released {
			delete(s.b.upstream.received, id)
		}
	}
	known = append(known, others...)
	if s.flight.refused == 0 && len(known) > 0 {
		again, s.full = s.full, false
		s.pauses.reset()
	}
	s.roomAgain()
	s.letting += len(known)
	s.b.counters.inFlight.Store(int64(s.flight.undone()))
	return known, again
}

// letGo acknowledges to the Source what finish took out.
func (s *session) letGo(ids []uint16) {
	for _, id := range ids {
		s.src.Ack(id)
	}
	s.mu.Lock()
	s.letting -= len(ids)
	s.mu.Unlock()
}

// received handles a PUBREC that accepts a message: PUBREL goes when the Source
// has made it durable.
func (r *reader) received(ctx context.Context) error {
	if !r.awaitRoom(ctx) {
		return nil
	}
	id := r.ack.PacketID
	r.mu.Lock()
	m := r.flight.get(id)
	switch {
	case m == nil:
		// The upstream holds an identifier of which we know nothing: let it go.
		r.appendPubrel(id, packet.PacketIdentifierNotFound)
	case m.progress == sent2:
		m.progress = recording
		r.b.upstream.received[id] = struct{}{}
		r.mu.Unlock()
		r.src.Received(id, func(err error) { r.recorded(id, err) })
		return nil
	case m.progress == released:
		r.appendPubrel(id, packet.Success)
	case m.progress != recording:
		r.mu.Unlock()
		return &packet.Error{Reason: packet.ProtocolError, Text: fmt.Sprintf("PUBREC for %d, which is no QoS 2 message", id)}
	}
	r.mu.Unlock()
	wake(r.wakeWrite)
	return nil
}

// recorded sends PUBREL: that PUBREC came is durable, so no restart sends the
// message again. [MQTT-4.3.3-4]
func (s *session) recorded(id uint16, err error) {
	if err != nil {
		s.fail(fmt.Errorf("record a PUBREC: %w", err))
		return
	}
	s.mu.Lock()
	if m := s.flight.get(id); m != nil && m.progress == recording {
		m.progress = released
		s.appendPubrel(id, packet.Success)
	}
	s.mu.Unlock()
	wake(s.wakeWrite)
}

// appendPubrel is called with the mutex held.
func (s *session) appendPubrel(id uint16, reason packet.ReasonCode) {
	ack := packet.Ack{Type: packet.PUBREL, PacketID: id, Reason: reason}
	s.out = ack.Append(s.out, s.link.version)
}

// completed handles PUBCOMP, also one that says that the identifier is not
// known: then the PUBCOMP before it was lost with a connection.
func (r *reader) completed() {
	r.acked = append(r.acked[:0], r.ack.PacketID)
	r.answered(r.acked, released)
	r.acked = r.acked[:0]
}

// rejected handles a PUBACK or PUBREC that says no, to a message at progress p.
// An upstream that is full gets the message again later; any other no is final.
func (r *reader) rejected(p progress) {
	a := &r.ack
	r.mu.Lock()
	m := r.flight.get(a.PacketID)
	if m == nil || m.progress != p {
		r.mu.Unlock()
		return
	}
	topic := m.topic
	if a.Reason == packet.QuotaExceeded {
		if r.flight.refused == 0 {
			r.resume = time.Now().Add(r.pauses.next(false))
		}
		r.flight.refuse(m)
		for _, other := range r.flight.unload(a.PacketID) {
			r.flight.refuse(r.flight.get(other))
		}
		stop, begins := r.stopGet, !r.full
		r.full = true
		r.mu.Unlock()
		if stop != nil {
			stop()
		}
		wake(r.wakeDrain)
		if begins {
			r.b.log.Warn("upstream is full, messages wait", "topic", topic, "reason", reasonWords(a.Reason, &a.Properties))
		}
		return
	}
	r.mu.Unlock()
	reason := a.Reason.String()
	ids, _ := r.finish(append(r.acked[:0], a.PacketID), p)
	for range ids {
		r.b.counters.giveUp(reason)
	}
	if times, ok := r.b.repeats.note(reason); ok {
		r.b.log.Warn("message given up", "topic", topic, "packet_id", a.PacketID,
			"reason", "refused upstream: "+reasonWords(a.Reason, &a.Properties), "count", times)
	}
	r.letGo(ids)
	r.lastProgress.Store(int64(r.age()))
	wake(r.wakeDrain)
}
