package mqttc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/listen"
	"headgate/broker/packet"
)

// The same over every version, QoS and kind of connection, with our own broker.
func TestMessagesGoThroughTheBroker(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, roots := newCertificate(t, dir)
	b := brokertest.Start(t, func(c *broker.Config) {
		c.Listener = append(c.Listener, listen.Config{URL: "mqtts://127.0.0.1:0", CertFile: certFile, KeyFile: keyFile})
	})
	endpoints := map[string]Endpoint{
		"tcp":       {Address: b.Addr},
		"tcp bound": {Address: b.Addr, Bind: "127.0.0.1"},
		"tls":       {Address: b.Broker.Addresses()[1], TLS: &tls.Config{RootCAs: roots, ServerName: "localhost"}},
		"unix":      {Socket: onSocket(t, b, dir)},
		"websocket": {Address: onWebSocket(t, b, "mqtt"), Path: "/mqtt"},
	}
	for name, e := range endpoints {
		for _, v := range []packet.Version{packet.V31, packet.V311, packet.V5} {
			for qos := range byte(3) {
				t.Run(fmt.Sprintf("%s, MQTT %v, QoS %d", name, v, qos), func(t *testing.T) {
					roundTrip(t, e, v, qos)
				})
			}
		}
	}
}

// roundTrip publishes to a subscriber, more than one window of QoS 2.
func roundTrip(t *testing.T, e Endpoint, v packet.Version, qos byte) {
	const count = 50
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	var got []string
	var sub *Client
	subscribed := make(chan packet.ReasonCode, 1)
	sub = New(Config{
		Endpoint: e,
		Connect:  packet.Connect{Version: v, CleanStart: true, ClientID: []byte("sub"), KeepAlive: 60},
		Suback:   func(p *packet.Suback) { subscribed <- p.Reasons[0] },
		Message: func(p *packet.Publish) {
			got = append(got, fmt.Sprintf("%s %s %d", p.Topic, p.Payload, p.QoS))
			if len(got) == count {
				sub.Finish()
			}
		},
	})
	pub := New(Config{Endpoint: e, Connect: packet.Connect{Version: v, CleanStart: true, ClientID: []byte("pub")}})
	served := make(chan error, 2)
	for _, c := range []*Client{sub, pub} {
		if _, err := c.Connect(ctx); err != nil {
			t.Fatal(err)
		}
		go func() { served <- c.Serve(ctx) }()
	}
	if err := sub.Subscribe([]packet.Subscription{{Filter: []byte("room/+"), QoS: 2}}, packet.Properties{}); err != nil {
		t.Fatal(err)
	}
	if reason := <-subscribed; reason != 2 {
		t.Fatalf("SUBACK says %v, want granted QoS 2", reason)
	}
	for i := range count {
		p := packet.Publish{Topic: []byte("room/1"), Payload: fmt.Append(nil, i), QoS: qos}
		if _, err := pub.Publish(ctx, &p); err != nil {
			t.Fatal(err)
		}
	}
	if err := pub.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	pub.Disconnect()
	for range 2 {
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
	for i := range count {
		if want := fmt.Sprintf("room/1 %d %d", i, qos); i >= len(got) || got[i] != want {
			t.Fatalf("message %d: got %q, want %q", i, got, want)
		}
	}
}

// onSocket serves the broker on a Unix socket.
func onSocket(t *testing.T, b *brokertest.Server, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "broker.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { b.Broker.ServeConn(ctx, nc) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		cancel()
		wg.Wait()
	})
	return path
}

// onWebSocket serves the broker behind a web server, which knows a sub-protocol.
func onWebSocket(t *testing.T, b *brokertest.Server, protocol string) (address string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/mqtt" {
			http.NotFound(w, r)
			return
		}
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{protocol}})
		if err != nil {
			return
		}
		b.Broker.ServeConn(ctx, websocket.NetConn(ctx, ws, websocket.MessageBinary))
	}))
	t.Cleanup(func() {
		cancel()
		web.Close()
	})
	return web.Listener.Addr().String()
}

func TestWhereNoMQTTIsSpokenOverWebSocketsItSaysSo(t *testing.T) {
	b := brokertest.Start(t)
	for name, c := range map[string]struct {
		e    Endpoint
		want string
	}{
		"another sub-protocol": {Endpoint{Address: onWebSocket(t, b, "chat"), Path: "/mqtt"}, "does not speak the sub-protocol mqtt"},
		"another path":         {Endpoint{Address: onWebSocket(t, b, "mqtt"), Path: "/nothing"}, "404"},
		"no web server":        {Endpoint{Address: b.Addr, Path: "/mqtt"}, "WebSocket handshake"},
		"no TLS":               {Endpoint{Address: b.Addr, TLS: &tls.Config{ServerName: "localhost"}}, "TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(Config{Endpoint: c.e, Connect: packet.Connect{Version: packet.V311, CleanStart: true}}).Connect(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.e.Address) {
				t.Errorf("got %v, want %q with the address", err, c.want)
			}
		})
	}
}

// newCertificate makes a certificate for localhost that signs itself.
func newCertificate(t *testing.T, dir string) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, b := range map[string][]byte{certFile: certPEM, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, roots
}
