package mqttc

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"headgate/broker/packet"
)

// hang is how long a test waits for what must come. It guards against hanging,
// and is not a measure of speed.
const hang = 20 * time.Second

// server is the other side of a Client, packet by packet. Every failure ends the
// test.
type server struct {
	t  *testing.T
	v  packet.Version
	ln net.Listener
	nc net.Conn
	in *packetReader
}

func newServer(t *testing.T, v packet.Version) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, v: v, ln: ln}
	t.Cleanup(func() {
		ln.Close()
		if s.nc != nil {
			s.nc.Close()
		}
	})
	return s
}

// accept takes the next connection and answers its CONNECT.
func (s *server) accept(ack packet.Connack) packet.Connect {
	s.t.Helper()
	s.hear()
	var p packet.Connect
	h, body := s.next()
	if h.Type != packet.CONNECT {
		s.t.Fatalf("got %v, want CONNECT", h.Type)
	}
	if err := p.Decode(body); err != nil {
		s.t.Fatal(err)
	}
	s.send(ack.Append(nil, s.v))
	return p
}

// hear takes the next connection.
func (s *server) hear() {
	s.t.Helper()
	nc, err := s.ln.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	s.nc = nc
	s.in = &packetReader{conn: nc, version: s.v, heard: func() {}}
}

func (s *server) send(b []byte) {
	s.t.Helper()
	if _, err := s.nc.Write(b); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) next() (packet.Header, []byte) {
	s.t.Helper()
	s.nc.SetReadDeadline(time.Now().Add(hang))
	h, body, err := s.in.next()
	if err != nil {
		s.t.Fatalf("wait for a packet: %v", err)
	}
	return h, body
}

// wantPublish wants a PUBLISH and gives it.
func (s *server) wantPublish(payload string) packet.Publish {
	s.t.Helper()
	h, body := s.next()
	var p packet.Publish
	if h.Type != packet.PUBLISH {
		s.t.Fatalf("got %v, want PUBLISH %q", h.Type, payload)
	}
	if err := p.Decode(s.v, h.Flags, body); err != nil {
		s.t.Fatal(err)
	}
	if string(p.Payload) != payload {
		s.t.Fatalf("got PUBLISH %q, want %q", p.Payload, payload)
	}
	return p
}

// wantAck wants one of the four acknowledgements.
func (s *server) wantAck(t packet.Type, id uint16) {
	s.t.Helper()
	h, body := s.next()
	var a packet.Ack
	if h.Type != t {
		s.t.Fatalf("got %v, want %v", h.Type, t)
	}
	if err := a.Decode(s.v, t, body); err != nil {
		s.t.Fatal(err)
	}
	if a.PacketID != id {
		s.t.Fatalf("got %v of %d, want of %d", t, a.PacketID, id)
	}
}

func (s *server) want(t packet.Type) {
	s.t.Helper()
	if h, _ := s.next(); h.Type != t {
		s.t.Fatalf("got %v, want %v", h.Type, t)
	}
}

func (s *server) wantEnd() {
	s.t.Helper()
	s.nc.SetReadDeadline(time.Now().Add(hang))
	if h, _, err := s.in.next(); !errors.Is(err, io.EOF) {
		s.t.Fatalf("got %v and %v, want the end of the connection", h.Type, err)
	}
}

func (s *server) ack(t packet.Type, id uint16, reason ...packet.ReasonCode) {
	s.t.Helper()
	a := packet.Ack{Type: t, PacketID: id}
	if len(reason) > 0 {
		a.Reason = reason[0]
	}
	s.send(a.Append(nil, s.v))
}

func (s *server) publish(payload string, qos byte, id uint16) {
	s.t.Helper()
	p := packet.Publish{Topic: []byte("a/b"), Payload: []byte(payload), QoS: qos, PacketID: id}
	s.send(p.Append(nil, s.v))
}

// config is one for the server, with a clean session.
func (s *server) config() Config {
	return Config{
		Endpoint: Endpoint{Address: s.ln.Addr().String()},
		Connect:  packet.Connect{Version: s.v, CleanStart: true, ClientID: []byte("c")},
	}
}

// running is a Client with what its Serve gave.
type running struct {
	*Client
	t     *testing.T
	ended chan error

	mu       sync.Mutex // guards messages
	messages []string
}

// start connects a client to the server, which answers with ack, and serves it.
func (s *server) start(cfg Config, ack packet.Connack) *running {
	s.t.Helper()
	r := &running{t: s.t}
	if cfg.Message == nil {
		cfg.Message = func(p *packet.Publish) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.messages = append(r.messages, string(p.Payload))
		}
	}
	r.Client = New(cfg)
	s.restart(r, ack)
	return r
}

func (s *server) restart(r *running, ack packet.Connack) packet.Connect {
	s.t.Helper()
	connected := make(chan error, 1)
	go func() {
		_, err := r.Connect(s.t.Context())
		connected <- err
	}()
	p := s.accept(ack)
	if err := <-connected; err != nil {
		s.t.Fatal(err)
	}
	r.ended = make(chan error, 1)
	go func(ended chan error) { ended <- r.Serve(context.Background()) }(r.ended)
	s.t.Cleanup(func() { s.nc.Close() })
	return p
}

func (r *running) end() error {
	r.t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(hang):
		r.t.Fatal("Serve did not return")
		return nil
	}
}

func (r *running) publish(payload string, qos byte) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), hang)
	defer cancel()
	if _, err := r.Publish(ctx, &packet.Publish{Topic: []byte("a/b"), Payload: []byte(payload), QoS: qos}); err != nil {
		r.t.Fatalf("publish %q: %v", payload, err)
	}
}

// full says whether there is no room for one more message at this QoS.
func (r *running) full(qos byte) bool {
	ctx, cancel := context.WithCancel(r.t.Context())
	cancel()
	_, err := r.Publish(ctx, &packet.Publish{Topic: []byte("full"), QoS: qos})
	return errors.Is(err, context.Canceled)
}

func (r *running) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages)
}
