package gateway

import (
	"sync"
	"sync/atomic"
	"time"
)

// quiet is how long something must have gone well before its trouble counts as
// over: trouble that comes and goes is one trouble, and one pair of log lines.
const quiet = 10 * time.Second

// trouble tells the first of many failures, and their end, from those between.
// The zero value is no trouble; it is safe for concurrent use.
type trouble struct {
	count atomic.Uint64
	last  atomic.Int64 // ns since 1970, of the latest failure
}

// begin counts a failure; it is true for the first one.
func (t *trouble) begin(now time.Time) bool {
	t.last.Store(now.UnixNano())
	return t.count.Add(1) == 1
}

// over is called when something has gone well. It is true once a trouble, when
// it has ended, with the number of its failures.
func (t *trouble) over(now func() time.Time) (count uint64, ended bool) {
	if t.count.Load() == 0 || now().UnixNano()-t.last.Load() < int64(quiet) {
		return 0, false
	}
	count = t.count.Swap(0)
	return count, count > 0
}

// Of the lines that say one thing each, up to sparingLines go into the log in
// sparingTime.
const (
	sparingLines = 10
	sparingTime  = 10 * time.Second
)

// sparing keeps whoever sends much from filling the log. The zero value is ready;
// it is safe for concurrent use.
type sparing struct {
	mu      sync.Mutex // guards what follows
	from    time.Time
	lines   int
	skipped uint64
}

// line says whether one more may be logged, and how many were not since the last.
func (s *sparing) line(now time.Time) (skipped uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.from) >= sparingTime {
		s.from, s.lines = now, 0
	}
	if s.lines == sparingLines {
		s.skipped++
		return 0, false
	}
	s.lines++
	skipped, s.skipped = s.skipped, 0
	return skipped, true
}
