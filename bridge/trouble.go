package bridge

import (
	"sync"
	"time"
)

const (
	firstReminder = time.Minute
	lastReminder  = time.Hour
)

// trouble remembers why there is no connection, so that a long outage is a line
// when it begins, one at each new cause, and reminders at growing intervals.
type trouble struct {
	text  string
	times int // since the last line
	next  time.Time
	gap   time.Duration
	told  bool // the log's last word is that there is no connection
	once  bool // a connection was logged
}

// note takes a cause. ok says whether to log it; times is how often it came
// since the last line, itself included.
func (t *trouble) note(text string, now time.Time) (times int, ok bool) {
	t.times++
	switch {
	case text != t.text:
		t.text, t.times, t.gap = text, 1, firstReminder
	case now.Before(t.next):
		return t.times, false
	default:
		t.gap = min(2*t.gap, lastReminder)
	}
	t.next = now.Add(t.gap)
	times, t.times, t.told = t.times, 0, true
	return times, true
}

// over is called when there is a connection. It says whether to log that: the
// log's last word was another.
func (t *trouble) over() bool {
	log := t.told || !t.once
	t.told, t.once = false, true
	return log
}

// clear ends the trouble: the next cause is a new one.
func (t *trouble) clear() { *t = trouble{once: t.once} }

// repeats thins out lines about single messages: one a minute for each key, with
// the number of those left out. The keys are few and fixed.
type repeats struct {
	mu   sync.Mutex // guards last
	last map[string]*repeat
}

type repeat struct {
	logged time.Time
	times  uint64 // since then
}

func newRepeats() *repeats { return &repeats{last: make(map[string]*repeat)} }

// note counts one case of key. ok says whether to log it; times is how many
// there were since the last line, itself included.
func (r *repeats) note(key string) (times uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.last[key]
	if last == nil {
		last = &repeat{}
		r.last[key] = last
	}
	last.times++
	if now := time.Now(); last.logged.IsZero() || now.Sub(last.logged) >= time.Minute {
		times = last.times
		last.logged, last.times = now, 0
		return times, true
	}
	return 0, false
}
