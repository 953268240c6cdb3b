package broker_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// liveFirst makes an uplink of which what comes overtakes what has waited, and
// alarms all of it.
func liveFirst(t *testing.T, s *brokertest.Server) *broker.Uplink {
	t.Helper()
	u, err := s.Broker.NewUplink("cloud", []broker.UplinkFilter{{Filter: "#", QoS: 2, QueueQoS0: true}, {Filter: "+/alarm", QoS: 1, High: true}}, true)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestWhatComesWhileThereIsAConnectionOvertakesWhatHasWaited(t *testing.T) {
	s := brokertest.Start(t)
	u := liveFirst(t, s)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	publish := func(topic, payload string) { pub.Publish(topic, payload, 1) }
	publish("a/v", "old 0")
	publish("a/v", "old 1")
	publish("a/alarm", "0")
	u.Live(true)
	publish("a/v", "new 0")
	publish("a/v", "new 1")
	if d, ok, err := u.TryNext(false); err != nil || !ok || string(d.Payload) != "0" || d.Replay {
		t.Fatalf("got %+v, %v, want the alarm, which is no part of the backlog", d, err)
	}
	for range 2 {
		if d := next(t, u); d.Replay {
			t.Errorf("%s is of the backlog", d.Payload)
		}
	}
	if d, ok, err := u.TryNext(false); ok || err != nil {
		t.Fatalf("got %s, %v: without the backlog there is nothing more", d.Payload, err)
	}
	u.Rewind() // what was in flight at QoS 2 the upstream may hold: it goes first
	ds := wantTaken(t, u, "a/v new 0", "a/v new 1", "a/alarm 0", "a/v old 0", "a/v old 1")
	for _, d := range ds[3:] {
		if !d.Replay {
			t.Errorf("%s is not of the backlog", d.Payload)
		}
	}
	// The new ones that were not acknowledged keep their place; another outage's
	// come at the end of the backlog.
	u.Ack(ds[0].PacketID)
	u.Ack(ds[4].PacketID)
	u.Live(false)
	publish("a/v", "old 2")
	u.Rewind()
	u.Live(true)
	publish("a/v", "new 2")
	// What the upstream may hold of an earlier connection, at QoS 2, is not overtaken.
	ds = wantTaken(t, u, "a/v new 1", "a/v old 0", "a/alarm 0", "a/v new 2", "a/v old 2")
	done := make(chan error, 1)
	u.Received(ds[3].PacketID, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.Restart()
	again := wantTaken(t, liveFirst(t, s), "a/v new 1", "a/v new 2", "a/alarm 0", "a/v old 0", "a/v old 2")
	for i, was := range []int{0, 3, 2, 1, 4} {
		if d := again[i]; d.PacketID != ds[was].PacketID || d.Received != (was == 3) {
			t.Errorf("after the restart %s %s has the identifier %d, received %v; had %d", d.Topic, d.Payload, d.PacketID, d.Received, ds[was].PacketID)
		}
	}
	// In order again: what waits in the live lane goes, then all else.
	s.Restart()
	u = uplink(t, s, broker.UplinkFilter{Filter: "#", QoS: 2})
	pub, _ = brokertest.Connect(t, s.Addr, packet.V5, "pub")
	u.Live(true)
	publish("a/v", "new 3")
	if ds := wantTaken(t, u, "a/v new 1", "a/v new 2", "a/alarm 0", "a/v old 0", "a/v old 2", "a/v new 3"); !ds[4].Replay || ds[5].Replay {
		t.Errorf("got %+v: what came after the connection is no backlog", ds[4:])
	}
}

// A link that comes and goes leaves one backlog, in the order of coming; each time
// only what comes then goes before it.
func TestTheOutagesOfAFlappingUplinkAreOneBacklog(t *testing.T) {
	s := brokertest.Start(t)
	u := liveFirst(t, s)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	var old, fresh []string
	publish := func(list *[]string) {
		n := fmt.Sprint(len(old) + len(fresh))
		*list = append(*list, "a/v "+n)
		pub.Publish("a/v", n, 1)
	}
	for range 20 {
		publish(&old)
		publish(&old)
		u.Rewind()
		u.Live(true)
		publish(&fresh)
		if d, ok, err := u.TryNext(true); err != nil || !ok || d.Replay {
			t.Fatalf("got %+v, %v, %v, want a live one first", d, ok, err)
		}
		u.Live(false)
	}
	s.Restart()
	u = liveFirst(t, s)
	u.Live(true)
	for i, d := range wantTaken(t, u, slices.Concat(fresh, old)...) {
		if d.Replay != (i >= len(fresh)) {
			t.Errorf("%d: %s is of the backlog: %v", i, d.Payload, d.Replay)
		}
	}
}

func TestOneQuotaHoldsForTheLiveAndTheBacklogTogether(t *testing.T) {
	s := brokertest.Start(t)
	limits := broker.QueueLimits{MaxMessages: 6}
	limits.SetDefaults()
	s.Broker.LimitBridge("cloud", limits)
	u := liveFirst(t, s)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	pub.Publish("a/alarm", "0", 1)
	publishNumbers(pub, 1, 6)
	u.Live(true)
	publishNumbers(pub, 6, 9)
	if got := u.Backlog().Messages; got != 6 {
		t.Errorf("%d wait, the limit is 6", got)
	}
	wantTaken(t, u, "a/alarm 0", "a 6", "a 7", "a 8", "a 4", "a 5")
}

// An old value must not replace a newer one upstream, and what changes seldom must
// get there as retained all the same.
func TestBehindTheLiveOnlyWhatATopicStillRetainsIsRetained(t *testing.T) {
	s := brokertest.Start(t)
	u := liveFirst(t, s)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	id := uint16(100)
	retain := func(topic, payload string) {
		id++
		p := packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: 1, PacketID: id, Retain: true}
		pub.Send(p.Append(nil, packet.V5))
		pub.WantAck(packet.PUBACK, id)
	}
	retain("seldom", "old")
	retain("seldom", "newest")
	retain("often", "old")
	retain("cleared", "old")
	retain("cleared", "")
	retain("set again", "")
	pub.Publish("plain", "x", 1)
	u.Live(true)
	retain("often", "newest")
	retain("set again", "newest")
	check := func(u *broker.Uplink) {
		t.Helper()
		want := map[string]bool{"seldom old": false, "seldom newest": true, "often old": false, "cleared old": false, "cleared ": true, "set again ": false,
			"plain x": false, "often newest": true, "set again newest": true}
		for _, d := range wantTaken(t, u, "often newest", "set again newest", "seldom old", "seldom newest", "often old", "cleared old", "cleared ", "set again ", "plain x") {
			if key := d.Topic + " " + string(d.Payload); d.Retain != want[key] {
				t.Errorf("%s: RETAIN %v, want %v", key, d.Retain, want[key])
			}
		}
	}
	check(u)
	s.Restart()
	u = liveFirst(t, s)
	u.Live(true)
	check(u)
}

func TestTheLiveLaneHasTheLimitsOfItsBridge(t *testing.T) {
	s := brokertest.Start(t)
	liveFirst(t, s)
	limits := broker.QueueLimits{MaxMessages: 5}
	limits.SetDefaults()
	s.Broker.LimitBridge("cloud", limits)
	list := s.Broker.Queues().List()
	if len(list) != 3 {
		t.Fatalf("got %+v, want three lanes", list)
	}
	for _, q := range list {
		if q.Limits.MaxMessages != 5 || q.Kind != broker.BridgeQueue {
			t.Errorf("queue %s has the limits %+v, want those of its bridge", q.Name, q.Limits)
		}
	}
}

func TestABacklogSaysHowLongItHasWaited(t *testing.T) {
	inGateway(t, func(g *gateway) {
		publish := func() {
			if err := g.client.Publish(broker.Message{Topic: "v/1", Payload: []byte("x"), QoS: 1}); err != nil {
				t.Fatal(err)
			}
		}
		for range 4 {
			publish()
			time.Sleep(time.Hour)
			synctest.Wait()
		}
		if got := g.uplink.Backlog(); got.Messages != 4 || got.Oldest.Round(10*time.Minute) != 4*time.Hour {
			t.Errorf("got %+v, want 4 messages, the oldest of 4h", got)
		}
		g.uplink.Live(true)
		time.Sleep(10 * time.Second) // the age does not stand still when the connection is there
		for i := range 4 {
			d, ok, err := g.uplink.TryNext(true)
			if !ok || err != nil || !d.Replay {
				t.Fatalf("%+v, %v, %v", d, ok, err)
			}
			if want := time.Duration(4-i) * time.Hour; d.Age < want-5*time.Minute || d.Age > want+5*time.Minute {
				t.Errorf("message %d is %v old, want %v", i, d.Age, want)
			}
		}
		publish()
		if d, ok, err := g.uplink.TryNext(true); !ok || err != nil || d.Replay || d.Age != 0 {
			t.Errorf("what came after the connection: got %+v, %v", d, err)
		}
	})
}

// Each lane comes to the end of its identifiers and begins again, and never into
// another one's.
func TestTheLanesNeverShareAPacketIdentifier(t *testing.T) {
	inGateway(t, func(g *gateway) {
		u, err := g.broker.NewUplink("two", []broker.UplinkFilter{{Filter: "n", QoS: 1}, {Filter: "h", QoS: 1, High: true}}, true)
		if err != nil {
			t.Fatal(err)
		}
		lane := map[uint16]string{}
		for _, l := range []struct {
			name, topic string
			live        bool
			n           int
		}{{"normal", "n", false, 58_000}, {"high", "h", false, 4_500}, {"live", "n", true, 4_500}} {
			u.Live(l.live)
			for range l.n {
				if err := g.client.Publish(broker.Message{Topic: l.topic, QoS: 1}); err != nil {
					t.Fatal(err)
				}
				d, ok, err := u.TryNext(true)
				if !ok || err != nil {
					t.Fatal(ok, err)
				}
				u.Ack(d.PacketID)
				if was, used := lane[d.PacketID]; used && was != l.name || d.PacketID == 0 {
					t.Fatalf("identifier %d is of %s and of %s", d.PacketID, was, l.name)
				}
				lane[d.PacketID] = l.name
			}
		}
		if len(lane) != 65_535 {
			t.Errorf("%d identifiers were used, want all", len(lane))
		}
	})
}

func TestWhatComesDownAnUplinkDoesNotGoUpByItsLiveLane(t *testing.T) {
	s := brokertest.Start(t)
	u := liveFirst(t, s)
	u.Live(true)
	done := make(chan error, 1)
	u.Publish(broker.Message{Topic: "a/v", Payload: []byte("x"), QoS: 1}, 1, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got, _ := taken(t, u); len(got) > 0 {
		t.Errorf("got %s", fmt.Sprint(got))
	}
}
