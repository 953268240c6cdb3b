// Package web is what a browser, a monitoring system and the tools on the
// control socket see of the gateway: the page, the JSON API, /metrics, /healthz
// and /readyz. It owns the HTTP server, who may log in, the last hour of every
// point and the newest lines of the log; how the gateway is, it asks the Source
// that cmd/headgate gives it. Nobody else imports it.
package web

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"headgate/broker/auth"
)

// Source is the gateway, as far as web needs it. Its methods may be called at any
// time, from any goroutine, and wait for no disk and no device.
type Source interface {
	// Routes are those of the API that are the gateway's own.
	Routes() []Route

	// Status is how the gateway is, as JSON has it.
	Status() any

	// Clients are who is connected, as JSON has it.
	Clients() any

	// Devices are all devices with their points; their order changes with the configuration alone.
	Devices() []Device

	// Links are those on which devices are asked by Modbus.
	Links() []Link

	// Unready says why the gateway does not do all that it is there for; none: it does.
	Unready() []string

	// Metrics are its figures.
	Metrics() []Family

	// Watch calls handle with each message that is published from now on, until stop
	// is called, after those that are retained. handle does not block.
	Watch(handle func(Message)) (stop func())
}

// Route is one request that the API answers.
type Route struct {
	Pattern string // as http.ServeMux takes it: "GET /api/v1/status"
	Handle  http.HandlerFunc
}

// Server is the page and the API. Make one with New.
type Server struct {
	cfg    Config
	src    Source
	log    *slog.Logger
	lines  *Log
	tls    bool
	access access
	serve  *http.Server

	history *history
	archive *archive    // nil: there is none
	rows    chan minute // to be written
	topics  *topics
	hub     *hub
	routes  []Route // of the API
	open    []Route // that see to it themselves who makes a request

	stopping chan struct{} // closed when Run ends

	mu      sync.Mutex
	address string // guarded by mu; "": not bound
}

const (
	maxConnections = 256
	bindPause      = 10 * time.Second
	stopTimeout    = time.Second
)

// New makes a server of cfg, to which SetDefaults has been applied and in which
// Check has found no fault. lines are those of the log. It opens no port.
func New(cfg Config, src Source, lines *Log, log *slog.Logger) (*Server, error) {
	s := &Server{cfg: cfg, src: src, log: log, lines: lines, history: newHistory(src.Devices()), stopping: make(chan struct{})}
	s.topics = newTopics(src.Watch)
	if cfg.HistoryBytes > 0 && cfg.HistoryDir != "" {
		archive, err := openArchive(cfg.HistoryDir, int64(cfg.HistoryBytes), src.Devices())
		if err != nil {
			log.Warn("the days of the points are not kept", "err", err)
		}
		s.archive, s.rows = archive, make(chan minute, 1)
	}
	s.hub = newHub(s)
	certificate, err := cfg.tls()
	if err != nil {
		return nil, err
	}
	s.tls = certificate != nil
	policy, err := auth.New(cfg.users(), nil)
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	s.access = access{users: cfg.User, policy: policy, tls: s.tls, log: log}
	s.routes = append(s.ownRoutes(), src.Routes()...)
	handler, err := s.handler()
	if err != nil {
		return nil, err
	}
	// The program is built without HTTP/2, which net/http offers nevertheless unless it
	// is told not to: a browser that takes it would get nothing.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s.serve = &http.Server{
		Handler: handler, TLSConfig: certificate, MaxHeaderBytes: 16 << 10, Protocols: protocols,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// API answers the requests of the API without asking who makes them: for the
// control socket.
func (s *Server) API() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes {
		mux.HandleFunc(r.Pattern, r.Handle)
	}
	return mux
}

// Patterns are all requests that are answered, but for the files of the page.
func (s *Server) Patterns() []string {
	var list []string
	for _, r := range append(slices.Clone(s.open), s.routes...) {
		list = append(list, r.Pattern)
	}
	return list
}

// Run serves until ctx ends. Where its port is taken it goes on trying: the
// gateway works all the same.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer s.topics.stop() // when the hub asks for them no more
	defer wg.Wait()
	wg.Go(func() { s.hub.run(ctx) })
	if s.archive != nil {
		defer s.keepRows(ctx)()
	}
	if s.cfg.Listen == Off {
		<-ctx.Done()
		return nil
	}
	for said := false; ; said = true {
		l, err := net.Listen("tcp", s.cfg.Listen)
		if err == nil {
			return s.serveOn(ctx, l)
		}
		if !said {
			s.log.Warn("the page has no port: it goes on trying; set web.listen to another one, or to \"off\"", "listener", s.cfg.Listen, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(bindPause):
		}
	}
}

func (s *Server) serveOn(ctx context.Context, l net.Listener) error {
	scheme := "http"
	if s.tls {
		scheme = "https"
	}
	s.mu.Lock()
	s.address = scheme + "://" + l.Addr().String()
	s.mu.Unlock()
	s.log.Info("page is there", "listener", s.Address())
	l = &limitedListener{Listener: l, room: make(chan struct{}, maxConnections)}
	ended := make(chan error, 1)
	go func() {
		if s.tls {
			ended <- s.serve.ServeTLS(l, "", "")
			return
		}
		ended <- s.serve.Serve(l)
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the page at %s: %w", s.cfg.Listen, err)
	case <-ctx.Done():
	}
	close(s.stopping)
	last, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := s.serve.Shutdown(last); err != nil {
		s.serve.Close()
	}
	<-ended
	return nil
}

// Address is where the page is, as a URL; "" while it is nowhere.
func (s *Server) Address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// limitedListener has no more connections than room at a time: another one is closed.
type limitedListener struct {
	net.Listener
	room chan struct{}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.room <- struct{}{}:
			return &limitedConn{Conn: nc, leave: sync.OnceFunc(func() { <-l.room })}, nil
		default:
			nc.Close()
		}
	}
}

type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// fault is the answer to a request that came to nothing.
type fault struct {
	Text string `json:"error"`
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, text string) { answer(w, status, fault{text}) }
