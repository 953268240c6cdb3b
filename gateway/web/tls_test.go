package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificateFiles writes a certificate that is for nobody in particular, and its key.
func certificateFiles(t *testing.T) (cert, key string) {
	t.Helper()
	borrowed := httptest.NewTLSServer(nil)
	defer borrowed.Close()
	c := borrowed.TLS.Certificates[0]
	private, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", c.Certificate[0]), write("key.pem", "PRIVATE KEY", private)
}

// As a browser asks: HTTP/2 if there is that, which the program is built without.
func TestABrowserGetsThePageOverTLS(t *testing.T) {
	t.Parallel()
	cfg := Config{Listen: "127.0.0.1:0"}
	cfg.CertFile, cfg.KeyFile = certificateFiles(t)
	cfg.SetDefaults()
	lines := NewLog(slog.NewTextHandler(io.Discard, nil))
	s, err := New(cfg, oneDevice(), lines, slog.New(lines))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	for end := time.Now().Add(20 * time.Second); s.Address() == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the page has no port")
		}
	}
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(s.Address() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Proto != "HTTP/1.1" || !strings.Contains(string(text), "<main") {
		t.Errorf("got %s %s, %v", resp.Proto, resp.Status, err)
	}
}
