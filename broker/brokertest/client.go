package brokertest

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"headgate/broker/packet"
)

// hang is how long a test waits for what must come. It guards against hanging,
// and is not a measure of speed.
const hang = 10 * time.Second

// Client speaks packets over TCP. Every failure ends the test.
type Client struct {
	tb   testing.TB
	nc   net.Conn
	v    packet.Version
	buf  []byte
	last uint16 // packet identifier

	early []packetBytes // PUBLISH packets that came while an answer was awaited
}

type packetBytes struct {
	h    packet.Header
	body []byte
}

// Dial opens a connection and sends nothing.
func Dial(tb testing.TB, addr string, v packet.Version) *Client {
	tb.Helper()
	nc, err := net.DialTimeout("tcp", addr, hang)
	if err != nil {
		tb.Fatalf("dial: %v", err)
	}
	c := &Client{tb: tb, nc: nc, v: v}
	tb.Cleanup(func() { nc.Close() })
	return c
}

// Connect opens a connection, sends CONNECT and wants it accepted. change may
// change the packet, which is a clean start with the client identifier id.
func Connect(tb testing.TB, addr string, v packet.Version, id string, change ...func(*packet.Connect)) (*Client, packet.Connack) {
	tb.Helper()
	c := Dial(tb, addr, v)
	ack := c.Connect(id, change...)
	if ack.Reason != packet.Success {
		tb.Fatalf("connect %q: %v", id, ack.Reason)
	}
	return c, ack
}

// Connect sends CONNECT and gives the answer.
func (c *Client) Connect(id string, change ...func(*packet.Connect)) packet.Connack {
	c.tb.Helper()
	c.SendConnect(id, change...)
	return c.WantConnack()
}

// Persistent makes a CONNECT ask for a session that outlives its connection.
func Persistent(p *packet.Connect) {
	p.CleanStart = false
	if p.Version == packet.V5 {
		p.Properties.SessionExpiry = 3600
		p.Properties.Set(packet.PropSessionExpiry)
	}
}

// Send writes bytes as they are.
func (c *Client) Send(b []byte) {
	c.tb.Helper()
	c.nc.SetWriteDeadline(time.Now().Add(hang))
	if _, err := c.nc.Write(b); err != nil {
		c.tb.Fatalf("write: %v", err)
	}
}

// Close breaks the connection without a DISCONNECT.
func (c *Client) Close() { c.nc.Close() }

// Disconnect ends the connection as the protocol wants it.
func (c *Client) Disconnect() {
	c.tb.Helper()
	d := packet.Disconnect{}
	c.Send(d.Append(nil, c.v))
	c.Closed()
}

// Next gives the next packet, whatever it is.
func (c *Client) Next() (packet.Header, []byte, error) {
	for {
		h, err := packet.ParseHeader(c.buf)
		if err == nil && len(c.buf) >= h.Size+h.Remaining {
			body := c.buf[h.Size : h.Size+h.Remaining]
			c.buf = c.buf[h.Size+h.Remaining:]
			return h, body, nil
		}
		if err != nil && !errors.Is(err, packet.ErrIncomplete) {
			return h, nil, err
		}
		more := make([]byte, 64<<10)
		c.nc.SetReadDeadline(time.Now().Add(hang))
		n, err := c.nc.Read(more)
		c.buf = append(c.buf, more[:n]...)
		if n == 0 && err != nil {
			return h, nil, err
		}
	}
}

// decode waits for a packet of one type. PUBLISH packets that come before it are
// kept for Receive: they may overtake any answer.
func (c *Client) decode(want packet.Type, decode func(flags byte, body []byte) error) {
	c.tb.Helper()
	if want == packet.PUBLISH && len(c.early) > 0 {
		p := c.early[0]
		c.early = c.early[1:]
		if err := decode(p.h.Flags, p.body); err != nil {
			c.tb.Fatalf("decode %v: %v", want, err)
		}
		return
	}
	for {
		h, body, err := c.Next()
		if err != nil {
			c.tb.Fatalf("wait for %v: %v", want, err)
		}
		if h.Type == packet.PUBLISH && want != packet.PUBLISH {
			c.early = append(c.early, packetBytes{h, body})
			continue
		}
		if h.Type != want {
			c.tb.Fatalf("got %v %.40x, want %v", h.Type, body, want)
		}
		if err := decode(h.Flags, body); err != nil {
			c.tb.Fatalf("decode %v: %v", want, err)
		}
		return
	}
}

// Subscribe subscribes and gives the answers.
func (c *Client) Subscribe(subs ...packet.Subscription) []packet.ReasonCode {
	c.tb.Helper()
	c.count()
	p := packet.Subscribe{PacketID: c.last, Subscriptions: subs}
	c.Send(p.Append(nil, c.v))
	var ack packet.Suback
	c.decode(packet.SUBACK, func(_ byte, body []byte) error { return ack.Decode(c.v, body) })
	if ack.PacketID != p.PacketID {
		c.tb.Fatalf("SUBACK for %d, want %d", ack.PacketID, p.PacketID)
	}
	return ack.Reasons
}

// count goes to the next packet identifier, which is not 0. [MQTT-2.2.1-3]
func (c *Client) count() { c.last = max(1, c.last+1) }

// SubscribeTo subscribes to one filter and wants it granted.
func (c *Client) SubscribeTo(filter string, qos byte) {
	c.tb.Helper()
	if r := c.Subscribe(packet.Subscription{Filter: []byte(filter), QoS: qos}); r[0] != packet.ReasonCode(qos) {
		c.tb.Fatalf("subscribe to %q: %v", filter, r[0])
	}
}

// Publish sends a PUBLISH and, at QoS 1 and 2, does all that follows of it.
func (c *Client) Publish(topic, payload string, qos byte, change ...func(*packet.Publish)) {
	c.tb.Helper()
	p := packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos}
	if qos > 0 {
		c.count()
		p.PacketID = c.last
	}
	for _, f := range change {
		f(&p)
	}
	c.Send(p.Append(nil, c.v))
	switch qos {
	case 1:
		c.WantAck(packet.PUBACK, p.PacketID)
	case 2:
		c.WantAck(packet.PUBREC, p.PacketID)
		c.SendAck(packet.PUBREL, p.PacketID)
		c.WantAck(packet.PUBCOMP, p.PacketID)
	}
}

// Retained makes a PUBLISH a retained one.
func Retained(p *packet.Publish) { p.Retain = true }

// SendAck sends one of the four acknowledgements.
func (c *Client) SendAck(t packet.Type, id uint16) {
	c.tb.Helper()
	a := packet.Ack{Type: t, PacketID: id}
	c.Send(a.Append(nil, c.v))
}

// WantAck waits for one, and gives its reason.
func (c *Client) WantAck(t packet.Type, id uint16) packet.ReasonCode {
	c.tb.Helper()
	var a packet.Ack
	c.decode(t, func(_ byte, body []byte) error { return a.Decode(c.v, t, body) })
	if a.PacketID != id {
		c.tb.Fatalf("%v for %d, want %d", t, a.PacketID, id)
	}
	return a.Reason
}

// Receive waits for a PUBLISH and does not answer it.
func (c *Client) Receive() packet.Publish {
	c.tb.Helper()
	var p packet.Publish
	c.decode(packet.PUBLISH, func(flags byte, body []byte) error { return p.Decode(c.v, flags, body) })
	return p
}

// Want waits for a PUBLISH with this topic and payload and, at QoS 1 and 2, does
// all that follows of it.
func (c *Client) Want(topic, payload string, qos byte) packet.Publish {
	c.tb.Helper()
	p := c.Receive()
	if string(p.Topic) != topic || string(p.Payload) != payload || p.QoS != qos {
		c.tb.Fatalf("got %s %.80q at QoS %d, want %s %.80q at QoS %d", p.Topic, p.Payload, p.QoS, topic, payload, qos)
	}
	switch qos {
	case 1:
		c.SendAck(packet.PUBACK, p.PacketID)
	case 2:
		c.SendAck(packet.PUBREC, p.PacketID)
		c.WantAck(packet.PUBREL, p.PacketID)
		c.SendAck(packet.PUBCOMP, p.PacketID)
	}
	return p
}

// Silent wants nothing to be there for this client: a PINGREQ is answered before
// anything else comes.
func (c *Client) Silent() {
	c.tb.Helper()
	c.Send(packet.AppendPingreq(nil))
	c.decode(packet.PINGRESP, func(_ byte, body []byte) error { return packet.DecodeEmpty(packet.PINGRESP, body) })
	if len(c.early) > 0 {
		c.tb.Fatalf("got %.80x, want nothing", c.early[0].body)
	}
}

// Closed wants the server to close the connection, and gives the reason of its
// DISCONNECT; Success when it sent none.
func (c *Client) Closed() packet.ReasonCode {
	c.tb.Helper()
	reason := packet.Success
	for {
		h, body, err := c.Next()
		switch {
		case errors.Is(err, io.EOF):
			return reason
		case err != nil:
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				c.tb.Fatal("the server did not close the connection")
			}
			return reason
		case h.Type == packet.DISCONNECT:
			var d packet.Disconnect
			if err := d.Decode(c.v, body); err != nil {
				c.tb.Fatalf("decode DISCONNECT: %v", err)
			}
			reason = d.Reason
		default:
			c.tb.Fatalf("got %v, want the end of the connection", h.Type)
		}
	}
}

// Unsubscribe ends subscriptions and gives the answers.
func (c *Client) Unsubscribe(filters ...string) []packet.ReasonCode {
	c.tb.Helper()
	c.count()
	p := packet.Unsubscribe{PacketID: c.last}
	for _, f := range filters {
		p.Filters = append(p.Filters, []byte(f))
	}
	c.Send(p.Append(nil, c.v))
	var ack packet.Unsuback
	c.decode(packet.UNSUBACK, func(_ byte, body []byte) error { return ack.Decode(c.v, body) })
	if ack.PacketID != p.PacketID {
		c.tb.Fatalf("UNSUBACK for %d, want %d", ack.PacketID, p.PacketID)
	}
	return ack.Reasons
}

// Over speaks over a connection that the caller made.
func Over(tb testing.TB, nc net.Conn, v packet.Version) *Client {
	return &Client{tb: tb, nc: nc, v: v}
}

// Acked waits for an acknowledgement; false is the end of the connection.
func (c *Client) Acked(t packet.Type, id uint16) bool {
	c.tb.Helper()
	h, body, err := c.Next()
	if err != nil {
		return false
	}
	var a packet.Ack
	if err := a.Decode(c.v, t, body); h.Type != t || err != nil || a.PacketID != id {
		c.tb.Fatalf("got %v %.40x, want %v for %d", h.Type, body, t, id)
	}
	return true
}
