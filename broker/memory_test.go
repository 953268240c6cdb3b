package broker_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
	"headgate/broker/store"
)

func TestSubscribersThatNeverReadTakeTheirShareOfMemoryAndNoMore(t *testing.T) {
	n := 400
	if proof() {
		n = 100_000
	}
	const most, all, subscribers = 500_000, 1_000_000, 4
	for qos := byte(0); qos <= 2; qos++ {
		s := brokertest.StartInMemory(t, store.Config{}, func(c *broker.Config) {
			c.MaxQueuedBytes, c.MaxQueuedTotalBytes = most, all
		})
		reads, _ := brokertest.Connect(t, s.Addr, packet.V5, "reads")
		reads.SubscribeTo("a", qos)
		never := make([]*brokertest.Client, subscribers)
		for i := range never {
			c, _ := brokertest.Connect(t, s.Addr, packet.V5, fmt.Sprint("never", i))
			c.SubscribeTo("a", qos)
			never[i] = c
		}
		before := heap()
		pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
		payload := strings.Repeat("x", 16_000)
		for range n {
			pub.Publish("a", payload, qos)
			reads.Want("a", payload, qos)
		}
		// Each may have 64 kB for nothing, and buffers grow ahead of what is in them.
		if grown := heap() - before; grown > 6*all {
			t.Errorf("QoS %d: %d bytes more are in use, the limit is %d", qos, grown, all)
		}
		if st := s.Broker.Stats(); st.WaitingBytes > all || st.Dropped == 0 {
			t.Errorf("QoS %d: %d bytes wait, want at most %d; %d messages were dropped", qos, st.WaitingBytes, all, st.Dropped)
		}
		for _, c := range never {
			c.Close()
		}
		eventually(t, "nothing is charged", func() bool { return s.Broker.Stats().WaitingBytes == 0 })
	}
}

func TestHandshakesThatAreOvertakenGiveBackTheirShareOfMemory(t *testing.T) {
	s := brokertest.StartInMemory(t, store.Config{})
	sub, _ := brokertest.Connect(t, s.Addr, packet.V5, "c", brokertest.Persistent)
	sub.SubscribeTo("a", 0)
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	stop := make(chan struct{})
	var publishing, connecting sync.WaitGroup
	publishing.Go(func() {
		for payload := strings.Repeat("x", 100_000); ; {
			select {
			case <-stop:
				return
			default:
				pub.Publish("a", payload, 0)
			}
		}
	})
	for range 6 {
		connecting.Go(func() {
			for range 25 {
				nc, err := net.Dial("tcp", s.Addr)
				if err != nil {
					t.Error(err)
					return
				}
				nc.Write(connectBytes("c", brokertest.Persistent))
				nc.SetReadDeadline(time.Now().Add(time.Second))
				nc.Read(make([]byte, 10))
				nc.Close()
			}
		})
	}
	connecting.Wait()
	close(stop)
	publishing.Wait()
	pub.Disconnect()
	eventually(t, "nothing is charged", func() bool { return s.Broker.Stats().WaitingBytes == 0 })
}

func TestAConnectionThatEndsInItsHandshakeIsNoRace(t *testing.T) {
	s := brokertest.StartInMemory(t, store.Config{})
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		here, there := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() { s.Broker.ServeConn(ctx, there) })
		wg.Go(func() { here.Write(connectBytes("c", brokertest.Persistent)); cancel() })
		wg.Go(func() {
			b := make([]byte, 100)
			for {
				if _, err := here.Read(b); err != nil {
					return
				}
			}
		})
		wg.Wait()
		here.Close()
	}
}

func TestADisconnectOfTheServersIsTheLastThatItSends(t *testing.T) {
	s := brokertest.StartInMemory(t, store.Config{})
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				pub.Publish("a", "x", byte(i%2))
			}
		}
	})
	last, _ := brokertest.Connect(t, s.Addr, packet.V5, "same", brokertest.Persistent)
	for range 50 {
		last.Send(subscribeAs(1, "a"))
		next, _ := brokertest.Connect(t, s.Addr, packet.V5, "same", brokertest.Persistent)
		for gone := false; ; {
			h, _, err := last.Next()
			if err != nil {
				break
			}
			if gone {
				t.Fatalf("got %v after the DISCONNECT", h.Type)
			}
			gone = h.Type == packet.DISCONNECT
		}
		last = next
	}
}

func TestALargeMessageIsInMemoryOnceForAllWhoGetIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, connect := bubble(t, func(c *broker.Config) { c.MaxQueuedTotalBytes = 100 << 20 })
		subs := make([]*brokertest.Client, 40)
		for i := range subs {
			subs[i] = connect(fmt.Sprint("sub", i), packet.V311)
			subs[i].SubscribeTo("a", byte(i%2))
		}
		pub := connect("pub", packet.V311)
		payload := strings.Repeat("x", 950_000)
		const n = 2
		before := heap()
		for range n {
			pub.Publish("a", payload, 1)
		}
		if grown := heap() - before; grown > 20<<20 { // 76 MB as copies: a pipe holds nothing
			t.Errorf("%d bytes more are in use for %d messages", grown, n)
		}
		for i, sub := range subs {
			for range n {
				p := sub.Receive()
				if string(p.Payload) != payload || p.QoS != byte(i%2) {
					t.Fatalf("subscriber %d got %d bytes at QoS %d", i, len(p.Payload), p.QoS)
				}
				if p.QoS == 1 {
					sub.SendAck(packet.PUBACK, p.PacketID)
				}
			}
		}
	})
}

func TestAClientThatSubscribesAndSeldomPublishesHasASmallStack(t *testing.T) {
	s := brokertest.StartInMemory(t, store.Config{})
	const n = 500
	clients := make([]*brokertest.Client, n)
	for i := range clients {
		clients[i], _ = brokertest.Connect(t, s.Addr, packet.V311, fmt.Sprint("idle", i), func(p *packet.Connect) { p.KeepAlive = 60 })
	}
	var before, after runtime.MemStats
	heap() // a new goroutine's stack is as large as those that there are then, on average
	for i, c := range clients {
		c.SubscribeTo(fmt.Sprintf("idle/%d/cmd", i), 1)
		c.Send([]byte{0xC0, 0}) // PINGREQ
		if h, _, err := c.Next(); err != nil || h.Type != packet.PINGRESP {
			t.Fatalf("got %v, %v", h.Type, err)
		}
	}
	time.Sleep(600 * time.Millisecond)
	for _, c := range clients {
		c.Publish("idle", "", 1)
	}
	heap()
	runtime.ReadMemStats(&before)
	for _, c := range clients {
		c.Close()
	}
	eventually(t, "they are gone", func() bool { return s.Broker.Stats().Connections == 0 })
	heap()
	runtime.ReadMemStats(&after)
	if each := int64(before.StackInuse-after.StackInuse) / n; each > 2560 {
		t.Errorf("%d bytes of stack for each, want the least that a goroutine has, 2 kB", each)
	}
}
