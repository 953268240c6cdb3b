package broker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
	"headgate/broker/store"
	"headgate/broker/topic"
)

// modelClient is a subscriber with a persistent session, what it must get by the
// specification, and what it got.
type modelClient struct {
	*brokertest.Client
	id    string
	subs  map[string]byte // QoS by filter
	want  []modelMessage  // at QoS 1 and 2, in order
	got   []modelMessage  // the same, each when it came first
	seen  map[modelMessage]int
	known map[uint16]bool // QoS 2 identifiers that have no PUBREL yet
}

type modelMessage struct {
	payload string
	qos     byte
}

// published adds what a PUBLISH must bring. Overlapping subscriptions bring one
// message, at the highest QoS. [MQTT-3.3.4-2]
func (c *modelClient) published(name, payload string, qos byte) {
	best := -1
	for f, q := range c.subs {
		if topic.Match(f, name) {
			best = max(best, int(q))
		}
	}
	if best > 0 && qos > 0 {
		c.want = append(c.want, modelMessage{payload, min(qos, byte(best))})
	}
}

// take handles the next packet. A packet that is not answered is as good as one
// that got lost with the connection.
func (c *modelClient) take(t *testing.T, answer bool) packet.Type {
	t.Helper()
	h, body, err := c.Next()
	if err != nil {
		t.Fatalf("%s: %v: got %v, want %v", c.id, err, c.got, c.want)
	}
	switch h.Type {
	case packet.PUBLISH:
		var p packet.Publish
		if err := p.Decode(packet.V5, h.Flags, body); err != nil {
			t.Fatal(err)
		}
		if p.QoS == 0 {
			break
		}
		m := modelMessage{string(p.Payload), p.QoS}
		if p.QoS == 1 || !c.known[p.PacketID] {
			if c.seen[m]++; c.seen[m] == 1 {
				c.got = append(c.got, m)
			}
		}
		switch {
		case p.QoS == 2:
			c.known[p.PacketID] = true
			if answer {
				c.SendAck(packet.PUBREC, p.PacketID)
			}
		case answer:
			c.SendAck(packet.PUBACK, p.PacketID)
		}
	case packet.DISCONNECT:
		t.Fatalf("%s: the server disconnects: %x", c.id, body)
	case packet.PUBREL:
		var a packet.Ack
		if err := a.Decode(packet.V5, packet.PUBREL, body); err != nil {
			t.Fatal(err)
		}
		delete(c.known, a.PacketID)
		if answer {
			c.SendAck(packet.PUBCOMP, a.PacketID)
		}
	}
	return h.Type
}

// ask sends a request and takes all that comes up to its answer.
func (c *modelClient) ask(t *testing.T, request []byte, want packet.Type, answer bool) {
	t.Helper()
	c.Send(request)
	for c.take(t, answer) != want {
	}
}

// catchUp takes what has come up to now.
func (c *modelClient) catchUp(t *testing.T, answer bool) {
	t.Helper()
	c.ask(t, packet.AppendPingreq(nil), packet.PINGRESP, answer)
}

// check wants everything, each QoS in its order, at QoS 2 once.
func (c *modelClient) check(t *testing.T) {
	t.Helper()
	for len(c.got) < len(c.want) || len(c.known) > 0 {
		c.take(t, true)
	}
	c.catchUp(t, true)
	for qos := byte(1); qos <= 2; qos++ {
		other := func(m modelMessage) bool { return m.qos != qos }
		got, want := slices.DeleteFunc(slices.Clone(c.got), other), slices.DeleteFunc(slices.Clone(c.want), other)
		if !slices.Equal(got, want) {
			t.Errorf("%s at QoS %d: got %v, want %v", c.id, qos, got, want)
		}
	}
	for m, n := range c.seen {
		if m.qos == 2 && n != 1 {
			t.Errorf("%s got %q at QoS 2 %d times", c.id, m.payload, n)
		}
	}
}

// playModel lets clients do what they like, and looks in the end what they have.
func playModel(t *testing.T, seed uint64, steps int, s *brokertest.Server) {
	rng := rand.New(rand.NewPCG(seed, 0))
	window := func(p *packet.Connect) {
		brokertest.Persistent(p)
		p.Properties.ReceiveMaximum = uint16(1 + rng.IntN(20))
		p.Properties.Set(packet.PropReceiveMaximum)
	}
	clients := make([]*modelClient, 3)
	connect := func(c *modelClient) {
		if c.Client != nil {
			c.Close()
		}
		c.Client, _ = brokertest.Connect(t, s.Addr, packet.V5, c.id, window)
	}
	for i := range clients {
		clients[i] = &modelClient{id: fmt.Sprint("sub", i), subs: map[string]byte{}, seen: map[modelMessage]int{}, known: map[uint16]bool{}}
		connect(clients[i])
	}
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	filters := []string{"t/#", "t/+", "t/1", "t/2", "+/2", "#"}
	n := 0
	for range steps {
		c := clients[rng.IntN(len(clients))]
		switch k := rng.IntN(100); {
		case k < 55:
			name, payload, qos := fmt.Sprint("t/", rng.IntN(4)), fmt.Sprint(n), byte(rng.IntN(3))
			n++
			for _, c := range clients {
				c.published(name, payload, qos)
			}
			pub.Publish(name, payload, qos)
		case k < 65:
			f, qos := filters[rng.IntN(len(filters))], byte(rng.IntN(3))
			p := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: []byte(f), QoS: qos}}}
			c.ask(t, p.Append(nil, packet.V5), packet.SUBACK, true)
			c.subs[f] = qos
		case k < 70:
			f := filters[rng.IntN(len(filters))]
			p := packet.Unsubscribe{PacketID: 1, Filters: [][]byte{[]byte(f)}}
			c.ask(t, p.Append(nil, packet.V5), packet.UNSUBACK, true)
			delete(c.subs, f)
		case k < 85:
			c.catchUp(t, true)
		case k < 90:
			c.catchUp(t, false)
			connect(c) // what is not acknowledged comes again
		case k < 97:
			connect(c)
		case k < 99:
			c.Close()
			c.Client, _ = brokertest.Connect(t, s.Addr, packet.V5, c.id) // a clean start
			c.Close()
			*c = modelClient{id: c.id, subs: map[string]byte{}, seen: map[modelMessage]int{}, known: map[uint16]bool{}}
			connect(c)
		default:
			pub.Close()
			s.Restart()
			for _, c := range clients {
				connect(c)
			}
			pub, _ = brokertest.Connect(t, s.Addr, packet.V5, "pub")
		}
	}
	for _, c := range clients {
		connect(c)
		c.check(t)
		c.Close()
	}
	pub.Close()
}

func TestWhateverClientsDoTheyGetWhatTheyMust(t *testing.T) {
	seeds, steps := []uint64{1, 2, 3, 5, 8}, 150
	if proof() {
		seeds, steps = make([]uint64, 100), 1000
		for i := range seeds {
			seeds[i] = uint64(i)
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			playModel(t, seed, steps, brokertest.StartInMemory(t, store.Config{}))
		})
	}
	t.Run("on disk", func(t *testing.T) {
		playModel(t, 13, steps, brokertest.Start(t))
	})
}
