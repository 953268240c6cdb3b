package main

import (
	"context"
	"time"

	"headgate/bridge"
	"headgate/broker"
	"headgate/broker/packet"
	"headgate/gateway"
	payload "headgate/gateway/format"
	"headgate/gateway/rule"
)

// localPublisher gives the pump the broker's own client.
type localPublisher struct{ client *broker.Client }

func (p localPublisher) Publish(m gateway.Message) error {
	out := broker.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain}
	if len(m.CorrelationData) > 0 {
		out.Properties.CorrelationData = m.CorrelationData
		out.Properties.Set(packet.PropCorrelationData)
	}
	return p.client.Publish(out)
}

func (p localPublisher) Subscribe(filter string, handle func(gateway.Message)) error {
	return p.client.Subscribe(filter, func(m broker.Message) {
		in := gateway.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain}
		in.ResponseTopic = string(m.Properties.ResponseTopic)
		in.CorrelationData = m.Properties.CorrelationData
		if m.Properties.Has(packet.PropMessageExpiry) {
			in.Expiry = max(1, time.Duration(m.Properties.MessageExpiry)*time.Second)
		}
		for _, u := range m.Properties.User {
			if string(u.Key) == bridge.QueuedProperty {
				in.Queued = true
			}
		}
		handle(in)
	})
}

func (p localPublisher) Unsubscribe(filter string) { p.client.Unsubscribe(filter) }

// homeBroker gives the Announcer the broker: it publishes as the pump does, and hears
// by a client of its own, which ends with it.
type homeBroker struct {
	client *broker.Client
	ears   *broker.Client
	broker *broker.Broker
}

func (b homeBroker) Publish(topic string, payload []byte) error {
	return b.client.Publish(broker.Message{Topic: topic, Payload: payload, QoS: 1, Retain: true})
}

func (b homeBroker) Subscribe(topic string, handle func([]byte)) error {
	return b.ears.Subscribe(topic, func(m broker.Message) { handle(m.Payload) })
}

func (b homeBroker) Retained(filter string, fn func(string, []byte)) {
	b.broker.Retained(filter, func(m broker.Message) { fn(m.Topic, m.Payload) })
}

// ruleClient gives the rules a client of the broker.
type ruleClient struct{ client *broker.Client }

func (c ruleClient) Publish(m rule.Message) error {
	return c.client.Publish(broker.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain})
}

func (c ruleClient) SubscribeAll(filters []string, handle func(rule.Message)) error {
	return c.client.SubscribeAll(filters, func(m broker.Message) {
		handle(rule.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain})
	})
}

// sayConnected keeps the state of a bridge where mosquitto has it: "1" or "0",
// retained.
func (h *house) sayConnected(bridge string) func(bool) {
	m := broker.Message{Topic: broker.SysPrefix + "broker/connection/" + bridge + "/state", Retain: true}
	return func(connected bool) {
		m.Payload = []byte("0")
		if connected {
			m.Payload = []byte("1")
		}
		if err := h.operator.Publish(m); err != nil {
			h.log.Warn("state of a bridge not published", "bridge", bridge, "err", err)
		}
	}
}

// uplinkSource gives a bridge its session in the broker.
type uplinkSource struct {
	uplink *broker.Uplink
	wall   func(boot uint32, uptime time.Duration) (time.Time, bool)
}

// outgoing gives a message for the upstream. What was measured before the machine's
// clock was set gets its time, if that is known by now.
func (s uplinkSource) outgoing(d broker.Delivery) bridge.Outgoing {
	d.Payload = payload.Restamp(d.Payload, s.wall)
	return bridge.Outgoing{Message: bridge.Message(d.Message), PacketID: d.PacketID, Dup: d.Dup, Received: d.Received, Replay: d.Replay, Age: d.Age}
}

func (s uplinkSource) Next(ctx context.Context, backlog bool) (bridge.Outgoing, error) {
	d, err := s.uplink.Next(ctx, backlog)
	return s.outgoing(d), err
}

func (s uplinkSource) TryNext(backlog bool) (bridge.Outgoing, bool, error) {
	d, ok, err := s.uplink.TryNext(backlog)
	return s.outgoing(d), ok, err
}

func (s uplinkSource) Publish(m bridge.Message, packetID uint16, done func(error)) {
	s.uplink.Publish(broker.Message(m), packetID, done)
}

func (s uplinkSource) Rewind()                                    { s.uplink.Rewind() }
func (s uplinkSource) Ack(packetID uint16)                        { s.uplink.Ack(packetID) }
func (s uplinkSource) Received(packetID uint16, done func(error)) { s.uplink.Received(packetID, done) }
func (s uplinkSource) Release(packetID uint16, done func(error))  { s.uplink.Release(packetID, done) }
func (s uplinkSource) ForgetReceived()                            { s.uplink.ForgetReceived() }
func (s uplinkSource) Live(on bool)                               { s.uplink.Live(on) }
func (s uplinkSource) Backlog() bridge.Backlog                    { return bridge.Backlog(s.uplink.Backlog()) }
