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

// groupMember takes what comes for groups that it is in, each with a subscription
// identifier of its own, until done is closed.
type groupMember struct {
	mu  sync.Mutex
	got map[string]int // by group and payload
}

func (g *groupMember) count(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.got == nil {
		g.got = make(map[string]int)
	}
	g.got[key]++
}

func (g *groupMember) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.got)
}

// run answers everything until the connection ends, or after most PUBLISH packets.
func (g *groupMember) run(c *brokertest.Client, most int) {
	for n := 0; n != most; {
		h, body, err := c.Next()
		if err != nil {
			return
		}
		if h.Type != packet.PUBLISH {
			continue
		}
		var p packet.Publish
		if p.Decode(packet.V5, h.Flags, body) != nil {
			return
		}
		group := uint32(0)
		if ids := p.Properties.SubscriptionIDs; len(ids) > 0 {
			group = ids[0]
		}
		g.count(fmt.Sprint(group, " ", string(p.Payload)))
		n++
		if n != most {
			c.SendAck(packet.PUBACK, p.PacketID)
		}
	}
}

func TestAGroupLosesNothingWhileItBecomesAQueue(t *testing.T) {
	const groups = 40
	s := brokertest.StartInMemory(t, store.Config{})
	var got groupMember
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
	defer func() { clean.Close(); kept.Close() }()
	<-publishing
	eventually(t, "each group has everything", func() bool { return got.len() == groups*published })
	for key, n := range got.got {
		if n != 1 {
			t.Errorf("message %q came %d times", key, n)
		}
	}
}

func TestMembersThatComeAndGoLoseNothingOfTheirGroup(t *testing.T) {
	n, members := 400, 4
	if proof() {
		n = 50_000
	}
	for _, onDisk := range []bool{false, true} {
		s := brokertest.StartInMemory(t, store.Config{})
		if onDisk {
			s = brokertest.Start(t)
		}
		kept, _ := brokertest.Connect(t, s.Addr, packet.V5, "kept", brokertest.Persistent)
		share(kept, "$share/g/a", 1)
		kept.Disconnect()
		var got groupMember
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
					stopped := context.AfterFunc(ctx, c.Close)
					got.run(c, 1+i%20)
					stopped()
					c.Close()
				}
			})
		}
		pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
		for i := range n {
			pub.Publish("a", fmt.Sprint(i), 1)
		}
		cancel()
		wg.Wait()
		last, _ := brokertest.Connect(t, s.Addr, packet.V5, "kept", brokertest.Persistent)
		last.Send(subscribeAs(1, "$share/g/a"))
		wg.Go(func() { got.run(last, -1) })
		eventually(t, "every message came to a member", func() bool { return got.len() == n })
		last.Close()
		wg.Wait()
	}
}
