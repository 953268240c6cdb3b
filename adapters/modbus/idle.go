package modbus

import (
	"context"
	"time"
)

// idleCheck is how often a link on which nothing is due is looked at, so that a
// pulled plug is noticed before the next poll.
const idleCheck = time.Second

// idle waits for a write, and looks after the link if none comes within wait, when
// something is due or the link may be closed.
func (a *Adapter) idle(ctx context.Context, wait time.Duration) error {
	writes := a.writes
	if len(a.pending) >= maxPending {
		writes = nil
	}
	closing := a.idleClose > 0 && !a.asleep && time.Until(a.used.Add(a.idleClose)) < wait
	if closing {
		wait = time.Until(a.used.Add(a.idleClose))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case w := <-writes:
		a.pending = append(a.pending, w)
		return nil
	case <-a.renew:
		a.Renew() // serve sees to it
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	switch {
	case a.asleep:
		return nil
	case closing:
		a.sleep()
		return nil
	case a.idleClose > 0:
		if a.transport.check() != nil { // it is to be closed anyway
			a.sleep()
		}
		return nil
	}
	return a.exchange(ctx, true, a.transport.check)
}

// sleep closes the link until the next request. To all others it stays open, for
// nothing has failed, and what is known of the units holds.
func (a *Adapter) sleep() {
	a.transport.close()
	a.asleep = true
}

// wake opens the link if it sleeps.
func (a *Adapter) wake(ctx context.Context) error {
	if !a.asleep {
		return nil
	}
	if err := a.transport.open(ctx); err != nil {
		return &linkError{err: err}
	}
	a.nowOpen()
	return nil
}
