package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// port is one address at which the page is, with its connections.
type port struct {
	answers http.Handler
	serve   *http.Server
	room    chan struct{}
	failed  chan<- error
	tls     atomic.Pointer[tls.Config] // for connections from now on; nil: http
	ctx     context.Context            // ends with the port
	end     context.CancelFunc

	// Of who holds Server.binding.
	bound     net.Listener
	accepting sync.WaitGroup
}

// bind binds the address, where that is not done. Run tries until it can.
func (s *Server) bind() error {
	s.binding.Lock()
	defer s.binding.Unlock()
	if s.port != nil || s.listen == Off {
		return nil
	}
	l, err := net.Listen("tcp", s.listen)
	s.fault = err
	if err == nil {
		s.openPort(l)
	}
	return err
}

// Fault is why the page is nowhere: its address could not be bound. It is nil where
// it is bound, where it is to be off, and before that was tried.
func (s *Server) Fault() error {
	s.binding.Lock()
	defer s.binding.Unlock()
	if s.port != nil || s.listen == Off {
		return nil
	}
	return s.fault
}

// openPort has the page be at l. The caller holds binding.
func (s *Server) openPort(l net.Listener) {
	p := &port{answers: s.answers, room: s.room, failed: s.failed}
	p.tls.Store(s.certificate)
	p.ctx, p.end = context.WithCancel(context.Background())
	// The program is built without HTTP/2, which net/http offers nevertheless unless it
	// is told not to: a browser that takes it would get nothing.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	p.serve = &http.Server{
		Handler: p, MaxHeaderBytes: 16 << 10, Protocols: protocols,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	p.accept(l)
	address := "http://" + l.Addr().String()
	if s.certificate != nil {
		address = "https://" + l.Addr().String()
	}
	s.port = p
	s.address.Store(&address)
	s.log.Info("page is there", "listener", address)
}

// accept serves who connects to l.
func (p *port) accept(l net.Listener) {
	p.bound = l
	p.accepting.Go(func() {
		err := p.serve.Serve(&limitedListener{l, p.room, p.tls.Load})
		if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
			return
		}
		select {
		case p.failed <- fmt.Errorf("serve the page at %s: %w", l.Addr(), err):
		default:
		}
	})
}

// pause takes no more connections; those that there are go on.
func (p *port) pause() {
	p.bound.Close()
	p.accepting.Wait()
}

// resume takes connections again after a pause.
func (p *port) resume() error {
	l, err := net.Listen("tcp", p.bound.Addr().String())
	if err == nil {
		p.accept(l)
	}
	return err
}

// blocks says whether this port, if there is one, may be why another address cannot be
// bound: it has the same number.
func (p *port) blocks(listen string) bool {
	if p == nil {
		return false
	}
	mine, ok := p.bound.Addr().(*net.TCPAddr)
	other, err := net.ResolveTCPAddr("tcp", listen)
	return ok && err == nil && mine.Port == other.Port
}

// ServeHTTP answers as the page does, as long as the port is there: after that it only
// finishes what changes something.
func (p *port) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case p.ctx.Err() != nil:
		refuse(w, http.StatusServiceUnavailable, "the page is not here any more")
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		serveUntil(p.ctx, p.answers, w, r)
	default:
		p.answers.ServeHTTP(w, r)
	}
}

// leave closes the port, if there is one: at once to who comes, soon to who is there.
// The caller holds binding, and may be asked by way of that port.
func (s *Server) leave() {
	p := s.port
	if p == nil {
		return
	}
	s.port = nil
	s.address.Store(nil)
	p.end()
	p.pause()
	s.leaving.Go(func() {
		last, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := p.serve.Shutdown(last); err != nil {
			p.serve.Close()
		}
	})
}

// close ends the port with the server.
func (s *Server) close() {
	s.binding.Lock()
	s.ended = true
	close(s.stopping)
	s.leave()
	s.binding.Unlock()
	s.leaving.Wait()
}

// limitedListener has no more connections than room at a time: another one is closed.
type limitedListener struct {
	net.Listener
	room chan struct{}
	tls  func() *tls.Config // of the next connection; it gives nil for none
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.room <- struct{}{}:
		default:
			nc.Close()
			continue
		}
		nc = &limitedConn{Conn: nc, leave: sync.OnceFunc(func() { <-l.room })}
		if secure := l.tls(); secure != nil {
			nc = tls.Server(nc, secure)
		}
		return nc, nil
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
