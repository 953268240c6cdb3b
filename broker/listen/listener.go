// Package listen opens the broker's listeners: TCP, TLS, WebSocket and unix
// sockets. It owns all that comes before the first byte of MQTT (the PROXY
// header, the TLS handshake, the upgrade to WebSocket, who the client's
// certificate says it is) and hands out byte streams with the Peer at the other
// end. It knows nothing of MQTT; package broker calls it.
package listen

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// listenRetry is how long to wait before an address that is in use is tried
	// again.
	listenRetry = 2 * time.Second

	// A peer that has gone without a word is noticed after two minutes, whatever
	// keep alive it wanted from MQTT.
	keepAliveIdle     = time.Minute
	keepAliveInterval = 15 * time.Second
	keepAliveCount    = 4
)

// Peer is who is at the other end of a connection.
type Peer struct {
	// Remote is the client's address: the one in the PROXY header, where there
	// is one.
	Remote net.Addr

	// Local says that the client is on this machine: it came by a unix socket or
	// over loopback, and through no proxy.
	Local bool

	// TLS and WebSocket say what lies below the byte stream.
	TLS, WebSocket bool

	// Username is the user that the client's certificate names, when the config
	// wants that and the client showed one (HasUsername).
	Username    string
	HasUsername bool
}

// Stats is what a listener counts since New, and how many connections it has now.
type Stats struct {
	Accepted         int64 // all that came, the refused among them
	Refused          int64 // closed at once: there were too many
	HandshakesFailed int64 // PROXY, TLS or WebSocket
	Active           int64 // now, those in their handshakes among them
}

// Listener accepts the connections of one [[broker.listener]].
type Listener struct {
	cfg     Config
	address address
	log     *slog.Logger

	tls atomic.Pointer[tls.Config] // of the next connection; nil: no TLS

	accepted, refused, failed, active atomic.Int64

	mu      sync.Mutex   // guards what follows
	bound   net.Listener // nil while the address is not bound
	unbound error        // why it could not be bound when that was tried last; nil: it could
}

// New makes a listener and reads its files; cfg has its defaults. It binds
// nothing yet.
func New(cfg Config, log *slog.Logger) (*Listener, error) {
	a, err := parseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	l := &Listener{cfg: cfg, address: a, log: log.With("listener", cfg.URL)}
	if err := l.Reload(); err != nil {
		return nil, err
	}
	return l, nil
}

// Reload reads the certificates, the CAs and the revocation lists again. They
// count from the next connection on; those that are there go on. When one of
// the files has a fault, the error names it, and all stays as it was.
func (l *Listener) Reload() error {
	if !l.address.tls {
		return nil
	}
	t, late, err := l.cfg.loadTLS()
	if err != nil {
		return fmt.Errorf("listener %s: %w", l.cfg.URL, err)
	}
	if late != nil {
		l.log.Warn("certificates are out of date", "err", late)
	}
	l.tls.Store(t)
	return nil
}

// Listen binds the address, if it is not bound. Serve does that too, and closes
// it.
func (l *Listener) Listen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bound != nil {
		return nil
	}
	var ln net.Listener
	var err error
	if l.address.network == "unix" {
		ln, err = listenUnix(l.address.address, l.cfg.Mode)
	} else {
		lc := net.ListenConfig{KeepAlive: -1, Control: setKeepAlive}
		lc.SetMultipathTCP(false) // with older kernels its sockets take no such options
		ln, err = lc.Listen(context.Background(), "tcp", l.address.address)
	}
	l.unbound = err
	if err != nil {
		return fmt.Errorf("listener %s: %w", l.cfg.URL, err)
	}
	l.bound = ln
	l.log.Info("listening", "address", ln.Addr().String())
	return nil
}

// Fault is why nobody can connect: the address could not be bound. It is nil when it
// is bound, and before that was tried.
func (l *Listener) Fault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unbound
}

// Addr is the address that is bound; nil while it is not.
func (l *Listener) Addr() net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bound == nil {
		return nil
	}
	return l.bound.Addr()
}

// Stats gives the counters as they stand.
func (l *Listener) Stats() Stats {
	return Stats{Accepted: l.accepted.Load(), Refused: l.refused.Load(),
		HandshakesFailed: l.failed.Load(), Active: l.active.Load()}
}

// Admit is asked for each connection before anything of it is read, and says
// whether there is room for one more; release is called at its end.
type Admit func() (release func(), ok bool)

// Handle serves a connection until it or ctx ends, and closes nc. No deadline
// is set on nc. Over WebSocket nc has two differences: after a read deadline has
// passed nothing more can be read, and Close may take a second.
//
// It may return before that: over is to be called at the end.
type Handle func(ctx context.Context, nc net.Conn, p Peer, over func())

// Serve binds the address, trying until it can, and accepts until ctx ends. All
// handshakes of one connection together may take timeout, which is not 0. Serve
// returns when every connection is over, and no longer listens then.
func (l *Listener) Serve(ctx context.Context, timeout time.Duration, admit Admit, handle Handle) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ln := l.listenUntil(ctx)
	if ln == nil {
		return
	}
	defer l.unbind()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	for pause := time.Duration(0); ctx.Err() == nil; {
		nc, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			// Out of file descriptors, most likely: others must go first.
			if pause == 0 {
				l.log.Warn("connection cannot be accepted", "err", err)
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			wait(ctx, pause)
			continue
		}
		pause = 0
		l.accepted.Add(1)
		release, ok := l.admit(admit)
		if !ok {
			l.refused.Add(1)
			nc.Close()
			continue
		}
		wg.Add(1)
		go l.serve(ctx, nc, timeout, handle, func() {
			release()
			wg.Done()
		})
	}
}

// setKeepAlive sets it for the listening socket, from which each connection has it:
// four system calls less for each.
func setKeepAlive(_, _ string, raw syscall.RawConn) (err error) {
	options := []struct{ level, name, value int }{
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, int(keepAliveIdle.Seconds())},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, int(keepAliveInterval.Seconds())},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveCount},
	}
	failed := raw.Control(func(fd uintptr) {
		for _, o := range options {
			err = cmp.Or(err, syscall.SetsockoptInt(int(fd), o.level, o.name, o.value))
		}
	})
	return cmp.Or(failed, err)
}

// listenUntil binds the address, or gives nil at the end of ctx.
func (l *Listener) listenUntil(ctx context.Context) net.Listener {
	for said := false; ; said = true {
		err := l.Listen()
		if err == nil {
			break
		}
		if !said {
			l.log.Error("address cannot be listened on: trying again until it can", "err", err)
		}
		if !wait(ctx, listenRetry) {
			return nil
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bound
}

func (l *Listener) unbind() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bound.Close()
	l.bound = nil
}

// admit asks for room, here first. Only Serve's loop adds to active.
func (l *Listener) admit(everywhere Admit) (release func(), ok bool) {
	if most := int64(l.cfg.MaxConnections); most > 0 && l.active.Load() >= most {
		return nil, false
	}
	giveBack, ok := everywhere()
	if !ok {
		return nil, false
	}
	l.active.Add(1)
	return func() {
		l.active.Add(-1)
		giveBack()
	}, true
}

// serve takes one connection through its handshakes and hands it out.
func (l *Listener) serve(ctx context.Context, raw net.Conn, timeout time.Duration, handle Handle, over func()) {
	handed := false
	defer func() {
		if !handed {
			raw.Close()
			over()
		}
	}()
	// A fault of ours stays inside the one connection that met it.
	defer func() {
		if p := recover(); p != nil {
			l.log.Error("fault in the listener: connection closed", "remote", raw.RemoteAddr().String(), "err", p, "stack", string(debug.Stack()))
		}
	}()
	nc, peer := raw, peerOf(raw)
	if !l.plain() {
		var ok bool
		if nc, peer, ok = l.shake(ctx, raw, timeout); !ok {
			return
		}
	}
	handle(ctx, nc, peer, over)
	handed = true
}

// shake is handshake, in the time that there is for it. A failure is logged.
func (l *Listener) shake(ctx context.Context, raw net.Conn, timeout time.Duration) (nc net.Conn, p Peer, ok bool) {
	raw.SetDeadline(time.Now().Add(timeout))
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	nc, p, err := l.handshake(raw)
	if !stop() {
		return nil, p, false // ctx has ended
	}
	if err != nil {
		l.failed.Add(1)
		level := slog.LevelInfo
		if errors.Is(err, io.EOF) {
			level = slog.LevelDebug // somebody looked whether the port is open
		}
		l.log.Log(ctx, level, "connection refused", "remote", p.Remote.String(), "err", err)
		return nil, p, false
	}
	nc.SetDeadline(time.Time{})
	return nc, p, true
}

// wait waits for d or the end of ctx, and is false at its end.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
