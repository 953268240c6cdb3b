package broker_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/broker"
	"headgate/broker/packet"
	"headgate/broker/store"
)

// machine is a clock.Source under the bubble's time. It boots at once and shows
// a wall clock that is off by what the test says.
type machine struct {
	mu     sync.Mutex
	boot   byte
	began  time.Time
	off    time.Duration
	synced bool
}

func (m *machine) BootID() [16]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return [16]byte{0: m.boot, 15: 0xA0}
}

func (m *machine) SinceBoot() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Since(m.began)
}

func (m *machine) Wall() (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.off), m.synced
}

func (m *machine) setWall(off time.Duration, synced bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.off, m.synced = off, synced
}

// gateway is a broker in a bubble on such a machine, with a bridge's queue. Its
// store is in memory, and outlives a restart of the broker and a reboot.
type gateway struct {
	machine
	t      *testing.T
	log    bytes.Buffer
	store  *store.Store
	broker *broker.Broker
	client *broker.Client
	uplink *broker.Uplink
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
	sys    int64 // retained messages under $SYS
}

func inGateway(t *testing.T, test func(g *gateway)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{t: t, machine: machine{boot: 1, began: time.Now().Add(-time.Hour)}}
		g.newStore()
		g.start()
		g.sys = g.broker.Stats().Retained
		test(g)
		g.stop()
		if err := g.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (g *gateway) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&g.log, nil)) }

func (g *gateway) newStore() {
	var cfg store.Config
	cfg.SetDefaults()
	g.store = store.OpenMemory(cfg, g.logger())
}

func (g *gateway) start() {
	g.t.Helper()
	cfg := broker.Config{Clock: &g.machine}
	cfg.SetDefaults()
	var err error
	if g.broker, err = broker.New(cfg, g.store, g.logger()); err != nil {
		g.t.Fatal(err)
	}
	if g.uplink, err = g.broker.NewUplink("cloud", []broker.UplinkFilter{{Filter: "v/#", QoS: 1}}, false); err != nil {
		g.t.Fatal(err)
	}
	g.client = g.broker.NewClient("test")
	g.ctx, g.cancel = context.WithCancel(g.t.Context())
	g.done.Go(func() { g.broker.Run(g.ctx) })
	synctest.Wait()
}

func (g *gateway) stop() {
	g.cancel()
	g.done.Wait()
	synctest.Wait()
}

func (g *gateway) restart() {
	g.t.Helper()
	g.stop()
	g.start()
}

// reboot switches the machine off for a while, and has its wall clock be wrong
// when it is on again.
func (g *gateway) reboot(off time.Duration) {
	g.t.Helper()
	g.stop()
	g.bootAfter(off)
	g.start()
}

// powerFails is a reboot without the end of the process. Queues are not kept.
func (g *gateway) powerFails(off time.Duration) {
	g.t.Helper()
	var recs []store.Record
	if err := g.store.State("", func(key string, value []byte) error {
		recs = append(recs, store.Record{Kind: store.Put, Key: key, Data: bytes.Clone(value)})
		return nil
	}); err != nil {
		g.t.Fatal(err)
	}
	g.stop()
	if err := g.store.Close(); err != nil {
		g.t.Fatal(err)
	}
	g.bootAfter(off)
	g.newStore()
	g.put(recs...)
	g.start()
}

func (g *gateway) bootAfter(off time.Duration) {
	time.Sleep(off)
	g.setWall(-years50, false)
	g.mu.Lock()
	g.boot++
	g.began = time.Now()
	g.mu.Unlock()
}

func (g *gateway) put(recs ...store.Record) {
	g.t.Helper()
	done := make(chan error, 1)
	g.store.Commit(recs, func(err error) { done <- err })
	if err := <-done; err != nil {
		g.t.Fatal(err)
	}
}

const years50 = 50 * 365 * 24 * time.Hour

// connect opens a session that outlives its connection by so many seconds.
func (g *gateway) connect(id string, expiry uint32) (present bool, nc net.Conn) {
	g.t.Helper()
	near, far := net.Pipe()
	b, ctx := g.broker, g.ctx
	g.done.Go(func() { b.ServeConn(ctx, far) })
	p := packet.Connect{Version: packet.V5, ClientID: []byte(id)}
	p.Properties.SessionExpiry = expiry
	p.Properties.Set(packet.PropSessionExpiry)
	if _, err := near.Write(p.Append(nil)); err != nil {
		g.t.Fatal(err)
	}
	answer := make([]byte, 1000)
	n, err := near.Read(answer)
	if err != nil {
		g.t.Fatal(err)
	}
	var ack packet.Connack
	if err := ack.Decode(packet.V5, answer[2:n]); err != nil || ack.Reason != packet.Success {
		g.t.Fatalf("CONNACK %v: %v", ack.Reason, err)
	}
	return ack.SessionPresent, near
}

// leave opens such a session and leaves it.
func (g *gateway) leave(id string, expiry uint32) {
	g.t.Helper()
	_, nc := g.connect(id, expiry)
	nc.Close()
	synctest.Wait()
}

// sessions is how many there are, besides the bridge's.
func (g *gateway) sessions() int64 { return g.broker.Stats().Sessions - 1 }

// publish puts messages that expire into the bridge's queue, and retains one.
func (g *gateway) publish(expiry uint32, payloads ...string) {
	g.t.Helper()
	for _, payload := range payloads {
		m := broker.Message{Topic: "v/1", Payload: []byte(payload), QoS: 1, Retain: true}
		m.Properties.MessageExpiry = expiry
		m.Properties.Set(packet.PropMessageExpiry)
		if err := g.client.Publish(m); err != nil {
			g.t.Fatal(err)
		}
	}
	synctest.Wait()
}

// want takes the next message of the bridge's queue, and wants that much left of
// its expiry. "" is none.
func (g *gateway) want(payload string, left uint32) {
	g.t.Helper()
	d, ok, err := g.uplink.TryNext(true)
	switch {
	case err != nil:
		g.t.Fatal(err)
	case !ok && payload != "":
		g.t.Errorf("got no message, want %q", payload)
	case string(d.Payload) != payload:
		g.t.Errorf("got %q, want %q", d.Payload, payload)
	case ok && (!d.Properties.Has(packet.PropMessageExpiry) || d.Properties.MessageExpiry != left):
		g.t.Errorf("%d s are left of message %q, want %d", d.Properties.MessageExpiry, payload, left)
	}
	g.uplink.Ack(d.PacketID)
}

// there wants sessions and retained messages.
func (g *gateway) there(when string, sessions, retained int64) {
	g.t.Helper()
	if got := g.sessions(); got != sessions {
		g.t.Errorf("%s: got %d sessions, want %d", when, got, sessions)
	}
	if got := g.broker.Stats().Retained - g.sys; got != retained {
		g.t.Errorf("%s: got %d retained messages, want %d", when, got, retained)
	}
}
