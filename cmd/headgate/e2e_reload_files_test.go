package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"headgate/adapters/modbus/modbussim"
	"headgate/broker/brokertest"
)

// What was exchanged in a file is used after a reload, also where the configuration says
// the same as before: by the connection that has read that file, and by no other.
func TestAReloadUsesExchangedCertificatesAndPasswords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writeKeyPair(t, at("server.pem"), at("server.key"))
	var mu sync.Mutex
	shown := map[string][]string{} // certificates of clients, by the port of the link
	slave := func() (address string) {
		pair, err := tls.LoadX509KeyPair(at("server.pem"), at("server.key"))
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address = ln.Addr().String()
		sim, done := modbussim.New(), make(chan error, 1)
		sim.Unit(1).SetHolding(0, 21)
		secure := tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, VerifyConnection: func(s tls.ConnectionState) error {
			mu.Lock()
			defer mu.Unlock()
			shown[address] = append(shown[address], string(s.PeerCertificates[0].Raw))
			return nil
		}})
		go func() { done <- sim.ServeTCP(context.Background(), secure) }()
		t.Cleanup(func() { sim.Close(); <-done })
		return address
	}
	link := func(name, address string) string {
		writeKeyPair(t, at(name+".pem"), at(name+".key"))
		text := linkTo(name, address, fmt.Sprintf("tls = { ca_file = %q, cert_file = %q, key_file = %q, server_name = \"localhost\" }\n", at("server.pem"), at(name+".pem"), at(name+".key")))
		return strings.Replace(text, "tcp://", "tls://", 1)
	}
	if err := os.WriteFile(at("password"), []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	cloud := brokertest.Start(t)
	changed, steady := slave(), slave()
	text := strings.ReplaceAll(bridgesConfig, "{DIR}", t.TempDir()) + link("changed", changed) + link("steady", steady) +
		bridgeTo("cloud", cloud.Addr, "#", "") + fmt.Sprintf("credentials = { username = \"u\", password_file = %q }\n", at("password"))
	h := runInside(t, text)
	r := h.newReloader(h.config.Paths[0])
	opened := func() (n []uint64) {
		for _, p := range h.pump.Load().modbus {
			n = append(n, p.adapter.Stats().Opened)
		}
		return append(n, h.bridges()[0].Stats().Reconnects)
	}
	reload := func(want ...string) {
		t.Helper()
		res, err := r.reload()
		if err != nil || !slices.Equal(res.Renewed, want) || res.Links || res.Bridges {
			t.Fatalf("got %+v, %v; want %q", res, err, want)
		}
		if len(want) > 0 && !strings.Contains(res.String(), "files that were exchanged: "+strings.Join(want, ", ")) {
			t.Errorf("it says %s", res)
		}
	}
	eventually(t, "all are connected", func() bool {
		return slices.Equal(opened(), []uint64{1, 1, 0}) && h.bridges()[0].Stats().State == "connected"
	})
	reload()
	writeKeyPair(t, at("changed.pem"), at("changed.key"))
	reload("modbus link changed-link")
	eventually(t, "the link whose certificate is another has connected anew", func() bool { return slices.Equal(opened(), []uint64{2, 1, 0}) })
	if err := os.WriteFile(at("password"), []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	reload("bridge cloud")
	eventually(t, "the bridge whose password is another has", func() bool { return slices.Equal(opened(), []uint64{2, 1, 1}) })
	reload()
	mu.Lock()
	defer mu.Unlock()
	if c := shown[changed]; len(c) != 2 || c[0] == c[1] || len(shown[steady]) != 1 {
		t.Errorf("the one has shown %d certificates, the other %d", len(c), len(shown[steady]))
	}
}
