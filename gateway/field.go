package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"headgate/gateway/point"
)

// field is a set of adapters, with all that follows from which they are. It does not
// change: other adapters are another field, which shares with it those that stay.
type field struct {
	runners   []*runner // in the order of the config
	observers []Observer
	hearers   map[string][]Hearer // by topic
	devices   map[string]*device  // by name
	targets   map[string]*target  // by set topic
	gone      counts              // of adapters that there were before
}

// counts are sums over devices, and what was said of none.
type counts struct{ samples, bad, held, strays uint64 }

// change is a call of Replace.
type change struct {
	adapters []Adapter
	done     chan error // has room for one
}

// newField makes the field of these adapters; those that were in the one before keep
// their runners. The error names every device or point that cannot be published.
func newField(g *Gateway, adapters []Adapter, before *field) (*field, error) {
	f := &field{hearers: map[string][]Hearer{}, devices: map[string]*device{}, targets: map[string]*target{}, gone: before.gone}
	var faults []error
	for _, a := range adapters {
		if o, ok := a.(Observer); ok {
			f.observers = append(f.observers, o)
		}
		if h, ok := a.(Hearer); ok {
			for _, name := range h.Topics() {
				f.hearers[name] = append(f.hearers[name], h)
			}
		}
		r := before.runnerOf(a)
		if r == nil {
			r = newRunner(g, a)
			for _, d := range a.Devices() {
				dev, targets, err := newDevice(g, r, d)
				if err != nil {
					faults = append(faults, err)
					continue
				}
				r.devices = append(r.devices, dev)
				maps.Copy(f.targets, targets)
			}
		}
		f.runners = append(f.runners, r)
		for _, d := range r.devices {
			if other, ok := f.devices[d.name]; ok {
				faults = append(faults, twice(d, other))
				continue
			}
			f.devices[d.name] = d
		}
	}
	for set, t := range before.targets {
		if slices.Contains(f.runners, t.device.runner) {
			f.targets[set] = t
		}
	}
	return f, errors.Join(faults...)
}

func twice(d, other *device) error {
	if other.runner == d.runner {
		return fmt.Errorf("device %q is twice in adapter %q: device names must be unique", d.name, d.runner.adapter.Name())
	}
	return fmt.Errorf("device %q is in adapter %q and in adapter %q: device names must be unique over all adapters",
		d.name, other.runner.adapter.Name(), d.runner.adapter.Name())
}

// runnerOf gives the runner of an adapter; nil where it has none.
func (f *field) runnerOf(a Adapter) *runner {
	for _, r := range f.runners {
		if r.adapter == a {
			return r
		}
	}
	return nil
}

// Replace has these adapters run from now on, in this order, and no others. One that
// runs already stays as it is, with its devices and what they said; the others that
// ran have ended, and their devices are offline, before the first new one begins. It
// returns when the new ones run, or with an error, after which nothing has changed: it
// is that of New, or says that Run has ended. It is called while Run runs.
func (g *Gateway) Replace(adapters []Adapter) error {
	c := change{adapters, make(chan error, 1)}
	select {
	case g.changes <- c:
		return <-c.done
	case <-g.ended:
		return errStopping
	}
}

// change carries out a Replace, on the goroutine of Run.
func (g *Gateway) change(ctx context.Context, adapters []Adapter) error {
	was := g.field.Load()
	next, err := newField(g, adapters, was)
	if err != nil {
		return err
	}
	if err := g.hear(next.hearers, was.hearers); err != nil {
		return err
	}
	var ended, begin []*runner
	for _, r := range was.runners {
		if next.runnerOf(r.adapter) == nil {
			r.cancel(errReplaced)
			ended = append(ended, r)
		}
	}
	for _, r := range ended {
		r.running.Wait()
		next.gone.add(r)
	}
	g.field.Store(next)
	for _, r := range next.runners {
		if was.runnerOf(r.adapter) == nil {
			r.announce("starting")
			begin = append(begin, r)
		}
	}
	for _, r := range begin {
		if o, ok := r.adapter.(Observer); ok {
			next.tell(o)
		}
	}
	for _, r := range begin {
		r.start(ctx)
	}
	g.unhear(was.hearers, next.hearers)
	return nil
}

// tell shows an observer that is new what was said last of each device.
func (f *field) tell(o Observer) {
	for _, r := range f.runners {
		for _, d := range r.devices {
			d.tell(o)
		}
	}
}

// add adds what a runner and its devices have counted.
func (c *counts) add(r *runner) {
	c.strays += r.strays.Load()
	for _, d := range r.devices {
		s, strays := d.stats()
		c.addDevice(&s, strays)
	}
}

func (c *counts) addDevice(s *DeviceStats, strays uint64) {
	c.samples += s.Samples
	c.bad += s.Bad
	c.held += s.Held
	c.strays += strays
}

// tell shows one observer what was said last of the device.
func (d *device) tell(o Observer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var samples []point.Sample
	for _, p := range d.points {
		if !p.last.Time.IsZero() {
			samples = append(samples, p.last)
		}
	}
	if len(samples) > 0 {
		o.Observe(point.Update{Device: d.name, Samples: samples})
	}
	status := d.status // behind the samples, which an offline device makes stale
	o.Observe(point.Update{Device: d.name, Status: &status})
}
