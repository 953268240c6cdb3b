package serial

import (
	"cmp"
	"fmt"
	"time"

	"headgate/gateway/point"
)

// tick tells of silence once it has lasted, and of values that have grown old. It
// gives how long until it has something to tell, or within if that is less.
func (l *listener) tick(now time.Time, within time.Duration) time.Duration {
	l.staleMissed()
	if left := l.silence(now); left > 0 {
		within = min(within, left)
	}
	u := point.Update{Device: l.name}
	reason := l.reason
	if l.opened && l.staleAfter > 0 {
		since := l.heardAt
		if l.openedAt.After(since) {
			since = l.openedAt
		}
		reason = fmt.Sprintf("silent for %v", l.staleAfter)
		if l.bytesAt.After(since) {
			reason = fmt.Sprintf("no message matched parse for %v", l.staleAfter)
		}
		switch left := l.staleAfter - now.Sub(since); {
		case l.silent:
		case left > 0:
			within = min(within, left)
		default:
			l.silent, l.online = true, false
			u.Status = &point.Status{Reason: reason, Time: now}
		}
	}
	u.Samples, within = l.grownStale(now, within, reason)
	if u.Status != nil || len(u.Samples) > 0 {
		l.emit(u)
	}
	return within
}

// grownStale gives the last good values that are too old once more, with their own
// times, and how long until the next one is, or within if that is less. reason is why
// the device says nothing, should that be so.
func (l *listener) grownStale(now time.Time, within time.Duration, reason string) ([]point.Sample, time.Duration) {
	var samples []point.Sample
	for i := range l.last {
		s, after := &l.last[i], cmp.Or(l.fields[i].StaleAfter, l.staleAfter)
		if after == 0 || s.Time.IsZero() || s.Quality != point.Good {
			continue
		}
		if left := after - now.Sub(s.Time); left > 0 {
			within = min(within, left)
			continue
		}
		s.Quality, s.Reason = point.Stale, reason
		if l.opened && (l.staleAfter == 0 || now.Sub(l.heardAt) < l.staleAfter) {
			s.Reason = fmt.Sprintf("in no message for %v", after)
		}
		samples = append(samples, *s)
	}
	return samples, within
}

// keep remembers the samples for when they are stale.
func (l *listener) keep(samples []point.Sample) {
	for _, s := range samples {
		for i := range l.fields {
			if l.fields[i].Name == s.Point {
				l.last[i] = s
			}
		}
	}
}

// unanswered has the points of a question told as stale.
func (l *listener) unanswered(q question, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missed = append(l.missed, missed{q.parser, reason})
}

// missed is a question that is not answered any more.
type missed struct {
	parser *parser
	reason string
}

// staleMissed tells of the points that were asked for in vain.
func (l *listener) staleMissed() {
	l.mu.Lock()
	list := l.missed
	l.missed = nil
	l.mu.Unlock()
	for _, m := range list {
		var samples []point.Sample
		for i := range l.last {
			s := l.last[i]
			if s.Time.IsZero() || s.Quality != point.Good || !m.parser.has(s.Point) {
				continue
			}
			s.Quality, s.Reason = point.Stale, m.reason
			l.last[i] = s
			samples = append(samples, s)
		}
		if len(samples) > 0 {
			l.emit(point.Update{Device: l.name, Samples: samples})
		}
	}
}
