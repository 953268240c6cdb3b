package faultnet

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"time"
)

const (
	chunkSize = 64 << 10
	maxChunks = 64 // on their way in one direction of one connection: 4 MB
)

// pair is one connection through the proxy: the client's and the target's.
type pair struct {
	p      *Proxy
	client net.Conn
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex // guards what follows
	target net.Conn
	left   net.Conn // the side that stands after halfOpen
}

// chunk is what one read gave.
type chunk struct {
	bytes []byte
	due   time.Time
	end   error // io.EOF or why the connection broke; nil while it goes on
}

func newPair(p *Proxy, client net.Conn) *pair {
	c := &pair{p: p, client: client}
	c.ctx, c.cancel = context.WithCancel(p.ctx)
	return c
}

// reset breaks both sides off.
func (c *pair) reset() {
	c.cancel()
	abort(c.client)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.target != nil {
		abort(c.target)
	}
}

// halfOpen breaks one side off, and leaves the other as it is.
func (c *pair) halfOpen(gone Direction) {
	c.cancel() // first: nothing is passed on any more, not even the end
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.target == nil:
		abort(c.client)
	case gone == ToClient:
		c.left = c.target
		abort(c.client)
	default:
		c.left = c.client
		abort(c.target)
	}
}

// abort closes a connection so that its peer sees a reset.
func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only when it is closed already
	}
	conn.Close()
}

// run passes bytes until one side ends.
func (c *pair) run() {
	defer c.p.forget(c)
	defer c.reset()
	d := net.Dialer{Timeout: dialTimeout}
	target, err := d.DialContext(c.ctx, "tcp", c.p.target)
	if err != nil {
		return // the client sees a reset, as from a router that cannot get further
	}
	c.mu.Lock()
	c.target = target
	c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { c.copy(ToTarget, target, c.client) })
	wg.Go(func() { c.copy(ToClient, c.client, target) })
	wg.Wait()
	c.mu.Lock()
	left := c.left
	c.mu.Unlock()
	if left != nil {
		_, _ = io.Copy(io.Discard, left) // until this side ends too
	}
}

// copy passes one direction: a reader stamps what comes with the time at which
// it is due, and deliver hands it on then. The end of the stream passes in its
// turn.
func (c *pair) copy(way Direction, dst, src net.Conn) {
	line := make(chan chunk, maxChunks)
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, chunkSize)
		for {
			n, err := src.Read(buf)
			select {
			case line <- chunk{bytes.Clone(buf[:n]), time.Now().Add(c.p.lag()), err}:
			case <-c.ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})
	c.deliver(way, dst, line)
	wg.Wait()
}

func (c *pair) deliver(way Direction, dst net.Conn, line <-chan chunk) {
	for {
		var next chunk
		select {
		case next = <-line:
		case <-c.ctx.Done():
			return
		}
		if !c.p.wait(c.ctx, time.Until(next.due)) || !c.p.pass(c.ctx) {
			return
		}
		c.p.spoil(way, next.bytes)
		if _, err := dst.Write(next.bytes); err != nil {
			if c.ctx.Err() == nil {
				c.reset()
			}
			return
		}
		switch next.end {
		case nil:
		case io.EOF:
			if tcp, ok := dst.(*net.TCPConn); ok {
				_ = tcp.CloseWrite() // fails only when it is closed already
			}
			return
		default:
			c.reset()
			return
		}
	}
}
