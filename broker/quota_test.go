package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/listen"
	"headgate/broker/packet"
	"headgate/broker/store"
)

// limitSessions bounds what waits for one session.
func limitSessions(messages broker.Count, at store.AtLimit) func(*broker.Config) {
	return func(c *broker.Config) { c.MaxSessionMessages, c.SessionAtLimit = messages, at }
}

// queued gives the payloads that wait in a queue.
func queued(t *testing.T, b *broker.Broker, name string) (list []string) {
	t.Helper()
	if err := b.Queues().Messages(name, func(m broker.QueuedMessage) error {
		list = append(list, string(m.Payload))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func wantQueued(t *testing.T, b *broker.Broker, name string, want ...string) {
	t.Helper()
	if got := queued(t, b, name); !slices.Equal(got, want) {
		t.Errorf("%s has %q, want %q", name, got, want)
	}
}

func publishNumbers(c *brokertest.Client, first, end int) {
	for i := first; i < end; i++ {
		c.Publish("a", fmt.Sprint(i), 1)
	}
}

func TestASessionGetsTheNewestOfWhatCameWhileItWasAway(t *testing.T) {
	s := brokertest.Start(t, limitSessions(3, store.DropOldest))
	keep(t, s, "away", "a")
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	publishNumbers(pub, 0, 5)
	s.Restart()
	pub, _ = brokertest.Connect(t, s.Addr, packet.V5, "pub")
	publishNumbers(pub, 5, 7)
	wantQueued(t, s.Broker, "away", "4", "5", "6")
	if n := s.Broker.Stats().QueueDropped; n != 2 {
		t.Errorf("%d are counted since the restart, want 2", n)
	}
	if l := s.Broker.Queues().List(); len(l) != 1 || l[0].Dropped.Oldest != 4 || l[0].Kind != broker.SessionQueue || l[0].OldestMS <= 0 {
		t.Errorf("list: %+v", l)
	}
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "away", brokertest.Persistent)
	for _, p := range []string{"4", "5", "6"} {
		c.Want("a", p, 1)
	}
	c.Silent()
}

func TestASessionThatIsFullHasItsPublishersRefused(t *testing.T) {
	s := brokertest.Start(t, limitSessions(2, store.Refuse))
	keep(t, s, "away", "a")
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	publishNumbers(pub, 0, 2)
	for qos, typ := range map[byte]packet.Type{1: packet.PUBACK, 2: packet.PUBREC} {
		p := packet.Publish{Topic: []byte("a"), Payload: []byte("x"), QoS: qos, PacketID: 100}
		pub.Send(p.Append(nil, packet.V5))
		if r := pub.WantAck(typ, 100); r != packet.QuotaExceeded {
			t.Errorf("QoS %d: got %v, want %v", qos, r, packet.QuotaExceeded)
		}
	}
	pub.Publish("b", "for nobody", 1)
	old, _ := brokertest.Connect(t, s.Addr, packet.V311, "old")
	p := packet.Publish{Topic: []byte("a"), Payload: []byte("x"), QoS: 1, PacketID: 1}
	old.Send(p.Append(nil, packet.V311))
	old.Closed() // 3.1.1 knows no other way to refuse
	wantQueued(t, s.Broker, "away", "0", "1")
	if l := s.Broker.Queues().List(); l[0].Refused != 3 || l[0].Dropped.Total() != 0 {
		t.Errorf("list: %+v", l)
	}
	if n := s.Broker.Stats().RefusedFull; n != 3 {
		t.Errorf("%d are counted, want 3", n)
	}
}

func TestTheNewestAreLeftOutAndAcknowledgedAllTheSame(t *testing.T) {
	s := brokertest.StartInMemory(t, store.Config{}, limitSessions(2, store.DropNewest))
	keep(t, s, "away", "a")
	pub, _ := brokertest.Connect(t, s.Addr, packet.V311, "pub")
	publishNumbers(pub, 0, 5)
	wantQueued(t, s.Broker, "away", "0", "1")
}

func TestASharedSubscriptionHasTheQuotaOfASession(t *testing.T) {
	s := brokertest.StartInMemory(t, store.Config{}, limitSessions(2, store.DropOldest))
	keep(t, s, "member", "$share/g/a")
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	publishNumbers(pub, 0, 5)
	wantQueued(t, s.Broker, "$share/g/a", "3", "4")
	if l := s.Broker.Queues().List(); len(l) != 2 || l[0].Name != "$share/g/a" || l[0].Kind != broker.GroupQueue {
		t.Errorf("list: %+v", l)
	}
}

func TestABridgeHasAQuotaOfItsOwn(t *testing.T) {
	s := brokertest.Start(t, limitSessions(1, store.DropOldest))
	limits := broker.QueueLimits{MaxMessages: 3}
	limits.SetDefaults()
	s.Broker.LimitBridge("cloud", limits)
	u := uplink(t, s, broker.UplinkFilter{Filter: "a", QoS: 1})
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	publishNumbers(pub, 0, 3)
	d, ok, err := u.TryNext(true)
	if !ok || err != nil || string(d.Payload) != "0" {
		t.Fatalf("got %q, %v, %v", d.Payload, ok, err)
	}
	publishNumbers(pub, 3, 6)
	wantQueued(t, s.Broker, "$bridge/cloud", "0", "4", "5") // the first is on its way
	limits.MaxMessages = broker.Unlimited
	s.Broker.LimitBridge("cloud", limits)
	publishNumbers(pub, 6, 8)
	s.Restart() // it is not configured any more, and keeps what it has
	wantQueued(t, s.Broker, "$bridge/cloud", "0", "4", "5", "6", "7")
	if l := s.Broker.Queues().List(); len(l) != 1 || l[0].Kind != broker.OldBridge {
		t.Errorf("list: %+v", l)
	}
}

func TestAReloadPutsNewQuotasIntoForce(t *testing.T) {
	s := brokertest.StartInMemory(t, store.Config{})
	keep(t, s, "away", "a")
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	publishNumbers(pub, 0, 5)
	wantQueued(t, s.Broker, "away", "0", "1", "2", "3", "4")
	cfg := broker.Config{Listener: []listen.Config{{URL: "mqtt://127.0.0.1:0"}}}
	limitSessions(2, store.DropOldest)(&cfg)
	cfg.SetDefaults()
	if err := s.Broker.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	wantQueued(t, s.Broker, "away", "3", "4")
	keep(t, s, "another", "a")
	publishNumbers(pub, 5, 10)
	wantQueued(t, s.Broker, "another", "8", "9")
}

func TestWhatHasWaitedTooLongIsDroppedAlsoAcrossABoot(t *testing.T) {
	inGateway(t, func(g *gateway) {
		g.setWall(0, true)
		limits := broker.QueueLimits{MaxWait: broker.Wait(3*time.Hour + 5*time.Minute)}
		limits.SetDefaults()
		g.broker.LimitBridge("cloud", limits)
		for i := range 4 {
			time.Sleep(time.Hour)
			g.publish(1e6, fmt.Sprint(i))
		}
		oldest := func() time.Duration {
			for _, q := range g.broker.Queues().List() {
				return time.Duration(q.OldestMS) * time.Millisecond
			}
			return 0
		}
		if got := oldest(); got < 177*time.Minute || got > 183*time.Minute {
			t.Errorf("the oldest has waited %v, want 3h", got)
		}
		time.Sleep(10 * time.Minute)
		wantQueued(t, g.broker, "$bridge/cloud", "1", "2", "3")

		g.reboot(time.Hour)
		g.setWall(0, true) // NTP says how long it was off
		g.broker.LimitBridge("cloud", limits)
		time.Sleep(5 * time.Minute)
		wantQueued(t, g.broker, "$bridge/cloud", "2", "3")
		var times []time.Time
		if err := g.broker.Queues().Messages("$bridge/cloud", func(m broker.QueuedMessage) error {
			times = append(times, m.Time)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if d := times[1].Sub(times[0]); d < 58*time.Minute || d > 62*time.Minute {
			t.Errorf("they came within %v, want an hour", d)
		}
		time.Sleep(3 * time.Hour)
		wantQueued(t, g.broker, "$bridge/cloud")
		if l := g.broker.Queues().List(); l[0].Dropped != (store.Drops{Aged: 4}) {
			t.Errorf("list: %+v", l)
		}
	})
}

func TestTheAgesOfDaysAreAFewHundredPoints(t *testing.T) {
	inGateway(t, func(g *gateway) {
		for range 60 * 24 * 3 {
			g.publish(1e6, "x")
			time.Sleep(time.Minute)
		}
		n := 0
		if err := g.store.State("age/", func(string, []byte) error { n++; return nil }); err != nil || n > 1000 || n < 200 {
			t.Errorf("%d points, %v", n, err)
		}
	})
}

func TestAPurgeSaysHowManyAndLeavesTheSessionAlone(t *testing.T) {
	s := brokertest.Start(t)
	keep(t, s, "away", "a")
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	publishNumbers(pub, 0, 5)
	qs := s.Broker.Queues()
	if n, err := qs.Purge("away"); n != 5 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if _, err := qs.Purge("no such queue"); err == nil {
		t.Error("what is not there was purged")
	}
	publishNumbers(pub, 5, 6)
	s.Restart()
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "away", brokertest.Persistent)
	c.Want("a", "5", 1)
	c.Silent()
}

func TestLookingIntoAStoreWithoutABrokerChangesNothing(t *testing.T) {
	inGateway(t, func(g *gateway) {
		g.publish(3600, "1", "2")
		time.Sleep(10 * time.Minute)
		g.stop()
		before := g.store.Stats().NextRecord
		var cfg broker.Config
		cfg.Clock = &g.machine
		cfg.SetDefaults()
		qs, err := broker.LookInto(g.store, cfg, nil, g.logger())
		if err != nil {
			t.Fatal(err)
		}
		l := qs.List()
		if len(l) != 1 || l[0].Kind != broker.OldBridge || l[0].Messages != 2 || l[0].OldestMS < 9*60_000 || l[0].OldestMS > 11*60_000 {
			t.Errorf("list: %+v", l)
		}
		enough := errors.New("enough")
		if err := qs.Messages("$bridge/cloud", func(m broker.QueuedMessage) error {
			if m.Topic != "v/1" || string(m.Payload) != "1" || m.Properties.MessageExpiry != 3000 {
				t.Errorf("got %+v", m)
			}
			return enough
		}); !errors.Is(err, enough) {
			t.Error(err)
		}
		synctest.Wait()
		if after := g.store.Stats().NextRecord; after != before {
			t.Errorf("%d records were written", after-before)
		}
		g.start()
	})
}
