package bridge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/broker/packet"
)

func TestMQTT311IsSpokenWhereTheUpstreamRefuses5(t *testing.T) {
	t.Parallel()
	old := packet.Connack{Reason: packet.ConnectUnacceptableVersion}
	modern := packet.Connack{Reason: packet.UnsupportedProtocolVersion}
	for _, test := range []struct {
		name   string
		refuse []byte
	}{
		{"return code 1", old.Append(nil, packet.V311)},
		{"reason code 0x84", modern.Append(nil, packet.V5)},
		{"a close without CONNACK", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			u, src := listenUpstream(t), newMemory(t)
			src.put("field/a", "1")
			b := start(t, withDown(config(u.addr)), src)
			c := u.accept()
			if c.v != packet.V5 {
				t.Fatalf("the first attempt speaks %v", c.v)
			}
			c.send(test.refuse)
			c.net.Close()
			c = u.welcome(resumed)
			if c.v != packet.V311 {
				t.Fatalf("the second attempt speaks %v", c.v)
			}
			s := c.expectSubscribe()
			c.suback(s.PacketID, packet.GrantedQoS2)
			p := c.expectPublish()
			c.ack(packet.PUBACK, p.PacketID, 0)
			c.publish(packet.Publish{Topic: []byte("plant/cmd/a"), QoS: 1, PacketID: 3})
			c.expectAck(packet.PUBACK)
			eventually(t, "let go", func() bool { return src.left() == 0 })
			if got := b.Stats().Version; got != "3.1.1" {
				t.Errorf("version %q", got)
			}
			if got := queuedMark(src.received()[0]); got != "1" {
				t.Errorf("the message that waited has the mark %q", got)
			}
		})
	}
}

func TestTheVersionThatWorkedIsRemembered(t *testing.T) {
	t.Parallel()
	refuse := func(d *dialect, v packet.Version) bool {
		return d.failed(v, &refusal{version: packet.V311, reason: packet.ConnectUnacceptableVersion})
	}
	d := newDialect(versionAuto)
	if !refuse(&d, packet.V5) || d.version() != packet.V311 {
		t.Fatalf("after a refusal of 5: %v", d.version())
	}
	d.connected(packet.V311)
	if d.version() != packet.V311 {
		t.Errorf("after 3.1.1 worked: %v", d.version())
	}
	if d.failed(packet.V311, errNoConnack) || d.version() != packet.V311 {
		t.Errorf("after one close: %v", d.version())
	}
	if refuse(&d, packet.V311) || d.version() != packet.V5 {
		t.Errorf("after a refusal of 3.1.1: %v", d.version())
	}
	d.connected(packet.V5)
	for range doubtsAfter - 1 {
		if d.failed(packet.V5, errNoConnack); d.version() != packet.V5 {
			t.Fatal("5 worked, and is given up for a close")
		}
	}
}

// A proxy whose broker is down closes without CONNACK too: that must not leave
// us with 3.1.1 for good.
func TestAGuessedVersionIsBelievedOnlyTheSecondTime(t *testing.T) {
	t.Parallel()
	d := newDialect(versionAuto)
	for i, want := range []packet.Version{packet.V5, packet.V311} {
		if !d.failed(packet.V5, errNoConnack) || d.version() != packet.V311 {
			t.Fatalf("round %d: after a close %v", i, d.version())
		}
		d.connected(packet.V311)
		if d.version() != want {
			t.Errorf("round %d: next is %v, want %v", i, d.version(), want)
		}
	}
}

func TestAFixedVersionIsNotLeft(t *testing.T) {
	t.Parallel()
	d := newDialect(version5)
	d.failed(packet.V5, errNoConnack)
	d.failed(packet.V5, &refusal{version: packet.V5, reason: packet.UnsupportedProtocolVersion})
	if d.version() != packet.V5 {
		t.Errorf("got %v", d.version())
	}
}

func TestARefusalIsSaidInWordsAndLoggedOnce(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte("wrong horse\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config(u.addr)
	cfg.Credentials = Credentials{Username: "plant7", PasswordFile: file}
	b := start(t, cfg, src)
	for i := range 4 {
		c := u.accept()
		if !c.connect.HasPassword || string(c.connect.Username) != "plant7" || string(c.connect.Password) != "wrong horse" {
			t.Fatalf("user name %q, password %q", c.connect.Username, c.connect.Password)
		}
		ack := packet.Connack{Reason: packet.NotAuthorized}
		if i == 3 {
			ack.Reason = 0
		}
		c.send(ack.Append(nil, c.v))
	}
	eventually(t, "connected", func() bool { return b.Stats().State == Connected })
	if got := b.Stats().LastError; got != "refused: not authorized"+credentialsHint {
		t.Errorf("last error %q", got)
	}
	if n := b.log.lines("refused: not authorized"); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
	if b.log.lines("wrong horse") != 0 {
		t.Error("the log has the password")
	}
}

func TestAnUnreachableUpstreamIsLoggedOnceForEachCause(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	u.listener.Close()
	cfg := config(u.addr)
	b := start(t, cfg, src)
	eventually(t, "an attempt failed", func() bool { return b.Stats().LastError != "" })
	first := b.Stats().LastErrorAt
	eventually(t, "another attempt failed", func() bool { return b.Stats().LastErrorAt.After(first) })
	if got := b.Stats().LastError; got != "dial: connect: connection refused" {
		t.Errorf("last error %q", got)
	}
	if n := b.log.lines("upstream unreachable"); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
	if b.log.lines("bridge=cloud remote="+u.addr) == 0 {
		t.Error("the line does not name the bridge and the address")
	}
}

func TestAMissingPasswordFileIsNamedAndTriedAgain(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	file := filepath.Join(t.TempDir(), "cloud.password")
	cfg := config(u.addr)
	cfg.Credentials = Credentials{Username: "plant7", PasswordFile: file}
	b := start(t, cfg, src)
	eventually(t, "an attempt failed", func() bool { return b.Stats().LastError != "" })
	if got := b.Stats().LastError; !strings.Contains(got, "credentials.password_file: open "+file) {
		t.Errorf("last error %q", got)
	}
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := u.welcome(nil); string(c.connect.Password) != "secret" {
		t.Errorf("password %q", c.connect.Password)
	}
}

func TestAPeerThatIsNoBrokerIsSaidSo(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n", "\xd0\x00", "\x20\x7f"} {
		u, src := listenUpstream(t), newMemory(t)
		cfg := config(u.addr)
		cfg.ConnectTimeout = 100 * time.Millisecond
		b := start(t, cfg, src)
		c := u.accept()
		c.send([]byte(answer))
		eventually(t, "the attempt failed", func() bool { return b.Stats().LastError != "" })
		t.Logf("%q: %s", answer, b.Stats().LastError)
		if st := b.Stats(); st.State == Connected {
			t.Errorf("%q: connected", answer)
		}
		b.stop()
	}
}

func TestAnUpstreamThatKeepsTheSessionForLessIsSaidSo(t *testing.T) {
	t.Parallel()
	u := listenUpstream(t)
	b := start(t, config(u.addr), newMemory(t), hasty)
	for range 2 {
		c := u.welcome(func(a *packet.Connack) {
			a.Properties.SessionExpiry = 3600
			a.Properties.Set(packet.PropSessionExpiry)
		})
		c.net.Close()
	}
	if c := u.welcome(nil); c.connect.Properties.SessionExpiry != 30*24*3600 {
		t.Errorf("asked for %d s", c.connect.Properties.SessionExpiry)
	}
	if n := b.log.lines(`reason="Session Expiry Interval 1h0m0s"`); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
}

func TestAnotherClientWithOurNameIsSaidSo(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	b := start(t, config(u.addr), src)
	c := u.welcome(nil)
	d := packet.Disconnect{Reason: packet.SessionTakenOver}
	c.send(d.Append(nil, c.v))
	want := `the upstream ended the connection: session taken over: another client connected as "headgate-gw-cloud": give each one a client_id of its own`
	eventually(t, "told", func() bool { return b.Stats().LastError == want })
}

// authority is a CA of the test with a server certificate for 127.0.0.1.
func authority(t *testing.T) (caFile, certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	caKey, serverKey := key(), key()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "headgate test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "upstream"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	sign := func(c *x509.Certificate, k *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, c, ca, &k.PublicKey, caKey)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	serverDER, err := x509.MarshalECPrivateKey(serverKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("ca.pem", "CERTIFICATE", sign(ca, caKey)),
		write("cert.pem", "CERTIFICATE", sign(server, serverKey)),
		write("key.pem", "EC PRIVATE KEY", serverDER)
}

func TestOverTLSTheUpstreamMustProveItself(t *testing.T) {
	t.Parallel()
	caFile, certFile, keyFile := authority(t)
	strangerCA, _, _ := authority(t)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		tls  TLS
		want string // the error, "" for a connection
	}{
		{"by the CA that we trust", TLS{CAFile: caFile}, ""},
		{"but not by another", TLS{CAFile: strangerCA}, "TLS handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{"under the name we expect", TLS{CAFile: caFile, ServerName: "cloud.example"}, "TLS handshake: tls: failed to verify certificate: x509: certificate is "},
		{"not when told so", TLS{InsecureSkipVerify: true}, ""},
		{"with a CA file that is there", TLS{CAFile: "/nowhere/ca.pem"}, "tls.ca_file: open /nowhere/ca.pem: no such file"},
		{"with a CA file that holds one", TLS{CAFile: keyFile}, "tls.ca_file: no certificate in "},
	} {
		t.Run(test.name, func(t *testing.T) {
			u, src := listenUpstream(t), newMemory(t)
			src.put("field/a", "1")
			cfg := config(u.addr)
			cfg.URL = "mqtts://" + u.addr
			cfg.TLS = test.tls
			b := start(t, cfg, src)
			nc, err := u.listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			server := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}})
			if test.want != "" {
				server.Handshake()
				nc.Close()
				eventually(t, "the attempt failed", func() bool { return b.Stats().LastError != "" })
				if got := b.Stats().LastError; !strings.Contains(got, test.want) {
					t.Errorf("got %q, want %q", got, test.want)
				}
				return
			}
			c := &conn{t: t, net: server, packets: newPacketReader(server, largestPacket), v: packet.V5}
			c.expect(packet.CONNECT)
			var ack packet.Connack
			c.send(ack.Append(nil, c.v))
			c.ack(packet.PUBACK, c.expectPublish().PacketID, 0)
			eventually(t, "let go", func() bool { return src.left() == 0 })
			if warned := b.log.lines("certificate is not verified") == 1; warned != test.tls.InsecureSkipVerify {
				t.Errorf("warned: %v", warned)
			}
		})
	}
}
