// Package clock tells how much time has passed since an instant, also one that
// was noted before a restart or before a boot, on machines whose wall clock is
// wrong until NTP comes and then jumps by years. Package broker counts the
// expiry of sessions and messages with it.
//
// Within a boot time is the kernel's CLOCK_BOOTTIME, and no wall clock matters.
// Across boots it is the time that each boot is known to have run, and the time
// spent switched off as far as the wall clock tells it: between two boots in
// which that was synced. What is not known does not count, so that nothing ends
// too early; and what runs counts, so that nothing stays for ever.
//
// The package does no I/O but reading the machine's clocks. Its memory of the
// boots is one record of a few kB, which the caller stores.
package clock

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Interval is how often the caller is to call Clock.Tick and store what it
// gives: so much of a boot's running time may go uncounted when the power fails.
const Interval = time.Minute

// Clock makes Instants and tells what has passed since. Its methods may be
// called by several goroutines.
type Clock struct {
	src    Source
	began  time.Time // by Go's clock, whose monotonic part stands still in a suspend
	before Instant
	known  atomic.Pointer[known]
	asked  atomic.Pointer[answer]

	mu sync.Mutex // serialises Tick
}

// known is what the last Tick found. It is replaced as a whole.
type known struct {
	id     [16]byte
	boots  boots // the last one runs
	start  int64 // ms since the boot when the Clock was made, and the suspends after it
	offset int64 // wall clock less time since the boot, ms
	synced bool
}

// answer is what Synced was told last.
type answer struct {
	at     time.Duration // since Clock.began
	synced bool
}

// New makes a Clock from what an earlier one gave to be stored; nil: nothing.
// now is the time by time.Now. A record that cannot be used is answered with
// ErrDamaged and a Clock that begins anew, for which all earlier instants are of
// unknown boots; any other error comes without a Clock.
func New(src Source, record []byte, now time.Time) (*Clock, error) {
	c := &Clock{src: src, began: now}
	k := &known{id: src.BootID(), start: src.SinceBoot().Milliseconds()}
	var damaged error
	if record != nil {
		id, bs, err := decodeRecord(record)
		switch {
		case errors.Is(err, ErrDamaged):
			damaged = err
		case err != nil:
			return nil, err
		default:
			c.before = bs.lastSeen()
			k.boots = bs.clone()
			// Without an id: the same boot, if its time has gone on.
			if last := bs[len(bs)-1]; id == k.id && (id != [16]byte{} || k.start >= last.last) {
				// In a container with a time namespace of its own it may have less.
				k.start = max(k.start, last.last)
			} else {
				k.boots = append(k.boots, boot{number: last.number + 1})
			}
		}
	}
	if k.boots == nil {
		k.boots = boots{{number: firstNumber(k.id), before: -k.start}}
	}
	c.known.Store(k)
	c.Tick(now)
	if c.before.IsZero() {
		c.before = c.At(now)
	}
	return c, damaged
}

// At gives the instant of now, a time by time.Now with its monotonic part. It
// makes no system call.
func (c *Clock) At(now time.Time) Instant { return c.known.Load().at(now.Sub(c.began)) }

func (k *known) at(since time.Duration) Instant {
	mono := k.start + since.Milliseconds()
	return Instant{Boot: k.boots[len(k.boots)-1].number, Mono: mono, Wall: mono + k.offset, Synced: k.synced}
}

// Elapsed is the time from since to now, an instant of this boot, as far as it
// is known. It may grow with a Tick: when the wall clock becomes synced, time
// spent switched off is known. It is never negative.
func (c *Clock) Elapsed(since, now Instant) time.Duration {
	if since.Boot == now.Boot && since.Boot != 0 {
		return milliseconds(max(0, now.Mono-since.Mono))
	}
	return milliseconds(c.known.Load().boots.elapsed(since, now))
}

// Since is Elapsed until now, a time by time.Now.
func (c *Clock) Since(since Instant, now time.Time) time.Duration {
	return c.Elapsed(since, c.At(now))
}

// Before is when the Clock before this one was last seen to run; without one it
// is when this one was made.
func (c *Clock) Before() Instant { return c.before }

// Tick reads the machine's clocks, and gives the record to be stored. A suspend
// counts from the Tick after it.
func (c *Clock) Tick(now time.Time) (record []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := *c.known.Load()
	since := now.Sub(c.began)
	k.start = max(k.start, (c.src.SinceBoot() - since).Milliseconds())
	mono := k.start + since.Milliseconds()
	wall, synced := c.src.Wall()
	k.offset, k.synced = wall.UnixMilli()-mono, synced

	k.boots = k.boots.clone()
	b := &k.boots[len(k.boots)-1]
	b.last = mono
	if synced {
		b.offset, b.known = k.offset, true
	}
	k.boots = k.boots.fold(maxBoots)
	c.known.Store(&k)
	return encodeRecord(k.id, k.boots)
}

func milliseconds(ms int64) time.Duration {
	// What does not fit into a Duration is 292 years.
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(min(ms, most)) * time.Millisecond
}

// Synced says whether the wall clock is synced at now, a time by time.Now, or was less
// than a second before: each sample asks, and the machine is asked once a second.
func (c *Clock) Synced(now time.Time) bool {
	since := now.Sub(c.began)
	a := c.asked.Load()
	if a == nil || (since-a.at).Abs() >= time.Second {
		_, synced := c.src.Wall()
		a = &answer{since, synced}
		c.asked.Store(a)
	}
	return a.synced
}

// Wall gives the wall clock's time at an instant of a boot in which it was synced at
// some time: also for an instant before that. now is the time by time.Now.
func (c *Clock) Wall(i Instant, now time.Time) (wall time.Time, ok bool) {
	k := c.known.Load()
	n, exact := k.boots.find(i.Boot)
	if !exact || i.Boot == 0 {
		return wall, false
	}
	b := k.boots[n]
	if !b.known && n == len(k.boots)-1 { // since the last Tick?
		if at, synced := c.src.Wall(); synced {
			b.known, b.offset = true, at.UnixMilli()-k.at(now.Sub(c.began)).Mono
		}
	}
	return time.UnixMilli(b.offset + i.Mono), b.known
}
