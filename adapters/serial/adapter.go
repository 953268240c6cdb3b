// Package serial talks to devices on a serial line, such as scales, readers and
// instruments: it cuts what comes into messages (framer), makes points of them
// (parser), and watches over silence and over the port itself (listener). It asks
// those that do not talk by themselves (asker), and sends what commands say
// (Write), one at a time on the line (exchange). The port is opened by
// adapters/port; what bytes mean is adapters/datatype's; cmd/headgate makes one
// Adapter of each [[serial]] table and the gateway's pump runs it.
package serial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"headgate/adapters/port"
	"headgate/gateway/point"
)

// A port that cannot be opened, or is lost, is opened again after firstBackoff,
// then after twice that and so on up to maxBackoff, until something comes. Once
// it has been open for settled its trouble is over.
const (
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = time.Second
	settled      = 2 * time.Second
)

// scheme is that of the URL of a serial port.
const scheme = "serial"

// Adapter listens to one device. Make one with New.
type Adapter struct {
	name    string
	address port.Address

	manufacturer, model string

	points   []point.Info
	listener *listener
	asker    *asker
	log      *slog.Logger

	raw           bool // bytes are taken as they are
	templates     map[string]template
	writeInterval time.Duration
	wroteAt       time.Time // of Write alone

	port   atomic.Pointer[port.Port] // nil while it is not open
	sentAt atomic.Int64              // ns since 1970
	turn   chan struct{}             // full while somebody uses the line
	turns  atomic.Uint64             // of the loop of Run
	late   time.Time                 // until then an answer may be a late one; of who has the turn

	// Of Run alone.
	backoff time.Duration
	trouble uint64 // failures since the port last was well
	cause   error  // of those, what has been logged that is not over by itself
}

// Stats is one adapter as it stands. The counts are since the start.
type Stats struct {
	Open      bool   // the port is open
	Opened    uint64 // how often it was opened
	Bytes     uint64 // that came
	Messages  uint64 // of a length within frame.max
	Unmatched uint64 // of those, messages that parse did not match
	Sent      uint64 // requests, commands and all else that was sent
	Timeouts  uint64 // of those, such as had no answer in time
	Late      uint64 // messages that were dropped as answers that came too late
	TooLong   uint64 // messages that were longer, and dropped

	BadChecksum uint64 // messages with a wrong one, dropped
	Broken      uint64 // messages that were cut off, or not framed as they should be, dropped
}

// New makes the adapter of one [[serial]] table, to which SetDefaults has been
// applied and in which Check has found no fault. It opens nothing.
func New(cfg Config, log *slog.Logger) (*Adapter, error) {
	address, err := port.ParseURL(cfg.URL, scheme)
	if err != nil {
		return nil, fmt.Errorf("serial device %q: url %w", cfg.Name, err)
	}
	var p *parser
	if !cfg.Parse.empty() {
		if p, err = newParser(cfg); err != nil {
			return nil, fmt.Errorf("serial device %q: parse.regexp %w", cfg.Name, err)
		}
	}
	f, err := newFramer(cfg.Frame)
	if err != nil {
		return nil, fmt.Errorf("serial device %q: %w", cfg.Name, err)
	}
	log = log.With("device", cfg.Name, "path", address.Path)
	a := &Adapter{
		name: cfg.Name, manufacturer: cfg.Manufacturer, model: cfg.Model, address: address, log: log, turn: make(chan struct{}, 1),
		raw: cfg.Set || cfg.Transparent, templates: map[string]template{}, writeInterval: cfg.WriteInterval,
	}
	if a.asker, err = newAsker(a, cfg, log); err != nil {
		return nil, fmt.Errorf("serial device %q: %w", cfg.Name, err)
	}
	var others []*parser
	for _, r := range a.asker.requests {
		others = append(others, r.parser)
	}
	a.listener = newListener(cfg, p, others, f, log)
	return a, a.addPoints(cfg)
}

// addPoints lists the points: those that are heard, and those that are only set.
func (a *Adapter) addPoints(cfg Config) error {
	for _, f := range a.listener.fields {
		a.points = append(a.points, f.info(cfg.StaleAfter))
	}
	if cfg.Transparent {
		a.points = append(a.points, point.Info{Name: rawPoint, Raw: true})
	}
	for _, c := range cfg.Points {
		if c.Set == nil {
			continue
		}
		t, err := newTemplate(c)
		if err != nil {
			return fmt.Errorf("serial device %q: point %q: set.send %w", cfg.Name, c.Name, err)
		}
		a.templates[c.Name] = t
		i := slices.IndexFunc(a.points, func(p point.Info) bool { return p.Name == c.Name })
		if i < 0 {
			i = len(a.points)
			f := newField(c)
			info := f.info(0)
			info.WriteOnly = true
			a.points = append(a.points, info)
		}
		a.points[i].Writable = true
	}
	return nil
}

// lastSent is when something was last sent.
func (a *Adapter) lastSent() time.Time { return time.Unix(0, a.sentAt.Load()) }

// Name gives the device's name.
func (a *Adapter) Name() string { return a.name }

// Devices gives the one device, with a point for each named group, and for each
// that can be set.
func (a *Adapter) Devices() []point.Device {
	return []point.Device{{Name: a.name, Points: a.points, Raw: a.raw, Manufacturer: a.manufacturer, Model: a.model}}
}

// Stats gives the adapter as it stands. It may be called at any time.
func (a *Adapter) Stats() Stats {
	a.listener.mu.Lock()
	defer a.listener.mu.Unlock()
	return a.listener.stats
}

// Turns counts how often the goroutine that owns the line has looked whether there is
// something to do: once a second at least, whatever the line says.
func (a *Adapter) Turns() uint64 { return a.turns.Load() }

// Run listens until ctx ends, and returns the error of ctx. A port that is not
// there is opened again and again.
func (a *Adapter) Run(ctx context.Context, emit func(point.Update)) error {
	a.backoff, a.trouble, a.cause = firstBackoff, 0, nil
	a.listener.begin(time.Now(), emit)
	for {
		err := a.listen(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.lost(err)
		if !a.pause(ctx) {
			return ctx.Err()
		}
	}
}

// listen opens the port and listens to it until that fails, or ctx ends.
func (a *Adapter) listen(ctx context.Context) error {
	p, err := port.Open(a.address.Path, a.address.Mode)
	if err != nil {
		return err
	}
	a.address.Path = port.Identity(a.address.Path)
	opened := time.Now()
	a.listener.open(opened)
	asking, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	a.port.Store(p)
	running.Go(func() { a.asker.run(asking, p) })
	defer func() {
		a.port.Store(nil)
		cancel()
		p.Close()
		running.Wait()
		a.listener.count(func(s *Stats) { s.Open = false })
	}()
	// Contexts and timers for each read would cost more than what is read.
	stop := context.AfterFunc(ctx, func() { p.Close() })
	defer stop()
	buffer := make([]byte, 4096)
	var wake time.Time
	gathering := newGathering()
	defer gathering.timer.Stop()
	for {
		a.turns.Add(1)
		now := time.Now()
		if due := now.Add(a.listener.tick(now, time.Second)); !wake.After(now) || due.Before(wake) {
			wake = due
		}
		n, err := p.ReadBy(wake, buffer)
		if errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
		now = time.Now()
		if n > 0 {
			a.backoff = firstBackoff
			a.listener.take(now, buffer[:n])
			if d := gathering.next(now, n); d > 0 && a.listener.patient() && gathering.wait(ctx, d) != nil {
				return ctx.Err()
			}
		}
		if err != nil {
			return err
		}
		if now.Sub(opened) >= settled {
			a.well()
		}
	}
}

// lost notes that the port could not be opened, or went away. It is logged once, and
// once more where somebody has to do something before it can be opened.
func (a *Adapter) lost(err error) {
	a.listener.lost(time.Now(), err.Error())
	a.trouble++
	var cause error
	for _, c := range []error{fs.ErrPermission, port.ErrBusy} {
		if errors.Is(err, c) {
			cause = c
		}
	}
	if a.trouble > 1 && (cause == nil || cause == a.cause) {
		return
	}
	a.cause = cause
	a.log.Warn("serial port is not open, and is tried again", "err", port.WithHolder(err, a.address.Path))
}

// well notes that the port has been open for a while.
func (a *Adapter) well() {
	if a.trouble > 0 {
		a.log.Info("serial port is open again", "count", a.trouble)
	}
	a.trouble, a.cause = 0, nil
}

// pause waits before the port is tried again; it is false when ctx has ended.
// Values grow stale meanwhile as ever.
func (a *Adapter) pause(ctx context.Context) bool {
	end := time.Now().Add(a.backoff)
	a.backoff = min(2*a.backoff, maxBackoff)
	for {
		a.turns.Add(1)
		now := time.Now()
		if !now.Before(end) {
			return true
		}
		timer := time.NewTimer(a.listener.tick(now, end.Sub(now)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}
