package bridge

import (
	"bytes"
	"net"
	"sync"
	"testing"

	"headgate/broker/packet"
)

// sink is an upstream that takes everything and keeps its session over
// connections, as a real one does: QoS 2 is exactly once there or nowhere.
type sink struct {
	listener net.Listener
	wg       sync.WaitGroup
	keep     bool // keep what came; else only count

	mu      sync.Mutex // guards what follows
	conns   map[net.Conn]struct{}
	known   bool // a session exists
	pending map[uint16]string
	got     []string // payloads in order: QoS 1 at PUBLISH, QoS 2 at PUBREL
	count   int
}

func newSink(t testing.TB, keep bool) *sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{listener: l, keep: keep, conns: make(map[net.Conn]struct{}), pending: make(map[uint16]string)}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = struct{}{}
			s.mu.Unlock()
			s.wg.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (s *sink) addr() string { return s.listener.Addr().String() }

// serve answers one connection, the answers to one read in one write.
func (s *sink) serve(c net.Conn) {
	defer c.Close()
	packets := newPacketReader(c, largestPacket)
	var out []byte
	var p packet.Publish
	var a packet.Ack
	v := packet.V5
	for {
		if !packets.ready() && len(out) > 0 {
			if _, err := c.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
		in, err := packets.next()
		if err != nil {
			return
		}
		switch in.Type {
		case packet.CONNECT:
			var connect packet.Connect
			if connect.Decode(in.body) != nil {
				return
			}
			v = connect.Version
			s.mu.Lock()
			ack := packet.Connack{SessionPresent: s.known}
			s.known = true
			s.mu.Unlock()
			out = ack.Append(out, v)
		case packet.PUBLISH:
			if p.Decode(v, in.Flags, in.body) != nil {
				return
			}
			out = s.published(out, v, &p)
		case packet.PUBREL:
			if a.Decode(v, in.Type, in.body) != nil {
				return
			}
			s.released(a.PacketID)
			ack := packet.Ack{Type: packet.PUBCOMP, PacketID: a.PacketID}
			out = ack.Append(out, v)
		case packet.PINGREQ:
			out = packet.AppendPingresp(out)
		case packet.SUBSCRIBE:
			var sub packet.Subscribe
			if sub.Decode(v, bytes.Clone(in.body)) != nil {
				return
			}
			ack := packet.Suback{PacketID: sub.PacketID, Reasons: []packet.ReasonCode{packet.GrantedQoS2}}
			out = ack.Append(out, v)
		default:
			return
		}
	}
}

func (s *sink) published(out []byte, v packet.Version, p *packet.Publish) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	ack := packet.Ack{Type: packet.PUBACK, PacketID: p.PacketID}
	switch p.QoS {
	case 0:
		s.take(p.Payload)
		return out
	case 1:
		s.take(p.Payload)
	case 2:
		if _, had := s.pending[p.PacketID]; !had {
			s.pending[p.PacketID] = string(p.Payload)
		}
		ack.Type = packet.PUBREC
	}
	return ack.Append(out, v)
}

func (s *sink) take(payload []byte) {
	s.count++
	if s.keep {
		s.got = append(s.got, string(payload))
	}
}

func (s *sink) released(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if payload, ok := s.pending[id]; ok {
		delete(s.pending, id)
		s.take([]byte(payload))
	}
}

func (s *sink) payloads() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.got...)
}
