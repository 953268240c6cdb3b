// Package faultnet is a TCP proxy that does to a connection what a bad network
// does: it cuts it, freezes it, delays it and damages its bytes, on demand. The
// tests of the bridge and the demo put it between a gateway and its upstream.
//
// It owns its listener and the connections that pass; it knows nothing of what
// they carry.
package faultnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	dialTimeout = 10 * time.Second

	// A port that was given back may be in use for a moment when it is wanted again.
	mendTimeout = 5 * time.Second
	mendRetry   = 20 * time.Millisecond
)

// Direction is one of the two ways through the proxy.
type Direction int

// The two ways.
const (
	ToTarget Direction = iota // from who dialled, to the target
	ToClient                  // back
)

// Proxy passes connections on to a target until it is told otherwise. Its
// methods may be called from any goroutine.
type Proxy struct {
	target string
	addr   string
	ctx    context.Context // ends with Close
	close  context.CancelFunc
	wg     sync.WaitGroup // all goroutines

	mu       sync.Mutex // guards what follows
	listener net.Listener
	conns    map[*pair]struct{}
	accepted int
	delay    time.Duration
	thawed   chan struct{} // closed while bytes may pass
	damage   [2]int        // bytes still to be damaged, by Direction
}

// Listen opens a proxy on a local address, such as "127.0.0.1:0", that passes
// each connection on to target ("host:port"), which is dialled anew for each.
func Listen(addr, target string) (*Proxy, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("proxy to %s: %w", target, err)
	}
	p := &Proxy{
		target: target, addr: l.Addr().String(),
		listener: l,
		conns:    make(map[*pair]struct{}),
		thawed:   make(chan struct{}),
	}
	p.ctx, p.close = context.WithCancel(context.Background())
	close(p.thawed)
	p.wg.Go(func() { p.accept(l) })
	return p, nil
}

// Addr is the address to dial in place of the target, "host:port". It stays the
// same over Cut and Mend.
func (p *Proxy) Addr() string { return p.addr }

// Close ends all connections and returns when nothing of the proxy runs any more.
func (p *Proxy) Close() error {
	p.close()
	p.Cut()
	p.wg.Wait()
	return nil
}

// Cut breaks every connection off (the ends see a reset, what was under way is
// lost) and refuses new ones until Mend.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	p.breakAll()
}

// Break breaks every connection off, as Cut does, but takes new ones.
func (p *Proxy) Break() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.breakAll()
}

// HalfOpen breaks off, of every connection, the end that gone points to; what the
// other one sends is lost, and it is not told. New connections are taken.
func (p *Proxy) HalfOpen(gone Direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.halfOpen(gone)
	}
}

func (p *Proxy) breakAll() {
	for c := range p.conns {
		c.reset()
	}
}

// Mend takes connections again after Cut. It fails when another program has
// taken the port, or after Close.
func (p *Proxy) Mend() error {
	ctx, cancel := context.WithTimeout(p.ctx, mendTimeout)
	defer cancel()
	for {
		done, err := p.listenAgain()
		if done {
			return err
		}
		t := time.NewTimer(mendRetry)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("mend the proxy to %s: %w", p.target, err)
		}
	}
}

func (p *Proxy) listenAgain() (done bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ctx.Err() != nil:
		return true, fmt.Errorf("mend the proxy to %s: %w", p.target, net.ErrClosed)
	case p.listener != nil:
		return true, nil
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return !errors.Is(err, syscall.EADDRINUSE), err
	}
	p.listener = l
	p.wg.Go(func() { p.accept(l) })
	return true, nil
}

// Freeze lets nothing through any more while the connections stand: neither end
// is told. New connections are taken, and frozen too.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thawed:
		p.thawed = make(chan struct{})
	default:
	}
}

// Thaw ends Freeze; what waited goes through.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thawed:
	default:
		close(p.thawed)
	}
}

// Delay lets every byte from now on wait for d in each direction: a round trip
// takes 2d longer. 0 ends it.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Corrupt inverts every bit of the next n bytes that go in a direction.
func (p *Proxy) Corrupt(way Direction, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.damage[way] = n
}

// Connections gives how many connections stand, and how many were ever taken.
func (p *Proxy) Connections() (open, accepted int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns), p.accepted
}

func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, say: the next may go well.
			if !p.wait(p.ctx, mendRetry) {
				return
			}
			continue
		}
		c := newPair(p, client)
		p.mu.Lock()
		if p.listener != l { // cut meanwhile
			p.mu.Unlock()
			c.reset()
			continue
		}
		p.conns[c] = struct{}{}
		p.accepted++
		p.wg.Go(c.run)
		p.mu.Unlock()
	}
}

// wait waits for d; false when ctx ended.
func (p *Proxy) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pass waits while the proxy is frozen; false when ctx ended.
func (p *Proxy) pass(ctx context.Context) bool {
	for {
		p.mu.Lock()
		thawed := p.thawed
		p.mu.Unlock()
		select {
		case <-thawed:
			return ctx.Err() == nil
		default:
		}
		select {
		case <-thawed:
		case <-ctx.Done():
			return false
		}
	}
}

// spoil damages the bytes of b whose turn it is.
func (p *Proxy) spoil(way Direction, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(p.damage[way], len(b))
	p.damage[way] -= n
	for i := range b[:n] {
		b[i] = ^b[i]
	}
}

func (p *Proxy) lag() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delay
}

func (p *Proxy) forget(c *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
