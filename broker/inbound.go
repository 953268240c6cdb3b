package broker

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"headgate/broker/packet"
	"headgate/broker/store"
	"headgate/broker/topic"
)

// handle takes one packet from a connected client. An error closes the
// connection.
func (c *conn) handle(h packet.Header, body []byte, now time.Time) error {
	if h.Type != packet.PUBLISH {
		c.got.packets++
	}
	switch h.Type {
	case packet.PUBLISH:
		c.deep = c.deep || c.seldom
		return c.handlePublish(h.Flags, body, now)
	case packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		a, err := c.decodeAck(h.Type, body)
		switch {
		case err != nil:
			return err
		case h.Type == packet.PUBREL:
			c.handlePubrel(a.id)
			return nil
		}
		c.acksIn = append(c.acksIn, a)
		return nil
	case packet.SUBSCRIBE:
		c.deep = true
		return c.handleSubscribe(body, now)
	case packet.UNSUBSCRIBE:
		c.deep = true
		return c.handleUnsubscribe(body)
	case packet.PINGREQ:
		if err := packet.DecodeEmpty(h.Type, body); err != nil {
			return err
		}
		c.mu.Lock()
		c.out.buf = packet.AppendPingresp(c.out.room(2)) // [MQTT-3.12.4-1]
		c.sent.packets++
		c.mu.Unlock()
		return nil
	case packet.DISCONNECT:
		return c.handleDisconnect(body)
	case packet.AUTH:
		return c.handleAuth(body)
	}
	// A second CONNECT, or what only a server sends. [MQTT-3.1.0-2]
	return &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-3.1.0-2", Text: fmt.Sprintf("%v from a connected client", h.Type)}
}

func (c *conn) handlePublish(flags byte, body []byte, now time.Time) error {
	if c.publish == nil {
		c.publish = new(packet.Publish)
	}
	p := c.publish
	if err := p.Decode(c.version, flags, body); err != nil {
		return err
	}
	c.got.message(len(p.Payload))
	if len(p.Properties.SubscriptionIDs) > 0 {
		return &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-3.3.4-6", Text: "PUBLISH: a subscription identifier, which only a server gives"}
	}
	if p.Properties.Has(packet.PropTopicAlias) {
		if err := c.resolveAlias(p); err != nil {
			return err
		}
	}
	if n := bytes.Count(p.Topic, slash) + 1; n > int(c.b.live.Load().MaxTopicLevels) {
		return &packet.Error{Reason: packet.TopicNameInvalid, Text: fmt.Sprintf("PUBLISH: topic name of %d levels: at most %d are allowed", n, c.b.live.Load().MaxTopicLevels)}
	}
	again := p.QoS == 2 && !c.first(p.PacketID)
	if p.QoS > 0 && !again {
		if err := c.expectAnswer(); err != nil {
			return err
		}
	}
	reason := packet.Success
	var window time.Duration
	switch {
	case again:
		// Sent again: it has been routed already. [MQTT-4.3.3-10]
		c.oweAck(ack{typ: packet.PUBREC, id: p.PacketID, again: true}, len(c.router.batch.recs) > 0)
		return nil
	case bytes.HasPrefix(p.Topic, []byte(SysPrefix)):
		reason = packet.NotAuthorized // it is the server's [MQTT 4.7.2]
		c.b.stats.denied.Add(1)
	default:
		var m message
		m.fromPublish(p, c.b.clock, now, c.props)
		c.props = m.props
		m.from = c.session
		m.topic = c.entry.mountName(m.topic)
		if m.retain && m.qos > 0 && c.version == packet.V5 && !c.b.retained.fits(&m, c.limits) {
			// This publisher can be told; any other's is passed on.
			c.b.retainedFull()
			reason = packet.QuotaExceeded
			break
		}
		matched, dest := c.router.route(&m, now)
		window = dest.window
		switch {
		case dest.denied:
			reason = packet.NotAuthorized
			c.b.stats.denied.Add(1)
			if c.tracing {
				c.logger().Debug("message dropped", "topic", string(m.topic), "reason", "not allowed")
			}
		case matched == 0:
			reason = packet.NoMatchingSubscribers
		}
	}
	if c.version != packet.V5 {
		reason = packet.Success
	}
	switch p.QoS {
	case 1:
		c.owe(packet.PUBACK, p.PacketID, reason, len(c.router.batch.recs) > 0)
	case 2:
		if reason.Failed() {
			c.forget(p.PacketID)
		} else if c.session.persistent() {
			// With the message: after a crash neither is there without the other.
			c.router.keep(store.Record{Kind: store.Put, Key: receivedKey(c.session.id, p.PacketID), Data: []byte{stateFormat}, Window: window})
		}
		c.owe(packet.PUBREC, p.PacketID, reason, len(c.router.batch.recs) > 0)
	}
	return nil
}

var slash = []byte{'/'}

// first remembers the packet identifier of an inbound QoS 2 message. It is
// false when the message came before and was not released yet.
func (c *conn) first(id uint16) bool {
	s := c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, had := s.received[id]; had {
		return false
	}
	s.receive(id)
	return true
}

func (c *conn) forget(id uint16) (had bool) {
	s := c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	_, had = s.received[id]
	delete(s.received, id)
	return had
}

// handlePubrel lets a QoS 2 message's identifier go.
func (c *conn) handlePubrel(id uint16) {
	reason := packet.Success
	if had := c.forget(id); !had && c.version == packet.V5 {
		reason = packet.PacketIdentifierNotFound
	} else if had && c.session.persistent() {
		c.router.keep(store.Record{Kind: store.Delete, Key: receivedKey(c.session.id, id)})
	}
	c.owe(packet.PUBCOMP, id, reason, len(c.router.batch.recs) > 0) // [MQTT-4.3.3-11]
}

// fits says whether an acknowledgement is the one that is due for a message of
// this QoS; received: its PUBREC has come. [MQTT-4.3.2-3] [MQTT-4.3.3-3] [MQTT-4.3.3-5]
func fits(a receivedAck, qos byte, received bool) bool {
	switch a.typ {
	case packet.PUBACK:
		return qos == 1
	case packet.PUBREC:
		return qos == 2 && !(received && a.failed)
	}
	return qos == 2 && received
}

func unfitting(a receivedAck, qos byte) error {
	return &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-4.13.1-1", Text: fmt.Sprintf("%v for packet identifier %d, of a QoS %d message that waits for another", a.typ, a.id, qos)}
}

// ackDurable takes PUBACK, PUBREC and PUBCOMP for what came from the session's
// queue. The caller holds the session's mutex.
func (c *conn) ackDurable(a receivedAck) error {
	s := c.session
	if f, known := s.out.flight[a.id]; known && !fits(a, f.qos, f.received) {
		return unfitting(a, f.qos)
	}
	if a.typ != packet.PUBREC || a.failed {
		s.out.ack(a.id)
		return nil
	}
	id := a.id
	known, atOnce := s.out.receive(id, func(err error) {
		if err != nil {
			c.end(packet.ServerBusy, err)
			return
		}
		s.mu.Lock()
		s.out.released(id)
		s.mu.Unlock()
		c.append(packet.PUBREL, id, packet.Success) // [MQTT-4.3.3-4]
		c.wake()
	})
	switch {
	case known && atOnce, !known && c.version != packet.V5:
		c.append(packet.PUBREL, id, packet.Success)
	case !known:
		c.append(packet.PUBREL, id, packet.PacketIdentifierNotFound)
	}
	return nil
}

func (c *conn) handleSubscribe(body []byte, now time.Time) error {
	var p packet.Subscribe
	if err := p.Decode(c.version, body); err != nil {
		return err
	}
	c.endBatch() // what came before this is routed without it
	ack := packet.Suback{PacketID: p.PacketID}
	var recs []store.Record
	type wanted struct {
		filter string
		subscription
	}
	var refused []string
	var show []wanted // filters whose retained messages are to be sent
	for _, f := range p.Subscriptions {
		filter := c.entry.mountFilter(string(f.Filter))
		if err := topic.CheckFilter(filter); err != nil { // [MQTT-4.7.1-1] [MQTT-4.8.2-1] [MQTT3-4.8.0-1]
			return &packet.Error{Reason: packet.MalformedPacket, Clause: "MQTT-4.7.1-1", Text: fmt.Sprintf("SUBSCRIBE to %.100q: %v", f.Filter, err)}
		}
		if reason, err := c.refuses(filter); err != nil {
			ack.Reasons = append(ack.Reasons, reason)
			refused = append(refused, fmt.Sprintf("%.100q: %v", f.Filter, err))
			continue
		}
		sub := subscription{qos: f.QoS, noLocal: f.NoLocal, retainAsPublished: f.RetainAsPublished, retainHandling: f.RetainHandling}
		if c.bridge { // as mosquitto: no loops, and what is retained stays so
			sub.noLocal, sub.retainAsPublished = true, true
		}
		if ids := p.Properties.SubscriptionIDs; len(ids) > 0 {
			sub.id = ids[0]
		}
		isNew, rec, err := c.b.subscribe(c.session, filter, sub)
		if err != nil {
			return err
		}
		recs = append(recs, rec...)
		ack.Reasons = append(ack.Reasons, packet.ReasonCode(f.QoS)) // [MQTT-3.9.3-1]
		if _, _, shared, _ := topic.SplitShared(filter); shared {
			continue // [MQTT 4.8.2]: they get no retained messages
		}
		if f.RetainHandling == 0 || f.RetainHandling == 1 && isNew { // [MQTT-3.3.1-9] to -11
			show = append(show, wanted{filter, sub})
		}
	}
	if len(refused) > 0 {
		c.explain(&ack.Properties, strings.Join(refused, "; "), func() int { return len(ack.Append(nil, c.version)) })
	}
	c.answerDurably(recs, func(dst []byte) []byte { return ack.Append(dst, c.version) })
	for _, w := range show {
		if err := c.sendRetained(w.filter, w.subscription, now); err != nil {
			return err
		}
	}
	return nil
}

// refuses says why a subscription cannot be made; nil if it can.
func (c *conn) refuses(filter string) (reason packet.ReasonCode, err error) {
	l := c.b.live.Load()
	switch n := strings.Count(filter, "/") + 1; {
	case n > int(l.MaxTopicLevels):
		reason, err = packet.TopicFilterInvalid, fmt.Errorf("%d levels: at most %d are allowed", n, l.MaxTopicLevels)
	case c.session.persistent() && len(subKey(c.clientID, filter)) > store.MaxKeyBytes:
		reason, err = packet.TopicFilterInvalid, fmt.Errorf("%d bytes: too long to be kept for a session", len(filter))
	case !c.session.rights.Load().MaySubscribe(filter):
		c.b.stats.denied.Add(1)
		reason, err = packet.NotAuthorized, errors.New("not allowed")
	default:
		if err = c.b.roomFor(c.session, filter); err != nil {
			c.b.stats.subscriptionsRefused.Add(1)
			reason = packet.QuotaExceeded
		}
	}
	if err != nil && c.version != packet.V5 {
		reason = packet.UnspecifiedError // 0x80, the only failure that 3.1.1 has
	}
	return reason, err
}

func (c *conn) handleUnsubscribe(body []byte) error {
	var p packet.Unsubscribe
	if err := p.Decode(c.version, body); err != nil {
		return err
	}
	c.endBatch()
	ack := packet.Unsuback{PacketID: p.PacketID}
	var recs []store.Record
	for _, f := range p.Filters {
		if err := topic.CheckFilter(string(f)); err != nil {
			return &packet.Error{Reason: packet.MalformedPacket, Clause: "MQTT-4.7.1-1", Text: fmt.Sprintf("UNSUBSCRIBE from %.100q: %v", f, err)}
		}
		had, rec := c.b.unsubscribe(c.session, c.entry.mountFilter(string(f)))
		recs = append(recs, rec...)
		reason := packet.Success
		if !had {
			reason = packet.NoSubscriptionExisted
		}
		ack.Reasons = append(ack.Reasons, reason)
	}
	c.answerDurably(recs, func(dst []byte) []byte { return ack.Append(dst, c.version) })
	return nil
}

// answerDurably sends a packet once recs are on disk.
func (c *conn) answerDurably(recs []store.Record, appendTo func([]byte) []byte) {
	if len(recs) == 0 && !c.session.persistent() {
		c.put(appendTo(nil)) // the end of the batch writes it
		return
	}
	c.b.store.Commit(recs, func(err error) { // without recs: what it speaks of may be on its way there
		if err != nil {
			c.end(packet.ServerBusy, err)
			return
		}
		c.put(appendTo(nil))
		c.wake()
	})
}

// sendRetained sends what is retained under a new subscription's filter. It
// holds the client's own reader back while the client is slow to take it.
func (c *conn) sendRetained(filter string, sub subscription, now time.Time) error {
	var found []*message
	c.b.retained.tree.Match(filter, func(_ string, m *message) {
		if !m.expired(now) && c.session.rights.Load().MayReceive(string(m.topic)) {
			found = append(found, m)
		}
	})
	if len(found) == 0 {
		return nil
	}
	var ids []uint32
	if sub.id != 0 {
		ids = []uint32{sub.id}
	}
	to := c.router.stage.outlet(c.session)
	for _, m := range found {
		d := delivery{qos: min(m.qos, sub.qos), retain: true, subIDs: ids} // [MQTT-3.3.1-8]
		c.router.stage.number++
		if ref, keep := c.router.deliver(to, m, d, now); keep {
			c.router.keep(store.Record{Kind: store.Message, Refs: []store.Ref{ref}, Data: c.router.batch.stored(m)})
		}
		if c.router.full() || c.waiting() > outPause {
			c.endBatch()
			if err := c.waitRoom(); err != nil {
				return err
			}
		}
	}
	c.endBatch()
	return nil
}

func (c *conn) handleDisconnect(body []byte) error {
	var p packet.Disconnect
	if err := p.Decode(c.version, body); err != nil {
		return err
	}
	s := c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Properties.Has(packet.PropSessionExpiry) {
		if s.expiry == 0 && p.Properties.SessionExpiry != 0 {
			return &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-3.14.2-2", Text: "DISCONNECT: a session expiry where the CONNECT had none"}
		}
		s.expiry = c.b.expiryOf(p.Properties.SessionExpiry)
	}
	if p.Reason != packet.DisconnectWithWillMessage {
		s.will = nil // [MQTT-3.14.4-3]
	}
	return errDisconnect
}
