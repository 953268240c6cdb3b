package main

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	"headgate/broker/brokertest/mqttload/wire"
)

// sink is the remote end of a bridge: it accepts MQTT clients, acknowledges
// what they publish and enters it in a ledger. It costs the machine far less
// than a second broker would, so the figure is the bridge's.
type sink struct {
	port int
	wg   sync.WaitGroup // the accepting goroutine and one a connection

	mu       sync.Mutex // protects what follows
	l        net.Listener
	conns    map[net.Conn]bool
	led      *ledger
	timed    *latencyRun     // gets the messages of its publisher
	sessions map[string]bool // client ids with a persistent session
	clients  int             // CONNECT packets so far
	first    time.Time       // first message after the last up
}

func newSink() (*sink, error) {
	p, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &sink{port: p, sessions: map[string]bool{}}
	return s, s.up()
}

func (s *sink) addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// set names the ledger that messages are entered in.
func (s *sink) set(l *ledger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.led = l
}

// time has the messages of r's publisher timed.
func (s *sink) time(r *latencyRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timed = r
}

// up listens, again if it was down.
func (s *sink) up() error {
	l, err := net.Listen("tcp", s.addr())
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.l, s.conns, s.first = l, map[net.Conn]bool{}, time.Time{}
	s.mu.Unlock()
	s.wg.Go(func() { s.accept(l) })
	return nil
}

func (s *sink) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.l != l { // down since
			s.mu.Unlock()
			_ = c.Close()
			return
		}
		s.conns[c] = true
		s.mu.Unlock()
		s.wg.Go(func() { s.serve(c) })
	}
}

// down closes the listener and all connections, and returns when they have ended.
func (s *sink) down() {
	s.mu.Lock()
	if s.l != nil {
		_ = s.l.Close()
	}
	s.l = nil
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *sink) firstAfterUp() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first
}

// waitClient waits until a client has connected.
func (s *sink) waitClient(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		s.mu.Lock()
		n := s.clients
		s.mu.Unlock()
		if n > 0 {
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("no client")
}

// serve answers one client until it goes.
func (s *sink) serve(nc net.Conn) {
	defer func() {
		_ = nc.Close()
		s.mu.Lock()
		delete(s.conns, nc)
		s.mu.Unlock()
	}()
	c := wire.NewConn(nc, 4, 256<<10)
	var out []byte
	var m wire.Msg
	for {
		h, b, ok := c.TryNext()
		if !ok {
			if len(out) > 0 {
				if _, err := nc.Write(out); err != nil {
					return
				}
				out = out[:0]
			}
			if c.Fill() != nil {
				return
			}
			continue
		}
		if out, ok = s.answer(c, out, h, b, &m); !ok {
			return
		}
	}
}

// answer appends what packet h, b is answered with; it is false at the
// connection's end.
func (s *sink) answer(c *wire.Conn, out []byte, h byte, b []byte, m *wire.Msg) ([]byte, bool) {
	switch h >> 4 {
	case wire.CONNECT:
		return s.connect(c, out, b)
	case wire.PUBLISH:
		if !wire.ParsePublish(h, b, c.Ver, m) {
			return out, false
		}
		if pub, seq, ts, ok := wire.Head(m.Payload); ok {
			s.enter(pub, seq, ts)
		}
		switch m.QoS {
		case 1:
			out = wire.AppendAck(out, wire.PUBACK, m.PID)
		case 2:
			out = wire.AppendAck(out, wire.PUBREC, m.PID)
		}
	case wire.PUBREL:
		out = wire.AppendAck(out, wire.PUBCOMP, wire.PID(b))
	case wire.SUBSCRIBE:
		if len(b) < 2 {
			return out, false
		}
		if c.Ver == 5 {
			out = append(out, wire.SUBACK<<4, 4, b[0], b[1], 0, 1)
		} else {
			out = append(out, wire.SUBACK<<4, 3, b[0], b[1], 1)
		}
	case wire.UNSUBSCRIBE:
		if len(b) < 2 {
			return out, false
		}
		if c.Ver == 5 {
			out = append(out, wire.UNSUBACK<<4, 4, b[0], b[1], 0, 0)
		} else {
			out = wire.AppendAck(out, wire.UNSUBACK, wire.PID(b))
		}
	case wire.PINGREQ:
		out = append(out, wire.PINGRESP<<4, 0)
	case wire.DISCONNECT:
		return out, false
	}
	return out, true
}

// connect remembers the session and answers with a CONNACK.
func (s *sink) connect(c *wire.Conn, out, b []byte) ([]byte, bool) {
	con, ok := wire.ParseConnect(b)
	if !ok {
		return out, false
	}
	c.Ver = con.Ver
	present := byte(0)
	s.mu.Lock()
	if !con.Clean && s.sessions[con.ClientID] {
		present = 1
	}
	s.sessions[con.ClientID] = !con.Clean
	s.clients++
	s.mu.Unlock()
	if c.Ver == 5 {
		return append(out, wire.CONNACK<<4, 3, present, 0, 0), true
	}
	return append(out, wire.CONNACK<<4, 2, present, 0), true
}

func (s *sink) enter(pub, seq uint32, ts int64) {
	s.mu.Lock()
	l, r := s.led, s.timed
	if s.first.IsZero() {
		s.first = time.Now()
	}
	s.mu.Unlock()
	switch {
	case r != nil && pub == r.pub:
		r.receive(pub, seq, ts, nil)
	case l != nil:
		l.add(pub, seq)
	}
}
