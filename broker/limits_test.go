package broker_test

import (
	"strings"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

func TestTopicAliasesStandForTheirTopics(t *testing.T) {
	s := brokertest.Start(t)
	sub, _ := brokertest.Connect(t, s.Addr, packet.V311, "sub")
	sub.SubscribeTo("#", 1)
	pub, ack := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	if got := ack.Properties.TopicAliasMaximum; got != 32 {
		t.Errorf("topic alias maximum %d, want 32", got)
	}
	alias := func(n uint16) func(*packet.Publish) {
		return func(p *packet.Publish) {
			p.Properties.TopicAlias = n
			p.Properties.Set(packet.PropTopicAlias)
		}
	}
	pub.Publish("a/b", "1", 1, alias(1))
	pub.Publish("", "2", 1, alias(1))
	pub.Publish("c", "3", 1, alias(1))
	pub.Publish("", "4", 1, alias(1))
	for i, topic := range []string{"a/b", "a/b", "c", "c"} {
		sub.Want(topic, string(rune('1'+i)), 1)
	}
	for _, c := range []struct {
		topic  string
		alias  uint16
		reason packet.ReasonCode
	}{{"a", 0, packet.TopicAliasInvalid}, {"a", 33, packet.TopicAliasInvalid}, {"", 2, packet.ProtocolError}} {
		pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub2")
		p := packet.Publish{Topic: []byte(c.topic)}
		alias(c.alias)(&p)
		pub.Send(p.Append(nil, packet.V5))
		if r := pub.Closed(); r != c.reason {
			t.Errorf("topic %q with alias %d: closed with %v, want %v", c.topic, c.alias, r, c.reason)
		}
	}
}

func TestAClientThatTakesTopicAliasesGetsThem(t *testing.T) {
	s := brokertest.Start(t)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	for _, change := range []func(*packet.Connect){func(*packet.Connect) {}, brokertest.Persistent} {
		sub, _ := brokertest.Connect(t, s.Addr, packet.V5, "sub", change, func(p *packet.Connect) {
			p.Properties.TopicAliasMaximum = 2
			p.Properties.Set(packet.PropTopicAliasMaximum)
		})
		sub.SubscribeTo("#", 1)
		want := []struct {
			topic, sent string
			alias       uint16
		}{{"a", "a", 1}, {"a", "", 1}, {"b", "b", 2}, {"c", "c", 0}, {"b", "", 2}, {"a", "", 1}}
		for _, w := range want {
			pub.Publish(w.topic, "x", 1)
			p := sub.Receive()
			sub.SendAck(packet.PUBACK, p.PacketID)
			if string(p.Topic) != w.sent || p.Properties.TopicAlias != w.alias {
				t.Errorf("%s came as %q with alias %d, want %q with %d", w.topic, p.Topic, p.Properties.TopicAlias, w.sent, w.alias)
			}
		}
	}
}

func TestMoreThanReceiveMaximumIsAFault(t *testing.T) {
	s := brokertest.Start(t, func(c *broker.Config) { c.ReceiveMaximum = 3 })
	c, ack := brokertest.Connect(t, s.Addr, packet.V5, "c")
	if ack.Properties.ReceiveMaximum != 3 {
		t.Errorf("receive maximum %d, want 3", ack.Properties.ReceiveMaximum)
	}
	send := func(id uint16) {
		p := packet.Publish{Topic: []byte("a"), QoS: 2, PacketID: id}
		c.Send(p.Append(nil, packet.V5))
	}
	for id := uint16(1); id <= 3; id++ {
		send(id)
		c.WantAck(packet.PUBREC, id)
	}
	send(1) // the same again counts once
	c.WantAck(packet.PUBREC, 1)
	c.SendAck(packet.PUBREL, 2)
	c.WantAck(packet.PUBCOMP, 2)
	send(4) // there is room again
	c.WantAck(packet.PUBREC, 4)
	send(5)
	if r := c.Closed(); r != packet.ReceiveMaximumExceeded {
		t.Errorf("closed with %v", r)
	}
}

// [MQTT 4.9]: the quota is whole when a connection begins, and never more than that.
func TestWhatIsUnansweredFromAnEarlierConnectionDoesNotCount(t *testing.T) {
	s := brokertest.Start(t, func(c *broker.Config) { c.ReceiveMaximum = 3 })
	connect := func() *brokertest.Client {
		c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c", brokertest.Persistent)
		return c
	}
	send := func(c *brokertest.Client, ids ...uint16) {
		for _, id := range ids {
			p := packet.Publish{Topic: []byte("a"), QoS: 2, PacketID: id}
			c.Send(p.Append(nil, packet.V5))
		}
	}
	answered := func(c *brokertest.Client, typ packet.Type, ids ...uint16) {
		for _, id := range ids {
			c.WantAck(typ, id)
		}
	}
	c := connect()
	send(c, 1, 2, 3)
	answered(c, packet.PUBREC, 1, 2, 3)
	c.Close()
	c = connect()
	for id := uint16(1); id <= 3; id++ {
		c.SendAck(packet.PUBREL, id)
	}
	answered(c, packet.PUBCOMP, 1, 2, 3)
	send(c, 4, 5, 6)
	answered(c, packet.PUBREC, 4, 5, 6)
	c.Close()
	c = connect()
	send(c, 7, 8, 9)
	answered(c, packet.PUBREC, 7, 8, 9)
	send(c, 10)
	if r := c.Closed(); r != packet.ReceiveMaximumExceeded {
		t.Errorf("closed with %v", r)
	}
}

func TestTheServerBoundsTheKeepAlive(t *testing.T) {
	s := brokertest.Start(t, func(c *broker.Config) { c.MaxKeepAlive = 90 * time.Second })
	for asked, want := range map[uint16]uint16{0: 90, 60: 0, 90: 0, 91: 90} {
		_, ack := brokertest.Connect(t, s.Addr, packet.V5, "c", func(p *packet.Connect) { p.KeepAlive = asked })
		if got := ack.Properties.ServerKeepAlive; got != want || ack.Properties.Has(packet.PropServerKeepAlive) != (want != 0) {
			t.Errorf("asked for %d s: the server says %d, want %d", asked, got, want)
		}
	}
}

func TestEachLimitRefusesWithItsReason(t *testing.T) {
	s := brokertest.Start(t, func(c *broker.Config) {
		c.MaxSubscriptions, c.MaxSubscriptionsTotal, c.MaxTopicLevels = 2, 3, 4
		c.MaxSessions, c.MaxRetained = 1, 1
	})
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c", brokertest.Persistent)
	filters := func(c *brokertest.Client, fs ...string) []packet.ReasonCode {
		var subs []packet.Subscription
		for _, f := range fs {
			subs = append(subs, packet.Subscription{Filter: []byte(f)})
		}
		return c.Subscribe(subs...)
	}
	if r := filters(c, "a/b/c/d/e", "a", "b", "c", "a"); r[0] != packet.TopicFilterInvalid || r[1].Failed() || r[2].Failed() || r[3] != packet.QuotaExceeded || r[4].Failed() {
		t.Errorf("subscriptions past the limit: %v", r)
	}
	d, _ := brokertest.Connect(t, s.Addr, packet.V311, "d")
	if r := filters(d, "x", "y"); r[0].Failed() || r[1] != packet.UnspecifiedError {
		t.Errorf("subscriptions past the limit of all: %v", r)
	}
	more := brokertest.Dial(t, s.Addr, packet.V5)
	if ack := more.Connect("more", brokertest.Persistent); ack.Reason != packet.QuotaExceeded {
		t.Errorf("a session past the limit: %v", ack.Reason)
	}
	c.Publish("kept", "1", 1, brokertest.Retained)
	c.Publish("kept", "2", 1, brokertest.Retained)
	p := packet.Publish{Topic: []byte("other"), QoS: 1, PacketID: 77, Retain: true, Payload: []byte("x")}
	c.Send(p.Append(nil, packet.V5))
	if r := c.WantAck(packet.PUBACK, 77); r != packet.QuotaExceeded {
		t.Errorf("a retained message past the limit: %v", r)
	}
	deep := packet.Publish{Topic: []byte("a/b/c/d/e")}
	c.Send(deep.Append(nil, packet.V5))
	if r := c.Closed(); r != packet.TopicNameInvalid {
		t.Errorf("a topic of too many levels: closed with %v", r)
	}
	st := s.Broker.Stats()
	if st.SubscriptionsRefused != 2 || st.RetainedRefused != 1 {
		t.Errorf("counted %d subscriptions and %d retained messages, want 2 and 1", st.SubscriptionsRefused, st.RetainedRefused)
	}
}

func TestALimitIsANumberOrUnlimitedAndNeverZero(t *testing.T) {
	var c broker.Count
	for v, want := range map[any]broker.Count{int64(5): 5, "unlimited": broker.Unlimited, int64(0): -1, int64(-1): -1, "5": -1, 1.5: -1, true: -1} {
		c = -1
		if err := c.UnmarshalTOML(v); (err == nil) != (want > 0) || want > 0 && c != want {
			t.Errorf("%v gives %d, %v", v, c, err)
		} else if err != nil && !strings.Contains(err.Error(), "unlimited") {
			t.Errorf("%v: %v does not say how to write no limit", v, err)
		}
	}
}
