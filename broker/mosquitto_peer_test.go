package broker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/auth"
	"headgate/broker/brokertest"
	"headgate/broker/listen"
	"headgate/broker/packet"
)

// authority makes certificates in a directory.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = template, newKey(t)
	a.write(t, "ca", template, a.key)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes NAME.pem and NAME.key.
func (a *authority) issue(t *testing.T, name string) {
	t.Helper()
	a.write(t, name, &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}, newKey(t))
}

func (a *authority) write(t *testing.T, name string, template *x509.Certificate, key *ecdsa.PrivateKey) {
	t.Helper()
	cert, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: cert}, name + ".key": {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func split(t *testing.T, addr string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

func TestMosquittosClientsSpeakWithTheBrokerInEveryVersion(t *testing.T) {
	pub, sub := needProgram(t, "mosquitto_pub", "mosquitto-clients"), needProgram(t, "mosquitto_sub", "mosquitto-clients")
	s := brokertest.Start(t)
	host, port := split(t, s.Addr)
	for _, version := range []string{"mqttv31", "mqttv311", "mqttv5"} {
		at := []string{"-h", host, "-p", port, "-V", version}
		// A session that is away, over a restart of the broker.
		runPeer(t, nil, sub, append(at, "-i", "s"+version, "-c", "-q", "2", "-t", "m/#", "-t", "$share/g/shared", "-E", "-x", "1000")[:len(at)+map[bool]int{true: 12, false: 10}[version == "mqttv5"]]...)
		for qos := range 3 {
			runPeer(t, nil, pub, append(at, "-t", "m/x", "-q", fmt.Sprint(qos), "-m", fmt.Sprint("qos ", qos))...)
		}
		runPeer(t, nil, pub, append(at, "-t", "shared", "-q", "1", "-m", "for the group")...)
		s.RestartInPlace()
		got := runPeer(t, nil, sub, append(at, "-i", "s"+version, "-c", "-q", "2", "-t", "m/#", "-t", "$share/g/shared", "-C", "3", "-W", "20", "-v")...)
		lines := strings.Split(strings.TrimSpace(got), "\n")
		if len(lines) != 3 || lines[0] != "m/x qos 1" || lines[1] != "m/x qos 2" && lines[1] != "shared for the group" {
			t.Errorf("%s: got %q", version, lines)
		}
		// Retained, and taken back.
		runPeer(t, nil, pub, append(at, "-t", "kept", "-r", "-q", "1", "-m", "stays")...)
		if got := runPeer(t, nil, sub, append(at, "-t", "kept", "-C", "1", "-W", "20", "-F", "%r %p")...); got != "1 stays\n" {
			t.Errorf("%s: retained: %q", version, got)
		}
		runPeer(t, nil, pub, append(at, "-t", "kept", "-r", "-n")...)
	}
}

func TestMosquittosClientsSpeakTLSAndTheirCertificateNamesTheUser(t *testing.T) {
	pub, sub := needProgram(t, "mosquitto_pub", "mosquitto-clients"), needProgram(t, "mosquitto_sub", "mosquitto-clients")
	ca := newAuthority(t)
	for _, name := range []string{"server", "plant7"} {
		ca.issue(t, name)
	}
	other := newAuthority(t)
	other.issue(t, "plant7")
	s := brokertest.Start(t, func(c *broker.Config) {
		c.Listener = append(c.Listener, listen.Config{URL: "mqtts://127.0.0.1:0", CertFile: ca.file("server.pem"), KeyFile: ca.file("server.key"),
			ClientCAFile: ca.file("ca.pem"), UsernameFrom: "cn"})
		c.ACL = []auth.RuleConfig{{Topics: []string{"%u/#"}, Allow: "all"}, {Users: []string{""}, Topics: []string{"#"}, Allow: "publish"}}
	})
	host, port := split(t, s.Broker.Addresses()[1])
	at := []string{"-h", host, "-p", port, "-V", "mqttv5", "--cafile", ca.file("ca.pem"), "--cert", ca.file("plant7.pem"), "--key", ca.file("plant7.key"), "--tls-alpn", "mqtt"}
	runPeer(t, nil, pub, append(at, "-t", "plant7/x", "-m", "mine", "-r", "-q", "1")...)
	if got := runPeer(t, nil, sub, append(at, "-t", "plant7/#", "-C", "1", "-W", "20", "-v")...); got != "plant7/x mine\n" {
		t.Errorf("got %q", got)
	}
	foreign := []string{"-h", host, "-p", port, "--cafile", ca.file("ca.pem"), "--cert", other.file("plant7.pem"), "--key", other.file("plant7.key"), "-t", "plant7/x", "-m", "no"}
	if out, err := exec.Command(pub, foreign...).CombinedOutput(); err == nil {
		t.Errorf("a certificate of another CA got in: %s", out)
	}
	if out, err := exec.Command(pub, "-h", host, "-p", port, "--cafile", ca.file("ca.pem"), "-t", "plant7/x", "-m", "no").CombinedOutput(); err == nil {
		t.Errorf("a client without a certificate got in: %s", out)
	}
}

func TestAMosquittoBridgesIntoTheBrokerBothWaysOverRestarts(t *testing.T) {
	program := needProgram(t, "mosquitto", "mosquitto")
	for _, version := range []string{"mqttv311", "mqttv50"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel() // mosquitto takes its time to come back
			bridgeIn(t, program, version)
		})
	}
}

func bridgeIn(t *testing.T, program, version string) {
	s := brokertest.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port := split(t, addr)
	conf := filepath.Join(t.TempDir(), "m.conf")
	text := strings.Join([]string{"user root", "listener " + port + " 127.0.0.1", "allow_anonymous true", "connection up", "address " + s.Addr,
		"bridge_protocol_version " + version, "cleansession false", "restart_timeout 1", "notifications false",
		"topic up/# out 2", "topic down/# in 2"}, "\n") + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	connected := func() {
		t.Helper()
		await(t, "the bridge", func() bool { return s.Broker.Stats().Connections > 0 })
	}
	connected()
	below, _ := brokertest.Connect(t, addr, packet.V311, "below")
	below.SubscribeTo("down/#", 2)
	above, _ := brokertest.Connect(t, s.Addr, packet.V5, "above", brokertest.Persistent)
	above.SubscribeTo("up/#", 2)
	below.Publish("up/x", "1", 2)
	above.Want("up/x", "1", 2)
	above.Publish("down/x", "2", 2)
	below.Want("down/x", "2", 2)
	above.Disconnect()
	s.RestartInPlace()
	below.Publish("up/y", "3", 2) // while the bridge is away
	connected()
	above, _ = brokertest.Connect(t, s.Addr, packet.V5, "above", brokertest.Persistent)
	above.Want("up/y", "3", 2)
	above.Publish("down/y", "4", 1)
	below.Want("down/y", "4", 1)
}
