package broker_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/packet"
	"headgate/broker/store"
)

// connects begin what the fuzzer says: none, and one of each kind.
var connects = [][]byte{
	nil,
	connectBytes("fuzzed"),
	connectBytes("fuzzed", func(p *packet.Connect) { p.Version = packet.V311 }),
	connectBytes("fuzzed", func(p *packet.Connect) {
		p.CleanStart, p.Properties.SessionExpiry, p.Properties.TopicAliasMaximum, p.Properties.ReceiveMaximum = false, 3600, 10, 2
		p.Properties.Set(packet.PropSessionExpiry)
		p.Properties.Set(packet.PropTopicAliasMaximum)
		p.Properties.Set(packet.PropReceiveMaximum)
	}),
	connectBytes("fuzzed", func(p *packet.Connect) { p.Version, p.CleanStart = packet.V311, false }),
}

// FuzzServeConn says anything to a broker. It must answer or close, have no fault,
// and serve others on.
func FuzzServeConn(f *testing.F) {
	log := slog.New(slog.DiscardHandler)
	st := store.OpenMemory(store.Config{MaxBytes: 64 << 20}, log)
	var cfg broker.Config
	cfg.MaxSessions, cfg.MaxRetained, cfg.MaxSubscriptionsTotal, cfg.ConnectTimeout = 100, 100, 1000, time.Second
	cfg.SetDefaults()
	b, err := broker.New(cfg, st, log)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { st.Close() })

	publish := func(topic string, qos byte) []byte {
		p := packet.Publish{Topic: []byte(topic), Payload: []byte("x"), QoS: qos, PacketID: 1, Retain: qos == 1}
		return p.Append(nil, packet.V311)
	}
	subscribe := func(filter string, v packet.Version) []byte {
		p := packet.Subscribe{PacketID: 2, Subscriptions: []packet.Subscription{{Filter: []byte(filter), QoS: 2}}}
		return p.Append(nil, v)
	}
	ack := func(t packet.Type, id uint16) []byte {
		a := packet.Ack{Type: t, PacketID: id}
		return a.Append(nil, packet.V311)
	}
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for i := range connects {
		v := packet.V5
		if i%2 == 0 {
			v = packet.V311
		}
		f.Add(byte(i), join(subscribe("#", v), subscribe("$share/g/a/+", v), publish("a/b", 0)))
		f.Add(byte(i), join(publish("a", 2), publish("a", 2), ack(packet.PUBREL, 1), ack(packet.PUBREL, 1), ack(packet.PUBREC, 1), ack(packet.PUBCOMP, 1)))
		f.Add(byte(i), []byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F})
		f.Add(byte(i), packet.AppendPingreq(nil))
	}
	f.Fuzz(func(t *testing.T, kind byte, said []byte) {
		say(t, b, join(connects[int(kind)%len(connects)], said))
		if n := b.Stats().Panics; n != 0 {
			t.Fatalf("%d faults", n)
		}
		stillServes(t, b)
	})
}

// say writes all of it, takes what comes, and wants the connection to end with
// the client's.
func say(t *testing.T, b *broker.Broker, all []byte) {
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.ServeConn(context.Background(), there)
	}()
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(io.Discard, here)
	}()
	here.SetWriteDeadline(time.Now().Add(10 * time.Second))
	here.Write(all) // the broker may close before the end
	here.Close()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		t.Fatal("the connection does not end with its client")
	}
	<-read
}

// stillServes wants another client to be served as ever.
func stillServes(t *testing.T, b *broker.Broker) {
	ctx, cancel := context.WithCancel(context.Background())
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.ServeConn(ctx, there)
	}()
	defer func() { cancel(); here.Close(); <-done }()
	here.SetDeadline(time.Now().Add(20 * time.Second))
	const topic = "served/8d1f0c"
	sub := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: []byte(topic)}}}
	pub := packet.Publish{Topic: []byte(topic), Payload: []byte("x")}
	all := append(sub.Append(connectBytes("another-8d1f0c"), packet.V5), pub.Append(nil, packet.V5)...)
	go here.Write(all)
	var buf []byte
	for part := make([]byte, 4096); ; {
		h, err := packet.ParseHeader(buf)
		if err == nil && len(buf) >= h.Size+h.Remaining {
			if h.Type == packet.PUBLISH {
				return
			}
			buf = buf[h.Size+h.Remaining:]
			continue
		}
		n, err := here.Read(part)
		if err != nil {
			t.Fatalf("another client is not served: %v", err)
		}
		buf = append(buf, part[:n]...)
	}
}
