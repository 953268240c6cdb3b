package broker

import (
	"context"
	"net"
	"time"

	"headgate/broker/listen"
	"headgate/broker/packet"
)

// listener gives the connections of one [[broker.listener]] to the broker.
type listener struct {
	*listen.Listener
	b   *Broker
	cfg listen.Config
	end func() // ends its run and waits for that, for a while; nil: it does not run. Guarded by listening.mu
}

func newListener(b *Broker, cfg listen.Config) (*listener, error) {
	l, err := listen.New(cfg, b.log)
	return &listener{Listener: l, b: b, cfg: cfg}, err
}

func (l *listener) boundAddress() string {
	if a := l.Addr(); a != nil {
		return a.String()
	}
	return ""
}

// run accepts until ctx ends, and returns when its connections have ended.
func (l *listener) run(ctx context.Context) {
	l.Serve(ctx, l.b.live.Load().ConnectTimeout, l.b.admit, func(ctx context.Context, nc net.Conn, p listen.Peer, over func()) {
		newConn(l.b, nc, l.entry(p)).start(ctx, over)
	})
}

var versionNames = map[string]packet.Version{"3.1": packet.V31, "3.1.1": packet.V311, "5.0": packet.V5}

func (l *listener) entry(p listen.Peer) entry {
	e := entry{local: p.Local, nameless: l.cfg.Anonymous || p.Local, mount: l.cfg.MountPoint, named: p.HasUsername, username: p.Username}
	for _, v := range l.cfg.Versions {
		e.versions = append(e.versions, versionNames[v])
	}
	return e
}

// connectMargin is how many connections past the limit are heard, so that they
// can be told that the server is busy.
const connectMargin = 100

// admit says whether there is room for one more connection.
func (b *Broker) admit() (release func(), ok bool) {
	if n := b.stats.connected(); n > int64(b.live.Load().MaxConnections)+connectMargin {
		b.stats.connections.Add(-1)
		b.stats.refused.Add(1)
		return nil, false
	}
	return func() { b.stats.connections.Add(-1) }, true
}

// ServeConn serves a connection that the caller made, one from this process, until
// it or ctx ends; it closes nc. It may come without a user name.
func (b *Broker) ServeConn(ctx context.Context, nc net.Conn) {
	b.stats.connected()
	defer b.stats.connections.Add(-1)
	ended := make(chan struct{})
	newConn(b, nc, entry{local: true, nameless: true}).start(ctx, func() { close(ended) })
	<-ended
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
