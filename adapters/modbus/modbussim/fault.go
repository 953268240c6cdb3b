package modbussim

import "time"

// Fault is one way of a unit to go wrong. What Table, Address and Count name
// is which requests it is for; the zero values mean all of them. What is set
// below Times happens, together.
type Fault struct {
	Table   Table  // 0: any
	Address uint16 // with Count: requests that touch any of these addresses
	Count   int    // 0: every address
	Writes  bool   // only writes; otherwise reads and writes
	Times   int    // how often it happens; 0: until it is removed

	Function byte // only requests of this function code; 0: any

	// Chance is to which part of those requests it happens, at random but the
	// same in every run; 0: to all.
	Chance float64

	Silent           bool          // no answer, and a write is not carried out
	Exception        byte          // this exception in place of the answer
	Delay            time.Duration // the answer comes this late; others are served meanwhile
	CorruptCRC       bool          // the answer's checksum is wrong (RTU, ASCII)
	FlipBits         int           // this many bits of the answer arrive as their opposite
	WrongTransaction bool          // the answer has another transaction id (TCP)
	ShortBy          int           // the answer has this many registers fewer than were asked for
	Before           []byte        // noise on the line before the answer
	SplitAt          int           // the answer comes in two pieces, the first of this many bytes ...
	SplitFor         time.Duration // ... and this much time between them
}

// Inject has f happen from now on. Of several that fit a request the first
// happens. remove ends it.
func (u *Unit) Inject(f Fault) (remove func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := &f
	u.faults = append(u.faults, p)
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.drop(p)
	}
}

// drop takes a fault off the list. u.mu is held.
func (u *Unit) drop(f *Fault) {
	for i, g := range u.faults {
		if g == f {
			u.faults = append(u.faults[:i:i], u.faults[i+1:]...)
			return
		}
	}
}

// fault counts a request and gives what is to go wrong with it.
func (u *Unit) fault(r request) Fault {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.counts.Requests++
	for _, f := range u.faults {
		if !f.fits(r) || f.Chance > 0 && u.random.Float64() >= f.Chance {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				u.drop(f)
			}
		}
		return *f
	}
	return Fault{}
}

func (f *Fault) fits(r request) bool {
	switch {
	case f.Table != 0 && f.Table != r.table, f.Writes && !r.writes, f.Function != 0 && f.Function != r.function:
		return false
	case f.Count == 0:
		return true
	}
	return int(f.Address) < int(r.address)+r.count && int(r.address) < int(f.Address)+f.Count
}
