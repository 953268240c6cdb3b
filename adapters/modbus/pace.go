package modbus

import (
	"slices"
	"sync"
	"time"
)

// keptPolls is of how many polls a device's median is.
const keptPolls = 15

// polls are how long the newest polls of a device took: a ring.
type polls struct {
	took [keptPolls]time.Duration
	n    int // that there were
}

func (p *polls) add(took time.Duration) {
	p.took[p.n%keptPolls] = took
	p.n++
}

// last gives the newest one; 0: there was none.
func (p *polls) last() time.Duration {
	if p.n == 0 {
		return 0
	}
	return p.took[(p.n-1)%keptPolls]
}

// median gives the middle one; 0: there was none.
func (p *polls) median() time.Duration {
	sorted := p.took
	n := min(p.n, keptPolls)
	if n == 0 {
		return 0
	}
	slices.Sort(sorted[:n])
	return sorted[n/2]
}

// The time of a link is counted in stretches of busySlot; a load is over the newest
// busySlots of them that have ended, a minute.
const (
	busySlot  = 10 * time.Second
	busySlots = 6
)

// occupancy is how much of a link's time requests take: with their answers, the
// silence around them, and what is waited for an answer that does not come.
type occupancy struct {
	mu    sync.Mutex // guards what follows
	began time.Time  // with the first request
	slot  int64      // the newest that anything was added to
	busy  [busySlots + 1]time.Duration
	total time.Duration
}

// slotAt is which stretch a time lies in, counted from the first request on.
func (o *occupancy) slotAt(t time.Time) int64 { return int64(t.Sub(o.began) / busySlot) }

// forward empties the stretches between the newest one and that of now.
func (o *occupancy) forward(now time.Time) {
	slot := o.slotAt(now)
	for n := max(o.slot+1, slot-busySlots); n <= slot; n++ {
		o.busy[n%int64(len(o.busy))] = 0
	}
	o.slot = max(o.slot, slot)
}

// add counts a request that lasted from began to ended.
func (o *occupancy) add(began, ended time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.began.IsZero() {
		o.began = began
	}
	o.total += ended.Sub(began)
	// One that reaches over the end of a stretch is shared out.
	for first := max(o.slotAt(began), o.slotAt(ended)-busySlots); ; first++ {
		from, to := o.began.Add(time.Duration(first)*busySlot), o.began.Add(time.Duration(first+1)*busySlot)
		if from.Before(began) {
			from = began
		}
		last := !to.Before(ended)
		if last {
			to = ended
		}
		o.forward(to.Add(-1))
		o.busy[first%int64(len(o.busy))] += to.Sub(from)
		if last {
			return
		}
	}
}

// share gives which part of its time the link was busy, from 0 to 1: of the last
// minute, or since its first request; ok is false while that is too short to tell.
// total is how long it was in all.
func (o *occupancy) share(now time.Time) (load float64, ok bool, total time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.began.IsZero() || now.Sub(o.began) < busySlot {
		return 0, false, o.total
	}
	o.forward(now)
	var sum time.Duration
	n := min(o.slot, busySlots)
	for i := o.slot - n; i < o.slot; i++ {
		sum += o.busy[i%int64(len(o.busy))]
	}
	return min(1, sum.Seconds()/(time.Duration(n)*busySlot).Seconds()), true, o.total
}
