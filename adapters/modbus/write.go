package modbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"headgate/gateway/point"
)

// write is one command on its way.
type write struct {
	ctx     context.Context // of the caller
	device  *device
	field   *field
	change  change
	request *checkedRequest // a tool's, in place of field and change
	setup   bool            // nobody's: see setUp
	result  chan written    // takes one without waiting
}

// written is what a write has come to.
type written struct {
	value  point.Value
	answer Answer // of a tool's request
	err    error
}

func (w *write) finish(v point.Value, err error) { w.result <- written{value: v, err: err} }

// Write writes a point, and gives what the device says stands there then; the
// zero Value if it has acknowledged the write but refuses to be asked, or must not be. It goes
// before the polls that wait. The error wraps point.ErrRefused (nothing was
// sent), ErrException, ErrTimeout (it may have been done) or ErrOffline
// (nothing was sent). It may be called from any goroutine; without a deadline
// in ctx it takes a few timeouts at most.
func (a *Adapter) Write(ctx context.Context, cmd point.Command) (point.Value, error) {
	w, err := a.prepare(cmd)
	if err != nil {
		return point.Value{}, err
	}
	done := a.hand(ctx, w)
	return done.value, done.err
}

// hand hands a write to Run and waits for what comes of it.
func (a *Adapter) hand(ctx context.Context, w *write) written {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		// One request under way, a quarantine, the write and its read-back, and
		// a connection that is opened between.
		ctx, cancel = context.WithTimeout(ctx, 8*max(w.device.timeout, leastQuarantine)+2*dialTimeout)
		defer cancel()
	}
	w.ctx = ctx
	a.mu.Lock()
	done := a.done
	a.mu.Unlock()
	if done == nil {
		return written{err: a.offlineError(w, "the link is not running")}
	}
	select {
	case a.writes <- w:
	case <-done:
		return written{err: a.offlineError(w, "the link is stopping")}
	case <-ctx.Done():
		return written{err: fmt.Errorf("%s: %w: nothing was sent: %w", a.what(w), point.ErrTimeout, ctx.Err())}
	}
	select {
	case r := <-w.result:
		return r
	case <-ctx.Done():
		return written{err: fmt.Errorf("%s: %w: %w", a.what(w), point.ErrTimeout, ctx.Err())}
	}
}

// prepare checks all that can be checked without the device.
func (a *Adapter) prepare(cmd point.Command) (*write, error) {
	for _, d := range a.devices {
		if d.name != cmd.Device {
			continue
		}
		for _, f := range d.fields {
			if f.name != cmd.Point {
				continue
			}
			if !f.writable {
				return nil, fmt.Errorf("%w: point %s of %s is read only: its access is \"r\"", point.ErrRefused, f.name, d.name)
			}
			c, err := f.encode(cmd.Value)
			if err != nil {
				return nil, fmt.Errorf("%w: point %s of %s: %w", point.ErrRefused, f.name, d.name, err)
			}
			return &write{device: d, field: f, change: c, result: make(chan written, 1)}, nil
		}
		return nil, fmt.Errorf("%w: device %s has no point %q", point.ErrRefused, d.name, cmd.Point)
	}
	return nil, fmt.Errorf("%w: there is no device %q on %s", point.ErrRefused, cmd.Device, a.name)
}

// what names a write for its errors.
func (a *Adapter) what(w *write) string {
	if w.request != nil {
		return w.request.what() + " on " + a.name
	}
	return fmt.Sprintf("write %s of unit %d on %s", w.field.register.table.span(w.field.register.address, w.field.size()), w.device.unit.id, a.name)
}

func (a *Adapter) offlineError(w *write, reason string) error {
	return fmt.Errorf("%s: %w: %s", a.what(w), point.ErrOffline, reason)
}

// refuseAll answers all writes that wait: they cannot be sent.
func (a *Adapter) refuseAll(reason string) {
	for _, w := range a.pending {
		w.finish(point.Value{}, a.offlineError(w, reason))
	}
	a.pending = nil
}

// takeWrites takes the writes whose callers wait, as far as there is room.
func (a *Adapter) takeWrites() {
	for len(a.pending) < maxPending {
		select {
		case w := <-a.writes:
			a.pending = append(a.pending, w)
		default:
			return
		}
	}
}

// nextWrite gives the first write that may be sent now, to whose unit no other
// waits before it; nil if there is none, then ready is when there will be. It
// waits on until doWrite takes it.
func (a *Adapter) nextWrite(now time.Time) (w *write, ready time.Time) {
	for _, w := range a.pending {
		at := w.device.unit.notBefore
		// A unit that is away is only waited for until no late answer can
		// come any more: a command is worth a try.
		if u := w.device.unit; u.away() {
			if safe := u.lastMissed.Add(max(w.device.timeout, leastQuarantine)); safe.Before(at) {
				at = safe
			}
		}
		if !at.After(now) || w.ctx.Err() != nil {
			return w, now
		}
		if ready.IsZero() || at.Before(ready) {
			ready = at
		}
	}
	return nil, ready
}

// doWrite writes, reads back and answers. The error is that of the link or of
// ctx.
func (a *Adapter) doWrite(ctx context.Context, w *write) error {
	a.pending = slices.DeleteFunc(a.pending, func(other *write) bool { return other == w })
	if w.ctx.Err() != nil {
		w.finish(point.Value{}, fmt.Errorf("%s: %w: nothing was sent: %w", a.what(w), point.ErrTimeout, w.ctx.Err()))
		return nil
	}
	switch {
	case w.request != nil:
		return a.doRequest(ctx, w)
	case w.setup:
		return a.doSetup(ctx, w)
	}
	d, f, u := w.device, w.field, w.device.unit
	sent := time.Now()
	err := a.exchange(ctx, false, func() error {
		sent = time.Now()
		return u.client.apply(ctx, d.timeout, w.change)
	})
	if err != nil {
		return a.writeFailed(ctx, w, sent, err)
	}
	a.count(func() { d.stats.Writes++ })
	a.outcome(u, d, time.Now(), time.Since(sent), nil)
	if !f.readable {
		w.finish(point.Value{}, nil)
		return nil
	}
	var data []byte
	err = a.exchange(ctx, true, func() (err error) {
		sent = time.Now()
		data, err = u.client.read(ctx, d.timeout, f.register.table, f.register.address, f.size())
		return err
	})
	now := time.Now()
	var refused exception
	switch {
	case errors.As(err, &refused) && !isSilence(err):
		// A register that can only be written: the write itself was acknowledged.
		a.outcome(u, d, now, now.Sub(sent), err)
		w.finish(point.Value{}, nil)
		return nil
	case err != nil:
		return a.writeFailed(ctx, w, sent, fmt.Errorf("the device has acknowledged it, but reading it back failed: %w", err))
	}
	a.outcome(u, d, now, now.Sub(sent), nil)
	s := f.sample(data, f.register.address, now)
	if s.Quality != point.Good { // a good one is the caller's to publish
		a.emit(point.Update{Device: d.name, Samples: []point.Sample{s}})
	}
	w.finish(s.Value, nil)
	return nil
}

// writeFailed answers a write that failed.
func (a *Adapter) writeFailed(ctx context.Context, w *write, sent time.Time, err error) error {
	u, now := w.device.unit, time.Now()
	if ctx.Err() != nil {
		w.finish(point.Value{}, fmt.Errorf("%s: %w: the link is stopping", a.what(w), point.ErrTimeout))
		return ctx.Err()
	}
	w.finish(point.Value{}, fmt.Errorf("%s: %w", a.what(w), err))
	if isLink(err) {
		return err
	}
	// A connection that failed and could be opened again says nothing of the unit.
	var e exception
	var wrong *wrongAnswer
	if isSilence(err) || errors.As(err, &e) || errors.As(err, &wrong) {
		a.outcome(u, w.device, now, now.Sub(sent), err)
	}
	return nil
}
