package derived

import (
	"time"

	"headgate/gateway/expression"
	"headgate/gateway/point"
)

// alarm is the state of a [[derived.alarm]].
type alarm struct {
	clear *expression.Program // nil: it is over when the other is not true any more
	delay time.Duration

	on      bool
	pending time.Time // since when the condition is true; zero: it is not, or it is an alarm already
}

// next takes what the condition has come to, and gives the state. While that cannot be
// told the state is not known, but not forgotten either.
func (a *alarm) next(when expression.Result, inputs []expression.Input, now time.Time) expression.Result {
	out := when
	var over bool
	if a.clear != nil {
		c := a.clear.Run(inputs, now)
		if out.Quality < c.Quality && (a.on || c.Quality != point.Bad) {
			out.Quality, out.Reason = c.Quality, c.Reason
		}
		if c.Time.After(out.Time) {
			out.Time = c.Time
		}
		over, _ = c.Value.(bool)
	}
	wrong, ok := when.Value.(bool)
	switch {
	case out.Quality == point.Bad:
		a.pending = time.Time{}
		out.Value = nil
		return out
	case !ok:
		out.Value, out.Quality, out.Reason = nil, point.Bad, "the condition is neither true nor false"
		a.pending = time.Time{}
		return out
	case a.on && a.clear != nil:
		a.on = !over
	case a.on:
		a.on = wrong
	case wrong && a.pending.IsZero():
		a.pending = now
	case !wrong:
		a.pending = time.Time{}
	}
	if !a.on && !a.pending.IsZero() && now.Sub(a.pending) >= a.delay {
		a.on, a.pending = true, time.Time{}
	}
	out.Value = a.on
	return out
}

// due is when it becomes an alarm if nothing changes; zero: never.
func (a *alarm) due() time.Time {
	if a.pending.IsZero() {
		return time.Time{}
	}
	return a.pending.Add(a.delay)
}
