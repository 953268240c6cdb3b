package modbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"headgate/gateway/point"
)

const (
	// maxPending writes wait in the adapter; the callers of the others wait outside.
	maxPending = 64

	// writesInARow go before a poll that is due gets its turn.
	writesInARow = 8
)

// Adapter polls the devices of one link, and writes to them. Make one with New.
type Adapter struct {
	name      string
	log       *slog.Logger
	timeout   time.Duration
	idleClose time.Duration // 0: never
	transport *transport
	units     []*unit
	devices   []*device
	counts    counts
	turns     atomic.Uint64 // of the loops of Run

	writes chan *write
	renew  chan struct{} // of Renew; has room for one

	// Of Run alone.
	emit     func(point.Update)
	pending  []*write // in the order in which they came
	queue    queue
	used     time.Time     // when the last request was over
	asleep   bool          // closed until the next request: see idleClose
	reopened bool          // since the last answer
	down     string        // why the link is; "" since the last answer
	trouble  uint64        // failures of the link since then
	backoff  time.Duration // the last one since then

	failedSince time.Time // when the first of them was

	mu     sync.Mutex    // guards what follows, and the devices' stats
	done   chan struct{} // closed when the Run under way ends; nil when there is none
	isOpen bool
	reason string
	opened uint64

	strangers map[uint8]*device // units that only tools have asked for
}

// New makes the adapter of one [[modbus]] table, to which SetDefaults has been
// applied and in which Check has found no fault. It opens nothing.
func New(cfg Config, log *slog.Logger) (*Adapter, error) {
	l, err := parseURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("modbus link %q: url %w", cfg.Name, err)
	}
	a := &Adapter{name: cfg.Name, log: log.With("link", cfg.Name), timeout: cfg.Timeout, idleClose: cfg.IdleClose, writes: make(chan *write), renew: make(chan struct{}, 1)}
	a.transport = newTransport(l, cfg, &a.counts)
	for _, c := range cfg.Device {
		if err := a.add(c); err != nil {
			return nil, fmt.Errorf("modbus link %q: device %q: %w", cfg.Name, c.Name, err)
		}
	}
	return a, nil
}

func (a *Adapter) add(c Device) error {
	if c.Unit == nil {
		return errors.New("it has no unit id")
	}
	limits, err := c.limits()
	if err != nil {
		return err
	}
	d := &device{name: c.Name, manufacturer: c.Manufacturer, model: c.Model, unit: a.unit(*c.Unit), timeout: c.Timeout, limits: limits, stats: DeviceStats{Name: c.Name, Unit: *c.Unit}}
	d.unit.client.delay = max(d.unit.client.delay, c.Delay)
	a.transport.settle = max(a.transport.settle, c.ConnectDelay)
	for _, p := range c.Point {
		f, err := newField(c, p)
		if err != nil {
			return err
		}
		if f.interval <= 0 {
			return fmt.Errorf("point %q: its interval is %v", p.Name, f.interval)
		}
		d.fields = append(d.fields, &f)
		if !f.readable {
			continue
		}
		g := d.group(f.interval)
		g.fields = append(g.fields, &f)
	}
	for i := range c.Setup {
		s, err := newSetup(c, c.Setup[i])
		if err != nil {
			return fmt.Errorf("setup %d: %w", i, err)
		}
		d.setup = append(d.setup, s)
	}
	d.unit.add(d, c.OfflineMisses, c.OfflineAfter)
	a.devices = append(a.devices, d)
	return nil
}

// unit gives the unit of that id, which is made the first time.
func (a *Adapter) unit(id byte) *unit {
	for _, u := range a.units {
		if u.id == id {
			return u
		}
	}
	u := newUnit(id, a.transport)
	a.units = append(a.units, u)
	return u
}

// Name gives the link's name.
func (a *Adapter) Name() string { return a.name }

// Devices gives the devices with their points, in the order of the config.
func (a *Adapter) Devices() []point.Device {
	var all []point.Device
	for _, d := range a.devices {
		p := point.Device{Name: d.name, Manufacturer: d.manufacturer, Model: d.model}
		for _, f := range d.fields {
			p.Points = append(p.Points, f.info())
		}
		all = append(all, p)
	}
	return all
}

// Run polls until ctx ends, and returns the error of ctx. A link that is not
// there is opened again and again. It must not run twice at a time.
func (a *Adapter) Run(ctx context.Context, emit func(point.Update)) error {
	a.emit = emit
	a.noTrouble()
	now := time.Now()
	for _, d := range a.devices {
		d.forget(now)
	}
	for _, u := range a.units {
		u.forget()
	}
	done := make(chan struct{})
	a.count(func() { a.done = done })
	defer func() {
		a.count(func() { a.done = nil })
		close(done)
		a.refuseAll("the link is stopping")
	}()
	for {
		a.turns.Add(1)
		err := a.opening(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.failed(err)
		if !a.pause(ctx) {
			return ctx.Err()
		}
	}
}

// serve makes the requests that are due, one after the other, until the link
// fails or ctx ends.
func (a *Adapter) serve(ctx context.Context) error {
	a.queue, a.used = queue{}, time.Now()
	for _, d := range a.devices {
		d.start(time.Now())
	}
	row := 0
	for ctx.Err() == nil {
		a.turns.Add(1)
		if err := a.renewed(ctx); err != nil {
			return err
		}
		a.takeWrites()
		now := time.Now()
		due := a.release(now)
		at, free := a.queue.first(now)
		var w *write
		var ready time.Time
		if row < writesInARow || at < 0 {
			w, ready = a.nextWrite(now)
		}
		var err error
		switch {
		case w != nil:
			row++
			err = a.doWrite(ctx, w)
			a.used = time.Now()
		case at >= 0:
			row = 0
			err = a.doRead(ctx, a.queue.take(at))
			a.used = time.Now()
		default:
			wait := idleCheck
			if !due.IsZero() {
				wait = min(wait, due.Sub(now))
			}
			if !free.IsZero() {
				wait = min(wait, free.Sub(now))
			}
			if len(a.pending) > 0 {
				wait = min(wait, ready.Sub(now))
			}
			err = a.idle(ctx, wait)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// release puts into the queue what is due now, and gives when more will be; the
// zero Time if nothing ever is.
func (a *Adapter) release(now time.Time) (next time.Time) {
	for _, d := range a.devices {
		reads, merged := d.release(now, a.transport.cost(d.unit.turnaround, d.unit.client.delay))
		a.queue.add(reads...)
		if merged > 0 {
			a.count(func() { d.stats.Merged += merged })
		}
		for _, g := range d.groups {
			if next.IsZero() || g.due.Before(next) {
				next = g.due
			}
		}
	}
	return next
}
