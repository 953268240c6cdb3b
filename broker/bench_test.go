package broker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"headgate/broker/packet"
	"headgate/broker/store"
)

func benchBroker(b *testing.B) *Broker {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	st := store.OpenMemory(store.Config{}, log)
	b.Cleanup(func() { st.Close() })
	var cfg Config
	cfg.SetDefaults()
	br, err := New(cfg, st, log)
	if err != nil {
		b.Fatal(err)
	}
	return br
}

// BenchmarkRoute is a message of 64 bytes from a publisher's batch of 64 to the
// clients that are there, without the sockets.
func BenchmarkRoute(b *testing.B) {
	for _, clients := range []int{1, 100} {
		for qos := byte(0); qos <= 1; qos++ {
			b.Run(fmt.Sprintf("%d-clients-q%d", clients, qos), func(b *testing.B) { benchRoute(b, clients, qos) })
		}
	}
}

func benchRoute(b *testing.B, clients int, qos byte) {
	br := benchBroker(b)
	conns := make([]*conn, clients)
	for i := range conns {
		_, nc := net.Pipe()
		c := newConn(br, nc, entry{})
		c.version, c.plain, c.volatile.window = packet.V311, true, 1000
		c.session = newSession(fmt.Sprint("client", i))
		c.session.conn.Store(c)
		br.index.Set("plant/+/temp", c.session, subscription{qos: qos})
		conns[i] = c
	}
	r := router{b: br}
	m := message{topic: []byte("plant/7/temp"), payload: make([]byte, 64), qos: qos}
	now := time.Now()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		r.route(&m, now)
		if n%64 < 63 {
			continue
		}
		r.flush()
		for _, c := range conns { // as its writer and its client do
			pieces, _ := c.take()
			c.giveBack(pieces)
			clear(c.volatile.flight.states)
			c.volatile.flight.n = 0
		}
	}
}

// BenchmarkLoopback is a message of 256 bytes from a client to another over
// loopback, 64 of them a write. The clients allocate nothing.
func BenchmarkLoopback(b *testing.B) {
	for qos := byte(0); qos <= 1; qos++ {
		b.Run(fmt.Sprint("q", qos), func(b *testing.B) { benchLoopback(b, qos) })
	}
}

func benchLoopback(b *testing.B, qos byte) {
	br := benchBroker(b)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	dial := func(id string) net.Conn {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		served, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		go br.ServeConn(context.Background(), served)
		p := packet.Connect{Version: packet.V311, CleanStart: true, ClientID: []byte(id)}
		nc.Write(p.Append(nil))
		io.ReadFull(nc, make([]byte, 4))
		b.Cleanup(func() { nc.Close() })
		return nc
	}
	// At QoS 0 to the subscriber in both, so that it need not answer.
	sub, pub := dial("sub"), dial("pub")
	s := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("plant/#")}}}
	sub.Write(s.Append(nil, packet.V311))
	io.ReadFull(sub, make([]byte, 5))

	const batch = 64
	var out []byte
	size := 0
	for i := range batch {
		p := packet.Publish{Topic: []byte("plant/7/temp"), QoS: qos, PacketID: uint16(i + 1), Payload: []byte(strings.Repeat("x", 256))}
		if qos == 0 {
			p.PacketID = 0
		}
		out = p.Append(out, packet.V311)
		p.QoS, p.PacketID = 0, 0
		size += len(p.Append(nil, packet.V311))
	}
	in, acks := make([]byte, size), make([]byte, 4*batch)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%batch < batch-1 {
			continue
		}
		pub.Write(out)
		if _, err := io.ReadFull(sub, in); err != nil {
			b.Fatal(err)
		}
		if qos > 0 {
			io.ReadFull(pub, acks)
		}
	}
}
