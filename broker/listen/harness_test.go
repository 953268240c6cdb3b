package listen

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// hang is how long a test waits for what must come. It guards against hanging,
// and is not a measure of speed.
const hang = 60 * time.Second

// served is a listener of a test's that echoes what comes.
type served struct {
	*Listener
	t     testing.TB
	log   *record
	peers chan Peer // of each connection that was handed out
	stop  func()    // ends Serve, and waits for it
}

// start serves a listener on a port of the system's choice, unless the URL
// names one.
func start(t testing.TB, cfg Config) *served { return startWith(t, cfg, everybody, echo) }

func startWith(t testing.TB, cfg Config, admit Admit, handle Handle) *served {
	t.Helper()
	s := &served{t: t, log: newRecord(), peers: make(chan Peer, 100)}
	cfg.SetDefaults()
	var err error
	if s.Listener, err = New(cfg, s.log.logger()); err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		s.Serve(ctx, hang, admit, func(ctx context.Context, nc net.Conn, p Peer, over func()) {
			if got := nc.RemoteAddr().String(); got != p.Remote.String() {
				t.Errorf("the connection is from %s, its peer is %s", got, p.Remote)
			}
			s.peers <- p
			handle(ctx, nc, p, over)
		})
	})
	s.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(s.stop)
	return s
}

func everybody() (func(), bool) { return func() {}, true }

// echo ends with ctx, as every Handle does.
func echo(ctx context.Context, nc net.Conn, _ Peer, over func()) {
	defer over()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	defer nc.Close()
	io.Copy(nc, nc)
}

// dial connects as a client, below all protocols.
func (s *served) dial() net.Conn {
	s.t.Helper()
	a := s.Addr()
	nc, err := net.Dial(a.Network(), a.String())
	if err != nil {
		s.t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(hang))
	s.t.Cleanup(func() { nc.Close() })
	return nc
}

// dialTLS makes the handshake and an echo: only with that has a server that
// speaks TLS 1.3 taken the client's certificate.
func (s *served) dialTLS(cfg *tls.Config) (*tls.Conn, error) {
	s.t.Helper()
	if cfg.ServerName == "" {
		cfg.ServerName = "localhost"
	}
	nc := tls.Client(s.dial(), cfg)
	return nc, echoes(nc, "hello")
}

// echoes says what is wrong with an echo.
func echoes(nc net.Conn, text string) error {
	if _, err := io.WriteString(nc, text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(nc, got); err != nil {
		return err
	}
	if string(got) != text {
		return errors.New("the echo differs")
	}
	return nil
}

func wantEcho(t testing.TB, nc net.Conn, text string) {
	t.Helper()
	if err := echoes(nc, text); err != nil {
		t.Fatalf("echo of %d bytes: %v", len(text), err)
	}
}

// wantEnd waits for the other side to close.
func wantEnd(t testing.TB, nc net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, nc)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection was not closed")
	}
}

// peer gives the next one that was handed out.
func (s *served) peer() Peer {
	s.t.Helper()
	select {
	case p := <-s.peers:
		return p
	case <-time.After(hang):
		s.t.Fatal("no connection was handed out")
		panic("unreachable")
	}
}

// record keeps what was logged.
type record struct {
	mu      sync.Mutex // guards what follows
	text    bytes.Buffer
	changed chan struct{} // closed, and made anew, at each line
}

func newRecord() *record { return &record{changed: make(chan struct{})} }

func (r *record) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.changed)
	r.changed = make(chan struct{})
	return r.text.Write(b)
}

// count says how many lines have part in them.
func (r *record) count(part string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.text.String(), part)
}

// await waits for a line with part in it.
func (r *record) await(t testing.TB, part string) {
	t.Helper()
	timeout := time.After(hang)
	for {
		r.mu.Lock()
		text, changed := r.text.String(), r.changed
		r.mu.Unlock()
		if strings.Contains(text, part) {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%q was not logged, but:\n%s", part, text)
		}
	}
}

// socketPath is short enough for the address of a socket, wherever the tests'
// directories are.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "mqtt.sock")
}
