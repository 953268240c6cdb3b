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

// FuzzConnection gives a connection arbitrary bytes: nothing that a client sends
// is a fault of the broker's, and the connection ends when the client does.
func FuzzConnection(f *testing.F) {
	var cfg broker.Config
	cfg.SetDefaults()
	cfg.MaxSessions, cfg.MaxRetained = 100, 100
	log := slog.New(slog.DiscardHandler)
	var stCfg store.Config
	stCfg.SetDefaults()
	st := store.OpenMemory(stCfg, log)
	b, err := broker.New(cfg, st, log)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { st.Close() })
	for _, v := range versions {
		for _, clean := range []bool{true, false} {
			p := packet.Connect{Version: v, ClientID: []byte("f"), CleanStart: clean}
			start := p.Append(nil)
			sub := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("#"), QoS: 2}, {Filter: []byte("$share/g/a"), QoS: 1}}}
			all := sub.Append(start, v)
			for qos := byte(0); qos <= 2; qos++ {
				pub := packet.Publish{Topic: []byte("a"), QoS: qos, Retain: qos == 1, Payload: []byte("x")}
				if qos > 0 {
					pub.PacketID = 7
				}
				all = pub.Append(all, v)
			}
			for _, t := range []packet.Type{packet.PUBREL, packet.PUBACK, packet.PUBREC, packet.PUBCOMP} {
				a := packet.Ack{Type: t, PacketID: 7}
				all = a.Append(all, v)
			}
			unsub := packet.Unsubscribe{PacketID: 2, Filters: [][]byte{[]byte("#")}}
			end := packet.Disconnect{}
			f.Add(end.Append(packet.AppendPingreq(unsub.Append(all, v)), v))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		server, client := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			b.ServeConn(context.Background(), server)
		}()
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			io.Copy(io.Discard, client)
		}()
		client.SetWriteDeadline(time.Now().Add(10 * time.Second))
		client.Write(data) // it may be refused at any byte
		client.Close()
		<-drained
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Fatal("the connection does not end")
		}
		if n := b.Stats().Panics; n > 0 {
			t.Fatalf("%d faults in the broker", n)
		}
	})
}
