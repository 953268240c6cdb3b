package broker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
	"headgate/broker/store"
)

// fragile is a broker whose disk goes away with breakDisk.
type fragile struct {
	*brokertest.Server
	t   *testing.T
	dir string
}

// startFragile makes one that has begun a generation of so many bytes: another
// one cannot be made.
func startFragile(t *testing.T, generation store.Bytes) *fragile {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	return &fragile{brokertest.StartOnDisk(t, dir, store.Config{MaxBytes: 4 * generation, Patience: 300 * time.Millisecond}), t, dir}
}

// breakDisk lets the disk take nothing any more once what it has begun is full.
func (f *fragile) breakDisk() {
	f.t.Helper()
	if err := os.Rename(filepath.Join(f.dir, "spool"), filepath.Join(f.dir, "away")); err != nil {
		f.t.Fatal(err)
	}
}

// repair brings the disk back and waits until it takes something.
func (f *fragile) repair() {
	f.t.Helper()
	if err := os.Rename(filepath.Join(f.dir, "away"), filepath.Join(f.dir, "spool")); err != nil {
		f.t.Fatal(err)
	}
	done := make(chan error, 1)
	f.Store.Commit(nil, func(err error) { done <- err })
	if err := <-done; err != nil {
		f.t.Fatal(err)
	}
}

// publishUntilHeld publishes until the disk does not take a message any more: it
// gives how many were acknowledged, and the packet identifier of the one that was
// not.
func publishUntilHeld(t *testing.T, c *brokertest.Client, topic string) (acked int, id uint16) {
	t.Helper()
	for id = 1; id < 200; id++ {
		p := packet.Publish{Topic: []byte(topic), Payload: large(int(id) - 1), QoS: 1, PacketID: id}
		c.Send(p.Append(nil, packet.V5))
		h, body, err := c.Next()
		if err != nil {
			t.Fatalf("the connection ends without a DISCONNECT: %v", err)
		}
		if h.Type == packet.DISCONNECT {
			var d packet.Disconnect
			if err := d.Decode(packet.V5, body); err != nil || d.Reason != packet.ServerBusy {
				t.Fatalf("DISCONNECT with %v (%v), want %v", d.Reason, err, packet.ServerBusy)
			}
			return acked, id
		}
		acked++
	}
	t.Fatal("the disk takes everything")
	return 0, 0
}

func large(n int) []byte { return fmt.Appendf(nil, "%0100000d", n) }

func TestWithoutADiskWhatNeedsItIsNotAcknowledgedAndEverythingElseGoesOn(t *testing.T) {
	s := startFragile(t, 2<<20)
	keep(t, s.Server, "offline", "log/#")
	inside := s.Broker.NewClient("inside")
	panel, _ := brokertest.Connect(t, s.Addr, packet.V5, "panel")
	panel.SubscribeTo("live/#", 1)
	panel.SubscribeTo("log/inside", 0)
	exact, _ := brokertest.Connect(t, s.Addr, packet.V5, "exact", brokertest.Persistent)
	old, _ := brokertest.Connect(t, s.Addr, packet.V311, "old")
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")

	s.breakDisk()
	acked, _ := publishUntilHeld(t, pub, "log/large")
	if st := s.Store.Stats(); len(st.Alarms()) != 1 || st.Alarms()[0].Name != "disk" {
		t.Errorf("alarms: %+v", st.Alarms())
	}
	p := packet.Publish{Topic: []byte("log/exact"), Payload: []byte("once"), QoS: 2, PacketID: 7}
	exact.Send(p.Append(nil, packet.V5))
	if r := exact.Closed(); r != packet.ServerBusy {
		t.Errorf("a QoS 2 publisher: %v", r)
	}
	p = packet.Publish{Topic: []byte("log/old"), QoS: 1, PacketID: 1}
	old.Send(p.Append(nil, packet.V311))
	old.Closed()
	c := brokertest.Dial(t, s.Addr, packet.V5)
	if ack := c.Connect("offline", brokertest.Persistent); ack.Reason != packet.ServerUnavailable {
		t.Errorf("a persistent session: %v", ack.Reason)
	}
	pub, _ = brokertest.Connect(t, s.Addr, packet.V5, "pub")
	pub.Publish("live/0", "a", 0)
	panel.Want("live/0", "a", 0)
	pub.Publish("live/1", "b", 1)
	panel.Want("live/1", "b", 1)
	pub.Publish("live/2", "c", 2)
	panel.Want("live/2", "c", 1)
	pub.Publish("log/qos0", "for the log too", 0)
	pub.Silent()
	for i := range 3 {
		if err := inside.Publish(broker.Message{Topic: "log/inside", Payload: []byte{'0' + byte(i)}, QoS: 1}); err != nil {
			t.Fatal(err)
		}
		panel.Want("log/inside", string('0'+rune(i)), 0)
	}

	s.repair()
	exact, ack := brokertest.Connect(t, s.Addr, packet.V5, "exact", brokertest.Persistent)
	if !ack.SessionPresent {
		t.Error("the session of the QoS 2 publisher is gone")
	}
	p = packet.Publish{Topic: []byte("log/exact"), Payload: []byte("once"), QoS: 2, PacketID: 7, Dup: true}
	exact.Send(p.Append(nil, packet.V5))
	exact.WantAck(packet.PUBREC, 7)
	exact.SendAck(packet.PUBREL, 7)
	exact.WantAck(packet.PUBCOMP, 7)
	pub.Publish("log/last", "z", 1)
	got, _ := brokertest.Connect(t, s.Addr, packet.V5, "offline", brokertest.Persistent)
	for i := range acked + 1 { // what was held has come once
		got.Want("log/large", string(large(i)), 1)
	}
	counts := receiveUntil(got, "log/last")
	for _, want := range []string{"log/exact once", "log/inside 1", "log/inside 2", "log/last z"} {
		if counts[want] != 1 {
			t.Errorf("%q came %d times", want, counts[want])
		}
	}
	if st := s.Store.Stats(); len(st.Alarms()) != 0 {
		t.Errorf("alarms afterwards: %+v", st.Alarms())
	}
}

func TestAQoS2MessageThatWasHeldComesOnceWhenItsPublisherSendsItAgain(t *testing.T) {
	s := startFragile(t, 2<<20)
	keep(t, s.Server, "offline", "#")
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	exact, _ := brokertest.Connect(t, s.Addr, packet.V5, "exact", brokertest.Persistent)
	s.breakDisk()
	sent := 0
	for s.Store.Stats().FailingSince.IsZero() {
		if s.Store.Stats().PendingBytes > 500_000 { // on a slow machine: more would be refused before it is noticed
			time.Sleep(time.Millisecond)
			continue
		}
		p := packet.Publish{Topic: []byte("large"), Payload: large(sent), QoS: 1, PacketID: uint16(sent + 1)}
		pub.Send(p.Append(nil, packet.V5))
		sent++
		time.Sleep(time.Millisecond) // for it to be taken: the disk breaks between two commits
	}
	p := packet.Publish{Topic: []byte("exact"), Payload: []byte("once"), QoS: 2, PacketID: 7}
	exact.Send(p.Append(nil, packet.V5))
	if r := exact.Closed(); r != packet.ServerBusy {
		t.Errorf("DISCONNECT with %v, want %v", r, packet.ServerBusy)
	}
	s.repair()
	for range 2 { // PUBREL is lost once
		exact, _ = brokertest.Connect(t, s.Addr, packet.V5, "exact", brokertest.Persistent)
		p.Dup = true
		exact.Send(p.Append(nil, packet.V5))
		exact.WantAck(packet.PUBREC, 7)
		exact.Close()
	}
	exact, _ = brokertest.Connect(t, s.Addr, packet.V5, "exact", brokertest.Persistent)
	exact.SendAck(packet.PUBREL, 7)
	if r := exact.WantAck(packet.PUBCOMP, 7); r != packet.Success {
		t.Errorf("PUBCOMP: %v", r)
	}
	exact.Publish("end", "", 2)
	got, _ := brokertest.Connect(t, s.Addr, packet.V5, "offline", brokertest.Persistent)
	counts := receiveUntil(got, "end")
	if n := counts["exact once"]; n != 1 {
		t.Errorf("it comes %d times", n)
	}
	for i := range sent {
		if n := counts["large "+string(large(i))]; n != 1 {
			t.Errorf("message %d comes %d times", i, n)
		}
	}
}

// receiveUntil counts what comes, by topic and payload, up to a topic.
func receiveUntil(c *brokertest.Client, last string) map[string]int {
	counts := make(map[string]int)
	for {
		p := c.Receive()
		counts[string(p.Topic)+" "+string(p.Payload)]++
		switch p.QoS {
		case 1:
			c.SendAck(packet.PUBACK, p.PacketID)
		case 2:
			c.SendAck(packet.PUBREC, p.PacketID)
			c.WantAck(packet.PUBREL, p.PacketID)
			c.SendAck(packet.PUBCOMP, p.PacketID)
		}
		if string(p.Topic) == last {
			return counts
		}
	}
}

func TestWhatTheProcessItselfPublishesWaitsForTheDiskUpToALimit(t *testing.T) {
	s := startFragile(t, 12<<20)
	keep(t, s.Server, "offline", "#")
	inside := s.Broker.NewClient("inside")
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	s.breakDisk()
	publishUntilHeld(t, pub, "large")
	const n, size = 100, 100_000 // twice what is kept
	for i := range n {
		if err := inside.Publish(broker.Message{Topic: "inside", Payload: fmt.Appendf(nil, "%0*d", size, i), QoS: 1}); err != nil {
			t.Fatal(err)
		}
		if i == 0 { // what comes next is known to be refused
			done := make(chan error, 1)
			s.Store.Commit([]store.Record{{Kind: store.Put, Key: "k"}}, func(err error) { done <- err })
			<-done
		}
	}
	dropped := int(inside.Dropped())
	if dropped < n/2 || dropped > n*3/4 {
		t.Errorf("%d of %d are dropped, want what is beyond 4 MB", dropped, n)
	}
	s.repair()
	got, _ := brokertest.Connect(t, s.Addr, packet.V5, "offline", brokertest.Persistent)
	for {
		p := got.Receive()
		got.SendAck(packet.PUBACK, p.PacketID)
		if string(p.Topic) != "inside" {
			continue
		}
		i, err := strconv.Atoi(string(p.Payload))
		if err != nil {
			t.Fatal(err)
		}
		if i != dropped {
			t.Fatalf("message %d comes, want %d: the oldest are dropped and the others come in order", i, dropped)
		}
		if dropped++; dropped == n {
			break
		}
	}
}
