// Package brokertest runs a real broker, over a real store and a real TCP port
// on loopback, inside a test, and talks to it packet by packet. Tests of the
// broker, the bridge's wiring and the whole gateway use it; the product does
// not. And it plays scripts (Case): a broker over a store in memory, connections
// that are pipes, and time that the script moves.
package brokertest

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"headgate/broker"
	"headgate/broker/listen"
	"headgate/broker/store"
)

// Server is a running broker.
type Server struct {
	Broker *broker.Broker
	Store  *store.Store
	Addr   string // host:port of its first listener

	tb     testing.TB
	dir    string // of the store; "": it is in memory
	disk   store.Config
	cfg    broker.Config
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Start runs a broker on a free port until the test ends, with its store in a
// directory of the test's. change may change its config.
func Start(tb testing.TB, change ...func(*broker.Config)) *Server {
	tb.Helper()
	s := New(tb, change...)
	s.listen()
	s.Run()
	return s
}

// StartOnDisk is Start with a store in a directory of the caller's.
func StartOnDisk(tb testing.TB, dir string, cfg store.Config, change ...func(*broker.Config)) *Server {
	tb.Helper()
	s := &Server{tb: tb, dir: dir, disk: cfg}
	s.make(change)
	s.listen()
	s.Run()
	return s
}

// StartInMemory is Start with a store in memory, which a Restart leaves as it is.
func StartInMemory(tb testing.TB, cfg store.Config, change ...func(*broker.Config)) *Server {
	tb.Helper()
	s := &Server{tb: tb}
	s.Store = store.OpenMemory(cfg, s.logger())
	s.make(change)
	s.listen()
	s.Run()
	return s
}

// New makes one that does not run and has no port yet.
func New(tb testing.TB, change ...func(*broker.Config)) *Server {
	tb.Helper()
	s := &Server{tb: tb, dir: filepath.Join(tb.TempDir(), "store")}
	s.make(change)
	return s
}

func (s *Server) make(change []func(*broker.Config)) {
	s.tb.Helper()
	s.cfg.Listener = []listen.Config{{URL: "mqtt://127.0.0.1:0"}}
	for _, f := range change {
		f(&s.cfg)
	}
	s.cfg.SetDefaults()
	s.open()
	s.tb.Cleanup(s.Stop)
}

// open makes the broker over the store's directory.
func (s *Server) open() {
	s.tb.Helper()
	log := s.logger()
	var err error
	if s.dir != "" {
		if s.Store, err = store.Open(s.dir, s.disk, log); err != nil {
			s.tb.Fatalf("open the store: %v", err)
		}
	}
	if s.Broker, err = broker.New(s.cfg, s.Store, log); err != nil {
		s.tb.Fatalf("make the broker: %v", err)
	}
}

func (s *Server) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{s.tb}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (s *Server) listen() {
	s.tb.Helper()
	if err := s.Broker.Listen(); err != nil {
		s.tb.Fatalf("listen: %v", err)
	}
	s.Addr = s.Broker.Addresses()[0]
}

// Run runs the broker until Stop.
func (s *Server) Run() {
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	s.done.Go(func() {
		if err := s.Broker.Run(ctx); err != nil {
			s.tb.Errorf("run the broker: %v", err)
		}
	})
}

// Stop stops the broker and closes its store. A second Stop does nothing.
func (s *Server) Stop() {
	if s.Store == nil {
		return
	}
	s.halt()
	st := s.Store
	s.Store = nil
	if err := st.Close(); err != nil {
		s.tb.Errorf("close the store: %v", err)
	}
}

// halt stops the broker.
func (s *Server) halt() {
	if s.cancel != nil {
		s.cancel()
		s.done.Wait()
		s.cancel = nil
	}
}

// Restart stops it and starts it again over what its store kept, on another
// port.
func (s *Server) Restart() {
	s.tb.Helper()
	if s.dir != "" {
		s.Stop()
	}
	s.halt()
	s.open()
	s.listen()
	s.Run()
}

// testWriter logs to the test, which prints it when the test fails.
type testWriter struct{ tb testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.tb.Logf("%s", b)
	return len(b), nil
}

// Reopen opens what a stopped server kept, with a broker that does not run.
func (s *Server) Reopen() {
	s.tb.Helper()
	s.open()
}

// RestartInPlace is Restart on the same port.
func (s *Server) RestartInPlace() {
	s.tb.Helper()
	s.cfg.Listener[0].URL = "mqtt://" + s.Addr
	s.Restart()
}
