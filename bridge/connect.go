package bridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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
	maxPEM      = 1 << 20

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
	conn    net.Conn // TLS or not
	raw     net.Conn // what is below TLS: closing it never waits
	packets *packetReader
	version packet.Version
	present bool // the upstream has our session
	limits  limits
	took    time.Duration
}

// limits is what the upstream's CONNACK allows.
type limits struct {
	receiveMaximum int
	exact          int // of these at QoS 2
	maxQoS         byte
	retain         bool
	maxPacket      int
	keepAlive      time.Duration
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

// connect makes one attempt: TCP, TLS, CONNECT and CONNACK, all within
// connect_timeout.
func (b *Bridge) connect(ctx context.Context, v packet.Version) (l *link, err error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, b.cfg.ConnectTimeout)
	defer cancel()
	password, err := b.cfg.Credentials.password()
	if err != nil {
		return nil, err
	}
	// Keep alive is MQTT's: the kernel's probes would cost on a metered link.
	dialer := net.Dialer{KeepAlive: -1}
	raw, err := dialer.DialContext(ctx, "tcp", b.endpoint.address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", b.dialCause(err))
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		// We gather packets ourselves; what is written must go. A failure here shows in the first write.
		_ = tcp.SetNoDelay(true)
	}
	defer func() {
		if err != nil {
			raw.Close()
		}
	}()
	conn := raw
	if b.endpoint.tls {
		if conn, err = b.handshakeTLS(ctx, raw); err != nil {
			return nil, err
		}
	}
	release := deadlineFrom(ctx, raw)
	l, err = b.handshake(conn, v, password)
	release()
	if err != nil {
		return nil, b.timedOut(err)
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("clear the deadline: %w", cause(err))
	}
	l.raw, l.took = raw, time.Since(began)
	return l, nil
}

// timedOut puts the time that was allowed in place of the many ways to say that
// it is over.
func (b *Bridge) timedOut(err error) error {
	var t net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout() {
		return fmt.Errorf("no answer within %v", b.cfg.ConnectTimeout)
	}
	return err
}

// dialCause gives a dial's error in words that stay the same over attempts: the
// resolver's would name the port that it asked from.
func (b *Bridge) dialCause(err error) error {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return b.timedOut(cause(err))
	case dns.IsNotFound:
		return fmt.Errorf("look up %s: no such host", dns.Name)
	case dns.IsTimeout:
		return fmt.Errorf("look up %s: the name server does not answer", dns.Name)
	}
	return fmt.Errorf("look up %s: the name server cannot say", dns.Name)
}

// deadlineFrom makes reads and writes end when ctx does. release ends that.
func deadlineFrom(ctx context.Context, conn net.Conn) (release func()) {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection
	})
	return func() {
		if !stop() {
			<-ended
		}
	}
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
	return &link{conn: conn, packets: packets, version: v, present: ack.SessionPresent, limits: b.limitsFrom(v, &ack)}, nil
}

func (b *Bridge) connectPacket(v packet.Version, password []byte) []byte {
	seconds := func(d time.Duration) uint32 { return uint32((d + time.Second - 1) / time.Second) }
	p := packet.Connect{
		Version:   v,
		KeepAlive: uint16(seconds(b.cfg.KeepAlive)),
		ClientID:  []byte(b.cfg.ClientID),
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
	}
	return p.Append(nil)
}

func connackRefusal(v packet.Version, ack *packet.Connack) *refusal {
	r := &refusal{version: v, reason: ack.Reason}
	if v != packet.V5 {
		r.text = "refused: " + returnCodeWords(ack.Reason)
		return r
	}
	r.text = "refused: " + reasonWords(ack.Reason, &ack.Properties)
	return r
}

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
		keepAlive: b.cfg.KeepAlive, wildcards: true, shared: true,
	}
	if v != packet.V5 {
		l.exact = exactlyOnceMax311
	}
	if p.Has(packet.PropReceiveMaximum) {
		l.receiveMaximum = int(p.ReceiveMaximum)
	}
	if p.Has(packet.PropMaximumQoS) {
		l.maxQoS = p.MaximumQoS
	}
	if p.Has(packet.PropRetainAvailable) {
		l.retain = p.RetainAvailable != 0
	}
	if p.Has(packet.PropMaximumPacketSize) {
		l.maxPacket = int(min(p.MaximumPacketSize, largestPacket))
	}
	if p.Has(packet.PropServerKeepAlive) && p.ServerKeepAlive != 0 {
		// Zero means that the upstream never times us out; we go on to probe it. [MQTT-3.1.2-21]
		l.keepAlive = time.Duration(p.ServerKeepAlive) * time.Second
	}
	if p.Has(packet.PropWildcardSubAvailable) {
		l.wildcards = p.WildcardSubAvailable != 0
	}
	if p.Has(packet.PropSharedSubAvailable) {
		l.shared = p.SharedSubAvailable != 0
	}
	return l
}

// handshakeTLS reads the certificates, so that a renewed one counts, and makes
// TLS of the connection.
func (b *Bridge) handshakeTLS(ctx context.Context, raw net.Conn) (net.Conn, error) {
	t := &b.cfg.TLS
	cfg := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         b.endpoint.host,
		InsecureSkipVerify: t.InsecureSkipVerify,
	}
	if t.ServerName != "" {
		cfg.ServerName = t.ServerName
	}
	if t.CAFile != "" {
		pem, err := readFile(t.CAFile, maxPEM)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca_file: no certificate in %s", t.CAFile)
		}
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls.cert_file: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", b.timedOut(cause(err)))
	}
	return conn, nil
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

// cause takes the addresses off a network error: they stand in every line
// anyway, and a port that changes would make each one a new trouble.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		err = op.Err
	}
	if err == io.EOF || isReset(err) {
		return errClosed
	}
	return err
}
