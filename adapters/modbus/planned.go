package modbus

import (
	"log/slog"
	"slices"
	"time"
)

// Plan is what a link's time goes into, as long as every unit answers.
type Plan struct {
	Reads []PlannedRead

	Load      float64 // the part of the link's time that the reads take; above 1 they cannot all be made
	PerSecond float64 // requests
	OneByOne  float64 // requests a second that it would be with one for each point
}

// PlannedRead is one request that is made again and again.
type PlannedRead struct {
	Device    string
	Unit      uint8
	Registers string // like "holding registers 100-119"
	Points    []string
	Holes     int           // registers or bits among them that no point is in
	Took      time.Duration // each time, request and answer and the silence around them
	PerMinute float64
}

// The time that a plan looks at: as long as the longest interval, within bounds.
const (
	leastHorizon = time.Minute
	mostHorizon  = time.Hour
)

// NewPlan gives the plan of a [[modbus]] table, to which SetDefaults has been
// applied and in which Check has found no fault; turnaround gives how long a unit
// takes to begin an answer, on a network the round trip; 0: the least there can be.
func NewPlan(cfg Config, turnaround func(unit uint8) time.Duration) (Plan, error) {
	a, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return Plan{}, err
	}
	began := time.Unix(0, 0)
	horizon := leastHorizon
	for _, d := range a.devices {
		d.forget(began)
		d.start(began)
		for _, g := range d.groups {
			horizon = min(max(horizon, g.interval), mostHorizon)
		}
	}
	p := planning{at: map[plannedKey]int{}}
	costs := map[byte]cost{}
	for _, u := range a.units {
		costs[u.id] = a.transport.cost(turnaround(u.id), u.client.delay)
	}
	// The schedule itself, in a time that costs nothing: what is due together is
	// read together.
	for now := began; now.Before(began.Add(horizon)); {
		next := began.Add(horizon)
		for _, d := range a.devices {
			reads, _ := d.release(now, costs[d.unit.id])
			p.count(reads)
			for _, g := range d.groups {
				if g.due.Before(next) {
					next = g.due
				}
			}
		}
		now = next
	}
	return p.plan(a, horizon, costs), nil
}

// planning counts reads.
type planning struct {
	reads []*read
	times []int
	at    map[plannedKey]int // where each stands
}

type plannedKey struct {
	device string
	span   span
}

func (p *planning) count(reads []*read) {
	for _, r := range reads {
		key := plannedKey{r.device.name, r.span()}
		i, known := p.at[key]
		if !known {
			i = len(p.reads)
			p.at[key] = i
			p.reads, p.times = append(p.reads, r), append(p.times, 0)
		}
		p.times[i]++
	}
}

// plan sums up what was counted in so long.
func (p *planning) plan(a *Adapter, horizon time.Duration, costs map[byte]cost) Plan {
	var all Plan
	for i, r := range p.reads {
		took := costs[r.device.unit.id].of(r.table, r.count)
		planned := PlannedRead{
			Device: r.device.name, Unit: r.device.unit.id, Registers: r.String(), Took: took,
			Holes: r.count, PerMinute: float64(p.times[i]) / horizon.Minutes(),
		}
		end := 0
		for _, f := range r.fields {
			s := spanOf(f)
			planned.Points = append(planned.Points, f.name)
			planned.Holes -= max(0, s.end-max(s.start, end))
			end = max(end, s.end)
		}
		all.Reads = append(all.Reads, planned)
		all.Load += took.Seconds() * float64(p.times[i]) / horizon.Seconds()
		all.PerSecond += float64(p.times[i]) / horizon.Seconds()
	}
	for _, d := range a.devices {
		for _, g := range d.groups {
			all.OneByOne += float64(len(g.fields)) / g.interval.Seconds()
		}
	}
	slices.SortStableFunc(all.Reads, func(x, y PlannedRead) int {
		return slices.IndexFunc(a.devices, func(d *device) bool { return d.name == x.Device }) -
			slices.IndexFunc(a.devices, func(d *device) bool { return d.name == y.Device })
	})
	return all
}
