package bridge

import (
	"fmt"
	"strings"

	"headgate/broker/packet"
	"headgate/broker/topic"
)

// subscribe asks for the down filters, each in a SUBSCRIBE of its own, so that
// the upstream can refuse one without the others. next is the packet identifier
// that the first message of the queue has, 0 when there is none: those below it
// are acknowledged already, so none is in use. [MQTT-2.2.1-3]
func (s *session) subscribe(next uint16) {
	id := next
	for i := range s.b.cfg.Down {
		d := &s.b.cfg.Down[i]
		if why := s.unavailable(d); why != "" {
			s.filterRefused(d, why)
			continue
		}
		if id--; id == 0 {
			id--
		}
		sub := packet.Subscribe{PacketID: id, Subscriptions: []packet.Subscription{{Filter: []byte(d.Filter), QoS: byte(*d.QoS)}}}
		if s.link.version == packet.V5 {
			o := &sub.Subscriptions[0]
			_, _, shared, _ := topic.SplitShared(d.Filter)
			o.NoLocal = !shared // [MQTT-3.8.3-4]
			o.RetainAsPublished = true
			o.RetainHandling = 1 // not at each reconnect again
		}
		s.mu.Lock()
		s.subs[id] = i
		s.out = sub.Append(s.out, s.link.version)
		s.mu.Unlock()
	}
	wake(s.wakeWrite)
}

// unavailable says why a filter is not asked for: an upstream that said it
// cannot do it would close the connection. [MQTT-3.2.2-18]
func (s *session) unavailable(d *Down) string {
	_, filter, shared, _ := topic.SplitShared(d.Filter)
	switch {
	case shared && !s.link.limits.shared:
		return packet.SharedSubscriptionsNotSupported.String()
	case strings.ContainsAny(filter, "+#") && !s.link.limits.wildcards:
		return packet.WildcardSubscriptionsNotSupported.String()
	case len(d.Filter)+16 > s.link.limits.maxPacket:
		return packet.PacketTooLarge.String()
	}
	return ""
}

// subscribed handles SUBACK.
func (r *reader) subscribed(ack *packet.Suback) error {
	r.mu.Lock()
	i, ok := r.subs[ack.PacketID]
	delete(r.subs, ack.PacketID)
	r.mu.Unlock()
	wake(r.wakeDrain)
	if !ok || len(ack.Reasons) != 1 {
		return &packet.Error{Reason: packet.ProtocolError, Text: fmt.Sprintf("SUBACK %d with %d reason codes answers no SUBSCRIBE", ack.PacketID, len(ack.Reasons))}
	}
	d := &r.b.cfg.Down[i]
	switch granted := ack.Reasons[0]; {
	case granted.Failed():
		r.filterRefused(d, reasonWords(granted, &ack.Properties))
	case int(granted) < *d.QoS:
		r.b.log.Info("upstream grants a lower QoS", "topic", d.Filter, "qos", int(granted))
	}
	return nil
}

func (s *session) filterRefused(d *Down, why string) {
	s.b.counters.refuseFilter(d.Filter)
	if times, ok := s.b.repeats.note("filter " + d.Filter); ok {
		s.b.log.Warn("upstream refuses a filter", "topic", d.Filter, "reason", why, "count", times)
	}
}
