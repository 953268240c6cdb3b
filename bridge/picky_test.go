package bridge

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"headgate/broker/packet"
)

// habits are the rules of a real service, written down from its documentation
// once more, on their own: the table of the bridge is not asked.
type habits struct {
	version    packet.Version // 0: both
	clean      bool           // only clean sessions
	user       string         // with this in the user name
	password   string         // beginning so
	clientID   int            // bytes
	keepAlive  uint16
	qos        byte
	retain     bool
	payload    int
	slashes    int
	topic      int
	root       string
	whitespace bool // in topics
}

// picky is a broker with habits: what is against them ends the connection without
// a word, as the services do it.
type picky struct {
	habits
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex // guards what follows
	conns   []net.Conn
	got     []string // topic and payload
	against []string // what ended a connection
}

func newPicky(t *testing.T, h habits) *picky {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &picky{habits: h, listener: l}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.conns = append(p.conns, c)
			p.mu.Unlock()
			p.wg.Go(func() {
				defer c.Close()
				if why := p.serve(c); why != "" {
					p.mu.Lock()
					p.against = append(p.against, why)
					p.mu.Unlock()
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

// reach has a bridge connect to the fake whatever its url says.
func (p *picky) reach(b *Bridge) {
	b.endpoints = []endpoint{{address: p.listener.Addr().String(), host: b.endpoints[0].host}}
	hasty(b)
}

func (p *picky) received() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.got...)
}

func (p *picky) offended() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.against...)
}

// serve gives what ended the connection, "" where the client did.
func (p *picky) serve(c net.Conn) (against string) {
	packets := newPacketReader(c, largestPacket)
	var v packet.Version
	for {
		in, err := packets.next()
		if err != nil {
			return ""
		}
		var out []byte
		switch in.Type {
		case packet.CONNECT:
			var connect packet.Connect
			if connect.Decode(bytes.Clone(in.body)) != nil {
				return "a CONNECT that cannot be read"
			}
			v = connect.Version
			if against = p.admit(&connect); against != "" {
				return against
			}
			var ack packet.Connack
			out = ack.Append(nil, v)
		case packet.PUBLISH:
			var pub packet.Publish
			if pub.Decode(v, in.Flags, in.body) != nil {
				return "a PUBLISH that cannot be read"
			}
			if against = p.take(&pub); against != "" {
				return against
			}
			ack := packet.Ack{Type: packet.PUBACK, PacketID: pub.PacketID}
			if pub.QoS == 2 {
				ack.Type = packet.PUBREC
			}
			out = ack.Append(nil, v)
		case packet.PUBREL:
			var a packet.Ack
			if a.Decode(v, in.Type, in.body) != nil {
				return "a PUBREL that cannot be read"
			}
			ack := packet.Ack{Type: packet.PUBCOMP, PacketID: a.PacketID}
			out = ack.Append(nil, v)
		case packet.PINGREQ:
			out = packet.AppendPingresp(nil)
		case packet.DISCONNECT:
			return ""
		default:
			return in.Type.String()
		}
		if _, err := c.Write(out); err != nil {
			return ""
		}
	}
}

func (p *picky) admit(c *packet.Connect) string {
	switch {
	case p.version != 0 && c.Version != p.version:
		return fmt.Sprintf("version %d", c.Version)
	case c.Bridge:
		return "the bridge bit"
	case p.clean && !c.CleanStart:
		return "a session to keep"
	case !strings.Contains(string(c.Username), p.user):
		return "the user name " + string(c.Username)
	case !strings.HasPrefix(string(c.Password), p.password):
		return "the password"
	case p.clientID > 0 && len(c.ClientID) > p.clientID:
		return "the client identifier"
	case p.keepAlive > 0 && c.KeepAlive > p.keepAlive:
		return "the keep alive"
	}
	return ""
}

func (p *picky) take(m *packet.Publish) string {
	topic := string(m.Topic)
	counted := topic
	if strings.HasPrefix(topic, "$aws/rules/") {
		counted = strings.SplitN(topic, "/", 4)[3]
	}
	switch {
	case m.QoS > p.qos:
		return "a QoS"
	case m.Retain && !p.retain:
		return "RETAIN"
	case p.payload > 0 && len(m.Payload) > p.payload:
		return "a payload"
	case p.slashes > 0 && strings.Count(counted, "/") > p.slashes:
		return "too many levels"
	case p.topic > 0 && len(counted) > p.topic:
		return "a long topic"
	case !strings.HasPrefix(topic, p.root):
		return "the topic " + topic
	case !p.whitespace && strings.ContainsAny(topic, " \t"):
		return "a space in a topic"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, topic+" "+string(m.Payload[:min(len(m.Payload), 200)]))
	return ""
}
