package broker_test

import (
	"fmt"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

func share(c *brokertest.Client, filter string, qos byte) {
	c.Subscribe(packet.Subscription{Filter: []byte(filter), QoS: qos})
}

func TestASharedMessageGoesToOneMember(t *testing.T) {
	for qos := byte(0); qos <= 2; qos++ {
		s := brokertest.Start(t)
		pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
		whole, _ := brokertest.Connect(t, s.Addr, packet.V5, "whole")
		whole.SubscribeTo("a/#", 2)
		members := make([]*brokertest.Client, 3)
		for i := range members {
			members[i], _ = brokertest.Connect(t, s.Addr, packet.V311, fmt.Sprint("m", i))
			share(members[i], "$share/g/a/+", qos)
		}
		for i := range 9 {
			pub.Publish("a/b", fmt.Sprint(i), qos)
			whole.Want("a/b", fmt.Sprint(i), qos)
		}
		for i := range 9 { // in turn
			members[(i+1)%3].Want("a/b", fmt.Sprint(i), qos)
		}
		for _, m := range members {
			m.Silent()
		}
	}
}

func TestASharedSubscriptionGetsNoRetainedMessages(t *testing.T) {
	s := brokertest.Start(t)
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c")
	c.Publish("a", "kept", 1, brokertest.Retained)
	share(c, "$share/g/a", 1)
	c.Silent()
}

func TestAGroupWithAPersistentMemberIsAQueue(t *testing.T) {
	s := brokertest.Start(t)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	m, _ := brokertest.Connect(t, s.Addr, packet.V5, "m", brokertest.Persistent)
	share(m, "$share/g/a", 2)
	m.Disconnect()
	for i := range 30 {
		pub.Publish("a", fmt.Sprint(i), byte(1+i%2))
	}
	s.Restart()
	// Another member of the same group takes them, a clean session.
	n, _ := brokertest.Connect(t, s.Addr, packet.V5, "n")
	share(n, "$share/g/a", 2)
	got := make(map[string]int)
	for range 30 {
		p := n.Receive()
		got[string(p.Payload)]++
		if p.QoS == 1 {
			n.SendAck(packet.PUBACK, p.PacketID)
			continue
		}
		n.SendAck(packet.PUBREC, p.PacketID)
		n.WantAck(packet.PUBREL, p.PacketID)
		n.SendAck(packet.PUBCOMP, p.PacketID)
	}
	for i := range 30 {
		if got[fmt.Sprint(i)] != 1 {
			t.Errorf("message %d came %d times", i, got[fmt.Sprint(i)])
		}
	}
	n.Silent()
	m, _ = brokertest.Connect(t, s.Addr, packet.V5, "m", brokertest.Persistent)
	m.Silent()
}

func TestAnUnacknowledgedSharedMessageGoesToAnotherMember(t *testing.T) {
	for _, persistent := range []bool{false, true} {
		s := brokertest.Start(t)
		connect := func(id string) *brokertest.Client {
			change := func(*packet.Connect) {}
			if persistent {
				change = brokertest.Persistent
			}
			c, _ := brokertest.Connect(t, s.Addr, packet.V5, id, change)
			return c
		}
		pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
		first := connect("first")
		share(first, "$share/g/a", 2)
		for _, p := range []string{"one", "two"} {
			pub.Publish("a", p, 1)
			if got := first.Receive(); string(got.Payload) != p {
				t.Fatalf("got %q, want %q", got.Payload, p)
			}
		}
		second := connect("second")
		share(second, "$share/g/a", 2)
		first.Close()
		// Two at QoS 1, in any order where there is no queue.
		got := map[string]bool{}
		for range 2 {
			p := second.Receive()
			if p.Dup {
				t.Error("sent for the first time, with DUP") // [MQTT-3.3.1-3]
			}
			got[string(p.Payload)] = true
			second.SendAck(packet.PUBACK, p.PacketID)
		}
		if !got["one"] || !got["two"] {
			t.Errorf("persistent %v: got %v", persistent, got)
		}
		second.Silent()
	}
}

func TestASharedQoS2MessageStaysWithItsSession(t *testing.T) {
	s := brokertest.Start(t)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	first, _ := brokertest.Connect(t, s.Addr, packet.V5, "first", brokertest.Persistent)
	share(first, "$share/g/a", 2)
	pub.Publish("a", "x", 2)
	p := first.Receive()
	second, _ := brokertest.Connect(t, s.Addr, packet.V5, "second", brokertest.Persistent)
	share(second, "$share/g/a", 2)
	first.Close()
	second.Silent()
	s.Restart()
	second, _ = brokertest.Connect(t, s.Addr, packet.V5, "second", brokertest.Persistent)
	second.Silent()
	// It is delivered to the end when its client is back. [MQTT-4.8.2-4]
	first, _ = brokertest.Connect(t, s.Addr, packet.V5, "first", brokertest.Persistent)
	again := first.Receive()
	if !again.Dup || again.PacketID != p.PacketID || string(again.Payload) != "x" {
		t.Errorf("got %+v, want it again with DUP and packet identifier %d", again, p.PacketID)
	}
	first.Close()
	// And ends with its session.
	first, _ = brokertest.Connect(t, s.Addr, packet.V5, "first")
	first.Silent()
	second.Silent()
}

func TestMembersShareALoadWithinTheirWindows(t *testing.T) {
	s := brokertest.Start(t)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	narrow := func(p *packet.Connect) {
		brokertest.Persistent(p)
		p.Properties.ReceiveMaximum = 2
		p.Properties.Set(packet.PropReceiveMaximum)
	}
	slow, _ := brokertest.Connect(t, s.Addr, packet.V5, "slow", narrow)
	share(slow, "$share/g/a", 1)
	fast, _ := brokertest.Connect(t, s.Addr, packet.V5, "fast", brokertest.Persistent)
	share(fast, "$share/g/a", 1)
	const n = 200
	for i := range n {
		pub.Publish("a", fmt.Sprint(i), 1)
	}
	// The slow one takes two and acknowledges nothing: the rest goes to the other.
	for range n - 2 {
		p := fast.Receive()
		fast.SendAck(packet.PUBACK, p.PacketID)
	}
	fast.Silent()
	slow.Receive()
	slow.Receive()
	slow.Silent()
	slow.Close()
	for range 2 {
		p := fast.Receive()
		fast.SendAck(packet.PUBACK, p.PacketID)
	}
	fast.Silent()
}

func TestAGroupEndsWithItsLastMember(t *testing.T) {
	s := brokertest.Start(t)
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c", brokertest.Persistent)
	before := s.Broker.Stats().Subscriptions
	share(c, "$share/g/a", 1)
	queues := len(s.Store.Queues())
	c.Unsubscribe("$share/g/a")
	c.Publish("a", "for nobody", 1)
	if got := s.Broker.Stats().Subscriptions; got != before {
		t.Errorf("%d subscriptions are left, want %d", got, before)
	}
	if got := len(s.Store.Queues()); got != queues-1 {
		t.Errorf("%d queues are left, want %d", got, queues-1)
	}
}
