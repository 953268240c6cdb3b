package modbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"headgate/gateway/point"
)

// doRead makes one read and emits what came of it. The error is that of the link
// or of ctx.
func (a *Adapter) doRead(ctx context.Context, r *read) error {
	d, u := r.device, r.device.unit
	var data []byte
	var sent time.Time
	err := a.exchange(ctx, true, func() (err error) {
		sent = time.Now()
		data, err = u.client.read(ctx, d.timeout, r.table, r.address, r.count)
		return err
	})
	now := time.Now()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.done()
	a.count(func() {
		if err != nil {
			d.stats.Failed++
		} else {
			d.stats.Reads++
		}
	})
	if isLink(err) {
		return err
	}
	u.asked = now
	if !isSilence(err) {
		a.count(func() { d.polls.add(now.Sub(sent)) })
	}
	a.outcome(u, d, now, now.Sub(sent), err)
	switch {
	case err != nil && r.again(now, err):
		a.log.Debug("a read is made once more", "device", d.name, "register", r.String(), "err", err)
		// As if it had become due now: what else the unit has may show that it is there.
		r.deadline = now.Add(r.fields[0].interval / 2)
		a.queue.add(r)
		return nil
	case err != nil:
		a.readFailed(r, now, err)
		return nil
	}
	u.turnaround = average(u.turnaround, a.transport.turnaround)
	a.count(func() { d.stats.Turnaround = u.turnaround })
	d.gave(r, now)
	a.failing(r, nil)
	samples := make([]point.Sample, 0, len(r.fields))
	for _, f := range r.fields {
		samples = append(samples, f.sample(data, r.address, now))
	}
	a.emit(point.Update{Device: d.name, Samples: samples})
	return nil
}

// readFailed says that the points of a read are bad, unless it can be found out
// which of them are.
func (a *Adapter) readFailed(r *read, now time.Time, err error) {
	d := r.device
	if halves := d.refused(r, err, now); halves != nil {
		a.log.Debug("a read is cut in two", "device", d.name, "register", r.String(), "err", err)
		a.queue.add(halves...)
		return
	}
	err = fmt.Errorf("read %s of unit %d on %s: %w", r, d.unit.id, a.name, err)
	a.failing(r, err)
	// A unit that is offline has had all its points made bad already, once.
	if d.unit.presence != offline || !isSilence(err) {
		a.emit(point.Update{Device: d.name, Samples: bad(r.fields, now, err.Error())})
	}
}

// sample is what the point says, of data that was read from address start of
// its table on: registers as they came, or bits packed low bit first.
func (f *field) sample(data []byte, start uint16, now time.Time) point.Sample {
	s := point.Sample{Point: f.name, Unit: f.unit, Time: now}
	at := int(f.register.address) - int(start)
	if f.register.table.isBits() {
		data = []byte{data[at/8] >> (at % 8) & 1}
	} else {
		data = data[2*at : 2*(at+f.size())]
	}
	v, err := f.decode(data)
	if err != nil {
		s.Quality, s.Reason = point.Bad, err.Error()
	} else {
		s.Value = v
	}
	return s
}

// bad is a sample without a value for each point that can have one.
func bad(fields []*field, now time.Time, reason string) []point.Sample {
	samples := make([]point.Sample, 0, len(fields))
	for _, f := range fields {
		if !f.readable {
			continue
		}
		samples = append(samples, point.Sample{Point: f.name, Unit: f.unit, Quality: point.Bad, Reason: reason, Time: now})
	}
	return samples
}

// outcome notes what a request to a unit has come to: an answer, if only an
// exception, or none. When that changes whether the unit is online its devices
// are told to be.
func (a *Adapter) outcome(u *unit, d *device, now time.Time, took time.Duration, err error) {
	silent := isSilence(err)
	a.count(func() {
		var e exception
		if errors.As(err, &e) {
			d.stats.Exceptions++
		}
		if silent {
			d.stats.Timeouts++
		} else {
			d.stats.LastAnswer, d.stats.RoundTrip = now, average(d.stats.RoundTrip, took)
		}
	})
	if silent {
		var late time.Duration
		if a.transport.lateAnswers() {
			late = max(d.timeout, leastQuarantine)
		}
		changed := u.missed(now, late)
		if u.away() && a.someAnswer() {
			a.queue.probed(now, took)
		}
		if changed {
			reason := fmt.Sprintf("unit %d on %s does not answer: %v", u.id, a.name, err)
			a.log.Debug("unit is offline", "device", d.name, "unit", u.id, "reason", reason)
			for _, d := range u.devices {
				a.offline(d, now, reason)
			}
		}
		return
	}
	a.well()
	before := u.presence
	if !u.answered() {
		return
	}
	if before == offline {
		a.log.Debug("unit is online again", "device", d.name, "unit", u.id)
	}
	for _, d := range u.devices {
		d.known.wake(now)
		d.replan(now)
		a.setUp(d)
		a.count(func() { d.stats.Online, d.stats.Reason = true, "" })
		a.emit(point.Update{Device: d.name, Status: &point.Status{Online: true, Time: now}})
	}
}

// someAnswer says whether there is a unit on the link that is not away.
func (a *Adapter) someAnswer() bool {
	return slices.ContainsFunc(a.units, func(u *unit) bool { return !u.away() })
}

// offline tells that the device is, and that all its points are bad.
func (a *Adapter) offline(d *device, now time.Time, reason string) {
	a.count(func() { d.stats.Online, d.stats.Reason = false, reason })
	a.emit(point.Update{
		Device:  d.name,
		Status:  &point.Status{Reason: reason, Time: now},
		Samples: bad(d.fields, now, reason),
	})
}

// failing logs when a device begins to answer a read with an error, and when it
// ends. Silence is logged with the unit.
func (a *Adapter) failing(r *read, err error) {
	is, was := err != nil && !isSilence(err), r.device.failing[r.span()]
	switch {
	case is && !was:
		r.device.failing[r.span()] = true
		a.log.Warn("registers cannot be read", "device", r.device.name, "register", r.String(), "err", err)
	case err == nil && was:
		delete(r.device.failing, r.span())
		a.log.Info("registers can be read again", "device", r.device.name, "register", r.String())
	}
}
