// Package web is what a browser, a monitoring system and the tools on the
// control socket see of the gateway: the page, the JSON API, /metrics, /healthz
// and /readyz. It owns the HTTP server, who may log in, the last hour of every
// point and the newest lines of the log; how the gateway is, it asks the Source
// that cmd/headgate gives it. Nobody else imports it.
package web

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
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
	src     Source
	log     *slog.Logger
	lines   *Log
	access  *access
	answers http.Handler // to all that comes by a port

	history *history
	days    *archiving
	topics  *topics
	hub     *hub
	routes  []Route // of the API
	open    []Route // that see to it themselves who makes a request

	stopping chan struct{} // closed when Run ends

	room    chan struct{}  // a token for each connection of a port
	failed  chan error     // of a port that gave up
	leaving sync.WaitGroup // ports that are gone, with what they are still asked

	binding     sync.Mutex // guards what follows
	listen      string     // as the configuration has it
	certificate *tls.Config
	port        *port // nil: there is none
	fault       error // why there is none, when that was tried last
	ended       bool  // Run has

	address atomic.Pointer[string] // of the port, as a URL; nil: not bound
}

const (
	maxConnections = 256
	bindPause      = 10 * time.Second
	stopTimeout    = time.Second
)

// New makes a server of cfg, to which SetDefaults has been applied and in which
// Check has found no fault. lines are those of the log. It opens no port.
func New(cfg Config, src Source, lines *Log, log *slog.Logger) (*Server, error) {
	s := &Server{src: src, log: log, lines: lines, history: newHistory(src.Devices()), stopping: make(chan struct{}),
		listen: cfg.Listen, room: make(chan struct{}, maxConnections), failed: make(chan error, 1)}
	s.topics = newTopics(src.Watch)
	s.days = newArchiving(&cfg, src.Devices(), log)
	s.hub = newHub(s)
	var err error
	if s.certificate, err = cfg.tls(); err != nil {
		return nil, err
	}
	users, err := newAccounts(&cfg, nil)
	if err != nil {
		return nil, err
	}
	s.access = newAccess(log)
	s.access.now.Store(users)
	s.routes = append(s.ownRoutes(), src.Routes()...)
	s.answers, err = s.handler()
	if err != nil {
		return nil, err
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
	defer s.keepRows(ctx)()
	defer s.close()
	again := time.NewTicker(bindPause)
	defer again.Stop()
	for said := false; ; said = true {
		if err := s.bind(); err != nil && !said {
			s.log.Warn("the page has no port: it goes on trying; set web.listen to another one, or to \"off\"", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failed:
			return err
		case <-again.C:
		}
	}
}

// Address is where the page is, as a URL; "" while it is nowhere.
func (s *Server) Address() string {
	if a := s.address.Load(); a != nil {
		return *a
	}
	return ""
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
