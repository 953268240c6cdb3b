package listen

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// secured is a TLS listener of a test's, with the files it reads.
type secured struct {
	folder
	ca  *authority
	cfg Config
}

func newSecured(t testing.TB) *secured {
	s := &secured{folder: newFolder(t), ca: newCA(t, "Plant CA")}
	s.cfg.URL = "mqtts://127.0.0.1:0"
	s.cfg.CertFile, s.cfg.KeyFile = s.pair("server", s.ca.issue(subject("broker")))
	return s
}

// askClients makes the listener ask clients for certificates of the CA, and
// look at what it revoked.
func (s *secured) askClients(revoked ...tls.Certificate) {
	s.cfg.ClientCAFile = s.write("ca.pem", pemOf("CERTIFICATE", s.ca.cert.Raw))
	s.cfg.CRLFile = s.write("crl.pem", pemOf("X509 CRL", s.ca.sign(s.ca.revoke(revoked...))))
}

func (s *secured) client(certs ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: s.ca.pool(), Certificates: certs}
}

func TestTLSIsSpokenWithTheConfiguredVersionAndProtocols(t *testing.T) {
	s := newSecured(t)
	with := func(change func(*Config)) *served {
		cfg := s.cfg
		change(&cfg)
		return start(t, cfg)
	}
	usual := with(func(*Config) {})
	modern := with(func(c *Config) { c.MinTLS, c.ALPN = "1.3", []string{"plant"} })
	cases := []struct {
		name     string
		l        *served
		max      uint16
		offered  []string
		protocol string
		ok       bool
	}{
		{"no ALPN", usual, 0, nil, "", true},
		{"mqtt", usual, 0, []string{"mqtt"}, "mqtt", true},
		{"Amazon's", usual, 0, []string{"x-amzn-mqtt-ca"}, "x-amzn-mqtt-ca", true},
		{"of several", usual, 0, []string{"h2", "mqtt"}, "mqtt", true},
		{"another", usual, 0, []string{"h2"}, "", false},
		{"TLS 1.2", usual, tls.VersionTLS12, nil, "", true},
		{"TLS 1.1", usual, tls.VersionTLS11, nil, "", false},
		{"TLS 1.2 where 1.3 is wanted", modern, tls.VersionTLS12, nil, "", false},
		{"our own ALPN", modern, 0, []string{"plant"}, "plant", true},
		{"the default ALPN where there is our own", modern, 0, []string{"mqtt"}, "", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := s.client()
			cfg.MinVersion, cfg.MaxVersion, cfg.NextProtos = tls.VersionTLS10, c.max, c.offered
			nc, err := c.l.dialTLS(cfg)
			if (err == nil) != c.ok {
				t.Fatalf("got %v, want success %t", err, c.ok)
			}
			if !c.ok {
				return
			}
			if got := nc.ConnectionState().NegotiatedProtocol; got != c.protocol {
				t.Errorf("got the protocol %q, want %q", got, c.protocol)
			}
			if p := c.l.peer(); !p.TLS || !p.Local || p.HasUsername || p.WebSocket || p.Remote.String() != nc.LocalAddr().String() {
				t.Errorf("got %+v", p)
			}
		})
	}
}

func TestAClientsCertificateDecides(t *testing.T) {
	s := newSecured(t)
	good := s.ca.issue(pkix.Name{CommonName: "meter7", Organization: []string{"Plant"}})
	bad := s.ca.issue(subject("stolen"))
	stranger := newCA(t, "Stranger CA").issue(subject("meter7"))
	nameless := s.ca.issue(pkix.Name{Organization: []string{"Plant"}})
	old := s.ca.issue(subject("old"), expired)
	s.askClients(bad)
	no := false
	with := func(change func(*Config)) *served {
		cfg := s.cfg
		change(&cfg)
		return start(t, cfg)
	}
	required := with(func(c *Config) { c.UsernameFrom = "cn" })
	optional := with(func(c *Config) { c.UsernameFrom, c.RequireCertificate = "subject", &no })
	unnamed := with(func(*Config) {})
	cases := []struct {
		name   string
		l      *served
		certs  []tls.Certificate
		user   string
		reason string // in the log; "": it gets in
	}{
		{"its common name is the user", required, []tls.Certificate{good}, "meter7", ""},
		{"its subject is the user", optional, []tls.Certificate{good}, "CN=meter7,O=Plant", ""},
		{"it names no user", unnamed, []tls.Certificate{nameless}, "", ""},
		{"none where it is not required", optional, nil, "", ""},
		{"none where it is required", required, nil, "", "client didn't provide a certificate"},
		{"revoked", required, []tls.Certificate{bad}, "", `certificate of \"stolen\" (serial `},
		{"revoked, where none is required", optional, []tls.Certificate{bad}, "", "was revoked on"},
		{"of another CA", required, []tls.Certificate{stranger}, "", "signed by unknown authority"},
		{"without a common name", required, []tls.Certificate{nameless}, "", "has no cn to be the user name"},
		{"expired", required, []tls.Certificate{old}, "", "certificate has expired"},
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, c := range cases {
			t.Run(tls.VersionName(version)+"/"+c.name, func(t *testing.T) {
				cfg := s.client()
				cfg.MaxVersion = version
				// Even one that the server did not ask for by its CA.
				cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					if len(c.certs) == 0 {
						return &tls.Certificate{}, nil
					}
					return &c.certs[0], nil
				}
				_, err := c.l.dialTLS(cfg)
				if c.reason != "" {
					if err == nil {
						t.Fatal("it got in")
					}
					c.l.log.await(t, c.reason)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if p := c.l.peer(); p.Username != c.user || p.HasUsername != (c.user != "") {
					t.Errorf("got the user %q (%t), want %q", p.Username, p.HasUsername, c.user)
				}
			})
		}
	}
	// The client of the last one may know before the listener.
	for deadline := time.Now().Add(10 * time.Second); required.Stats().HandshakesFailed < 10 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if got := required.Stats().HandshakesFailed; got != 10 {
		t.Errorf("got %d failed handshakes, want 10", got)
	}
	if n := len(required.peers); n != 0 {
		t.Errorf("%d refused connections were handed out", n)
	}
}

func TestReloadSwapsTheFilesWhileConnectionsGoOn(t *testing.T) {
	s := newSecured(t)
	client := s.ca.issue(subject("meter7"))
	s.askClients()
	l := start(t, s.cfg)
	cfg := s.client(client)
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	before, err := l.dialTLS(cfg)
	if err != nil {
		t.Fatal(err)
	}

	renewed := s.ca.issue(subject("renewed"))
	s.pair("server", renewed)
	if err := l.Reload(); err != nil {
		t.Fatal(err)
	}
	after, err := l.dialTLS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := after.ConnectionState().PeerCertificates[0].Subject.CommonName; got != "renewed" {
		t.Errorf("after the reload: got the certificate %q, want the new one", got)
	}
	wantEcho(t, before, "the old connection goes on")

	s.write("crl.pem", pemOf("X509 CRL", s.ca.sign(s.ca.revoke(client))))
	if err := l.Reload(); err != nil {
		t.Fatal(err)
	}
	// The session of before must not be a way around.
	if _, err := l.dialTLS(cfg); err == nil {
		t.Error("a certificate that was revoked by a reload gets in")
	}
	l.log.await(t, "was revoked on")
	wantEcho(t, before, "the old connection still goes on")

	other := s.ca.issue(subject("meter8"))
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"server.pem", []byte("nothing"), "server.pem holds no certificate"},
		{"ca.pem", nil, "ca.pem holds no certificate"},
		{"crl.pem", []byte("-----BEGIN"), "crl.pem holds no revocation list"},
	} {
		whole, err := os.ReadFile(s.path(c.name))
		if err != nil {
			t.Fatal(err)
		}
		s.write(c.name, c.b)
		err = l.Reload()
		s.write(c.name, whole)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), s.cfg.URL) {
			t.Errorf("reload with a faulty %s: got %v, want %q in it", c.name, err, c.want)
		}
	}
	if nc, err := l.dialTLS(s.client(other)); err != nil {
		t.Errorf("after reloads that failed: %v", err)
	} else if got := nc.ConnectionState().PeerCertificates[0].Subject.CommonName; got != "renewed" {
		t.Errorf("after reloads that failed: got the certificate %q, want the one of before", got)
	}
}

func TestASessionIsResumedWithItsUserAndItsRevocation(t *testing.T) {
	s := newSecured(t)
	client := s.ca.issue(subject("meter7"))
	s.askClients()
	s.cfg.UsernameFrom = "cn"
	l := start(t, s.cfg)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := s.client(client)
		cfg.MaxVersion, cfg.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
		for _, resumed := range []bool{false, true} {
			nc, err := l.dialTLS(cfg)
			if err != nil {
				t.Fatalf("%s, resumed %t: %v", tls.VersionName(version), resumed, err)
			}
			if got := nc.ConnectionState().DidResume; got != resumed {
				t.Errorf("%s: resumed %t, want %t", tls.VersionName(version), got, resumed)
			}
			if p := l.peer(); p.Username != "meter7" {
				t.Errorf("%s, resumed %t: got the user %q", tls.VersionName(version), resumed, p.Username)
			}
		}
	}
}

func TestNewRefusesFilesWithFaults(t *testing.T) {
	s := newSecured(t)
	s.cfg.SetDefaults()
	s.cfg.KeyFile = s.path("none")
	if _, err := New(s.cfg, newRecord().logger()); err == nil || !strings.Contains(err.Error(), s.path("none")) {
		t.Errorf("got %v, want the file named", err)
	}
	if _, err := New(Config{URL: "http://"}, newRecord().logger()); err == nil {
		t.Error("a URL with a fault is taken")
	}
}

func TestWhatIsNoTLSIsRefused(t *testing.T) {
	l := start(t, newSecured(t).cfg)
	nc := l.dial()
	io.WriteString(nc, "\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00")
	wantEnd(t, nc)
	l.log.await(t, "level=INFO msg=\"connection refused\"")
	// Whoever only looks whether the port is open is worth no line.
	l.dial().Close()
	l.log.await(t, "level=DEBUG msg=\"connection refused\"")
	if got := l.Stats(); got.HandshakesFailed != 2 || got.Accepted != 2 {
		t.Errorf("got %+v, want 2 failed handshakes of 2", got)
	}
}

func TestTheProxysClientIsThePeerBelowTLSToo(t *testing.T) {
	s := newSecured(t)
	s.cfg.ProxyProtocol = true
	l := start(t, s.cfg)
	nc := l.dial()
	nc.Write(v2(0x21, 0x11, v4Addrs))
	cfg := s.client()
	cfg.ServerName = "localhost"
	wantEcho(t, tls.Client(nc, cfg), "hello")
	if p := l.peer(); p.Remote.String() != "192.0.2.1:56324" || p.Local || !p.TLS {
		t.Errorf("got %+v, want the client of the header", p)
	}
}
