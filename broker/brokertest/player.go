package brokertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/broker"
	"headgate/broker/packet"
	"headgate/broker/store"
)

// Play plays a case in one protocol version: a broker over a store in memory,
// connections that are pipes, and time that moves only when the script says so.
// The error says what the first line that does not hold expected and got, by
// file and line; log is what the broker logged.
func (c *Case) Play(t *testing.T, v packet.Version) (log string, err error) {
	p := &player{c: c, v: v, clients: make(map[string]*client), vars: make(map[string]string)}
	synctest.Test(t, func(*testing.T) {
		defer func() {
			if serr := p.stop(); err == nil {
				err = serr
			}
		}()
		err = p.play()
	})
	return p.log.String(), err
}

// player is one run of a case. All that it starts ends with stop.
type player struct {
	c   *Case
	v   packet.Version
	cfg broker.Config
	log lockedBuffer

	store   *store.Store
	broker  *broker.Broker
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup // the broker and the connections that it serves
	reading sync.WaitGroup // the clients' readers

	clients map[string]*client
	vars    map[string]string // values of $names
}

func (p *player) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(&p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (p *player) play() error {
	var storeCfg store.Config
	for _, s := range p.c.config {
		var table any = &p.cfg
		if s.table == "store" {
			table = &storeCfg
		}
		if err := setConfig(table, s.key, s.value); err != nil {
			return fmt.Errorf("%s:%d: %s %s: %w", p.c.File, p.c.Line, s.table, s.key, err)
		}
	}
	p.cfg.SetDefaults()
	p.store = store.OpenMemory(storeCfg, p.logger())
	if err := p.start(); err != nil {
		return err
	}
	last := p.c.Line
	for i := range p.c.steps {
		s := &p.c.steps[i]
		last = s.line
		if !s.applies(p.v) {
			continue
		}
		if err := p.step(s); err != nil {
			return fmt.Errorf("%s:%d: %w", p.c.File, s.line, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.clients)) {
		if rest := p.clients[name].rest(); rest != "" {
			return fmt.Errorf("%s:%d: after the last line\n\tgot:  %s < %s\n\twant: nothing", p.c.File, last, name, rest)
		}
	}
	return nil
}

// start runs a broker over the store.
func (p *player) start() error {
	b, err := broker.New(p.cfg, p.store, p.logger())
	if err != nil {
		return fmt.Errorf("%s:%d: make the broker: %w", p.c.File, p.c.Line, err)
	}
	p.broker = b
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.running.Go(func() { b.Run(p.ctx) })
	synctest.Wait()
	return nil
}

// stopBroker ends the broker, and waits for all that it serves.
func (p *player) stopBroker() error {
	if p.cancel == nil {
		return nil
	}
	p.cancel()
	p.cancel = nil
	done := make(chan struct{})
	go func() {
		p.running.Wait()
		close(done)
	}()
	limit := time.NewTimer(time.Hour)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		return errors.New("the broker does not end")
	}
	synctest.Wait() // what its end left to the store
	return nil
}

func (p *player) stop() error {
	for _, c := range p.clients {
		c.nc.Close()
	}
	err := p.stopBroker()
	if p.store != nil {
		err = errors.Join(err, p.store.Close())
	}
	for _, c := range p.clients {
		c.drain()
	}
	p.reading.Wait()
	if err == nil && p.broker != nil && p.broker.Stats().Panics > 0 {
		err = fmt.Errorf("%s:%d: the broker met a fault of its own: see its log", p.c.File, p.c.Line)
	}
	return err
}

func (p *player) step(s *step) error {
	switch s.verb {
	case ">":
		return p.send(s)
	case "<":
		return p.expect([]step{*s})
	case "any":
		return p.expectAny(s.more)
	case "silent":
		c := p.clients[s.client]
		if c == nil {
			return fmt.Errorf("%s has no connection", s.client)
		}
		if rest := c.rest(); rest != "" {
			return fmt.Errorf("\n\tgot:  %s < %s\n\twant: %s silent", s.client, rest, s.client)
		}
		return nil
	case "open":
		return p.open(s.client)
	case "close":
		c := p.clients[s.client]
		if c == nil {
			return fmt.Errorf("%s has no connection", s.client)
		}
		if rest := c.rest(); rest != "" {
			return fmt.Errorf("\n\tgot:  %s < %s\n\twant: nothing before the close", s.client, rest)
		}
		c.nc.Close()
		synctest.Wait()
		c.drain()
		delete(p.clients, s.client)
		return nil
	case "wait":
		d, err := time.ParseDuration(s.args[0])
		if err != nil {
			return err
		}
		time.Sleep(d)
		synctest.Wait()
		return nil
	case "restart":
		if err := p.stopBroker(); err != nil {
			return err
		}
		return p.start()
	}
	return p.different(s)
}

// different wants values that all differ.
func (p *player) different(s *step) error {
	seen := make(map[string]string)
	for _, arg := range s.args {
		v, ok := p.vars[strings.TrimPrefix(arg, "$")]
		if !ok {
			return fmt.Errorf("%s has no value yet", arg)
		}
		if other, dup := seen[v]; dup {
			return fmt.Errorf("%s and %s are both %s", other, arg, v)
		}
		seen[v] = arg
	}
	return nil
}

func (p *player) expand(name string) (string, bool) {
	v, ok := p.vars[name]
	return v, ok
}

// lockedBuffer is what many goroutines log to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
