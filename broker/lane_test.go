package broker_test

import (
	"fmt"
	"slices"
	"testing"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// lanes makes an uplink of which alarms overtake.
func lanes(t *testing.T, s *brokertest.Server) *broker.Uplink {
	t.Helper()
	return uplink(t, s, broker.UplinkFilter{Filter: "#", QoS: 2, QueueQoS0: true}, broker.UplinkFilter{Filter: "+/alarm", QoS: 2, QueueQoS0: true, High: true})
}

// taken gives what comes next, until nothing does.
func taken(t *testing.T, u *broker.Uplink) (got []string, ds []broker.Delivery) {
	t.Helper()
	for {
		d, ok, err := u.TryNext(true)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return got, ds
		}
		got, ds = append(got, d.Topic+" "+string(d.Payload)), append(ds, d)
	}
}

func wantTaken(t *testing.T, u *broker.Uplink, want ...string) []broker.Delivery {
	t.Helper()
	got, ds := taken(t, u)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	return ds
}

func TestWhatHasTheHighPriorityOvertakesAndIsInOrder(t *testing.T) {
	s := brokertest.Start(t)
	u := lanes(t, s)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	for i := range 3 {
		pub.Publish("a/v", fmt.Sprint(i), 1)
		pub.Publish("a/alarm", fmt.Sprint(i), 1)
	}
	limits := broker.QueueLimits{MaxMessages: 9}
	limits.SetDefaults()
	s.Broker.LimitBridge("cloud", limits)
	for _, q := range s.Broker.Queues().List() {
		if q.Limits.MaxMessages != 9 || q.Kind != broker.BridgeQueue {
			t.Errorf("queue %s has the limits %+v, want those of its bridge", q.Name, q.Limits)
		}
	}
	if got := u.Backlog(); got.Messages != 6 || got.Bytes == 0 {
		t.Errorf("backlog is %+v, want 6 messages", got)
	}
	ds := wantTaken(t, u, "a/alarm 0", "a/alarm 1", "a/alarm 2", "a/v 0", "a/v 1", "a/v 2")
	ids := map[uint16]bool{}
	for _, d := range ds {
		ids[d.PacketID] = true
	}
	if len(ids) != 6 {
		t.Fatalf("the packet identifiers are not different: %+v", ds)
	}
	pub.Publish("a/v", "3", 1)
	pub.Publish("a/alarm", "3", 1)
	u.Ack(ds[0].PacketID) // of the high lane
	u.Ack(ds[4].PacketID) // and of the other, not the first
	done := make(chan error, 2)
	for _, d := range []broker.Delivery{ds[1], ds[3]} {
		u.Received(d.PacketID, func(err error) { done <- err })
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	u.Rewind() // what was in flight at QoS 2 the upstream may hold: it goes first
	wantTaken(t, u, "a/alarm 1", "a/alarm 2", "a/v 0", "a/v 2", "a/alarm 3", "a/v 3")
	s.Restart()
	again := wantTaken(t, lanes(t, s), "a/alarm 1", "a/v 0", "a/alarm 2", "a/alarm 3", "a/v 2", "a/v 3")
	for _, same := range [][2]broker.Delivery{{ds[1], again[0]}, {ds[3], again[1]}} {
		if same[0].PacketID != same[1].PacketID || !same[1].Received {
			t.Errorf("after the restart got %+v, want identifier %d, received", same[1], same[0].PacketID)
		}
	}
}

func TestWhatWaitsInALaneThatIsNotWantedAnyMoreGoesUpAllTheSame(t *testing.T) {
	s := brokertest.Start(t)
	lanes(t, s)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	pub.Publish("a/alarm", "0", 1)
	s.Restart()
	u := uplink(t, s, broker.UplinkFilter{Filter: "#", QoS: 1})
	pub, _ = brokertest.Connect(t, s.Addr, packet.V5, "pub")
	pub.Publish("a/v", "1", 1)
	pub.Publish("a/alarm", "2", 1)
	wantTaken(t, u, "a/alarm 0", "a/v 1", "a/alarm 2")
}

func TestWhatComesDownAnUplinkDoesNotGoUpByItsOtherLane(t *testing.T) {
	s := brokertest.Start(t)
	u := lanes(t, s)
	done := make(chan error, 1)
	u.Publish(broker.Message{Topic: "a/alarm", Payload: []byte("x"), QoS: 1}, 1, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantTaken(t, u)
}
