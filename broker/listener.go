package broker

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// listener accepts the connections of one [[broker.listener]].
type listener struct {
	b       *Broker
	cfg     ListenerConfig
	address listenAddress
	tls     *tls.Config // nil: plain
	log     *slog.Logger

	mu    sync.Mutex
	bound net.Listener // nil while it could not be bound
}

func newListener(b *Broker, cfg ListenerConfig) (*listener, error) {
	a, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	l := &listener{b: b, cfg: cfg, address: a, log: b.log.With("listener", cfg.URL)}
	if a.tls {
		cert, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("listener %s: read its certificate: %w", cfg.URL, err)
		}
		l.tls = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	return l, nil
}

// listen binds the port, if it is not bound.
func (l *listener) listen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bound != nil {
		return nil
	}
	ln, err := net.Listen("tcp", l.address.address)
	if err != nil {
		return fmt.Errorf("listener %s: %w", l.cfg.URL, err)
	}
	l.bound = ln
	l.log.Info("listening", "address", ln.Addr().String())
	return nil
}

// reload reads the certificate again. What is wrong with it keeps the old one.
func (l *listener) reload() error {
	return nil
}

func (l *listener) boundAddress() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bound == nil {
		return ""
	}
	return l.bound.Addr().String()
}

// listenRetry is how long to wait before a port that is in use is tried again.
const listenRetry = 2 * time.Second

// run accepts until ctx ends, and returns when its connections have ended.
func (l *listener) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for said := false; ; said = true {
		err := l.listen()
		if err == nil {
			break
		}
		if !said {
			l.log.Error("port cannot be listened on: trying again until it can", "err", err)
		}
		if !wait(ctx, listenRetry) {
			return
		}
	}
	stop := context.AfterFunc(ctx, func() { l.bound.Close() })
	defer stop()
	for pause := time.Duration(0); ctx.Err() == nil; {
		nc, err := l.bound.Accept()
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
		if n := l.b.stats.connected(); n > int64(l.b.live.Load().MaxConnections)+connectMargin {
			l.b.stats.connections.Add(-1)
			l.b.stats.refused.Add(1)
			nc.Close()
			continue
		}
		if l.tls != nil {
			nc = tls.Server(nc, l.tls)
		}
		wg.Go(func() {
			defer l.b.stats.connections.Add(-1)
			newConn(l.b, nc, entry{nameless: l.cfg.Anonymous || loopback(nc.RemoteAddr())}).serve(ctx)
		})
	}
}

// ServeConn serves a connection that the caller made, one from this process, until
// it or ctx ends; it closes nc. It may come without a user name.
func (b *Broker) ServeConn(ctx context.Context, nc net.Conn) {
	b.stats.connected()
	defer b.stats.connections.Add(-1)
	newConn(b, nc, entry{nameless: true}).serve(ctx)
}

// connectMargin is how many connections past the limit are heard, so that they
// can be told that the server is busy.
const connectMargin = 100

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
