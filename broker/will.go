package broker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"headgate/broker/clock"
	"headgate/broker/packet"
	"headgate/broker/store"
	"headgate/broker/topic"
)

// will is what a client asked to be published for it when its connection ends
// without a DISCONNECT. It is in the log from before the CONNACK until the commit
// that publishes it, or the DISCONNECT: the will of a client that was connected
// when the power failed is published at the next start, be its session persistent
// or not, for that is how its connection has ended. [MQTT-3.1.2-8]
type will struct {
	message     *message
	delay       time.Duration
	hasLifetime bool
	lifetime    uint32 // message expiry, seconds, counted from the publishing
}

// willOf gives the will of a CONNECT, nil if it has none.
func (c *conn) willOf(p *packet.Connect) (*will, error) {
	if !p.HasWill {
		return nil, nil
	}
	if err := topic.CheckName(string(p.Will.Topic)); err != nil {
		return nil, &packet.Error{Reason: packet.TopicNameInvalid, Clause: "MQTT-3.1.3-11", Text: "CONNECT: will topic: " + err.Error()}
	}
	if n := bytes.Count(p.Will.Topic, slash) + 1; n > int(c.limits.MaxTopicLevels) {
		return nil, &packet.Error{Reason: packet.TopicNameInvalid, Text: fmt.Sprintf("CONNECT: will topic of %d levels: at most %d are allowed", n, c.limits.MaxTopicLevels)}
	}
	topicName := c.entry.mountName(p.Will.Topic)
	if !c.rights.MayPublish(string(topicName)) {
		return nil, &packet.Error{Reason: packet.NotAuthorized, Text: fmt.Sprintf("CONNECT: the will's topic %.200q may not be published to", p.Will.Topic)}
	}
	m := message{topic: topicName, payload: p.Will.Payload, qos: p.Will.QoS, retain: p.Will.Retain}
	m.props = appendPassedOn(nil, &p.Will.Properties)
	w := &will{message: m.clone()}
	if p.Will.Properties.Has(packet.PropMessageExpiry) {
		w.hasLifetime, w.lifetime = true, p.Will.Properties.MessageExpiry
	}
	if p.Will.Properties.Has(packet.PropWillDelay) {
		w.delay = time.Duration(p.Will.Properties.WillDelay) * time.Second
	}
	return w, nil
}

// The stored form of a will: its format's version, flags, delay and lifetime in
// seconds, the user whose rights it has with its length, and the message.
const (
	willFormat   = 1
	willLifetime = 1 << 0
)

func willKey(id string) string { return willPrefix + id }

func (w *will) encode(user string) []byte {
	var flags byte
	if w.hasLifetime {
		flags |= willLifetime
	}
	b := []byte{willFormat, flags}
	b = binary.BigEndian.AppendUint32(b, uint32(w.delay/time.Second))
	b = binary.BigEndian.AppendUint32(b, w.lifetime)
	b = binary.AppendUvarint(b, uint64(len(user)))
	return w.message.appendStored(append(b, user...))
}

func decodeWill(b []byte, c *clock.Clock) (w *will, user string, err error) {
	if len(b) < 10 || b[0] != willFormat {
		return nil, "", errState
	}
	w = &will{hasLifetime: b[1]&willLifetime != 0, lifetime: binary.BigEndian.Uint32(b[6:])}
	w.delay = time.Duration(binary.BigEndian.Uint32(b[2:])) * time.Second
	name, rest, ok := cutBytes(b[10:])
	if !ok {
		return nil, "", errState
	}
	var m message
	if err := m.fromStored(rest, c); err != nil {
		return nil, "", err
	}
	w.message = m.clone()
	return w, string(name), nil
}

// keepWill has the log keep the will of s, or forget the one before. The caller
// holds b.mu.
func (r *router) keepWill(s *session) {
	switch {
	case s.will != nil:
		r.keep(store.Record{Kind: store.Put, Key: willKey(s.id), Data: s.will.encode(s.user)})
		s.willKept = true
	case s.willKept:
		r.keep(store.Record{Kind: store.Delete, Key: willKey(s.id)})
		s.willKept = false
	}
}

// publishWill publishes the will of s, if it has one, and forgets it; both come to
// the log in one commit. The caller holds b.mu, and commits r by settle.
// [MQTT-3.1.2-10]
func (r *router) publishWill(s *session, now time.Time) {
	s.mu.Lock()
	w := s.will
	s.will, s.willAt = nil, time.Time{}
	s.mu.Unlock()
	r.keepWill(s)
	if w == nil {
		return
	}
	b := r.b
	m := w.message
	m.from, r.from = s, s
	if w.hasLifetime {
		m.expires = expiresAfter(w.lifetime, b.clock, now)
	}
	if _, dest := r.route(m, now); dest.denied {
		b.stats.denied.Add(1)
		b.log.Warn("will is not allowed", "client", s.id, "topic", string(m.topic))
	}
}

// unwill takes a will off the disk that there was no room to publish, unless its
// client has another one by now.
func (b *Broker) unwill(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.sessions[id]; s == nil || !s.willKept {
		b.store.Commit([]store.Record{{Kind: store.Delete, Key: willKey(id)}}, nil)
	}
}

// restoreWills reads the wills of the clients that were connected when the process
// ended, or gone for less than the delay. Each is due when the rest of that has
// passed: at once where its session has ended with the connection. That one is
// there for the sweep to end.
func (b *Broker) restoreWills(now time.Time) error {
	return b.store.State(willPrefix, func(key string, value []byte) error {
		id := strings.TrimPrefix(key, willPrefix)
		w, user, err := decodeWill(value, b.clock)
		if err != nil {
			return fmt.Errorf("will of client %q: %w", id, err)
		}
		s := b.sessions[id]
		if s == nil {
			s = newSession(id)
			s.user, s.gone = user, b.clock.Before()
			s.rights.Store(b.live.Load().policy.Rights(user, id))
			b.sessions[id] = s
		}
		delay := min(w.delay, time.Duration(s.expiry)*time.Second)
		s.will, s.willKept = w, true
		s.willAt = now.Add(max(0, delay-b.clock.Since(s.gone, now)))
		return nil
	})
}
