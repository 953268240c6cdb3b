package broker_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
	"headgate/broker/store"
)

// overMemory runs a broker over a store in memory that holds maxBytes.
func overMemory(t *testing.T, maxBytes store.Bytes) (dial func() net.Conn) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	cfg := store.Config{MaxBytes: maxBytes}
	cfg.SetDefaults()
	st := store.OpenMemory(cfg, log)
	var bc broker.Config
	bc.SetDefaults()
	b, err := broker.New(bc, st, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go b.ServeConn(ctx, nc)
		}
	}()
	t.Cleanup(func() { cancel(); l.Close(); <-done; st.Close() })
	return func() net.Conn {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		return nc
	}
}

// A publisher of 3.1.1 is refused by closing. What it then sends again must not
// count as sent before: it would be acknowledged and be nowhere.
func TestAQoS2MessageThatWasRefusedByClosingIsTakenWhenItComesAgain(t *testing.T) {
	dial := overMemory(t, 4<<20)
	away := brokertest.Over(t, dial(), packet.V311)
	away.Connect("away", brokertest.Persistent)
	away.SubscribeTo("t", 2)
	away.Disconnect()
	pub := brokertest.Over(t, dial(), packet.V311)
	pub.Connect("pub", brokertest.Persistent)
	p := packet.Publish{Topic: []byte("t"), QoS: 2, Payload: []byte(strings.Repeat("x", 100_000))}
	sent := 0
	for p.PacketID = 1; p.PacketID < 200; p.PacketID++ {
		pub.Send(p.Append(nil, packet.V311))
		if !pub.Acked(packet.PUBREC, p.PacketID) {
			break
		}
		pub.SendAck(packet.PUBREL, p.PacketID)
		pub.WantAck(packet.PUBCOMP, p.PacketID)
		sent++
	}
	if sent == 0 || p.PacketID == 200 {
		t.Fatalf("%d of 200 were taken: the store was never full", sent)
	}
	// Room again: the one that is away takes what there is.
	away = brokertest.Over(t, dial(), packet.V311)
	away.Connect("away", brokertest.Persistent)
	for range sent {
		away.Want("t", string(p.Payload), 2)
	}
	pub = brokertest.Over(t, dial(), packet.V311)
	pub.Connect("pub", brokertest.Persistent)
	p.Dup = true
	for deadline := time.Now().Add(30 * time.Second); ; {
		pub.Send(p.Append(nil, packet.V311))
		if pub.Acked(packet.PUBREC, p.PacketID) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("there is no room again")
		}
		pub = brokertest.Over(t, dial(), packet.V311)
		pub.Connect("pub", brokertest.Persistent)
	}
	away.Want("t", string(p.Payload), 2)
}

func TestTopicsThatTheStoreHasNoKeyForAreRefusedAlone(t *testing.T) {
	s := brokertest.Start(t)
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c", brokertest.Persistent)
	long := strings.Repeat("x", 65_000)
	p := packet.Publish{Topic: []byte(long), QoS: 1, PacketID: 77, Retain: true, Payload: []byte("x")}
	c.Send(p.Append(nil, packet.V5))
	if r := c.WantAck(packet.PUBACK, 77); r != packet.QuotaExceeded {
		t.Errorf("a retained message: %v", r)
	}
	if r := c.Subscribe(packet.Subscription{Filter: []byte(long)}, packet.Subscription{Filter: []byte("a"), QoS: 1}); r[0] != packet.TopicFilterInvalid || r[1] != 1 {
		t.Errorf("a subscription: %v", r)
	}
	p.QoS, p.PacketID = 0, 0
	c.Send(p.Append(nil, packet.V5)) // and does not hinder the others
	c.Publish("kept", "y", 0, brokertest.Retained)
	c.Silent()
	s.Restart()
	c, _ = brokertest.Connect(t, s.Addr, packet.V5, "d")
	c.SubscribeTo("#", 0)
	c.Want("kept", "y", 0)
	c.Silent()
}
