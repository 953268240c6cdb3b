package bridge

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/broker/packet"
)

// hang is how long a test waits for what must come: only a guard.
const hang = 20 * time.Second

// upstream is a broker of which the test plays every move, over real TCP.
type upstream struct {
	t        testing.TB
	listener net.Listener
	addr     string
}

func listenUpstream(t testing.TB) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &upstream{t: t, listener: l, addr: l.Addr().String()}
}

// conn is one connection of the bridge, seen from the upstream.
type conn struct {
	t       testing.TB
	net     net.Conn
	packets *packetReader
	v       packet.Version
	connect packet.Connect
}

// accept takes the next connection and its CONNECT.
func (u *upstream) accept() *conn {
	u.t.Helper()
	u.listener.(*net.TCPListener).SetDeadline(time.Now().Add(hang))
	nc, err := u.listener.Accept()
	if err != nil {
		u.t.Fatalf("no connection came: %v", err)
	}
	u.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(hang))
	c := &conn{t: u.t, net: nc, packets: newPacketReader(nc, largestPacket)}
	in := c.expect(packet.CONNECT)
	if err := c.connect.Decode(bytes.Clone(in.body)); err != nil {
		u.t.Fatal(err)
	}
	c.v = c.connect.Version
	return c
}

// welcome accepts the connection; change may set what the CONNACK says.
func (u *upstream) welcome(change func(*packet.Connack)) *conn {
	u.t.Helper()
	c := u.accept()
	var ack packet.Connack
	if change != nil {
		change(&ack)
	}
	c.send(ack.Append(nil, c.v))
	return c
}

func resumed(a *packet.Connack) { a.SessionPresent = true }

func (c *conn) send(b []byte) {
	c.t.Helper()
	if _, err := c.net.Write(b); err != nil {
		c.t.Fatalf("write to the bridge: %v", err)
	}
}

// expect reads the next packet, which must be of this type. PINGREQs are
// answered and passed over, unless one is expected.
func (c *conn) expect(want packet.Type) incomingPacket {
	c.t.Helper()
	for {
		in, err := c.packets.next()
		if err != nil {
			c.t.Fatalf("want %v, got %v", want, err)
		}
		if in.Type == packet.PINGREQ && want != packet.PINGREQ {
			c.send(packet.AppendPingresp(nil))
			continue
		}
		if in.Type != want {
			c.t.Fatalf("got %v, want %v", in.Type, want)
		}
		return in
	}
}

func (c *conn) expectPublish() *packet.Publish {
	c.t.Helper()
	in := c.expect(packet.PUBLISH)
	p := new(packet.Publish)
	if err := p.Decode(c.v, in.Flags, bytes.Clone(in.body)); err != nil {
		c.t.Fatal(err)
	}
	return p
}

func (c *conn) expectAck(want packet.Type) *packet.Ack {
	c.t.Helper()
	in := c.expect(want)
	a := new(packet.Ack)
	if err := a.Decode(c.v, want, bytes.Clone(in.body)); err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c *conn) expectSubscribe() *packet.Subscribe {
	c.t.Helper()
	in := c.expect(packet.SUBSCRIBE)
	p := new(packet.Subscribe)
	if err := p.Decode(c.v, bytes.Clone(in.body)); err != nil {
		c.t.Fatal(err)
	}
	return p
}

// expectNothing says that no packet is there, nor comes in a moment.
func (c *conn) expectNothing(while string) {
	c.t.Helper()
	c.net.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	if in, err := c.packets.next(); err == nil {
		c.t.Errorf("%s: got %v, want nothing", while, in.Type)
	}
	c.net.SetReadDeadline(time.Now().Add(hang))
}

func (c *conn) ack(t packet.Type, id uint16, reason packet.ReasonCode) {
	c.t.Helper()
	a := packet.Ack{Type: t, PacketID: id, Reason: reason}
	c.send(a.Append(nil, c.v))
}

func (c *conn) publish(p packet.Publish) {
	c.t.Helper()
	c.send(p.Append(nil, c.v))
}

func (c *conn) suback(id uint16, reason packet.ReasonCode) {
	c.t.Helper()
	a := packet.Suback{PacketID: id, Reasons: []packet.ReasonCode{reason}}
	c.send(a.Append(nil, c.v))
}

// config is one that retries fast: field/# goes up as plant/#, plant/cmd/# comes
// down as field/#.
func config(address string) Config {
	return Config{
		Name: "cloud", GatewayID: "gw", URL: "mqtt://" + address, MaxBackoff: 100 * time.Millisecond,
		Up: []Up{{Filter: "field/#", LocalPrefix: "field/", RemotePrefix: "plant/"}},
	}
}

func withQoS(cfg Config, qos int) Config {
	cfg.Up[0].QoS = &qos
	return cfg
}

func withDown(cfg Config) Config {
	cfg.Down = []Down{{Filter: "plant/cmd/#", RemotePrefix: "plant/cmd/", LocalPrefix: "field/", QoS: new(2)}}
	return cfg
}

// logged collects what a bridge logs.
type logged struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logged) lines(with string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, with) {
			n++
		}
	}
	return n
}

// hasty retries almost at once.
func hasty(b *Bridge) { b.backoff.max = 5 * time.Millisecond }

// keepAlive is one shorter than a second.
func keepAlive(d time.Duration) func(*Bridge) { return func(b *Bridge) { b.cfg.KeepAlive = d } }

// running is a bridge under test.
type running struct {
	*Bridge
	log  *logged
	stop func() // returns when Run has
}

// start runs a bridge until the test ends. tweak may set what the config does
// not allow.
func start(t testing.TB, cfg Config, src Source, tweak ...func(*Bridge)) *running {
	t.Helper()
	log := new(logged)
	b, err := New(cfg, src, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tweak {
		f(b)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := b.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	r := &running{Bridge: b, log: log}
	r.stop = func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(hang):
			panic("Run does not end")
		}
	}
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("the bridge logged:\n%s", log.buf.String())
		}
	})
	return r
}

// eventually waits until what holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(hang)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func payloads(ps []*packet.Publish) string {
	var s []string
	for _, p := range ps {
		s = append(s, string(p.Payload))
	}
	return strings.Join(s, " ")
}
