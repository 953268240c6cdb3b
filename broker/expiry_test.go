package broker_test

import (
	"sync"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
	"headgate/broker/store"
)

// passes lets so much time pass on the machine: switched off and on again, with a
// clock that knows, or with only its processes ended.
func (m *machine) passes(d time.Duration, off bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.off += d
	if off {
		m.boot++
		m.began = time.Now()
	} else {
		m.began = m.began.Add(-d)
	}
}

func TestWhatWaitsOnDiskForTheUpstreamExpiresAndGoesUpWithWhatIsLeft(t *testing.T) {
	for name, off := range map[string]bool{"restarted": false, "switched off": true} {
		t.Run(name, func(t *testing.T) {
			m := &machine{boot: 1, began: time.Now().Add(-time.Hour), synced: true}
			s := brokertest.StartOnDisk(t, t.TempDir(), store.Config{}, func(c *broker.Config) { c.Clock = m })
			open := func() *broker.Uplink {
				u, err := s.Broker.NewUplink("cloud", []broker.UplinkFilter{{Filter: "+/v", QoS: 1, QueueQoS0: true}, {Filter: "+/alarm", QoS: 1, High: true}, {Filter: "+/exact", QoS: 2}}, true)
				if err != nil {
					t.Fatal(err)
				}
				return u
			}
			u := open()
			publish := func(topic, payload string, qos byte, expiry uint32) {
				t.Helper()
				msg := broker.Message{Topic: topic, Payload: []byte(payload), QoS: qos}
				if msg.Properties.MessageExpiry = expiry; expiry > 0 {
					msg.Properties.Set(packet.PropMessageExpiry)
				}
				if err := s.Broker.NewClient("test").Publish(msg); err != nil {
					t.Fatal(err)
				}
			}
			publish("a/exact", "received", 2, 3600)
			begun := next(t, u)
			publish("a/v", "short", 1, 3600)
			publish("a/v", "long", 2, 10_000)
			publish("a/v", "of QoS 0", 0, 10_000)
			publish("a/v", "for ever", 1, 0)
			publish("a/alarm", "short", 1, 7199)
			publish("a/alarm", "long", 1, 7300)
			u.Live(true)
			publish("a/v", "live, short", 1, 60)
			publish("a/v", "live, long", 1, 8000)
			received := make(chan error, 1)
			u.Received(begun.PacketID, func(err error) { received <- err })
			if err := <-received; err != nil {
				t.Fatal(err)
			}
			s.Stop()
			m.passes(2*time.Hour, off)
			s.Restart()
			u = open()
			want := map[string]uint32{"a/alarm long": 100, "a/v live, long": 800, "a/v long": 2800, "a/v of QoS 0": 2800}
			for _, d := range wantTaken(t, u, "a/exact received", "a/alarm long", "a/v live, long", "a/v long", "a/v of QoS 0", "a/v for ever") {
				// Some of the last second may have passed, or a few where the machine is slow.
				left := d.Properties.MessageExpiry
				if w := want[d.Topic+" "+string(d.Payload)]; left > w || left+60 < w {
					t.Errorf("%s %s: %d s are left, want %d", d.Topic, d.Payload, left, w)
				}
			}
			if n := u.Backlog().Messages; n != 6 {
				t.Errorf("%d wait, want 6: what has expired is let go", n)
			}
		})
	}
}

// Were one of them dropped, the upstream could hold its identifier when another
// message has it, and take that for the same.
func TestWhatMayHaveBeenOnItsWayAtQoS2GoesAgainHoweverWideTheWindow(t *testing.T) {
	m := &machine{boot: 1, began: time.Now().Add(-time.Hour), synced: true}
	s := brokertest.StartOnDisk(t, t.TempDir(), store.Config{}, func(c *broker.Config) { c.Clock, c.MaxInflight = m, 1 })
	u := lanes(t, s)
	const n = 1200 // more than a client of MaxInflight could have
	var publishing sync.WaitGroup
	for range 60 {
		publishing.Go(func() {
			for range n / 60 {
				msg := broker.Message{Topic: "a/v", QoS: 2}
				msg.Properties.MessageExpiry = 60
				msg.Properties.Set(packet.PropMessageExpiry)
				if err := s.Broker.NewClient("test").Publish(msg); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishing.Wait()
	for range n {
		next(t, u)
	}
	s.Stop()
	m.passes(time.Hour, false)
	s.Restart()
	if _, ds := taken(t, lanes(t, s)); len(ds) != n {
		t.Errorf("%d go again, want %d", len(ds), n)
	}
}
