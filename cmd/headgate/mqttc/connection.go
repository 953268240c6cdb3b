package mqttc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"headgate/broker/packet"
)

// connection is an accepted connection.
type connection struct {
	nc      net.Conn
	address string
	packets *packetReader
	limits  limits
	began   time.Time
	heard   atomic.Int64 // when bytes came last, since began
	said    atomic.Int64 // when bytes went last

	// Client.mu guards these.
	out     []byte // what the writer is to send
	busy    bool   // it is sending
	closing bool   // DISCONNECT is in out: nothing follows
	err     error  // why the connection ended

	wake      chan struct{} // there is something in out, or closing
	finishing chan struct{} // closed when the session is to end
}

func newConnection(nc net.Conn, address string, v packet.Version) *connection {
	conn := &connection{nc: nc, address: address, began: time.Now(), wake: make(chan struct{}, 1), finishing: make(chan struct{})}
	conn.packets = &packetReader{conn: nc, version: v, heard: func() { conn.heard.Store(int64(conn.age())) }}
	return conn
}

func (conn *connection) age() time.Duration { return time.Since(conn.began) }

// poke wakes the writer.
func (conn *connection) poke() {
	select {
	case conn.wake <- struct{}{}:
	default:
	}
}

func (conn *connection) written() bool { return len(conn.out) == 0 && !conn.busy }

// unanswered explains that no CONNACK came.
func (conn *connection) unanswered(err error) error {
	var wrong *packet.Error
	switch {
	case errors.As(err, &wrong):
		return fmt.Errorf("%s answers CONNECT with something else: is it an MQTT broker? %w", conn.address, err)
	case err == io.EOF:
		return fmt.Errorf("%s closed the connection without an answer to CONNECT: does it speak this version of MQTT, with TLS or without?", conn.address)
	}
	return fmt.Errorf("read the CONNACK of %s: %w", conn.address, cause(err))
}

// limits is what the server's CONNACK allows.
type limits struct {
	window    int // messages of QoS 1 and 2 on their way
	exact     int // of these at QoS 2
	maxQoS    byte
	retain    bool
	maxPacket int
	maxAlias  uint16
	keepAlive time.Duration // 0: none
}

func limitsFrom(v packet.Version, keepAlive time.Duration, maxInflight int, ack *packet.Connack) limits {
	l := limits{window: maxFlight, exact: maxFlight, maxQoS: 2, retain: true, maxPacket: packet.MaxRemaining + 5, keepAlive: keepAlive}
	if v != packet.V5 {
		l.exact = maxExactlyOnceV3
	}
	p := &ack.Properties
	if p.Has(packet.PropReceiveMaximum) {
		l.window = min(l.window, int(p.ReceiveMaximum))
	}
	if maxInflight > 0 {
		l.window, l.exact = min(l.window, maxInflight), min(l.exact, maxInflight)
	}
	if p.Has(packet.PropMaximumQoS) {
		l.maxQoS = p.MaximumQoS
	}
	if p.Has(packet.PropRetainAvailable) {
		l.retain = p.RetainAvailable != 0
	}
	if p.Has(packet.PropMaximumPacketSize) {
		l.maxPacket = min(l.maxPacket, int(p.MaximumPacketSize))
	}
	if p.Has(packet.PropTopicAliasMaximum) {
		l.maxAlias = p.TopicAliasMaximum
	}
	if p.Has(packet.PropServerKeepAlive) { // [MQTT-3.1.2-21]
		l.keepAlive = time.Duration(p.ServerKeepAlive) * time.Second
	}
	return l
}

// Refusal is a server's no: in a CONNACK, a DISCONNECT, or of one message.
type Refusal struct {
	Address string
	Packet  packet.Type
	Version packet.Version
	Reason  packet.ReasonCode // the return code in 3.x
	Text    string            // what the server says of it, "" for nothing
}

func (r *Refusal) Error() string {
	what := map[packet.Type]string{packet.CONNACK: "refused the connection", packet.DISCONNECT: "ended the connection"}[r.Packet]
	if what == "" {
		what = "refused the message"
	}
	return fmt.Sprintf("%s %s: %s", r.Address, what, r.Words())
}

// Words gives the reason in words.
func (r *Refusal) Words() string {
	words := r.Reason.String()
	if r.Version != packet.V5 && r.Packet == packet.CONNACK {
		words = returnCodeWords(r.Reason)
	}
	return words + r.Text
}

// returnCodeWords gives a return code of 3.x in the words of MQTT 5.
func returnCodeWords(code packet.ReasonCode) string {
	for _, reason := range []packet.ReasonCode{
		packet.UnsupportedProtocolVersion, packet.ClientIdentifierNotValid, packet.ServerUnavailable,
		packet.BadUserNameOrPassword, packet.NotAuthorized,
	} {
		if reason == code || reason.V3() == code {
			return reason.String()
		}
	}
	return fmt.Sprintf("return code %d", code)
}

// reasonText gives what a server adds to a reason code.
func reasonText(p *packet.Properties) (text string) {
	if p.Has(packet.PropReasonString) {
		text = fmt.Sprintf(" (%q)", p.ReasonString)
	}
	if p.Has(packet.PropServerReference) {
		text += fmt.Sprintf(", use %q", p.ServerReference)
	}
	return text
}
