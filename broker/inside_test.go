package broker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/listen"
	"headgate/broker/packet"
)

// within guards a test against hanging.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestAClientInsideTheProcessPublishesAndIsTold(t *testing.T) {
	s := brokertest.Start(t)
	c := s.Broker.NewClient("test")
	got := make(chan broker.Message, 10)
	if err := c.Subscribe("cmd/+/set", func(m broker.Message) { got <- m }); err != nil {
		t.Fatal(err)
	}
	out, _ := brokertest.Connect(t, s.Addr, packet.V5, "out")
	out.SubscribeTo("#", 1)
	if err := c.Publish(broker.Message{Topic: "v/1", Payload: []byte("21"), QoS: 1}); err != nil {
		t.Fatal(err)
	}
	out.Want("v/1", "21", 1)
	out.Publish("cmd/1/set", "on", 1, func(p *packet.Publish) {
		p.Properties.ResponseTopic = []byte("answers")
		p.Properties.Set(packet.PropResponseTopic)
	})
	select {
	case m := <-got:
		if m.Topic != "cmd/1/set" || string(m.Payload) != "on" || string(m.Properties.ResponseTopic) != "answers" {
			t.Errorf("got %+v", m)
		}
	case <-within(t).Done():
		t.Fatal("the command did not come")
	}
	if err := c.Publish(broker.Message{Topic: "a/#"}); err == nil {
		t.Error("a topic name with a wildcard passed")
	}
	if err := c.Subscribe("other", func(m broker.Message) { got <- m }); err != nil {
		t.Fatal(err)
	}
	c.Unsubscribe("cmd/+/set")
	out.Publish("cmd/1/set", "off", 1)
	out.Publish("other", "1", 1)
	select {
	case m := <-got:
		if m.Topic != "other" {
			t.Errorf("after the end of its subscription it is given %+v", m)
		}
	case <-within(t).Done():
		t.Fatal("the other subscription has ended too")
	}
}

// What matches several filters comes once, and what was subscribed to before no more.
func TestAClientInsideTheProcessChangesWhatItTakes(t *testing.T) {
	s := brokertest.Start(t)
	c := s.Broker.NewClient("test")
	got := make(chan string, 20)
	take := func(which string, filters ...string) {
		t.Helper()
		if err := c.SubscribeAll(filters, func(m broker.Message) { got <- which + " " + m.Topic }); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := brokertest.Connect(t, s.Addr, packet.V5, "out")
	publish := func(topics ...string) {
		for _, name := range topics {
			out.Publish(name, "x", 1)
		}
	}
	want := func(lines ...string) {
		t.Helper()
		for _, line := range lines {
			select {
			case m := <-got:
				if m != line {
					t.Errorf("got %q, want %q", m, line)
				}
			case <-within(t).Done():
				t.Fatalf("%q did not come", line)
			}
		}
	}
	take("first", "a/#", "a/+", "b")
	publish("a/1", "b", "c", "a/2")
	want("first a/1", "first b", "first a/2")
	take("second", "a/+", "c")
	publish("a/1/2", "b", "c", "a/3")
	want("second c", "second a/3")
	if err := c.SubscribeAll([]string{"b", "a/#/b"}, func(broker.Message) { t.Error("a faulty filter is taken") }); err == nil {
		t.Error("a faulty filter is no error")
	}
	publish("b", "c")
	want("second c")
}

func uplink(t *testing.T, s *brokertest.Server, filters ...broker.UplinkFilter) *broker.Uplink {
	t.Helper()
	u, err := s.Broker.NewUplink("cloud", filters, false)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func next(t *testing.T, u *broker.Uplink) broker.Delivery {
	t.Helper()
	d, err := u.Next(within(t), true)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAnUplinksBacklogOutlivesTheProcessAndGoesOnWhereItWas(t *testing.T) {
	s := brokertest.Start(t)
	all := broker.UplinkFilter{Filter: "v/#", QoS: 2, QueueQoS0: true}
	u := uplink(t, s, all)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V311, "pub")
	for i := range 5 {
		pub.Publish("v/1", fmt.Sprint(i), byte(i%3))
	}
	pub.Publish("w", "not for it", 1)
	first, second := next(t, u), next(t, u)
	if first.QoS != 0 || second.QoS != 1 || first.PacketID == 0 {
		t.Errorf("QoS is %d and %d, want that of the publisher, and both queued", first.QoS, second.QoS)
	}
	u.Ack(first.PacketID)
	done := make(chan error, 1)
	u.Received(second.PacketID, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.Restart()
	u = uplink(t, s, all)
	again := next(t, u)
	if again.PacketID != second.PacketID || !again.Received {
		t.Errorf("got identifier %d, received %v; want %d, true", again.PacketID, again.Received, second.PacketID)
	}
	for i := 2; i < 5; i++ {
		d := next(t, u)
		if string(d.Payload) != fmt.Sprint(i) {
			t.Errorf("got %q, want %d", d.Payload, i)
		}
	}
	if got := u.Backlog(); got.Messages != 4 || got.Bytes == 0 {
		t.Errorf("backlog is %+v, want 4 messages", got)
	}
	u.Rewind()
	if d := next(t, u); d.PacketID != second.PacketID {
		t.Errorf("after the rewind got %d, want %d", d.PacketID, second.PacketID)
	}
}

func TestWhatComesDownAnUplinkDoesNotGoUpAgain(t *testing.T) {
	s := brokertest.Start(t)
	u := uplink(t, s, broker.UplinkFilter{Filter: "#", QoS: 1, QueueQoS0: true})
	sub, _ := brokertest.Connect(t, s.Addr, packet.V5, "sub")
	sub.SubscribeTo("cmd", 2)
	for range 2 { // the same QoS 2 message twice
		done := make(chan error, 1)
		u.Publish(broker.Message{Topic: "cmd", Payload: []byte("x"), QoS: 2}, 7, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	sub.Want("cmd", "x", 2)
	sub.Silent()
	if _, ok, err := u.TryNext(true); ok || err != nil {
		t.Errorf("it goes up again: %v, %v", ok, err)
	}
	done := make(chan error, 1)
	u.Release(7, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	u.Publish(broker.Message{Topic: "cmd", Payload: []byte("y"), QoS: 2}, 7, func(err error) { done <- err })
	<-done
	sub.Want("cmd", "y", 2)
}

func TestQoS0ThatIsNotQueuedGoesUpFromMemory(t *testing.T) {
	s := brokertest.Start(t)
	u := uplink(t, s, broker.UplinkFilter{Filter: "#", QoS: 1})
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	pub.Publish("v", "0", 0)
	pub.Publish("v", "1", 1)
	zero, one := next(t, u), next(t, u)
	if zero.PacketID != 0 || zero.QoS != 0 || one.PacketID == 0 || one.QoS != 1 {
		t.Errorf("got %+v and %+v", zero, one)
	}
}

func TestAWillDelayedIsNotPublishedIfItsClientComesBack(t *testing.T) {
	s := brokertest.Start(t)
	sub, _ := brokertest.Connect(t, s.Addr, packet.V5, "sub")
	sub.SubscribeTo("will", 1)
	delayed := func(p *packet.Connect) {
		p.HasWill, p.Will = true, packet.Will{QoS: 1, Topic: []byte("will"), Payload: []byte("gone")}
		p.Will.Properties.WillDelay = 2
		p.Will.Properties.Set(packet.PropWillDelay)
	}
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c", brokertest.Persistent, delayed)
	c.Close()
	c, ack := brokertest.Connect(t, s.Addr, packet.V5, "c", brokertest.Persistent, delayed)
	if !ack.SessionPresent {
		t.Error("the session is gone")
	}
	sub.Silent()
	c.Close()
	sub.Want("will", "gone", 1) // two seconds later
}

func TestASessionEndsWhenItsExpiryHasPassed(t *testing.T) {
	s := brokertest.Start(t)
	short := func(p *packet.Connect) {
		p.CleanStart, p.Properties.SessionExpiry = false, 1
		p.Properties.Set(packet.PropSessionExpiry)
	}
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c", short)
	c.SubscribeTo("a", 1)
	c.Disconnect()
	for deadline := within(t); s.Broker.Stats().Sessions > 0; {
		select {
		case <-deadline.Done():
			t.Fatal("the session does not end")
		case <-time.After(50 * time.Millisecond):
		}
	}
	if n := s.Broker.Stats().Subscriptions; n != 0 {
		t.Errorf("%d of its subscriptions are left", n)
	}
	_, ack := brokertest.Connect(t, s.Addr, packet.V5, "c", short)
	if ack.SessionPresent {
		t.Error("the session came back")
	}
}

func TestAClientThatDoesNotReadCostsOnlyItsLimit(t *testing.T) {
	s := brokertest.Start(t, func(c *broker.Config) {
		c.MaxQueuedBytes, c.MaxQueuedTotalBytes = 1_000_000, 500_000
	})
	deaf, _ := brokertest.Connect(t, s.Addr, packet.V5, "deaf")
	deaf.SubscribeTo("#", 1)
	good, _ := brokertest.Connect(t, s.Addr, packet.V5, "good")
	good.SubscribeTo("small", 1)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	big := strings.Repeat("x", 100_000)
	for range 200 { // 20 MB, more than the socket's buffers take
		pub.Publish("big", big, 1)
	}
	if s.Broker.Stats().Dropped == 0 {
		t.Error("nothing was dropped")
	}
	pub.Publish("small", "still served", 1)
	good.Want("small", "still served", 1)
}

func TestAPortInUseIsTakenOnceItIsFree(t *testing.T) {
	t.Parallel()
	s := brokertest.Start(t)
	taken := s.Addr
	other := brokertest.New(t, func(c *broker.Config) {
		c.Listener = []listen.Config{{URL: "mqtt://" + taken}, {URL: "mqtt://127.0.0.1:0"}}
	})
	err := other.Broker.Listen()
	if err == nil || !strings.Contains(err.Error(), taken) {
		t.Fatalf("got %v, want an error that names %s", err, taken)
	}
	other.Run()
	c, _ := brokertest.Connect(t, other.Broker.Addresses()[1], packet.V5, "c") // everything else goes on
	c.Silent()
	s.Stop()
	for deadline := within(t); other.Broker.Addresses()[0] == ""; {
		select {
		case <-deadline.Done():
			t.Fatal("the port is not taken")
		case <-time.After(50 * time.Millisecond):
		}
	}
}
