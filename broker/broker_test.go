package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"headgate/broker"
	"headgate/broker/auth"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

var versions = []packet.Version{packet.V31, packet.V311, packet.V5}

// forVersions runs a test with each protocol version.
func forVersions(t *testing.T, f func(t *testing.T, v packet.Version)) {
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) { f(t, v) })
	}
}

func TestAMessageReachesItsSubscribersAtEveryQoS(t *testing.T) {
	forVersions(t, func(t *testing.T, v packet.Version) {
		s := brokertest.Start(t)
		sub, _ := brokertest.Connect(t, s.Addr, v, "sub")
		pub, _ := brokertest.Connect(t, s.Addr, v, "pub")
		sub.SubscribeTo("a/+/c", 2)
		for qos := byte(0); qos <= 2; qos++ {
			pub.Publish("a/b/c", "hello", qos)
			sub.Want("a/b/c", "hello", qos)
		}
		pub.Publish("a/b", "elsewhere", 1)
		sub.Silent()
	})
}

func TestTheQoSIsTheLowerOfPublishAndSubscription(t *testing.T) {
	s := brokertest.Start(t)
	sub, _ := brokertest.Connect(t, s.Addr, packet.V311, "sub")
	pub, _ := brokertest.Connect(t, s.Addr, packet.V311, "pub")
	sub.SubscribeTo("a", 1)
	pub.Publish("a", "two", 2)
	sub.Want("a", "two", 1)
}

func TestOverlappingSubscriptionsDeliverOnceAtTheHighestQoS(t *testing.T) {
	s := brokertest.Start(t)
	sub, _ := brokertest.Connect(t, s.Addr, packet.V311, "sub")
	pub, _ := brokertest.Connect(t, s.Addr, packet.V311, "pub")
	sub.SubscribeTo("a/#", 0)
	sub.SubscribeTo("a/b", 2)
	pub.Publish("a/b", "x", 2)
	sub.Want("a/b", "x", 2)
	sub.Silent()
}

func TestARetainedMessageAwaitsLaterSubscribersUntilItIsCleared(t *testing.T) {
	forVersions(t, func(t *testing.T, v packet.Version) {
		s := brokertest.Start(t)
		pub, _ := brokertest.Connect(t, s.Addr, v, "pub")
		pub.Publish("a/b", "kept", 1, brokertest.Retained)
		pub.Publish("a/c", "kept too", 0, brokertest.Retained)
		pub.Silent() // the QoS 0 one has been taken
		sub, _ := brokertest.Connect(t, s.Addr, v, "sub")
		sub.SubscribeTo("a/b", 1)
		if p := sub.Want("a/b", "kept", 1); !p.Retain {
			t.Error("it came without the RETAIN flag")
		}
		pub.Publish("a/b", "live", 1, brokertest.Retained)
		if p := sub.Want("a/b", "live", 1); p.Retain {
			t.Error("a live message came with the RETAIN flag")
		}
		s.Restart()
		again, _ := brokertest.Connect(t, s.Addr, v, "again")
		again.SubscribeTo("a/b", 1)
		again.Want("a/b", "live", 1)
		again.SubscribeTo("a/c", 1)
		again.Want("a/c", "kept too", 0)
		again.Publish("a/b", "", 1, brokertest.Retained)
		again.Want("a/b", "", 1)
		s.Restart()
		last, _ := brokertest.Connect(t, s.Addr, v, "last")
		last.SubscribeTo("a/b", 1)
		last.Silent()
	})
}

func TestAPersistentSessionGetsWhatCameWhileItWasAway(t *testing.T) {
	forVersions(t, func(t *testing.T, v packet.Version) {
		for _, restart := range []bool{false, true} {
			s := brokertest.Start(t)
			sub, ack := brokertest.Connect(t, s.Addr, v, "sub", brokertest.Persistent)
			if ack.SessionPresent {
				t.Error("a new session is said to be present")
			}
			sub.SubscribeTo("a/#", 2)
			sub.Disconnect()
			pub, _ := brokertest.Connect(t, s.Addr, v, "pub")
			for i := range 50 {
				pub.Publish("a/b", fmt.Sprint(i), byte(i%2+1))
			}
			pub.Publish("a/b", "not kept", 0)
			pub.Silent() // it has been taken
			if restart {
				s.Restart()
			}
			sub, ack = brokertest.Connect(t, s.Addr, v, "sub", brokertest.Persistent)
			if !ack.SessionPresent && v != packet.V31 {
				t.Error("the session is not said to be present")
			}
			for i := range 50 {
				if p := sub.Receive(); string(p.Payload) != fmt.Sprint(i) {
					t.Fatalf("message %d is %q", i, p.Payload)
				} else if p.Dup {
					t.Fatalf("message %d, sent for the first time, has DUP", i)
				} else if p.QoS == 1 {
					sub.SendAck(packet.PUBACK, p.PacketID)
				} else {
					sub.SendAck(packet.PUBREC, p.PacketID)
				}
			}
			for range 25 {
				h, body, err := sub.Next()
				var a packet.Ack
				if err == nil {
					err = a.Decode(v, h.Type, body)
				}
				if err != nil || h.Type != packet.PUBREL {
					t.Fatalf("got %v, %v, want PUBREL", h.Type, err)
				}
				sub.SendAck(packet.PUBCOMP, a.PacketID)
			}
			sub.Silent()
		}
	})
}

func TestWhatWasNotAcknowledgedComesAgainWithItsIdentifierAndDup(t *testing.T) {
	s := brokertest.Start(t)
	sub, _ := brokertest.Connect(t, s.Addr, packet.V5, "sub", brokertest.Persistent)
	sub.SubscribeTo("a", 2)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	pub.Publish("a", "one", 1)
	pub.Publish("a", "two", 2)
	pub.Publish("a", "three", 2)
	one, two, three := sub.Receive(), sub.Receive(), sub.Receive()
	sub.SendAck(packet.PUBREC, three.PacketID)
	sub.WantAck(packet.PUBREL, three.PacketID)
	sub.Close()
	for range 2 { // over a lost connection, then over a restart too
		sub, _ = brokertest.Connect(t, s.Addr, packet.V5, "sub", brokertest.Persistent)
		for _, want := range []packet.Publish{one, two} {
			p := sub.Receive()
			if !p.Dup || p.PacketID != want.PacketID || string(p.Payload) != string(want.Payload) {
				t.Fatalf("got %q with identifier %d, DUP %v; want %q with %d and DUP", p.Payload, p.PacketID, p.Dup, want.Payload, want.PacketID)
			}
		}
		sub.WantAck(packet.PUBREL, three.PacketID)
		sub.Close()
		s.Restart()
	}
}

func TestAQoS2MessageSentAgainIsRoutedOnceAlsoAfterARestart(t *testing.T) {
	s := brokertest.Start(t)
	sub, _ := brokertest.Connect(t, s.Addr, packet.V311, "sub", brokertest.Persistent)
	sub.SubscribeTo("a", 2)
	sub.Disconnect()
	pub, _ := brokertest.Connect(t, s.Addr, packet.V311, "pub", brokertest.Persistent)
	p := packet.Publish{Topic: []byte("a"), Payload: []byte("once"), QoS: 2, PacketID: 7}
	for range 2 {
		pub.Send(p.Append(nil, packet.V311))
		pub.WantAck(packet.PUBREC, 7)
		p.Dup = true
	}
	s.Restart()
	pub, _ = brokertest.Connect(t, s.Addr, packet.V311, "pub", brokertest.Persistent)
	pub.Send(p.Append(nil, packet.V311))
	pub.WantAck(packet.PUBREC, 7)
	pub.SendAck(packet.PUBREL, 7)
	pub.WantAck(packet.PUBCOMP, 7)
	sub, _ = brokertest.Connect(t, s.Addr, packet.V311, "sub", brokertest.Persistent)
	sub.Want("a", "once", 2)
	sub.Silent()
}

func TestACleanStartForgetsTheSession(t *testing.T) {
	s := brokertest.Start(t)
	sub, _ := brokertest.Connect(t, s.Addr, packet.V311, "sub", brokertest.Persistent)
	sub.SubscribeTo("a", 1)
	sub.Disconnect()
	pub, _ := brokertest.Connect(t, s.Addr, packet.V311, "pub")
	pub.Publish("a", "old", 1)
	sub, ack := brokertest.Connect(t, s.Addr, packet.V311, "sub")
	if ack.SessionPresent {
		t.Error("a session is present after a clean start")
	}
	sub.Disconnect()
	sub, ack = brokertest.Connect(t, s.Addr, packet.V311, "sub", brokertest.Persistent)
	if ack.SessionPresent {
		t.Error("the old session came back")
	}
	sub.Silent()
}

func TestASecondClientWithTheSameIdentifierTakesTheSessionOver(t *testing.T) {
	s := brokertest.Start(t)
	first, _ := brokertest.Connect(t, s.Addr, packet.V5, "c", brokertest.Persistent)
	first.SubscribeTo("a", 1)
	second, ack := brokertest.Connect(t, s.Addr, packet.V5, "c", brokertest.Persistent)
	if !ack.SessionPresent {
		t.Error("the session was not taken over")
	}
	if r := first.Closed(); r != packet.SessionTakenOver {
		t.Errorf("the first one was told %v", r)
	}
	second.Publish("a", "x", 1)
	second.Want("a", "x", 1)
}

func TestAWillIsPublishedWhenTheConnectionBreaksAndNotAfterADisconnect(t *testing.T) {
	forVersions(t, func(t *testing.T, v packet.Version) {
		s := brokertest.Start(t)
		sub, _ := brokertest.Connect(t, s.Addr, v, "sub")
		sub.SubscribeTo("will/#", 1)
		will := func(p *packet.Connect) {
			p.HasWill, p.Will = true, packet.Will{QoS: 1, Retain: true, Topic: []byte("will/x"), Payload: []byte("gone")}
		}
		c, _ := brokertest.Connect(t, s.Addr, v, "c", will)
		c.Disconnect()
		sub.Silent()
		c, _ = brokertest.Connect(t, s.Addr, v, "c", will)
		c.Close()
		sub.Want("will/x", "gone", 1)
		late, _ := brokertest.Connect(t, s.Addr, v, "late")
		late.SubscribeTo("will/x", 0)
		late.Want("will/x", "gone", 0)
	})
}

func TestSilenceBeyondTheKeepAliveEndsTheConnection(t *testing.T) {
	t.Parallel()
	s := brokertest.Start(t)
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c", func(p *packet.Connect) { p.KeepAlive = 1 })
	if r := c.Closed(); r != packet.KeepAliveTimeout {
		t.Errorf("got %v, want a keep alive timeout", r)
	}
}

func TestUsersAreLetInByTheirPasswordOnly(t *testing.T) {
	forVersions(t, func(t *testing.T, v packet.Version) {
		s := brokertest.Start(t, func(c *broker.Config) {
			c.User = []auth.UserConfig{{Name: "plant", Password: "secret"}}
		})
		for _, try := range []struct {
			user, password string
			want           packet.ReasonCode
		}{
			{"plant", "secret", packet.Success},
			{"plant", "wrong", packet.BadUserNameOrPassword},
			{"other", "secret", packet.BadUserNameOrPassword},
		} {
			want := try.want
			if v != packet.V5 {
				want = want.V3()
			}
			c := brokertest.Dial(t, s.Addr, v)
			ack := c.Connect("c", func(p *packet.Connect) {
				p.HasUsername, p.Username = true, []byte(try.user)
				p.HasPassword, p.Password = true, []byte(try.password)
			})
			if ack.Reason != want {
				t.Errorf("%s with %q: %v, want %v", try.user, try.password, ack.Reason, want)
			}
		}
	})
}

func TestAFaultyPacketClosesItsOwnConnectionOnly(t *testing.T) {
	s := brokertest.Start(t)
	good, _ := brokertest.Connect(t, s.Addr, packet.V5, "good")
	good.SubscribeTo("a", 1)
	for name, b := range map[string][]byte{
		"truncated SUBSCRIBE":   {0x82, 2, 0, 1},
		"QoS 3":                 {0x36, 5, 0, 1, 'a', 0, 1},
		"a length of 256 MB":    {0x30, 0xff, 0xff, 0xff, 0x7f},
		"reserved type":         {0x00, 0},
		"a second CONNECT":      {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 0, 0, 0, 0},
		"a topic with wildcard": {0x30, 5, 0, 1, '#', 0, 'x'},
	} {
		bad, _ := brokertest.Connect(t, s.Addr, packet.V5, "bad")
		bad.Send(b)
		if r := bad.Closed(); !r.Failed() {
			t.Errorf("%s: closed with %v", name, r)
		}
	}
	good.Publish("a", "still here", 1)
	good.Want("a", "still here", 1)
	if n := s.Broker.Stats().Panics; n != 0 {
		t.Errorf("%d panics", n)
	}
}

func TestLargeMessagesPassUpToTheLimit(t *testing.T) {
	s := brokertest.Start(t)
	sub, _ := brokertest.Connect(t, s.Addr, packet.V5, "sub", brokertest.Persistent)
	sub.SubscribeTo("a", 1)
	big := strings.Repeat("x", 900_000)
	sub.Publish("a", big, 1)
	sub.Want("a", big, 1)
	sub.Send([]byte{0x30, 0xc1, 0x84, 0x3d, 0, 1, 'a', 0}) // claims 1,000,001 bytes
	if r := sub.Closed(); r != packet.PacketTooLarge {
		t.Errorf("closed with %v", r)
	}
}

func TestSubscriptionOptionsOf5(t *testing.T) {
	s := brokertest.Start(t)
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c")
	c.Publish("kept", "r", 1, brokertest.Retained)
	c.Subscribe(packet.Subscription{Filter: []byte("local"), QoS: 1, NoLocal: true})
	c.Publish("local", "own", 1)
	c.Silent()
	c.Subscribe(packet.Subscription{Filter: []byte("kept"), QoS: 1, RetainHandling: 2})
	c.Silent()
	c.Subscribe(packet.Subscription{Filter: []byte("kept"), QoS: 1, RetainHandling: 1})
	c.Silent() // it is not new
	c.Subscribe(packet.Subscription{Filter: []byte("kept"), QoS: 1, RetainAsPublished: true})
	c.Want("kept", "r", 1)
	faulty := packet.Subscribe{PacketID: 99, Subscriptions: []packet.Subscription{{Filter: []byte("a#")}}}
	c.Send(faulty.Append(nil, packet.V5))
	if r := c.Closed(); r != packet.MalformedPacket {
		t.Errorf("a faulty filter got %v", r)
	}
}

func TestPropertiesPassUnaltered(t *testing.T) {
	s := brokertest.Start(t)
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c", brokertest.Persistent)
	c.SubscribeTo("a", 1)
	c.Publish("a", "x", 1, func(p *packet.Publish) {
		p.Properties.ResponseTopic = []byte("answer/here")
		p.Properties.Set(packet.PropResponseTopic)
		p.Properties.CorrelationData = []byte{0, 1, 2}
		p.Properties.Set(packet.PropCorrelationData)
		p.Properties.User = []packet.UserProperty{{Key: []byte("k"), Value: []byte("1")}, {Key: []byte("k"), Value: []byte("2")}}
		p.Properties.MessageExpiry = 100
		p.Properties.Set(packet.PropMessageExpiry)
	})
	got := c.Want("a", "x", 1).Properties
	if string(got.ResponseTopic) != "answer/here" || string(got.CorrelationData) != "\x00\x01\x02" || len(got.User) != 2 || string(got.User[1].Value) != "2" {
		t.Errorf("got %+v", got)
	}
	if !got.Has(packet.PropMessageExpiry) || got.MessageExpiry > 100 || got.MessageExpiry < 90 {
		t.Errorf("message expiry is %d", got.MessageExpiry)
	}
}

func TestTheClientsReceiveMaximumIsKept(t *testing.T) {
	for _, connect := range []func(*packet.Connect){func(*packet.Connect) {}, brokertest.Persistent} {
		s := brokertest.Start(t)
		sub, _ := brokertest.Connect(t, s.Addr, packet.V5, "sub", connect, func(p *packet.Connect) {
			p.Properties.ReceiveMaximum = 3
			p.Properties.Set(packet.PropReceiveMaximum)
		})
		sub.SubscribeTo("a", 1)
		pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
		for i := range 10 {
			pub.Publish("a", fmt.Sprint(i), 1)
		}
		var open []uint16
		for i := range 3 {
			p := sub.Receive()
			if string(p.Payload) != fmt.Sprint(i) {
				t.Fatalf("message %d is %q", i, p.Payload)
			}
			open = append(open, p.PacketID)
		}
		sub.Silent()
		for i := 3; i < 10; i++ {
			sub.SendAck(packet.PUBACK, open[0])
			open = append(open[1:], sub.Receive().PacketID)
			sub.Silent()
		}
	}
}
