// Package serial listens to devices that talk on a serial line by themselves,
// such as scales and readers: it cuts what comes into messages (lineFramer),
// makes points of them (parser), and watches over silence and over the port
// itself (listener). It asks devices nothing and sends them nothing. The port
// is opened by adapters/port; cmd/headgate makes one Adapter of each [[serial]]
// table and the gateway's pump runs it.
package serial

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	name     string
	address  port.Address
	points   []point.Info
	listener *listener
	log      *slog.Logger

	// Of Run alone.
	backoff time.Duration
	trouble uint64 // failures since the port last was well
}

// Stats is one adapter as it stands. The counts are since the start.
type Stats struct {
	Open      bool   // the port is open
	Opened    uint64 // how often it was opened
	Bytes     uint64 // that came
	Messages  uint64 // of a length within frame.max
	Unmatched uint64 // of those, messages that parse.regexp did not match
	TooLong   uint64 // messages that were longer, and dropped
}

// New makes the adapter of one [[serial]] table, to which SetDefaults has been
// applied and in which Check has found no fault. It opens nothing.
func New(cfg Config, log *slog.Logger) (*Adapter, error) {
	address, err := port.ParseURL(cfg.URL, scheme)
	if err != nil {
		return nil, fmt.Errorf("serial device %q: url %w", cfg.Name, err)
	}
	p, err := newParser(cfg)
	if err != nil {
		return nil, fmt.Errorf("serial device %q: parse.regexp %w", cfg.Name, err)
	}
	log = log.With("device", cfg.Name, "path", address.Path)
	a := &Adapter{name: cfg.Name, address: address, listener: newListener(cfg, p, log), log: log}
	for _, f := range p.fields {
		a.points = append(a.points, point.Info{Name: f.Name, Unit: f.Unit, Report: f.Report})
	}
	return a, nil
}

// Name gives the device's name.
func (a *Adapter) Name() string { return a.name }

// Devices gives the one device, with a point for each named group.
func (a *Adapter) Devices() []point.Device {
	return []point.Device{{Name: a.name, Points: a.points}}
}

// Stats gives the adapter as it stands. It may be called at any time.
func (a *Adapter) Stats() Stats {
	a.listener.mu.Lock()
	defer a.listener.mu.Unlock()
	return a.listener.stats
}

// Write refuses: this version only reads serial lines.
func (a *Adapter) Write(_ context.Context, cmd point.Command) (point.Value, error) {
	return point.Value{}, fmt.Errorf("%w: %s is on a serial line, and this version only reads those", point.ErrRefused, cmd.Device)
}

// Run listens until ctx ends, and returns the error of ctx. A port that is not
// there is opened again and again.
func (a *Adapter) Run(ctx context.Context, emit func(point.Update)) error {
	a.backoff, a.trouble = firstBackoff, 0
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
	defer func() {
		p.Close()
		a.listener.count(func(s *Stats) { s.Open = false })
	}()
	buffer := make([]byte, 4096)
	for {
		wait := a.listener.tick(time.Now(), time.Second)
		n, err := read(ctx, p, buffer, wait)
		now := time.Now()
		if n > 0 {
			a.backoff = firstBackoff
			a.listener.take(now, buffer[:n])
		}
		if err != nil {
			return err
		}
		if now.Sub(opened) >= settled {
			a.well()
		}
	}
}

// read reads what comes within wait; that nothing comes is no error.
func read(ctx context.Context, p *port.Port, b []byte, wait time.Duration) (int, error) {
	within, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	n, err := p.Read(within, b)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = nil
	}
	return n, err
}

// lost notes that the port could not be opened, or went away.
func (a *Adapter) lost(err error) {
	a.listener.lost(time.Now(), err.Error())
	a.trouble++
	if a.trouble == 1 {
		a.log.Warn("serial port is not open, and is tried again", "err", err)
	}
}

// well notes that the port has been open for a while.
func (a *Adapter) well() {
	if a.trouble > 0 {
		a.log.Info("serial port is open again", "count", a.trouble)
	}
	a.trouble = 0
}

// pause waits before the port is tried again; it is false when ctx has ended.
// Values grow stale meanwhile as ever.
func (a *Adapter) pause(ctx context.Context) bool {
	end := time.Now().Add(a.backoff)
	a.backoff = min(2*a.backoff, maxBackoff)
	for {
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
