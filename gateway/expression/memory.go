package expression

import (
	"math"
	"time"
)

// longestGap is how far apart two values may be at most that integrate makes an
// area of, when nothing else is said: what lies between is not known.
const longestGap = 5 * time.Minute

// integral is the area below a value over time.
type integral struct {
	unit, gap time.Duration
	sum       float64
	last      float64
	at        time.Time // of last; zero: there is none
}

func newIntegral(args []node) (memory, error) {
	m := &integral{gap: longestGap}
	var err error
	if m.unit, err = timeArg(args[1]); err == nil && len(args) > 2 {
		m.gap, err = timeArg(args[2])
	}
	return m, err
}

func (m *integral) step(v any, at, _ time.Time) any {
	x, ok := v.(float64)
	if !ok {
		m.at = time.Time{}
		return m.sum
	}
	if d := at.Sub(m.at); !m.at.IsZero() && d > 0 && d <= m.gap {
		m.sum = added(m.sum, (m.last/2+x/2)*(float64(d)/float64(m.unit)))
	}
	m.last, m.at = x, at
	return m.sum
}

// added is a sum that stays finite: what would make it anything else is no measurement,
// and must not spoil what was added up before.
func added(sum, by float64) float64 {
	if s := sum + by; !math.IsInf(s, 0) && !math.IsNaN(s) {
		return s
	}
	return sum
}

func (m *integral) keep() []float64 { return []float64{m.sum} }

func (m *integral) restore(kept []float64) {
	if len(kept) == 1 {
		m.sum = kept[0]
	}
}

// counter tells how far a counter has gone on. With a rollover it begins again at 0
// when it reaches that; without one, and where a rollover would be a step of more than
// half of it, a counter that goes back was reset, and has counted from 0.
type counter struct {
	rollover float64
	last     float64
	known    bool
}

func (c *counter) advance(x float64) (by float64, ok bool) {
	last, known := c.last, c.known
	c.last, c.known = x, true
	switch {
	case !known:
		return 0, false
	case x >= last:
		return x - last, true
	case c.rollover > 0 && x+c.rollover-last <= c.rollover/2:
		return x + c.rollover - last, true
	}
	return x, true
}

// total is how far a counter has gone on in all, over rollovers, resets and restarts.
type total struct {
	counter
	sum float64
}

func newTotal(args []node) (memory, error) {
	m := &total{}
	var err error
	if len(args) > 1 {
		m.rollover, err = numberArg(args[1])
	}
	return m, err
}

func (m *total) step(v any, _, _ time.Time) any {
	if x, ok := v.(float64); ok {
		by, _ := m.advance(x)
		m.sum = added(m.sum, by)
	}
	return m.sum
}

func (m *total) keep() []float64 {
	if !m.known {
		return []float64{m.sum}
	}
	return []float64{m.sum, m.last}
}

func (m *total) restore(kept []float64) {
	if len(kept) > 0 {
		m.sum = kept[0]
	}
	if len(kept) == 2 {
		m.last, m.known = kept[1], true
	}
}

// rate is how fast a value changes.
type rate struct {
	counter
	unit    time.Duration
	counts  bool // it is a counter
	at      time.Time
	current any
}

func newRate(args []node) (memory, error) {
	m := &rate{counts: len(args) > 2}
	var err error
	if m.unit, err = timeArg(args[1]); err == nil && m.counts {
		m.rollover, err = numberArg(args[2])
	}
	return m, err
}

func (m *rate) step(v any, at, _ time.Time) any {
	x, ok := v.(float64)
	if !ok {
		m.known, m.current = false, nil
		return nil
	}
	d := at.Sub(m.at)
	if m.known && d == 0 {
		return m.current
	}
	last := m.last
	by, known := m.advance(x)
	if !m.counts {
		by = x - last
	}
	m.at, m.current = at, nil
	if known && d > 0 {
		m.current = by / (float64(d) / float64(m.unit))
	}
	return m.current
}

// windowParts is into how many parts a window is divided: it takes the same memory
// however often values come, and is exact to one part.
const windowParts = 240

// part is what came in one part of a window.
type part struct {
	number        int64
	count         float64
	sum, min, max float64
}

// window is what a value was in the time before.
type window struct {
	length time.Duration
	what   func(p part) float64
	parts  []part // oldest first
	at     time.Time
}

func windowMean(p part) float64 { return p.sum / p.count }
func windowMin(p part) float64  { return p.min }
func windowMax(p part) float64  { return p.max }

func newWindow(what func(part) float64) func(args []node) (memory, error) {
	return func(args []node) (memory, error) {
		length, err := timeArg(args[1])
		if err == nil && length < time.Second {
			err = &Error{args[1].at, args[1].what + ": want a time of at least 1s"}
		}
		return &window{length: length, what: what}, err
	}
}

func (m *window) step(v any, at, now time.Time) any {
	x, ok := v.(float64)
	if ok && !at.Equal(m.at) {
		m.add(x, at)
	}
	if !ok {
		at = now
	}
	oldest := m.number(at) - windowParts
	for len(m.parts) > 0 && m.parts[0].number <= oldest {
		m.parts = m.parts[1:]
	}
	if len(m.parts) == 0 {
		return nil
	}
	all := m.parts[0]
	for _, p := range m.parts[1:] {
		all.join(p)
	}
	return m.what(all)
}

func (m *window) number(at time.Time) int64 { return at.UnixNano() / int64(m.length/windowParts) }

func (m *window) add(x float64, at time.Time) {
	n := m.number(at)
	// A clock that was set back makes what is ahead of it worthless.
	for len(m.parts) > 0 && m.parts[len(m.parts)-1].number > n {
		m.parts = m.parts[:len(m.parts)-1]
	}
	m.at = at
	if last := len(m.parts) - 1; last >= 0 && m.parts[last].number == n {
		m.parts[last].join(part{n, 1, x, x, x})
		return
	}
	m.parts = append(m.parts, part{n, 1, x, x, x})
}

// join puts what came in another part to p.
func (p *part) join(o part) {
	p.count += o.count
	p.sum += o.sum
	p.min, p.max = min(p.min, o.min), max(p.max, o.max)
}

// held says that something has been so for a time.
type held struct {
	length time.Duration
	since  time.Time
}

func newHeld(args []node) (memory, error) {
	length, err := timeArg(args[1])
	return &held{length: length}, err
}

func (m *held) step(v any, _, now time.Time) any {
	if on, ok := v.(bool); !ok || !on {
		m.since = time.Time{}
		if !ok {
			return nil
		}
		return false
	}
	if m.since.IsZero() {
		m.since = now
	}
	return now.Sub(m.since) >= m.length
}

// hysteresis is on from one value on, until below another.
type hysteresis struct {
	off, on float64
	is      bool
	known   bool
}

func newHysteresis(args []node) (memory, error) {
	m := &hysteresis{}
	var err error
	if m.off, err = numberArg(args[1]); err != nil {
		return nil, err
	}
	if m.on, err = numberArg(args[2]); err == nil && m.on < m.off {
		err = &Error{args[2].at, "the value to switch on at is below that to switch off at"}
	}
	return m, err
}

func (m *hysteresis) step(v any, _, _ time.Time) any {
	x, ok := v.(float64)
	switch {
	case !ok && !m.known:
		return nil
	case !ok:
	case x >= m.on:
		m.is, m.known = true, true
	case x < m.off || !m.known:
		m.is, m.known = false, true
	}
	return m.is
}

func (m *hysteresis) keep() []float64 {
	switch {
	case !m.known:
		return nil
	case m.is:
		return []float64{1}
	}
	return []float64{0}
}

func (m *hysteresis) restore(kept []float64) {
	if len(kept) == 1 {
		m.is, m.known = kept[0] == 1, true
	}
}
