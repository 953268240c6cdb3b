package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"headgate/broker/packet"
)

const (
	maxPassword = 65535 // bytes of binary data [MQTT-1.5.6]

	// What we ask the upstream to keep to, on MQTT 5.
	maxIncoming         = 4 << 20 // bytes of a packet; a larger message is acknowledged, counted and not taken
	incomingReceiveMax  = 1000    // messages of QoS 1 and 2 that wait for our acknowledgement
	largestPacket       = packet.MaxRemaining + 5
	unlimitedReceiveMax = 65535

	// 3.1.1 has no Receive Maximum, but brokers have their limit on messages of
	// QoS 2 that wait for PUBREL all the same: mosquitto 2.0 by default 20, and
	// past it messages are lost there, after a PUBREC.
	exactlyOnceMax311 = 20
)

// link is an accepted connection, before a session runs on it.
type link struct {
	conn    net.Conn // with TLS and the WebSocket, where there are any
	raw     net.Conn // what is below them: closing it never waits
	packets *packetReader
	version packet.Version
	present bool   // the upstream has our session
	peer    string // the id of the upstream, if it is a gateway like ours
	limits  limits
	took    time.Duration
	holds   time.Duration // of the password, from now; 0: for ever
}

// limits is what the upstream's CONNACK allows.
type limits struct {
	receiveMaximum int
	exact          int // of these at QoS 2
	maxQoS         byte
	retain         bool
	maxPacket      int
	keepAlive      time.Duration
	sessionExpiry  time.Duration
	aliases        int // Topic Alias Maximum
	wildcards      bool
	shared         bool
}

// refusal is a negative CONNACK, or a DISCONNECT of the upstream.
type refusal struct {
	version packet.Version
	reason  packet.ReasonCode
	text    string // the reason in words, with what the upstream says of it
}

func (r *refusal) Error() string { return r.text }

func (r *refusal) unsupportedVersion() bool {
	if r.version == packet.V5 {
		return r.reason == packet.UnsupportedProtocolVersion
	}
	return r.reason == packet.ConnectUnacceptableVersion
}

var (
	errNoConnack = errors.New("the upstream closed the connection without an answer to CONNECT")
	errClosed    = errors.New("the upstream closed the connection")
)

// isRefusal says whether the upstream answered and does not want us: then
// asking again fast does not help.
func isRefusal(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	return r.version != packet.V5 || r.reason != packet.ServerShuttingDown
}

// connect makes one attempt: TCP, the proxy, TLS, the WebSocket, CONNECT and
// CONNACK, all within connect_timeout.
func (b *Bridge) connect(ctx context.Context, v packet.Version) (l *link, err error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, b.cfg.ConnectTimeout)
	defer cancel()
	password, holds, err := b.secret(time.Now())
	if err != nil {
		return nil, err
	}
	raw, err := b.dial(ctx)
	if err != nil {
		return nil, err
	}
	release := deadlineFrom(ctx, raw)
	l, err = b.introduce(ctx, raw, v, password)
	release()
	if err == nil {
		if err = raw.SetDeadline(time.Time{}); err != nil {
			err = fmt.Errorf("clear the deadline: %w", cause(err))
		}
	}
	if err != nil {
		raw.Close()
		return nil, b.timedOut(err)
	}
	l.raw, l.took, l.holds = raw, time.Since(began), holds
	return l, nil
}

// introduce goes up the layers from a connection to the upstream or its proxy:
// the tunnel, TLS, the WebSocket, and CONNECT with CONNACK.
func (b *Bridge) introduce(ctx context.Context, conn net.Conn, v packet.Version, password []byte) (l *link, err error) {
	ep := b.endpoints[b.turn]
	if b.proxy != nil {
		if err := b.proxy.tunnel(conn, ep.address); err != nil {
			return nil, fmt.Errorf("proxy %s: %w", b.proxy.address, b.timedOut(err))
		}
	}
	if ep.tls {
		if conn, err = b.handshakeTLS(ctx, conn, ep.host); err != nil {
			return nil, err
		}
	}
	if ep.path != "" {
		if conn, err = upgrade(ctx, conn, ep); err != nil {
			return nil, err
		}
	}
	return b.handshake(conn, v, password)
}

// handshake sends CONNECT and reads CONNACK.
func (b *Bridge) handshake(conn net.Conn, v packet.Version, password []byte) (*link, error) {
	if _, err := conn.Write(b.connectPacket(v, password)); err != nil {
		return nil, fmt.Errorf("write CONNECT: %w", cause(err))
	}
	packets := newPacketReader(conn, maxIncoming)
	in, err := packets.next()
	if err != nil {
		if err == io.EOF || isReset(err) {
			return nil, errNoConnack
		}
		return nil, fmt.Errorf("read CONNACK: %w", cause(err))
	}
	if in.Type != packet.CONNACK || in.cut {
		return nil, fmt.Errorf("the answer to CONNECT is %v: is that an MQTT broker?", in.Type)
	}
	if in.Remaining == 2 {
		v = packet.V311 // a broker that does not know 5 says so in its own format
	}
	var ack packet.Connack
	if err := ack.Decode(v, in.body); err != nil {
		return nil, fmt.Errorf("read CONNACK: %w", err)
	}
	if ack.Reason != 0 {
		return nil, connackRefusal(v, &ack)
	}
	if v == packet.V311 && b.dialect.version() == packet.V5 {
		return nil, errors.New("the upstream accepted MQTT 5 in the format of 3.1.1: set version = \"3.1.1\"")
	}
	return &link{conn: conn, packets: packets, version: v, present: ack.SessionPresent, peer: peerOf(&ack.Properties), limits: b.limitsFrom(v, &ack)}, nil
}

func (b *Bridge) connectPacket(v packet.Version, password []byte) []byte {
	seconds := func(d time.Duration) uint32 { return uint32((d + time.Second - 1) / time.Second) }
	p := packet.Connect{
		Version:   v,
		KeepAlive: uint16(seconds(b.cfg.KeepAlive)),
		ClientID:  []byte(b.cfg.ClientID),
		Bridge:    v == packet.V311 && b.echoes && !b.noBit,
	}
	if b.service != nil {
		p.Bridge = p.Bridge && b.service.bit
		p.CleanStart = b.service.noSession
	}
	if b.cfg.Credentials.Username != "" {
		p.HasUsername, p.Username = true, []byte(b.cfg.Credentials.Username)
	}
	if password != nil {
		p.HasPassword, p.Password = true, password
	}
	if v == packet.V5 {
		p.Properties.SessionExpiry = seconds(b.cfg.SessionExpiry)
		p.Properties.Set(packet.PropSessionExpiry)
		p.Properties.ReceiveMaximum = incomingReceiveMax
		p.Properties.Set(packet.PropReceiveMaximum)
		p.Properties.MaximumPacketSize = maxIncoming
		p.Properties.Set(packet.PropMaximumPacketSize)
		if b.cfg.GatewayID != "" {
			p.Properties.User = []packet.UserProperty{{Key: []byte(peerProperty), Value: []byte(b.cfg.GatewayID)}}
		}
	}
	if b.edge != nil {
		b.edge.connect(&p)
	}
	return p.Append(nil)
}

func connackRefusal(v packet.Version, ack *packet.Connack) *refusal {
	r := &refusal{version: v, reason: ack.Reason}
	if v != packet.V5 {
		r.text = "refused: " + returnCodeWords(ack.Reason)
		if ack.Reason == packet.BadUserNameOrPassword.V3() || ack.Reason == packet.NotAuthorized.V3() {
			r.text += credentialsHint
		}
		return r
	}
	r.text = "refused: " + reasonWords(ack.Reason, &ack.Properties)
	if ack.Reason == packet.BadUserNameOrPassword || ack.Reason == packet.NotAuthorized {
		r.text += credentialsHint
	}
	return r
}

// credentialsHint is where to look: a broker does not say what of it is wrong.
const credentialsHint = ": look at credentials, the client identifier, and what the upstream allows them"

// returnCodeWords gives a return code of 3.1.1 in the words of MQTT 5.
func returnCodeWords(code packet.ReasonCode) string {
	for _, reason := range []packet.ReasonCode{
		packet.UnsupportedProtocolVersion, packet.ClientIdentifierNotValid, packet.ServerUnavailable,
		packet.BadUserNameOrPassword, packet.NotAuthorized,
	} {
		if reason.V3() == code {
			return reason.String()
		}
	}
	return fmt.Sprintf("return code %d", code)
}

// reasonWords gives a reason code of MQTT 5 with what the upstream adds to it.
func reasonWords(reason packet.ReasonCode, p *packet.Properties) string {
	words := reason.String()
	if p.Has(packet.PropReasonString) {
		words += fmt.Sprintf(" (%q)", p.ReasonString)
	}
	if p.Has(packet.PropServerReference) {
		words += fmt.Sprintf(", use %q", p.ServerReference)
	}
	return words
}

func (b *Bridge) limitsFrom(v packet.Version, ack *packet.Connack) limits {
	p := &ack.Properties
	l := limits{
		receiveMaximum: unlimitedReceiveMax, exact: unlimitedReceiveMax, maxQoS: 2, retain: true, maxPacket: largestPacket,
		keepAlive: b.cfg.KeepAlive, sessionExpiry: b.cfg.SessionExpiry, wildcards: true, shared: true,
	}
	if v != packet.V5 {
		l.exact = exactlyOnceMax311
	}
	if s := b.service; s != nil {
		l.maxQoS, l.retain = s.qos, !s.noRetain && (!s.retainOn5 || v == packet.V5)
	}
	if p.Has(packet.PropReceiveMaximum) {
		l.receiveMaximum = int(p.ReceiveMaximum)
	}
	if p.Has(packet.PropMaximumQoS) {
		l.maxQoS = min(l.maxQoS, p.MaximumQoS)
	}
	if p.Has(packet.PropRetainAvailable) {
		l.retain = l.retain && p.RetainAvailable != 0
	}
	if p.Has(packet.PropMaximumPacketSize) {
		l.maxPacket = int(min(p.MaximumPacketSize, largestPacket))
	}
	if p.Has(packet.PropServerKeepAlive) && p.ServerKeepAlive != 0 {
		// Zero means that the upstream never times us out; we go on to probe it. [MQTT-3.1.2-21]
		l.keepAlive = time.Duration(p.ServerKeepAlive) * time.Second
	}
	if p.Has(packet.PropSessionExpiry) { // [MQTT-3.2.2-21]
		l.sessionExpiry = time.Duration(p.SessionExpiry) * time.Second
	}
	if p.Has(packet.PropTopicAliasMaximum) {
		l.aliases = int(p.TopicAliasMaximum)
	}
	if p.Has(packet.PropWildcardSubAvailable) {
		l.wildcards = p.WildcardSubAvailable != 0
	}
	if p.Has(packet.PropSharedSubAvailable) {
		l.shared = p.SharedSubAvailable != 0
	}
	return l
}

// password gives the password, nil for none.
func (cr *Credentials) password() ([]byte, error) {
	switch {
	case cr.PasswordFile != "":
		b, err := readFile(cr.PasswordFile, maxPassword+2)
		if err != nil {
			return nil, fmt.Errorf("credentials.password_file: %w", err)
		}
		return []byte(strings.TrimRight(string(b), "\r\n")), nil
	case cr.Password != "":
		return []byte(cr.Password), nil
	}
	return nil, nil
}

// readFile reads a small file.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: larger than %d bytes", path, limit)
	}
	return b, err
}
