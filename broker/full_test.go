package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
	"headgate/broker/store"
)

// fill publishes to an offline session until the store refuses, and gives how
// many it took.
func fill(t *testing.T, s *brokertest.Server, topic string) (taken int) {
	t.Helper()
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "filler")
	defer c.Disconnect()
	for id := uint16(1); id < 1000; id++ {
		p := packet.Publish{Topic: []byte(topic), Payload: make([]byte, 64<<10), QoS: 1, PacketID: id}
		c.Send(p.Append(nil, packet.V5))
		if r := c.WantAck(packet.PUBACK, id); r == packet.QuotaExceeded {
			return taken
		}
		taken++
	}
	t.Fatal("the store takes everything")
	return 0
}

// small is a store that is soon full.
var small = store.Config{MaxBytes: 48 << 20}

// keep makes a persistent session without a client that gets what is published to
// a topic.
func keep(t *testing.T, s *brokertest.Server, id, topic string) {
	t.Helper()
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, id, brokertest.Persistent)
	c.SubscribeTo(topic, 2)
	c.Disconnect()
}

func TestAQoS2MessageThatWasRefusedByClosingIsTakenWhenItComesAgain(t *testing.T) {
	s := brokertest.StartInMemory(t, small)
	keep(t, s, "full", "full")
	sub, _ := brokertest.Connect(t, s.Addr, packet.V5, "sub", brokertest.Persistent)
	sub.SubscribeTo("a", 2)
	fill(t, s, "full")
	pub, _ := brokertest.Connect(t, s.Addr, packet.V311, "pub", brokertest.Persistent)
	p := packet.Publish{Topic: []byte("a"), Payload: []byte(strings.Repeat("x", 64<<10)), QoS: 2, PacketID: 7}
	pub.Send(p.Append(nil, packet.V311))
	pub.Closed()                                     // 3.1.1 knows no other way to refuse
	brokertest.Connect(t, s.Addr, packet.V5, "full") // a clean start: there is room again
	pub, _ = brokertest.Connect(t, s.Addr, packet.V311, "pub", brokertest.Persistent)
	p.Dup = true
	pub.Send(p.Append(nil, packet.V311))
	pub.WantAck(packet.PUBREC, 7)
	sub.Want("a", string(p.Payload), 2)
}

func TestAPUBRELThatCameWithRefusedMessagesIsOnDiskAllTheSame(t *testing.T) {
	s := brokertest.StartInMemory(t, small)
	keep(t, s, "full", "full")
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub", brokertest.Persistent)
	p := packet.Publish{Topic: []byte("a"), QoS: 2, PacketID: 7}
	pub.Send(p.Append(nil, packet.V5))
	pub.WantAck(packet.PUBREC, 7)
	fill(t, s, "full")
	refused := packet.Publish{Topic: []byte("full"), Payload: make([]byte, 64<<10), QoS: 1, PacketID: 8}
	rel := packet.Ack{Type: packet.PUBREL, PacketID: 7}
	pub.Send(append(refused.Append(nil, packet.V5), rel.Append(nil, packet.V5)...))
	if got := pub.WantAck(packet.PUBACK, 8); got != packet.QuotaExceeded {
		t.Fatalf("got %v, want %v", got, packet.QuotaExceeded)
	}
	if got := pub.WantAck(packet.PUBCOMP, 7); got != packet.Success {
		t.Fatalf("got %v, want it released", got)
	}
	pub.Disconnect()
	s.Restart()
	// The identifier is free: what has it now is another message.
	sub, _ := brokertest.Connect(t, s.Addr, packet.V5, "sub")
	sub.SubscribeTo("a", 2)
	pub, _ = brokertest.Connect(t, s.Addr, packet.V5, "pub", brokertest.Persistent)
	p.Payload = []byte("another")
	pub.Send(p.Append(nil, packet.V5))
	pub.WantAck(packet.PUBREC, 7)
	sub.Want("a", "another", 2)
}

func TestTopicsThatTheStoreHasNoKeyForAreRefusedAlone(t *testing.T) {
	s := brokertest.StartInMemory(t, store.Config{})
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c", brokertest.Persistent)
	long := strings.Repeat("x", 65_000)
	if r := c.Subscribe(packet.Subscription{Filter: []byte(long), QoS: 1}, packet.Subscription{Filter: []byte("a"), QoS: 1}); r[0] != packet.TopicFilterInvalid || r[1] != 1 {
		t.Errorf("subscribe: got %v, want %v for the long one alone", r, packet.TopicFilterInvalid)
	}
	c.SubscribeTo("#", 1)
	c.Publish(long, "at QoS 0", 0, brokertest.Retained)
	c.Want(long, "at QoS 0", 0)
	p := packet.Publish{Topic: []byte(long), Payload: []byte("x"), QoS: 1, PacketID: 100, Retain: true}
	c.Send(p.Append(nil, packet.V5))
	if r := c.WantAck(packet.PUBACK, 100); r != packet.QuotaExceeded {
		t.Errorf("publish: got %v, want %v", r, packet.QuotaExceeded)
	}
	c.Publish("kept", "x", 0, brokertest.Retained)
	c.Want("kept", "x", 0)
	if _, ack := dial(t, s, strings.Repeat("i", 65_000)); ack.Reason != packet.ClientIdentifierNotValid {
		t.Errorf("connect: got %v, want %v", ack.Reason, packet.ClientIdentifierNotValid)
	}
	s.Restart()
	c, _ = brokertest.Connect(t, s.Addr, packet.V5, "d")
	c.SubscribeTo("#", 1)
	c.Want("kept", "x", 0)
	c.Silent()
}

func dial(t *testing.T, s *brokertest.Server, id string) (*brokertest.Client, packet.Connack) {
	c := brokertest.Dial(t, s.Addr, packet.V5)
	return c, c.Connect(id)
}

func TestTopicsOfTheLargestSizeWorkWithAllTheirLevels(t *testing.T) {
	s := brokertest.StartInMemory(t, store.Config{}, func(c *broker.Config) { c.MaxTopicLevels = broker.Unlimited })
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c")
	name := strings.Repeat("/", 65_535)
	plus := strings.Repeat("+/", 32_767)
	c.SubscribeTo(name, 1)
	c.Publish(name, "x", 1)
	c.Want(name, "x", 1)
	c.SubscribeTo(plus, 0)
	c.Publish(strings.Repeat("/", 32_767), "y", 0, brokertest.Retained)
	c.Want(strings.Repeat("/", 32_767), "y", 0)
	c.Unsubscribe(name, plus)
	limited := brokertest.StartInMemory(t, store.Config{})
	d, _ := brokertest.Connect(t, limited.Addr, packet.V5, "d")
	if r := d.Subscribe(packet.Subscription{Filter: []byte(name)}); r[0] != packet.TopicFilterInvalid {
		t.Errorf("got %v, want %v", r[0], packet.TopicFilterInvalid)
	}
}

func TestMembersOfGroupsCountAmongAllSubscriptions(t *testing.T) {
	s := brokertest.StartInMemory(t, store.Config{}, func(c *broker.Config) { c.MaxSubscriptionsTotal = 3 })
	for i := range 4 {
		c, _ := brokertest.Connect(t, s.Addr, packet.V5, fmt.Sprint("c", i))
		want := packet.ReasonCode(1)
		if i == 3 {
			want = packet.QuotaExceeded
		}
		for range 2 { // one that is there may be made again
			if r := c.Subscribe(packet.Subscription{Filter: []byte("$share/g/a"), QoS: 1}); r[0] != want {
				t.Errorf("member %d: got %v, want %v", i, r[0], want)
			}
		}
	}
}

func TestAnAliasMakesNoPacketLargerThanTheClientTakes(t *testing.T) {
	s := brokertest.StartInMemory(t, store.Config{})
	const most = 60
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c", func(p *packet.Connect) {
		p.Properties.MaximumPacketSize, p.Properties.TopicAliasMaximum = most, 5
		p.Properties.Set(packet.PropMaximumPacketSize)
		p.Properties.Set(packet.PropTopicAliasMaximum)
	})
	c.SubscribeTo("#", 0)
	for _, topic := range []string{"a", "abcd", "abcdef"} {
		for n := range most {
			p := packet.Publish{Topic: []byte(topic), Payload: make([]byte, n)}
			size := len(p.Append(nil, packet.V5))
			c.Publish(topic, string(p.Payload), 0)
			if size > most {
				continue // not sent
			}
			h, body, err := c.Next()
			if err != nil {
				t.Fatal(err)
			}
			if got := h.Size + len(body); got > most {
				t.Errorf("topic %s with %d bytes: a packet of %d, the client takes %d", topic, n, got, most)
			}
		}
	}
}
