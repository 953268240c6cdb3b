package broker_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
	"headgate/broker/store"
)

// bubble is a broker whose clients are at the other end of pipes, in a bubble.
func bubble(t *testing.T, change func(*broker.Config)) (b *broker.Broker, connect func(id string, v packet.Version) *brokertest.Client) {
	log := slog.New(slog.DiscardHandler)
	st := store.OpenMemory(store.Config{}, log)
	var cfg broker.Config
	cfg.SetDefaults()
	change(&cfg)
	b, err := broker.New(cfg, st, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() {
		cancel()
		synctest.Wait()
		st.Close()
	})
	return b, func(id string, v packet.Version) *brokertest.Client {
		here, there := net.Pipe()
		go b.ServeConn(ctx, there)
		c := brokertest.Over(t, here, v)
		c.Connect(id)
		t.Cleanup(c.Close)
		return c
	}
}

// publishing sends n messages of 1,000 bytes to topic t, in one go.
func publishing(n int) []byte {
	p := packet.Publish{Topic: []byte("t"), Payload: []byte(strings.Repeat("x", 1000))}
	var b []byte
	for range n {
		b = p.Append(b, packet.V311)
	}
	return b
}

// Without the wait in endBatch most of them are dropped.
func TestAPublisherThatIsTooFastIsSlowedBeforeAnythingIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, connect := bubble(t, func(c *broker.Config) { c.MaxQueuedBytes = 500_000 })
		reads := connect("reads", packet.V311)
		reads.SubscribeTo("t", 0)
		pub := connect("pub", packet.V311)
		const n = 10_000
		go pub.Send(publishing(n))
		for range n {
			if h, _, err := reads.Next(); err != nil || h.Type != packet.PUBLISH {
				t.Fatalf("got %v, %v", h.Type, err)
			}
		}
		if d := b.Stats().Dropped; d != 0 {
			t.Errorf("%d were dropped", d)
		}
	})
}

func TestAClientThatTakesLittleOrNothingHoldsAPublisherUpOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, connect := bubble(t, func(c *broker.Config) { c.MaxQueuedBytes = 500_000 })
		for _, id := range []string{"dead1", "dead2", "dead3"} {
			connect(id, packet.V311).SubscribeTo("t", 0)
		}
		slow := connect("slow", packet.V311)
		slow.SubscribeTo("t", 0)
		ended := make(chan struct{})
		defer func() {
			slow.Close()
			<-ended
		}()
		go func() { // 20 kB a second
			defer close(ended)
			for {
				if _, _, err := slow.Next(); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}()
		pub := connect("pub", packet.V311)
		start := time.Now()
		pub.Send(publishing(10_000))
		pub.Send(packet.AppendPingreq(nil))
		if h, _, err := pub.Next(); err != nil || h.Type != packet.PINGRESP {
			t.Fatalf("got %v, %v", h.Type, err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("its 10 MB took %v", d)
		}
		if b.Stats().Dropped == 0 {
			t.Error("nothing was dropped: the test proves nothing")
		}
	})
}
