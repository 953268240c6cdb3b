package broker_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
	"headgate/broker/store"
)

// groupMembers take what comes for their groups, each of which has a subscription
// identifier.
type groupMembers struct {
	mu   sync.Mutex
	got  map[string]int // by group and payload
	open map[*brokertest.Client]bool
	over bool
}

func (g *groupMembers) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.got)
}

// run answers everything, until there were so many PUBLISH packets, of which the
// last is not answered, or until stop; then it breaks the connection.
func (g *groupMembers) run(c *brokertest.Client, most int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer c.Close()
	g.open[c] = true
	defer delete(g.open, c)
	for n := 0; n != most && !g.over; {
		g.mu.Unlock()
		h, body, err := c.Next()
		g.mu.Lock()
		if err != nil || g.over {
			return
		}
		if h.Type != packet.PUBLISH {
			continue
		}
		var p packet.Publish
		if p.Decode(packet.V5, h.Flags, body) != nil {
			return
		}
		g.got[fmt.Sprint(p.Properties.SubscriptionIDs, " ", string(p.Payload))]++
		if n++; n != most {
			c.SendAck(packet.PUBACK, p.PacketID)
		}
	}
}

// stop ends all that run.
func (g *groupMembers) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	for c := range g.open {
		c.Close()
	}
}

func newGroupMembers() *groupMembers {
	return &groupMembers{got: make(map[string]int), open: make(map[*brokertest.Client]bool)}
}

func TestAGroupLosesNothingWhileItBecomesAQueue(t *testing.T) {
	const groups = 40
	s := brokertest.StartInMemory(t, store.Config{})
	got := newGroupMembers()
	var wg sync.WaitGroup
	clean, _ := brokertest.Connect(t, s.Addr, packet.V5, "clean")
	for id := uint32(1); id <= groups; id++ {
		clean.Send(subscribeAs(id, fmt.Sprintf("$share/g%d/a", id)))
	}
	wg.Go(func() { got.run(clean, -1) })
	eventually(t, "the groups are there", func() bool { return s.Broker.Stats().SharedSubscriptions == groups })
	stop, published, publishing := make(chan struct{}), 0, make(chan struct{})
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	go func() {
		defer close(publishing)
		for ; ; published++ {
			select {
			case <-stop:
				return
			default:
			}
			pub.Publish("a", fmt.Sprint(published), 1)
		}
	}()
	kept, _ := brokertest.Connect(t, s.Addr, packet.V5, "kept", brokertest.Persistent)
	wg.Go(func() { got.run(kept, -1) })
	for id := uint32(1); id <= groups; id++ {
		kept.Send(subscribeAs(id, fmt.Sprintf("$share/g%d/a", id)))
	}
	eventually(t, "the groups are queues", func() bool { return s.Broker.Stats().SharedSubscriptions == 2*groups })
	close(stop)
	defer wg.Wait()
	defer got.stop()
	<-publishing
	eventually(t, "each group has everything", func() bool { return got.len() == groups*published })
	got.mu.Lock()
	defer got.mu.Unlock()
	for key, n := range got.got {
		if n != 1 {
			t.Errorf("message %q came %d times", key, n)
		}
	}
}

func TestMembersThatComeAndGoLoseNothingOfTheirGroup(t *testing.T) {
	n, members := 200, 4
	if proof() {
		n = 50_000
	}
	for _, onDisk := range []bool{false, true} {
		s := brokertest.StartInMemory(t, store.Config{})
		if onDisk {
			s = brokertest.Start(t)
		}
		kept, _ := brokertest.Connect(t, s.Addr, packet.V5, "kept", brokertest.Persistent)
		kept.Send(subscribeAs(1, "$share/g/a"))
		eventually(t, "it is a member", func() bool { return s.Broker.Stats().SharedSubscriptions == 1 })
		kept.Close()
		got := newGroupMembers()
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for m := range members {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					change := func(*packet.Connect) {}
					if m%2 == 1 {
						change = brokertest.Persistent
					}
					c, _ := brokertest.Connect(t, s.Addr, packet.V5, fmt.Sprint("m", m), change)
					c.Send(subscribeAs(1, "$share/g/a"))
					if i%3 == 0 {
						u := packet.Unsubscribe{PacketID: 9, Filters: [][]byte{[]byte("$share/g/a")}}
						c.Send(u.Append(nil, packet.V5))
						c.Send(subscribeAs(1, "$share/g/a"))
					}
					got.run(c, 1+i%20)
				}
			})
		}
		pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
		for i := range n {
			pub.Publish("a", fmt.Sprint(i), 1)
		}
		cancel()
		got.stop()
		wg.Wait()
		got.over = false
		last, _ := brokertest.Connect(t, s.Addr, packet.V5, "kept", brokertest.Persistent)
		wg.Go(func() { got.run(last, -1) })
		eventually(t, "every message came to a member", func() bool { return got.len() == n })
		got.stop()
		wg.Wait()
	}
}
