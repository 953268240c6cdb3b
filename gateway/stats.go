package gateway

import (
	"time"

	"headgate/gateway/point"
)

// Stats is the pump as it stands. Its size follows from the config alone. What it counts
// in all has in it what adapters have counted that were replaced.
type Stats struct {
	Adapters []AdapterStats
	Devices  []DeviceStats // adapter by adapter, in the order of the config
	Samples  uint64        // values, of any quality
	Bad      uint64        // of those, of quality bad
	Held     uint64        // of those, not published: within their deadband, or too soon
	Dropped  uint64        // messages that the publisher did not take, or a template failed at
	Strays   uint64        // what adapters said of points and devices that are not configured: a bug

	// Commands counts the results by their outcome: "ok", "refused",
	// "exception", "timeout", "offline", "error"; and those that get none:
	// "ignored", the retained ones, and "dropped", which came faster than they
	// could be refused.
	Commands map[string]uint64
}

// AdapterStats is one adapter.
type AdapterStats struct {
	Name     string
	Running  bool
	Restarts uint64
	Panics   uint64
	Error    string // why it ended last; "" once it has run well for a while
	Queued   int    // commands that wait
}

// DeviceStats is one device.
type DeviceStats struct {
	Name        string
	Adapter     string
	StatusTopic string

	Manufacturer, Model string // "" where that is not said

	Online  bool
	Reason  string    // why it is offline
	Since   time.Time // of the status
	Updated time.Time // when the adapter last spoke of it; zero: never
	Samples uint64
	Bad     uint64
	Held    uint64
	Points  []PointStats
}

// PointStats is one point, with its last value.
type PointStats struct {
	point.Info
	Topic string
	Last  point.Sample // of zero Time while there was none
	Since time.Time    // of an alarm: since when its state is so
}

// Stats gives the pump as it stands now. It may be called at any time.
func (g *Gateway) Stats() Stats {
	s := Stats{Dropped: g.dropped.Load(), Commands: make(map[string]uint64, len(outcomeNames)+2)}
	for i, name := range outcomeNames {
		s.Commands[name] = g.outcomes[i].Load()
	}
	s.Commands["ignored"] = g.ignored.Load()
	s.Commands["dropped"] = g.flooded.Load()
	f := g.field.Load()
	sums := f.gone
	for _, r := range f.runners {
		s.Adapters = append(s.Adapters, r.stats())
		sums.strays += r.strays.Load()
		for _, d := range r.devices {
			ds, strays := d.stats()
			s.Devices = append(s.Devices, ds)
			sums.addDevice(&ds, strays)
		}
	}
	s.Samples, s.Bad, s.Held, s.Strays = sums.samples, sums.bad, sums.held, sums.strays
	return s
}

func (r *runner) stats() AdapterStats {
	queued := r.commands.len()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := AdapterStats{
		Name: r.adapter.Name(), Running: r.runs, Restarts: r.restarts,
		Panics: r.panics.Load(), Queued: queued,
	}
	if r.failure != nil {
		s.Error = r.failure.Error()
	}
	return s
}

func (d *device) stats() (s DeviceStats, strays uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s = DeviceStats{
		Name: d.name, Adapter: d.runner.adapter.Name(), StatusTopic: d.statusTopic,
		Manufacturer: d.made[0], Model: d.made[1],
		Online: d.status.Online, Reason: d.status.Reason, Since: d.since, Updated: d.updated,
		Samples: d.samples, Bad: d.bad, Held: d.held,
		Points: make([]PointStats, 0, len(d.points)),
	}
	for _, o := range d.points {
		s.Points = append(s.Points, PointStats{Info: o.info, Topic: o.topic, Last: o.last, Since: o.since})
	}
	return s, d.strays
}

// Device gives one device as it stands now; ok is false when there is none of that
// name.
func (g *Gateway) Device(name string) (s DeviceStats, ok bool) {
	d := g.field.Load().devices[name]
	if d == nil {
		return s, false
	}
	s, _ = d.stats()
	return s, true
}
