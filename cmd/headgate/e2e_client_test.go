package main

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

// received is a message as a client got it.
type received struct {
	topic, payload string
	qos            byte
	retain         bool
	replay         bool // it says its age: it was of a bridge's backlog
	correlation    string
}

// fields are those of the JSON object that the payload should be.
func (r received) fields(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.payload), &m); err != nil {
		t.Fatalf("%s: payload %q: %v", r.topic, r.payload, err)
	}
	return m
}

// inbox gathers what comes.
type inbox struct {
	mu   sync.Mutex // guards all
	msgs []received
}

func (b *inbox) add(m received) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.msgs = append(b.msgs, m)
}

func (b *inbox) all() []received {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.msgs)
}

func (b *inbox) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.msgs)
}

// on gives the payloads of one topic, in the order in which they came.
func (b *inbox) on(topic string) []string {
	var payloads []string
	for _, m := range b.all() {
		if m.topic == topic {
			payloads = append(payloads, m.payload)
		}
	}
	return payloads
}

// wait waits for a message on topic, which ok may examine; one that is there
// already counts.
func (b *inbox) wait(t testing.TB, topic string, ok func(received) bool) received {
	t.Helper()
	var found received
	eventually(t, "a message on "+topic, func() bool {
		for _, m := range b.all() {
			if m.topic == topic && (ok == nil || ok(m)) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// client is an MQTT 5 client that nobody here wrote.
type client struct {
	t testing.TB
	*paho.Client
	inbox
	present bool // the server had the session
}

// dial connects to a broker. change may change the CONNECT, which is a clean
// start.
func dial(t testing.TB, addr, id string, change ...func(*paho.Connect)) *client {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, hang)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t}
	c.Client = paho.NewClient(paho.ClientConfig{
		Conn:              nc,
		PacketTimeout:     hang,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){c.take},
	})
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	connect := &paho.Connect{ClientID: id, CleanStart: true, KeepAlive: 600}
	for _, f := range change {
		f(connect)
	}
	ack, err := c.Connect(ctx, connect)
	if err != nil {
		t.Fatalf("connect %s: %v", id, err)
	}
	c.present = ack.SessionPresent
	t.Cleanup(func() { nc.Close() })
	return c
}

// persistent makes a CONNECT ask for a session that outlives its connection.
func persistent(c *paho.Connect) {
	c.CleanStart = false
	c.Properties = &paho.ConnectProperties{SessionExpiryInterval: new(uint32(3600))}
}

func (c *client) take(p paho.PublishReceived) (bool, error) {
	m := received{topic: p.Packet.Topic, payload: string(p.Packet.Payload), qos: p.Packet.QoS, retain: p.Packet.Retain}
	if p.Packet.Properties != nil {
		m.correlation = string(p.Packet.Properties.CorrelationData)
	}
	c.add(m)
	return true, nil
}

func (c *client) subscribe(filter string, qos byte) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), hang)
	defer cancel()
	if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: qos}}}); err != nil {
		c.t.Fatalf("subscribe to %s: %v", filter, err)
	}
}

// publish returns when the broker has acknowledged it.
func (c *client) publish(topic, payload string, qos byte, change ...func(*paho.Publish)) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), hang)
	defer cancel()
	p := &paho.Publish{Topic: topic, Payload: []byte(payload), QoS: qos}
	for _, f := range change {
		f(p)
	}
	if _, err := c.Publish(ctx, p); err != nil {
		c.t.Fatalf("publish to %s: %v", topic, err)
	}
}

// answeredOn names a response topic and correlation data.
func answeredOn(topic, correlation string) func(*paho.Publish) {
	return func(p *paho.Publish) {
		p.Properties = &paho.PublishProperties{ResponseTopic: topic, CorrelationData: []byte(correlation)}
	}
}

// leave ends the connection with DISCONNECT.
func (c *client) leave() {
	c.t.Helper()
	if err := c.Disconnect(&paho.Disconnect{}); err != nil {
		c.t.Fatalf("disconnect: %v", err)
	}
	select {
	case <-c.Done():
	case <-time.After(hang):
		c.t.Fatal("the connection does not end")
	}
}
