package broker

import (
	"errors"
	"sync"
	"time"

	"headgate/broker/store"
)

// unsettled are the clients whose session has ended and is still on disk: to a
// CONNECT that finds none, that is not said before it is true there too.
type unsettled struct {
	mu      sync.Mutex // guards commits
	commits map[string]int
}

func (u *unsettled) add(id string, n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.commits == nil {
		u.commits = make(map[string]int)
	}
	if u.commits[id] += n; u.commits[id] == 0 {
		delete(u.commits, id)
	}
}

func (u *unsettled) has(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.commits[id] > 0
}

// settle commits what the end of a client's session or connection has left in r;
// gone is the queue that goes with it, nil: none. done runs when that is on disk. It
// is false when there is nothing to commit: then done does not run. The caller holds
// b.mu.
func (b *Broker) settle(id string, gone *store.Queue, r *router, done func(error)) bool {
	if gone != nil {
		b.unsettled.add(id, 1)
	}
	kept := r.commit(func(err error) {
		if errors.Is(err, store.ErrFull) {
			b.unwill(id)
		}
		if gone != nil {
			if err != nil {
				b.store.RemoveQueue(gone) // nobody reads it any more
			}
			b.unsettled.add(id, -1)
		}
		done(err)
	})
	r.flush()
	r.forget()
	return kept
}

// sweep ends the sessions whose time has passed and publishes the wills whose
// delay has.
func (b *Broker) sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.offline {
		s.mu.Lock()
		due := !s.willAt.IsZero() && !now.Before(s.willAt)
		over := s.expiry != expiryNever && b.clock.Since(s.gone, now) >= time.Duration(s.expiry)*time.Second
		s.mu.Unlock()
		if !due && !over {
			continue
		}
		r := router{b: b}
		r.publishWill(s, now) // the session's end does not wait for the delay
		var gone *store.Queue
		if over {
			b.stats.sessionsExpired.Add(1)
			b.log.Debug("session expired", "client", s.id)
			b.remove(s, &r)
			gone = s.queue
		}
		b.settle(s.id, gone, &r, func(err error) {
			if err != nil {
				b.log.Warn("end of a session is not on disk", "client", s.id, "err", err)
			}
		})
	}
}
