package web

import (
	"math"
	"sync"
	"time"

	"headgate/gateway/point"
)

// history is the last hour of every point, in memory: the least and the greatest
// value of each slot of time, so that a peak shows however long a slot is. How
// long that is follows from the number of points, so that all of it fits into
// maxHistory bytes; a point takes its room with its first number.
type history struct {
	mu     sync.Mutex // guards what follows
	slot   time.Duration
	slots  int
	points map[pointKey]*track
}

type pointKey struct{ device, point string }

// track is a ring of slots; slot n of time is at n modulo their number.
type track struct {
	last   int64 // the newest slot that has anything
	ranges []span
	seen   time.Time // of the newest sample
	value  float32   // its value
	whole  bool      // it was good: what lies between it and another good one is no gap
	minute span      // since the last minuteRow
}

// span is what a point was in one slot; NaN: nothing good came.
type span struct{ low, high float32 }

const (
	maxHistory  = 8 << 20
	historyTime = time.Hour
	spanBytes   = 8
)

// slotTimes are the lengths that a slot may have.
var slotTimes = [...]time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, time.Minute, 5 * time.Minute}

func newHistory(devices []Device) *history {
	h := &history{points: make(map[pointKey]*track)}
	h.fit(devices)
	return h
}

// fit has the history be of these devices: points that have gone are forgotten, and
// where the slots have to be longer or may be shorter, what there is goes into those.
func (h *history) fit(devices []Device) {
	h.mu.Lock()
	defer h.mu.Unlock()
	there := map[pointKey]*track{}
	n := 0
	for _, d := range devices {
		n += len(d.Points)
		for _, p := range d.Points {
			if t := h.points[pointKey{d.Name, p.Name}]; t != nil {
				there[pointKey{d.Name, p.Name}] = t
			}
		}
	}
	h.points = there
	before := h.slot
	for _, h.slot = range slotTimes {
		if h.slots = int(historyTime / h.slot); n*h.slots*spanBytes <= maxHistory {
			break
		}
	}
	if h.slot == before {
		return
	}
	for key, t := range there {
		there[key] = h.slotted(t, before)
	}
}

// slotted gives a track whose slots were so long with slots as they are now.
func (h *history) slotted(t *track, before time.Duration) *track {
	size := int64(len(t.ranges))
	into := func(n int64) int64 { return n * int64(before) / int64(h.slot) }
	as := h.newTrack(h.number(t.seen))
	as.seen, as.value, as.whole, as.minute = t.seen, t.value, t.whole, t.minute
	for n := t.last - size + 1; n <= t.last; n++ {
		s := t.ranges[(n%size+size)%size]
		if s.empty() {
			continue
		}
		// Of a longer one, one slot; of shorter ones, all that lie in it.
		for to := max(into(n), as.last-int64(h.slots)+1); to == into(n) || to < into(n+1) && to <= as.last; to++ {
			at := &as.ranges[(to%int64(h.slots)+int64(h.slots))%int64(h.slots)]
			at.widen(s.low)
			at.widen(s.high)
		}
	}
	return as
}

func (h *history) number(t time.Time) int64 { return t.UnixNano() / int64(h.slot) }

// add notes what is new.
func (h *history) add(devices []Device) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range devices {
		d := &devices[i]
		for j := range d.Points {
			p := &d.Points[j]
			f, isNumber := p.Last.Value.Float()
			key := pointKey{d.Name, p.Name}
			t := h.points[key]
			if p.Last.Time.IsZero() || p.Last.Quality != point.Good || !isNumber {
				if t != nil {
					t.whole = false
				}
				continue
			}
			if t == nil {
				t = h.newTrack(h.number(p.Last.Time))
				h.points[key] = t
			}
			if !p.Last.Time.Equal(t.seen) {
				t.seen = p.Last.Time
				t.add(h.number(p.Last.Time), float32(f))
			}
		}
	}
}

func (h *history) newTrack(last int64) *track {
	t := &track{last: last, ranges: make([]span, h.slots), minute: nothing()}
	for i := range t.ranges {
		t.ranges[i] = nothing()
	}
	return t
}

func nothing() span { return span{float32(math.NaN()), float32(math.NaN())} }

func (s span) empty() bool { return s.low != s.low }

// add puts a value into its slot. The slots since the value before have that one, if
// nothing bad came in between: a point may be read more seldom than a slot is long.
// A clock that was set back by more than the ring is long begins anew.
func (t *track) add(n int64, v float32) {
	size := int64(len(t.ranges))
	if n <= t.last-size {
		t.last = n - size
	}
	between := nothing()
	if t.whole {
		between = span{t.value, t.value}
	}
	for skipped := max(t.last+1, n-size+1); skipped <= n; skipped++ {
		t.ranges[skipped%size] = between
	}
	if n > t.last {
		t.ranges[n%size] = nothing()
	}
	t.last, t.value, t.whole = max(t.last, n), v, true
	t.ranges[n%size].widen(v)
	t.minute.widen(v)
}

// widen has the span reach v.
func (s *span) widen(v float32) {
	if s.empty() {
		*s = span{v, v}
		return
	}
	s.low, s.high = min(s.low, v), max(s.high, v)
}

// minuteRow gives what each point was since the row before, in the order of the
// devices.
func (h *history) minuteRow(devices []Device) []span {
	h.mu.Lock()
	defer h.mu.Unlock()
	var row []span
	for _, d := range devices {
		for _, p := range d.Points {
			s := nothing()
			if t := h.points[pointKey{d.Name, p.Name}]; t != nil {
				if s = t.minute; s.empty() && t.whole {
					s = span{t.value, t.value}
				}
				t.minute = nothing()
			}
			row = append(row, s)
		}
	}
	return row
}

// Plot is what a point was over a while: at Times, in seconds since 1970, its least
// and greatest values; null where nothing good came.
type Plot struct {
	Slot  float64    `json:"slot"` // seconds
	Times []int64    `json:"times"`
	Low   []*float64 `json:"low"`
	High  []*float64 `json:"high"`
}

// plot gives the last hour of a point, from its first value on.
func (h *history) plot(device, name string, now time.Time) Plot {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := Plot{Slot: h.slot.Seconds(), Times: []int64{}, Low: []*float64{}, High: []*float64{}}
	t := h.points[pointKey{device, name}]
	if t == nil {
		return p
	}
	size, newest := int64(len(t.ranges)), h.number(now)
	for n := newest - size + 1; n <= newest; n++ {
		s := nothing()
		if n > t.last-size && n <= t.last {
			s = t.ranges[n%size]
		}
		if s.empty() && len(p.Times) == 0 {
			continue
		}
		p.Times = append(p.Times, n*int64(h.slot)/int64(time.Second))
		p.Low, p.High = append(p.Low, number(s.low)), append(p.High, number(s.high))
	}
	return p
}

// number gives what JSON has for it: null where there is none.
func number(f float32) *float64 {
	if v := float64(f); !math.IsNaN(v) && !math.IsInf(v, 0) {
		return &v
	}
	return nil
}

const sparks = 40 // of a sparkline

// sparkline gives a point from its first value of the last hour on in few numbers,
// each the middle of its stretch; null where nothing good came.
func (h *history) sparkline(device, name string, now time.Time) []*float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.points[pointKey{device, name}]
	if t == nil {
		return []*float64{}
	}
	size, newest := int64(len(t.ranges)), h.number(now)
	first := max(t.last-size, newest-size) + 1
	for first < t.last && t.ranges[first%size].empty() {
		first++
	}
	per := (newest-first)/sparks + 1
	line := make([]*float64, 0, sparks)
	for from := first; from <= newest; from += per {
		low, high := float32(math.Inf(1)), float32(math.Inf(-1))
		for n := from; n < from+per && n <= t.last; n++ {
			if s := t.ranges[n%size]; !s.empty() {
				low, high = min(low, s.low), max(high, s.high)
			}
		}
		if low > high {
			line = append(line, nil)
			continue
		}
		line = append(line, number(low/2+high/2))
	}
	return line
}
