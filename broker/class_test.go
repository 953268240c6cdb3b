package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
	"headgate/broker/store"
)

func class(filter string, window time.Duration) broker.Class {
	return broker.Class{Filter: filter, Window: &window}
}

// slow is a class that a test would see: it does not wait for its end.
func slow(filter string) broker.Class { return class(filter, 10*time.Second) }

func TestPublishersShareACommitWithinTheWindowOfTheirClass(t *testing.T) {
	change := func(c *broker.Config) { c.Classes = []broker.Class{class("slow/but/this", 0), slow("slow/#")} }
	s := brokertest.StartInMemory(t, store.Config{}, change)
	away, _ := brokertest.Connect(t, s.Addr, packet.V5, "away", brokertest.Persistent)
	away.SubscribeTo("#", 2)
	here, _ := brokertest.Connect(t, s.Addr, packet.V5, "here")
	here.SubscribeTo("#", 1)
	away.Disconnect()
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub", brokertest.Persistent)
	pub.Publish("other", "", 1) // what came before is on disk

	before := s.Store.Stats()
	send := func(name string, id uint16, qos byte, change ...func(*packet.Publish)) {
		p := packet.Publish{Topic: []byte(name), PacketID: id, QoS: qos}
		for _, f := range change {
			f(&p)
		}
		pub.Send(p.Append(nil, packet.V5))
	}
	for id := range uint16(5) {
		send("slow/1", 100+id, 1)
	}
	send("slow/2", 105, 2)
	send("slow/2", 106, 1, brokertest.Retained, func(p *packet.Publish) { p.Payload = []byte("x") })
	here.Want("other", "", 1)
	for range 5 {
		here.Want("slow/1", "", 1) // who is there does not wait
	}
	here.Want("slow/2", "", 1)
	here.Want("slow/2", "x", 1)
	send("slow/but/this", 107, 1)
	for id := uint16(100); id < 108; id++ {
		if id == 105 {
			pub.WantAck(packet.PUBREC, id)
		} else {
			pub.WantAck(packet.PUBACK, id)
		}
	}
	after := s.Store.Stats()
	if n := after.Commits - before.Commits; n != 1 {
		t.Errorf("%d commits, want 1", n)
	}
	if n := after.Records - before.Records; n != 10 { // 8 messages, a packet identifier, what is retained
		t.Errorf("%d records, want 10", n)
	}
}

func TestWhatTheGatewayPublishesIsWrittenOnceASecond(t *testing.T) {
	inGateway(t, func(g *gateway) {
		time.Sleep(30 * time.Second)
		before := g.store.Stats().Commits
		for i := range 100 {
			if err := g.client.Publish(broker.Message{Topic: "v/1", Payload: fmt.Append(nil, i), QoS: 1}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if n := g.store.Stats().Commits - before; n != 1 {
			t.Errorf("%d commits in a second, want 1", n)
		}
		for i := range 100 {
			d, ok, err := g.uplink.TryNext(true)
			if !ok || err != nil || string(d.Payload) != fmt.Sprint(i) {
				t.Fatalf("message %d: %q %v %v", i, d.Payload, ok, err)
			}
		}
	})
}

// TestWhatTheUplinkHasWithinTheWindowIsNeverWritten, and all of it while it takes
// nothing.
func TestWhatTheUplinkHasWithinTheWindowIsNeverWritten(t *testing.T) {
	inGateway(t, func(g *gateway) {
		time.Sleep(30 * time.Second)
		publish := func(up bool) (commits, spared int64) {
			before := g.store.Stats()
			for i := range 300 {
				if err := g.client.Publish(broker.Message{Topic: "v/1", Payload: fmt.Append(nil, i), QoS: 1}); err != nil {
					t.Fatal(err)
				}
				for up {
					d, ok, err := g.uplink.TryNext(true)
					if err != nil {
						t.Fatal(err)
					}
					if !ok {
						break
					}
					time.AfterFunc(50*time.Millisecond, func() { g.uplink.Ack(d.PacketID) })
				}
				time.Sleep(10 * time.Millisecond)
			}
			after := g.store.Stats()
			return after.Commits - before.Commits, after.Spared - before.Spared
		}
		if commits, spared := publish(true); commits > 0 || spared < 280 {
			t.Errorf("while the uplink is up: %d commits, %d of 300 messages were spared", commits, spared)
		}
		time.Sleep(2 * time.Second)
		if commits, spared := publish(false); commits < 2 || spared > 0 {
			t.Errorf("while it is down: %d commits, %d messages were spared", commits, spared)
		}
	})
}

func TestAPublisherNeedNotWaitForTheWindowOnceAllHaveItsMessage(t *testing.T) {
	change := func(c *broker.Config) { c.Classes = []broker.Class{slow("slow/#")} }
	s := brokertest.StartInMemory(t, store.Config{}, change)
	sub, _ := brokertest.Connect(t, s.Addr, packet.V5, "sub", brokertest.Persistent)
	sub.SubscribeTo("#", 2)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub", brokertest.Persistent)
	before := s.Store.Stats()
	pub.Send((&packet.Publish{Topic: []byte("slow/1"), Payload: []byte("x"), QoS: 1, PacketID: 100}).Append(nil, packet.V5))
	sub.Want("slow/1", "x", 1)
	pub.WantAck(packet.PUBACK, 100)
	if after := s.Store.Stats(); after.Spared != before.Spared+1 {
		t.Errorf("%d messages were spared, want 1", after.Spared-before.Spared)
	}
	// At QoS 2 it is written all the same.
	pub.Send((&packet.Publish{Topic: []byte("slow/2"), QoS: 2, PacketID: 101}).Append(nil, packet.V5))
	pub.Send((&packet.Publish{Topic: []byte("now"), QoS: 1, PacketID: 102}).Append(nil, packet.V5))
	pub.WantAck(packet.PUBREC, 101)
	pub.WantAck(packet.PUBACK, 102)
	if after := s.Store.Stats(); after.Spared != before.Spared+1 {
		t.Errorf("%d messages were spared, want 1", after.Spared-before.Spared)
	}
}

func TestAReloadPutsClassesIntoForce(t *testing.T) {
	inGateway(t, func(g *gateway) {
		time.Sleep(30 * time.Second)
		publish := func() (commits int64) {
			before := g.store.Stats().Commits
			if err := g.client.Publish(broker.Message{Topic: "v/1", QoS: 1}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return g.store.Stats().Commits - before
		}
		if n := publish(); n != 0 {
			t.Errorf("%d commits at once without a class, want 0", n)
		}
		cfg := broker.Config{Classes: []broker.Class{class("v/#", 0)}}
		cfg.SetDefaults()
		if err := g.broker.Reload(cfg); err != nil {
			t.Fatal(err)
		}
		if n := publish(); n != 1 {
			t.Errorf("%d commits at once with a window of 0s, want 1", n)
		}
	})
}

func TestAFaultyClassIsSaid(t *testing.T) {
	second, minute := time.Second, time.Minute
	for want, c := range map[string]broker.Class{
		"":                               {Filter: "a/#", Window: &second},
		"filter: a class needs":          {Window: &second},
		"filter: \"a/#/b\"":              {Filter: "a/#/b", Window: &second},
		"filter: \"$share/g/a\": a":      {Filter: "$share/g/a", Window: &second},
		"window: a class needs a window": {Filter: "a"},
		"window: 1m0s is not within":     {Filter: "a", Window: &minute},
	} {
		said := ""
		c.Check(func(key, format string, args ...any) { said += key + ": " + fmt.Sprintf(format, args...) })
		if !strings.HasPrefix(said, want) || (want == "") != (said == "") {
			t.Errorf("%+v: got %q, want %q", c, said, want)
		}
	}
}
