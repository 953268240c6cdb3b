package derived

import (
	"fmt"
	"time"

	"headgate/gateway/expression"
	"headgate/gateway/point"
)

// take computes what changes by what came.
func (a *Adapter) take(n *news) {
	changed := map[int]bool{}
	now := time.Now()
	if n.payload != nil {
		t := &a.topics[n.topic]
		in := valueOf(n.payload)
		in.Name, in.Time = a.inputs[t.slot].Name, n.at
		a.inputs[t.slot], t.heard = in, n.at
		changed[t.slot] = true
	}
	for i, slot := range n.slots {
		s := &n.samples[i]
		a.set(slot, s)
		if s.Time.IsZero() {
			a.inputs[slot].Time = now
		}
		changed[slot] = true
	}
	if n.offline != "" {
		a.offline(n, changed)
	}
	a.compute(changed, nil, now)
}

// set makes a sample the value of an input.
func (a *Adapter) set(slot int, s *point.Sample) {
	in := expression.Input{Name: a.inputs[slot].Name, Value: expression.OfValue(s.Value), Quality: s.Quality, Reason: s.Reason, Time: s.Time}
	if in.Quality == point.Bad {
		in.Value = nil
	}
	a.inputs[slot] = in
}

// offline makes the last values of a device that has gone stale, unless it has said
// something better of them in the same breath.
func (a *Adapter) offline(n *news, changed map[int]bool) {
	for name, slot := range a.slots {
		in := &a.inputs[slot]
		if name.device == n.device && !changed[slot] && in.Quality == point.Good {
			in.Quality, in.Reason = point.Stale, n.offline
			changed[slot] = true
		}
	}
}

// tick computes what changes with time alone.
func (a *Adapter) tick(now time.Time) {
	changed := map[int]bool{}
	for i := range a.topics {
		t := &a.topics[i]
		if in := &a.inputs[t.slot]; in.Quality == point.Good && now.Sub(t.heard) >= t.staleAfter {
			in.Quality, in.Reason = point.Stale, fmt.Sprintf("nothing came for %v", t.staleAfter)
			changed[t.slot] = true
		}
	}
	due := map[*formula]bool{}
	for _, f := range a.formulas {
		switch {
		case f.ticks && f.said:
			due[f] = true
		case f.alarm != nil && !f.alarm.pending.IsZero() && !now.Before(f.alarm.due()):
			due[f] = true
		case !f.said && !f.missed && now.Sub(a.began) >= patience:
			f.missed = true
			due[f] = true
		}
	}
	a.compute(changed, due, now)
}

// compute computes the formulas that need one of the changed inputs, and those that
// are due, each once, and emits what comes of them: one update a device.
func (a *Adapter) compute(changed map[int]bool, due map[*formula]bool, now time.Time) {
	if len(changed)+len(due) == 0 {
		return
	}
	needed := make([]bool, len(a.formulas))
	mark := func(slot int) {
		for _, i := range a.users[slot] {
			needed[i] = true
		}
	}
	for slot := range changed {
		mark(slot)
	}
	samples := map[string][]point.Sample{}
	for i, f := range a.formulas {
		if !needed[i] && (len(due) == 0 || !due[f]) || !f.said && !f.missed && a.waits(f) {
			continue
		}
		s := f.sample(a.inputs, now)
		a.set(f.slot, &s)
		same := f.said && due[f] && s.Value == f.last.Value && s.Quality == f.last.Quality && s.Reason == f.last.Reason
		f.said, f.last = true, s
		if same {
			continue
		}
		mark(f.slot)
		samples[f.name.device] = append(samples[f.name.device], s)
	}
	for _, d := range a.devices {
		if list := samples[d.Name]; len(list) > 0 {
			a.emit(point.Update{Device: d.Name, Samples: list})
		}
	}
}

// waits says whether an input of a formula may still come.
func (a *Adapter) waits(f *formula) bool {
	for _, slot := range f.slots {
		if a.inputs[slot].Time.IsZero() {
			return true
		}
	}
	return false
}

// sample computes one point.
func (f *formula) sample(inputs []expression.Input, now time.Time) point.Sample {
	r := f.expr.Run(inputs, now)
	if f.alarm != nil {
		r = f.alarm.next(r, inputs, now)
	}
	s := point.Sample{Point: f.name.point, Unit: f.info.Unit, Quality: r.Quality, Reason: r.Reason, Time: r.Time}
	if s.Time.IsZero() {
		s.Time = now
	}
	if r.Value != nil {
		var ok bool
		if s.Value, ok = expression.ToValue(r.Value); !ok {
			s.Quality, s.Reason = point.Bad, "it is an object or a list, no single value"
		}
	}
	return s
}
