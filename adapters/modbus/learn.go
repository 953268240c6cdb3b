package modbus

import (
	"errors"
	"slices"
	"time"
)

const (
	// forgetAfter is for how long what a device has refused is kept from being
	// read with something else.
	forgetAfter = time.Hour

	// silentToSplit times in a row a read is not answered, while the unit answers
	// others, and it is taken for refused: some devices have no word for that.
	silentToSplit = 4
)

// learned is what a device has been found not to answer.
type learned struct {
	refusals []refusal
	cuts     []cut
	blocks   []refusedBlock
	silent   map[span]int // how often in a row a read was not answered
}

// refusal is one field that the device does not have.
type refusal struct {
	field *field
	wait  time.Duration // the last one
	until time.Time     // it is not asked for before
}

// cut is an address in front of which a read must end: what was read across it
// was refused.
type cut struct {
	table   table
	address int
	hole    bool // nobody asked for what is before it
	until   time.Time
}

// refusedBlock is a block of the user's that the device has not answered as it is.
type refusedBlock struct {
	span  span
	until time.Time
}

func (l *learned) find(f *field) int {
	return slices.IndexFunc(l.refusals, func(r refusal) bool { return r.field == f })
}

func (l *learned) isRefused(f *field) bool { return l.find(f) >= 0 }

// mayShare says whether a read may have both of two fields: if neither has been
// refused, or both for good, so that a whole table that is not there is asked for
// again in few requests.
func (l *learned) mayShare(a, b *field) bool {
	i, j := l.find(a), l.find(b)
	return i < 0 && j < 0 || i >= 0 && j >= 0 && l.refusals[i].wait > 0 && l.refusals[j].wait > 0
}

// allRefused says whether all of several have been, and are not to be asked for
// one by one: that is done once they have been refused for so long that it costs
// little.
func (l *learned) allRefused(fields []*field) bool {
	return len(fields) > 1 && !slices.ContainsFunc(fields, func(f *field) bool {
		i := l.find(f)
		return i < 0 || l.refusals[i].wait >= forgetAfter
	})
}

// rests says whether the field is not to be asked for now.
func (l *learned) rests(f *field, now time.Time) bool {
	i := l.find(f)
	return i >= 0 && now.Before(l.refusals[i].until)
}

// refusedIn says whether there is a refused field between.
func (l *learned) refusedIn(t table, start, end int) bool {
	return slices.ContainsFunc(l.refusals, func(r refusal) bool { return spanOf(r.field).touches(t, start, end) })
}

// cutBetween says whether what begins at first and what begins at next must not
// be read together.
func (l *learned) cutBetween(t table, first, next int) bool {
	return slices.ContainsFunc(l.cuts, func(c cut) bool { return c.table == t && first < c.address && c.address <= next })
}

// split notes that a read must be cut into these.
func (l *learned) split(halves []*read, now time.Time) {
	left, right := halves[0], halves[1]
	end := int(left.address) + left.count
	l.cuts = append(l.cuts, cut{table: right.table, address: int(right.address), hole: int(right.address) > end, until: now.Add(forgetAfter)})
}

// refuse notes that the device does not have the field: it is asked for again
// after its interval, then after twice that and so on, up to an hour; at every
// interval if that is said to be worth it. The cuts that led to it and go
// through no hole have served their purpose.
func (l *learned) refuse(f *field, now time.Time, again bool) {
	i := l.find(f)
	if i < 0 {
		i = len(l.refusals)
		l.refusals = append(l.refusals, refusal{field: f})
		l.cuts = slices.DeleteFunc(l.cuts, func(c cut) bool { return c.table == f.register.table && !c.hole })
	}
	r := &l.refusals[i]
	if !again {
		r.wait = min(max(f.interval, 2*r.wait), max(f.interval, forgetAfter))
	}
	r.until = now.Add(r.wait)
}

// answered notes that the device has the field after all.
func (l *learned) answered(f *field) (changed bool) {
	n := len(l.refusals)
	l.refusals = slices.DeleteFunc(l.refusals, func(r refusal) bool { return r.field == f })
	return len(l.refusals) < n
}

// wake has all that rests asked for again, and blocks as they are: the device was
// away, and may be another one now.
func (l *learned) wake(now time.Time) {
	l.blocks = nil
	for i := range l.refusals {
		l.refusals[i].until = now
	}
}

// expire forgets the cuts and blocks that are old, and says when the next thing changes; the
// zero Time if nothing will.
func (l *learned) expire(now time.Time) (next time.Time) {
	l.cuts = slices.DeleteFunc(l.cuts, func(c cut) bool { return !now.Before(c.until) })
	l.blocks = slices.DeleteFunc(l.blocks, func(b refusedBlock) bool { return !now.Before(b.until) })
	earlier := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, c := range l.cuts {
		earlier(c.until)
	}
	for _, b := range l.blocks {
		earlier(b.until)
	}
	for _, r := range l.refusals {
		earlier(r.until)
	}
	return next
}

// refused notes what an error says of the fields of a read. If that leaves open
// which of them is meant, it gives what is to be read in its place: its halves, or
// of a block the part that has the fields.
func (d *device) refused(r *read, err error, now time.Time) (halves []*read) {
	var e exception
	isException := errors.As(err, &e)
	switch {
	case isSilence(err):
		d.known.silent[r.span()]++
		// A unit that has missed several in a row answers nothing else, either.
		if d.known.silent[r.span()] < silentToSplit || d.unit.presence != online || d.unit.misses >= defaultMisses {
			return nil
		}
	case !isException || e > deviceFailure:
		return nil
	}
	delete(d.known.silent, r.span())
	defer d.replan(now)
	if r.block {
		return []*read{d.withoutBlock(r, now)}
	}
	if halves = r.halves(); halves != nil && !d.known.allRefused(r.fields) {
		d.known.split(halves, now)
		for _, h := range halves {
			// As if it had become due now: others have their turn meanwhile.
			h.deadline = now.Add(h.fields[0].interval / 2)
		}
		return halves
	}
	for _, f := range r.fields {
		// A device may fail to measure something for a while: that is asked for
		// at each interval, but alone.
		d.known.refuse(f, now, isException && e == deviceFailure)
	}
	return nil
}

// gave notes that a read was answered.
func (d *device) gave(r *read, now time.Time) {
	delete(d.known.silent, r.span())
	for _, f := range r.fields {
		if d.known.answered(f) {
			d.replan(now)
		}
	}
}
