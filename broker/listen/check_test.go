package listen

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheURLSaysWhereAndWhat(t *testing.T) {
	cases := []struct {
		url  string
		want address
	}{
		{"mqtt://127.0.0.1", address{network: "tcp", address: "127.0.0.1:1883"}},
		{"mqtt://", address{network: "tcp", address: ":1883"}},
		{"mqtt://:2000/", address{network: "tcp", address: ":2000"}},
		{"mqtts://broker.example", address{network: "tcp", address: "broker.example:8883", tls: true}},
		{"mqtts://[::1]:99", address{network: "tcp", address: "[::1]:99", tls: true}},
		{"mqtt://[fe80::1%25eth0]", address{network: "tcp", address: "[fe80::1%eth0]:1883"}},
		{"ws://", address{network: "tcp", address: ":80", websocket: true, path: "/mqtt"}},
		{"ws://[::]:9001/", address{network: "tcp", address: "[::]:9001", websocket: true, path: "/"}},
		{"wss://h/a%20b", address{network: "tcp", address: "h:443", tls: true, websocket: true, path: "/a b"}},
		{"unix:///run/mqtt.sock", address{network: "unix", address: "/run/mqtt.sock"}},
	}
	for _, c := range cases {
		got, err := parseURL(c.url)
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", c.url, got, err, c.want)
		}
		if got := (&Config{URL: c.url}).Address(); got != c.want.address {
			t.Errorf("%s: got address %q, want %q", c.url, got, c.want.address)
		}
	}
}

// faultsOf gives what Check finds, as "key: text" lines.
func faultsOf(c Config) (faults []string) {
	c.SetDefaults()
	c.SetDefaults() // it may run more than once
	c.Check(func(key, format string, args ...any) {
		faults = append(faults, key+": "+fmt.Sprintf(format, args...))
	})
	return faults
}

func TestFaultsNameTheirKey(t *testing.T) {
	f := newFolder(t)
	ca, other, impostor := newCA(t, "Plant CA"), newCA(t, "Other CA"), newCA(t, "Plant CA")
	good := ca.issue(subject("broker"))
	cert, key := f.pair("good", good)
	oldCert, oldKey := f.pair("old", ca.issue(subject("broker"), expired))
	_, otherKey := f.pair("other", ca.issue(pkix.Name{}))
	caFile := f.write("ca.pem", pemOf("CERTIFICATE", ca.cert.Raw))
	oldCA := f.write("oldca.pem", pemOf("CERTIFICATE", newCA(t, "Old CA", expired).cert.Raw))
	text := f.write("text", []byte("hello\n"))
	late := ca.revoke()
	late.NextUpdate = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	late.ThisUpdate = late.NextUpdate.Add(-time.Hour)
	delta := ca.revoke()
	delta.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
	crl := func(name string, der []byte) string { return f.write(name, pemOf("X509 CRL", der)) }
	goodCRL := crl("good.crl", ca.sign(ca.revoke()))
	yes, no := true, false

	secure := func(change func(*Config)) Config {
		c := Config{URL: "mqtts://localhost", CertFile: cert, KeyFile: key, ClientCAFile: caFile}
		change(&c)
		return c
	}
	type fault struct {
		name string
		cfg  Config
		want []string // parts of what is said; none: it is right
	}
	cases := []fault{
		{"plain", Config{URL: "mqtt://"}, nil},
		{"all of TLS", secure(func(c *Config) { c.CRLFile, c.UsernameFrom, c.MinTLS, c.ALPN = goodCRL, "cn", "1.3", []string{"mqtt"} }), nil},
		{"TLS without clients' certificates", Config{URL: "mqtts://", CertFile: cert, KeyFile: key, RequireCertificate: &no}, nil},
		{"unix", Config{URL: "unix:///run/x", Mode: "600", ProxyProtocol: true, MaxConnections: 5}, nil},
		{"ws", Config{URL: "ws://", Origins: []string{"*", "https://*.example.com"}}, nil},
		{"versions and mount point", Config{URL: "mqtt://", Versions: []string{"3.1", "3.1.1", "5.0"}, MountPoint: "a/ü/"}, nil},

		{"no url", Config{}, []string{"url: a listener needs a url"}},
		{"no URL", Config{URL: "mqtt://%"}, []string{"url: \"mqtt://%\" is not a URL"}},
		{"opaque", Config{URL: "mqtt:localhost"}, []string{"url: \"mqtt:localhost\" is not a URL"}},
		{"another scheme", Config{URL: "tcp://h:1883"}, []string{"want mqtt://HOST:PORT"}},
		{"a port too large", Config{URL: "mqtt://h:65536"}, []string{"url: \"mqtt://h:65536\": 65536 is no port"}},
		{"a path", Config{URL: "mqtt://h/mqtt"}, []string{"url: \"mqtt://h/mqtt\": want only a host and a port"}},
		{"a query", Config{URL: "ws://h/mqtt?x"}, []string{"no user, no ? and no #"}},
		{"a user", Config{URL: "mqtt://u:p@h"}, []string{"no user, no ? and no #"}},
		{"two slashes", Config{URL: "unix://run/x.sock"}, []string{"unix:///run/x.sock"}},
		{"no path", Config{URL: "unix:///"}, []string{"url: \"unix:///\": want the path of a socket"}},
		{"a long path", Config{URL: "unix:///" + strings.Repeat("x", 107)}, []string{"at most 107 bytes, this one has 108"}},

		{"TLS's keys without TLS", Config{URL: "ws://", CertFile: cert, KeyFile: key, ClientCAFile: caFile, CRLFile: goodCRL, UsernameFrom: "cn",
			ALPN: []string{"x"}, MinTLS: "1.2", RequireCertificate: &no}, []string{"cert_file: it is for TLS", "key_file:", "client_ca_file:",
			"require_certificate:", "crl_file:", "username_from:", "alpn:", "min_tls:"}},
		{"no certificate", Config{URL: "wss://"}, []string{": wss:// needs cert_file and key_file"}},
		{"clients without their CA", Config{URL: "mqtts://", CertFile: cert, KeyFile: key, RequireCertificate: &yes, CRLFile: goodCRL, UsernameFrom: "cn"},
			[]string{"require_certificate: it needs client_ca_file", "crl_file: it needs", "username_from: it needs"}},
		{"words", secure(func(c *Config) { c.UsernameFrom, c.MinTLS, c.ALPN = "dn", "1.1", []string{"mqtt", ""} }),
			[]string{`username_from: "dn": want "cn" or "subject"`, `min_tls: "1.1": want`, "alpn[1]: \"\""}},
		{"alpn of wss", secure(func(c *Config) { c.URL, c.ALPN = "wss://", []string{"mqtt"} }), []string{"alpn: wss needs \"http/1.1\""}},
		{"mode", Config{URL: "unix:///run/x", Mode: "rw"}, []string{"mode: \"rw\": want the mode"}},
		{"a mode too large", Config{URL: "unix:///run/x", Mode: "1777"}, []string{"mode: \"1777\""}},
		{"mode of TCP", Config{URL: "mqtt://", Mode: "0600"}, []string{"mode: only a unix socket"}},
		{"max_connections", Config{URL: "mqtt://", MaxConnections: -1}, []string{"max_connections: -1 is not within"}},
		{"versions", Config{URL: "mqtt://", Versions: []string{"5", "3.1", "3.1"}}, []string{"versions[0]: \"5\" is no version", "versions[2]: \"3.1\" is listed twice"}},
		{"wildcard", Config{URL: "mqtt://", MountPoint: "a/+/"}, []string{"mount_point: \"a/+/\": a mount point has no wildcards"}},
		{"mount point's end", Config{URL: "mqtt://", MountPoint: "a"}, []string{"mount_point: \"a\": a mount point ends in \"/\": \"a/\""}},
		{"mount point in Latin-1", Config{URL: "mqtt://", MountPoint: "\xfc/"}, []string{"mount_point:"}},
		{"origins", Config{URL: "wss://", CertFile: cert, KeyFile: key, Origins: []string{"[", ""}}, []string{"origins[0]: \"[\" is no pattern", "origins[1]"}},
		{"origins of mqtt", Config{URL: "mqtt://", Origins: []string{"*"}}, []string{"origins: origins are for ws"}},

		{"no such file", secure(func(c *Config) { c.CertFile, c.KeyFile = f.path("none"), f.path("no") }),
			[]string{"cert_file: open " + f.path("none"), "key_file: open " + f.path("no")}},
		{"no PEM", secure(func(c *Config) { c.CertFile, c.ClientCAFile = text, text }),
			[]string{"cert_file: " + text + " holds no certificate", "client_ca_file: " + text + " holds no certificate"}},
		{"garbage in PEM", secure(func(c *Config) { c.CertFile = f.write("bad.pem", pemOf("CERTIFICATE", []byte("x"))) }), []string{"bad.pem: certificate 1: "}},
		{"another's key", secure(func(c *Config) { c.KeyFile = otherKey }), []string{"key_file: " + otherKey + " is not the key of the certificate in " + cert}},
		{"a key with a pass phrase", secure(func(c *Config) { c.KeyFile = f.write("locked", pemOf("ENCRYPTED PRIVATE KEY", []byte("x"))) }),
			[]string{"locked: the key is locked by a pass phrase"}},
		{"a CA that is none", secure(func(c *Config) { c.ClientCAFile = cert }), []string{"client_ca_file: " + cert + ": the certificate of \"broker\" is not that of a CA"}},
		{"no CRL", secure(func(c *Config) { c.CRLFile = f.write("nocrl.pem", pemOf("CERTIFICATE", ca.cert.Raw)) }), []string{"nocrl.pem holds no revocation list"}},
		{"text for a CRL", secure(func(c *Config) { c.CRLFile = text }), []string{"crl_file: " + text + ": revocation list: "}},
		{"another's CRL", secure(func(c *Config) { c.CRLFile = crl("other.crl", other.sign(other.revoke())) }), []string{"other.crl: revocation list of \"CN=Other CA\": no CA of that name"}},
		{"a CRL of an impostor", secure(func(c *Config) { c.CRLFile = crl("fake.crl", impostor.sign(impostor.revoke())) }), []string{"fake.crl: revocation list of \"CN=Plant CA\": not signed by the CA"}},
		{"a delta CRL", secure(func(c *Config) { c.CRLFile = crl("delta.crl", ca.sign(delta)) }), []string{"delta.crl: revocation list of \"CN=Plant CA\": extension 2.5.29.27 is not understood"}},
		{"a CRL in DER", secure(func(c *Config) { c.CRLFile = f.write("der.crl", ca.sign(ca.revoke())) }), nil},
	}
	outOfDate := []fault{
		{"expired", secure(func(c *Config) { c.CertFile, c.KeyFile = oldCert, oldKey }),
			[]string{"cert_file: " + oldCert + ": the certificate of \"broker\" expired on 2024-02-29 12:00 UTC"}},
		{"an expired CA", secure(func(c *Config) { c.ClientCAFile = oldCA }), []string{"client_ca_file: " + oldCA + ": the CA \"Old CA\" expired on 2024-02-29"}},
		{"one of two CAs expired", secure(func(c *Config) {
			c.ClientCAFile = f.write("both.pem", pemOf("CERTIFICATE", newCA(t, "Old CA", expired).cert.Raw, ca.cert.Raw))
		}), nil},
		{"an expired CRL", secure(func(c *Config) { c.CRLFile = crl("late.crl", ca.sign(late)) }),
			[]string{"late.crl: revocation list of \"CN=Plant CA\" expired on 2024-02-29 12:00 UTC"}},
	}
	said := func(name string, got, want []string) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%s: got %q, want %d", name, got, len(want))
			return
		}
		for i := range got {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%s: got %q, want %q in it", name, got[i], want[i])
			}
		}
	}
	for _, c := range cases {
		said(c.name, faultsOf(c.cfg), c.want)
	}
	for _, c := range outOfDate {
		said(c.name, faultsOf(c.cfg), nil)
		said(c.name, c.cfg.Late(), c.want)
	}
}

func TestDefaultsAreFilledInWhereTheyApply(t *testing.T) {
	yes := true
	cases := []struct{ given, want Config }{
		{Config{URL: "mqtt://"}, Config{URL: "mqtt://"}},
		{Config{URL: "what"}, Config{URL: "what"}},
		{Config{URL: "mqtts://"}, Config{URL: "mqtts://", MinTLS: "1.2", ALPN: []string{"mqtt", "x-amzn-mqtt-ca"}}},
		{Config{URL: "wss://", ClientCAFile: "f"}, Config{URL: "wss://", ClientCAFile: "f", MinTLS: "1.2", ALPN: []string{"http/1.1"}, RequireCertificate: &yes}},
		{Config{URL: "unix:///x"}, Config{URL: "unix:///x", Mode: "0660"}},
	}
	for _, c := range cases {
		got := c.given
		got.SetDefaults()
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.given.URL, d)
		}
	}
}

func TestTheUserNameComesFromTheCertificate(t *testing.T) {
	ca := newCA(t, "CA")
	full := pkix.Name{CommonName: "meter 7", Organization: []string{"Plant, Inc."}, Country: []string{"AT"}}
	cases := []struct {
		from    string
		subject pkix.Name
		want    string
		fault   string
	}{
		{"cn", full, "meter 7", ""},
		{"subject", full, `CN=meter 7,O=Plant\, Inc.,C=AT`, ""},
		{"", full, "", ""},
		{"cn", pkix.Name{Country: []string{"AT"}}, "", "has no cn"},
		{"subject", pkix.Name{}, "", "has no subject"},
		{"cn", subject("a\tb"), "", "cannot be a user name"},
		{"cn", pkix.Name{CommonName: strings.Repeat("x", 65536)}, "", "cannot be a user name"},
	}
	for _, c := range cases {
		cert := ca.issue(c.subject)
		got, err := (&Config{UsernameFrom: c.from}).username(cert.Leaf)
		if got != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s of %v: got %q, %v, want %q, %q", c.from, c.subject, got, err, c.want, c.fault)
		}
	}
}

// revocationsOf reads a file of revocation lists.
func revocationsOf(t *testing.T, cas []*authority, ders ...[]byte) *revocations {
	t.Helper()
	var certs []*x509.Certificate
	for _, ca := range cas {
		certs = append(certs, ca.cert)
	}
	r, err := readCRLs(newFolder(t).write("crl.pem", pemOf("X509 CRL", ders...)), certs, time.Now(), func(string, string, ...any) {})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRevokedCertificatesAreFound(t *testing.T) {
	ca, other := newCA(t, "CA"), newCA(t, "Other")
	good, bad, foreign := ca.issue(subject("good")), ca.issue(subject("bad")), other.issue(subject("foreign"))
	foreign.Leaf.SerialNumber = bad.Leaf.SerialNumber // a number counts only with its CA
	middle := ca.issue(subject("Middle"))
	before := ca.revoke(good)
	before.ThisUpdate = before.ThisUpdate.Add(-time.Hour)
	r := revocationsOf(t, []*authority{ca, other}, ca.sign(ca.revoke(bad, middle)), other.sign(other.revoke()), ca.sign(before))
	alone := revocationsOf(t, []*authority{ca}, ca.sign(ca.revoke()))
	chain := func(certs ...*x509.Certificate) []*x509.Certificate { return certs }
	later := time.Now().Add(2 * time.Hour)

	cases := []struct {
		name   string
		r      *revocations
		chains [][]*x509.Certificate
		now    time.Time
		want   string
	}{
		{"good", r, [][]*x509.Certificate{chain(good.Leaf, ca.cert)}, time.Now(), ""},
		{"revoked", r, [][]*x509.Certificate{chain(bad.Leaf, ca.cert)}, time.Now(), "certificate of \"bad\" (serial " + fmt.Sprintf("%x", bad.Leaf.SerialNumber) + ") was revoked on "},
		{"another CA's number", r, [][]*x509.Certificate{chain(foreign.Leaf, other.cert)}, time.Now(), ""},
		{"a CA between without a list", r, [][]*x509.Certificate{chain(foreign.Leaf, middle.Leaf, ca.cert)}, time.Now(), "no revocation list of its CA \"Middle\""},
		{"one chain of two", r, [][]*x509.Certificate{chain(bad.Leaf, ca.cert), chain(good.Leaf, ca.cert)}, time.Now(), ""},
		{"no chain", r, nil, time.Now(), "no verified chain"},
		{"no list of its CA", alone, [][]*x509.Certificate{chain(foreign.Leaf, other.cert)}, time.Now(), "has no revocation list of its CA \"Other\""},
		{"the list is out of date", r, [][]*x509.Certificate{chain(good.Leaf, ca.cert)}, later, "expired on "},
		{"a CA itself", alone, [][]*x509.Certificate{chain(ca.cert)}, time.Now(), ""},
	}
	for _, c := range cases {
		err := c.r.check(c.chains, c.now)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestACABetweenIsRevokedToo(t *testing.T) {
	root := newCA(t, "Root")
	middle := &authority{t: t, next: 500}
	pair := root.issue(subject("Middle"), func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.SerialNumber = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, big.NewInt(77)
	})
	middle.cert, middle.key = pair.Leaf, pair.PrivateKey.(crypto.Signer)
	leaf := middle.issue(subject("leaf"))
	r := revocationsOf(t, []*authority{root, middle}, root.sign(root.revoke(pair)), middle.sign(middle.revoke()))
	err := r.check([][]*x509.Certificate{{leaf.Leaf, middle.cert, root.cert}}, time.Now())
	if err == nil || !strings.Contains(err.Error(), "certificate of \"Middle\" (serial 4d) was revoked") {
		t.Errorf("got %v, want Middle revoked", err)
	}
	r = revocationsOf(t, []*authority{root, middle}, middle.sign(middle.revoke()))
	if err := r.check([][]*x509.Certificate{{leaf.Leaf, middle.cert, root.cert}}, time.Now()); err != nil {
		t.Errorf("without a list of the root's: got %v, want nil", err)
	}
}
