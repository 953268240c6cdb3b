package modbus

import (
	"math/bits"
	"slices"
	"time"
)

// device is one [[modbus.device]].
type device struct {
	name string

	manufacturer, model string // as the config has them

	unit    *unit
	timeout time.Duration // to the beginning of an answer
	limits  limits
	fields  []*field
	setup   []setup
	groups  []*group
	known   learned
	down    string        // the reason of the link that it has been told to be offline by; "" since the last answer
	failing map[span]bool // reads that the device answers with an error, which has been logged

	// plans are the reads for each set of groups that has been due at once, by
	// the set's bits. They hold until that time, zero: for ever, and for that
	// break-even.
	plans      map[uint64][]*read
	plansUntil time.Time
	hole       int

	stats DeviceStats // guarded by Adapter.mu
	polls polls       // the same
}

// group is what one device has to read at one interval.
type group struct {
	interval time.Duration
	fields   []*field
	due      time.Time
	waiting  int // reads that have to be made before it is done
}

// maxGroups of one device can be read together; more intervals than that are
// read each for itself.
const maxGroups = 64

// group gives the group of that interval, which is made the first time.
func (d *device) group(interval time.Duration) *group {
	for _, g := range d.groups {
		if g.interval == interval {
			return g
		}
	}
	g := &group{interval: interval}
	d.groups = append(d.groups, g)
	return g
}

// advance sets when the group is due next after the time now: at the next whole
// interval since the start, so that it does not drift. It gives how many times it
// had become due before the last one; those are left out.
func (g *group) advance(now time.Time) (merged uint64) {
	if late := now.Sub(g.due); late >= g.interval {
		merged = uint64(late / g.interval)
	}
	g.due = g.due.Add(time.Duration(merged+1) * g.interval)
	return merged
}

// deadline is when what is due now should have been read: half an interval before
// it is due again. On a line that is asked for more than it can carry, what is due
// often is late for ever; with the whole interval what is due seldom would then
// always come after the next one has become due, and every other be left out.
func (g *group) deadline() time.Time { return g.due.Add(-g.interval / 2) }

// release gives the reads for what is due now. What is due again before it is
// done is left out, and counted.
func (d *device) release(now time.Time, c cost) (reads []*read, merged uint64) {
	var set uint64
	for i, g := range d.groups {
		if g.due.After(now) {
			continue
		}
		merged += g.advance(now)
		switch {
		case g.waiting > 0:
			merged++
		case i < maxGroups:
			set |= 1 << i
		default:
			reads = append(reads, d.plan(d.awake(g.fields, now), c)...)
		}
	}
	if set != 0 {
		reads = append(reads, d.planned(set, now, c)...)
	}
	for _, r := range reads {
		r.failed = 0
		r.deadline = r.groups[0].deadline()
		for _, g := range r.groups[1:] {
			if t := g.deadline(); t.Before(r.deadline) {
				r.deadline = t
			}
		}
		// What was not answered last goes behind what may show that the unit is there.
		if d.known.silent[r.span()] > 0 {
			r.deadline = r.deadline.Add(r.fields[0].interval / 2)
		}
	}
	return reads, merged
}

// planned gives the reads for a set of groups: made before, as long as nothing
// that they depend on has changed much.
func (d *device) planned(set uint64, now time.Time, c cost) []*read {
	hole := min(c.hole(), d.limits.registers)
	changed := max(hole-d.hole, d.hole-hole) > max(2, d.hole/4)
	if changed || !d.plansUntil.IsZero() && !now.Before(d.plansUntil) {
		d.hole = hole
		d.replan(now)
	}
	if reads, ok := d.plans[set]; ok {
		return reads
	}
	var fields []*field
	for rest := set; rest != 0; rest &= rest - 1 {
		fields = append(fields, d.groups[bits.TrailingZeros64(rest)].fields...)
	}
	reads := d.plan(d.awake(fields, now), c)
	d.plans[set] = reads
	return reads
}

// awake leaves out what the device has refused and is not to be asked for yet.
func (d *device) awake(fields []*field, now time.Time) []*field {
	return slices.DeleteFunc(slices.Clone(fields), func(f *field) bool { return d.known.rests(f, now) })
}

// replan has the plans made again when they are needed next.
func (d *device) replan(now time.Time) {
	d.plans = map[uint64][]*read{}
	d.plansUntil = d.known.expire(now)
}

// forget is for when the adapter begins: nothing is known then.
func (d *device) forget(now time.Time) {
	d.known, d.failing = learned{silent: map[span]int{}}, map[span]bool{}
	d.replan(now)
}

// start has everything due at that time.
func (d *device) start(now time.Time) {
	for _, g := range d.groups {
		g.due, g.waiting = now, 0
	}
}

// queue holds the reads that are due, on all of a link: as many as one plan of
// each device has at most.
type queue struct {
	waiting []*read
	probeAt time.Time // no unit that is away is asked before
}

// first gives the read that is to be made at the time now: of those whose unit may
// be asked, the one whose deadline is first; of equal ones that whose unit was
// asked longest ago. at is -1 if there is none; ready is when there may be one,
// the zero Time for when more is due.
func (q *queue) first(now time.Time) (at int, ready time.Time) {
	at = -1
	for i, r := range q.waiting {
		free := q.free(r.device.unit)
		switch {
		case !free.After(now):
			if at < 0 || r.before(q.waiting[at]) {
				at = i
			}
		case ready.IsZero() || free.Before(ready):
			ready = free
		}
	}
	return at, ready
}

// add puts reads into the queue.
func (q *queue) add(reads ...*read) {
	for _, r := range reads {
		for _, g := range r.groups {
			g.waiting++
		}
	}
	q.waiting = append(q.waiting, reads...)
}

// take takes one out; its groups wait for it until done.
func (q *queue) take(at int) *read {
	r := q.waiting[at]
	q.waiting = slices.Delete(q.waiting, at, at+1)
	return r
}

// done notes that the read has been made.
func (r *read) done() {
	for _, g := range r.groups {
		g.waiting--
	}
}

// free is when a unit may be asked.
func (q *queue) free(u *unit) time.Time {
	if u.away() && u.notBefore.Before(q.probeAt) {
		return q.probeAt
	}
	return u.notBefore
}

func (r *read) before(other *read) bool {
	if c := r.deadline.Compare(other.deadline); c != 0 {
		return c < 0
	}
	return r.device.unit.asked.Before(other.device.unit.asked)
}

// probed notes that asking a unit which is away took so long for nothing: of
// the link's time such units get one part in probeShare together, however many
// they are.
func (q *queue) probed(now time.Time, took time.Duration) {
	q.probeAt = now.Add((probeShare - 1) * took)
}
