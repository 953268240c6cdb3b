package modbus

import (
	"context"
	"fmt"
	"time"

	"headgate/gateway/point"
)

// Probe is a link that a tool has opened for itself, where no gateway runs. It is
// used by one goroutine.
type Probe struct {
	link      link
	timeout   time.Duration
	transport *transport
	units     map[uint8]*unit
	counts    counts
}

// Open opens the link of a [[modbus]] table, whose devices do not matter.
func Open(ctx context.Context, cfg Config) (*Probe, error) {
	cfg.SetDefaults()
	l, err := parseURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("url %w", err)
	}
	p := &Probe{link: l, timeout: cfg.Timeout, units: map[uint8]*unit{}}
	p.transport = newTransport(l, cfg, &p.counts)
	if err := p.transport.open(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Close closes the link.
func (p *Probe) Close() { p.transport.close() }

// Do makes one request. The error wraps what that of Adapter.Do does. A unit that
// has not answered is left alone until its answer can no longer come, and a link
// that has failed is opened again.
func (p *Probe) Do(ctx context.Context, r Request) (Answer, error) {
	q, err := r.prepare(p.link)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", point.ErrRefused, err)
	}
	u := p.units[q.Unit]
	if u == nil {
		u = newUnit(q.Unit, p.transport)
		p.units[q.Unit] = u
	}
	if err := wait(ctx, time.Until(u.notBefore)); err != nil {
		return Answer{}, err
	}
	a, err := q.make(ctx, u.client, p.timeout)
	if err == nil {
		return a, nil
	}
	switch {
	case isSilence(err) && p.transport.lateAnswers():
		u.notBefore = time.Now().Add(max(p.timeout, leastQuarantine))
	case isLink(err):
		p.transport.close()
		if e := p.transport.open(ctx); e != nil {
			err = fmt.Errorf("%w: %w", err, e)
		}
	}
	return Answer{}, fmt.Errorf("%s: %w", q.what(), err)
}

// Do makes one request on the link of a gateway that runs, between its polls. The
// error wraps point.ErrRefused (it makes no sense), ErrException, ErrTimeout or
// ErrOffline. It may be called from any goroutine.
func (a *Adapter) Do(ctx context.Context, r Request) (Answer, error) {
	q, err := r.prepare(a.transport.link)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", point.ErrRefused, err)
	}
	w := &write{device: a.anyDevice(q.Unit), request: &q, result: make(chan written, 1)}
	done := a.hand(ctx, w)
	return done.answer, done.err
}

// anyDevice gives a device of the unit, or a nameless one for a unit that the
// config does not have.
func (a *Adapter) anyDevice(id uint8) *device {
	for _, d := range a.devices {
		if d.unit.id == id {
			return d
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.strangers[id] == nil {
		if a.strangers == nil {
			a.strangers = map[uint8]*device{}
		}
		a.strangers[id] = &device{timeout: a.timeout, unit: newUnit(id, a.transport)}
	}
	return a.strangers[id]
}

// doRequest makes a tool's request. The error is that of the link or of ctx.
func (a *Adapter) doRequest(ctx context.Context, w *write) error {
	u := w.device.unit
	sent := time.Now()
	var answer Answer
	err := a.exchange(ctx, w.request.Write == nil, func() (err error) {
		sent = time.Now()
		answer, err = w.request.make(ctx, u.client, w.device.timeout)
		return err
	})
	if err != nil {
		return a.writeFailed(ctx, w, sent, err)
	}
	w.result <- written{answer: answer}
	a.outcome(u, w.device, time.Now(), time.Since(sent), nil)
	return nil
}
