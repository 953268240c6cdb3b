// Package derived computes points from others: the power from voltage and current,
// the sum over devices, a total from a rate, a mean over a quarter of an hour; and
// alarms, that are true while something is wrong. All [[derived]] tables are one
// Adapter, so that what is computed from what was computed belongs to the same
// reading. The pump shows it each sample of the other adapters (Observe) and the
// messages of others that it asks for (Hear); the expressions are
// gateway/expression's. It opens nothing but its file of totals.
package derived

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"headgate/gateway/expression"
	"headgate/gateway/point"
)

const (
	// patience is how long an input may say nothing after the start before what needs
	// it is bad: devices are read one after the other.
	patience = 10 * time.Second

	// tick is how often what changes while nothing comes is computed.
	tick = time.Second

	// keepInterval is how often totals are written at most.
	keepInterval = time.Minute

	maxPayload = 64 << 10 // bytes of a message
)

// Adapter computes the points of all [[derived]] tables. Make one with New.
type Adapter struct {
	*model
	devices []point.Device
	needs   map[pointName]expression.Type // of other adapters
	inbox   *inbox
	file    keptFile
	log     *slog.Logger

	// Of Run alone.
	emit    func(point.Update)
	began   time.Time
	loaded  bool
	dropped uint64
}

// New makes the adapter of the [[derived]] tables, to which SetDefaults has been
// applied; devices are those of all other adapters. path is the file in which
// totals outlive a restart. It is not opened yet.
func New(tables []Config, devices []point.Device, path string, log *slog.Logger) (*Adapter, error) {
	var faults []error
	m := compile(tables, devices, func(table int, key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("derived device %q: %s: %s", tables[table].Name, key, fmt.Sprintf(format, args...)))
	})
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	a := &Adapter{model: m, needs: m.used(typesOf(devices)), inbox: newInbox(), file: keptFile{path: path}, log: log}
	for _, t := range tables {
		d := point.Device{Name: t.Name}
		for _, p := range t.Points {
			d.Points = append(d.Points, m.infoOf(pointName{t.Name, p.Name}))
		}
		for _, al := range t.Alarms {
			d.Points = append(d.Points, m.infoOf(pointName{t.Name, al.Name}))
		}
		a.devices = append(a.devices, d)
	}
	return a, nil
}

// infoOf gives what is known of a point that is computed.
func (m *model) infoOf(name pointName) point.Info {
	i := slices.IndexFunc(m.formulas, func(f *formula) bool { return f.name == name })
	return m.formulas[i].info
}

// Fits says whether it computes the same, were these the devices of all other adapters.
func (a *Adapter) Fits(devices []point.Device) bool {
	types := typesOf(devices)
	for name, t := range a.needs {
		if now, ok := types[name]; !ok || now != t {
			return false
		}
	}
	return true
}

// typesOf gives the points that can be computed with.
func typesOf(devices []point.Device) map[pointName]expression.Type {
	types := map[pointName]expression.Type{}
	for _, d := range devices {
		for _, p := range d.Points {
			if !p.Raw {
				types[pointName{d.Name, p.Name}] = expression.OfKind(p.Kind)
			}
		}
	}
	return types
}

// used gives those of the points that the formulas use.
func (m *model) used(types map[pointName]expression.Type) map[pointName]expression.Type {
	used := map[pointName]expression.Type{}
	for name := range m.slots {
		if t, ok := types[name]; ok {
			used[name] = t
		}
	}
	return used
}

// Name names it in logs.
func (a *Adapter) Name() string { return "derived" }

// Devices gives one device for each table.
func (a *Adapter) Devices() []point.Device { return a.devices }

// Write refuses: what is computed cannot be set.
func (a *Adapter) Write(context.Context, point.Command) (point.Value, error) {
	return point.Value{}, fmt.Errorf("%w: the point is computed", point.ErrRefused)
}

// Observe takes what another adapter says. It does not block.
func (a *Adapter) Observe(u point.Update) {
	var n news
	for i := range u.Samples {
		if slot, ok := a.slots[pointName{u.Device, u.Samples[i].Point}]; ok && !a.own(u.Device) {
			n.slots, n.samples = append(n.slots, slot), append(n.samples, u.Samples[i])
		}
	}
	if u.Status != nil && !u.Status.Online && !a.own(u.Device) {
		n.device, n.offline = u.Device, "device is offline"
		if u.Status.Reason != "" {
			n.offline += ": " + u.Status.Reason
		}
		n.at = u.Status.Time
	}
	if len(n.slots) > 0 || n.offline != "" {
		a.inbox.put(n)
	}
}

func (a *Adapter) own(device string) bool {
	return slices.ContainsFunc(a.devices, func(d point.Device) bool { return d.Name == device })
}

// Topics are those of the messages that it wants to Hear.
func (a *Adapter) Topics() []string {
	var topics []string
	for _, t := range a.topics {
		if !slices.Contains(topics, t.topic) {
			topics = append(topics, t.topic)
		}
	}
	return topics
}

// Hear takes a message of others. It does not block, and does not change payload.
func (a *Adapter) Hear(topic string, payload []byte) {
	now := time.Now()
	if len(payload) > maxPayload {
		payload = payload[:maxPayload+1] // so that it is told
	}
	for i := range a.topics {
		if a.topics[i].topic == topic {
			a.inbox.put(news{topic: i, payload: append([]byte{}, payload...), at: now})
		}
	}
}

// Run computes until ctx ends, and returns the error of ctx.
func (a *Adapter) Run(ctx context.Context, emit func(point.Update)) error {
	a.emit, a.began = emit, time.Now()
	if !a.loaded {
		a.load()
		a.loaded = true
	}
	for _, d := range a.devices {
		emit(point.Update{Device: d.Name, Status: &point.Status{Online: true, Time: a.began}})
	}
	defer a.save(time.Now)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.inbox.wake:
		case <-timer.C:
		}
		list, dropped := a.inbox.take()
		if dropped > a.dropped {
			if a.dropped == 0 {
				a.log.Warn("values come faster than derived points are computed, and the oldest are left out", "count", dropped)
			}
			a.dropped = dropped
		}
		for i := range list {
			a.take(&list[i])
		}
		now := time.Now()
		a.tick(now)
		if now.Sub(a.file.written) >= keepInterval {
			a.save(time.Now)
		}
		timer.Reset(a.until(time.Now()))
	}
}

// until is how long nothing changes if nothing comes.
func (a *Adapter) until(now time.Time) time.Duration {
	next := now.Add(keepInterval)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	for i := range a.topics {
		if t := &a.topics[i]; a.inputs[t.slot].Quality == point.Good {
			sooner(t.heard.Add(t.staleAfter))
		}
	}
	for _, f := range a.formulas {
		if f.ticks && f.said {
			sooner(now.Add(tick))
		}
		if f.alarm != nil {
			sooner(f.alarm.due())
		}
		if !f.said && !f.missed {
			sooner(a.began.Add(patience))
		}
	}
	return max(next.Sub(now), time.Millisecond)
}

// valueOf reads a payload: JSON, or a text.
func valueOf(payload []byte) expression.Input {
	if len(payload) > maxPayload {
		return expression.Input{Quality: point.Bad, Reason: "the payload is longer than 64 kB"}
	}
	return expression.OfPayload(payload)
}
