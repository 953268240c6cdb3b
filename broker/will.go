package broker

import (
	"time"
)

// will is what a client asked to be published for it when its connection ends
// without a DISCONNECT. [MQTT-3.1.2-8]
type will struct {
	message     *message
	delay       time.Duration
	hasLifetime bool
	lifetime    uint32 // message expiry, seconds, counted from the publishing
}

// publishWill publishes the will of s, if it has one, and forgets it.
// The caller holds b.mu. [MQTT-3.1.2-10]
func (b *Broker) publishWill(s *session) {
	s.mu.Lock()
	w := s.will
	s.will, s.willAt = nil, time.Time{}
	s.mu.Unlock()
	if w == nil {
		return
	}
	now := time.Now()
	m := w.message
	m.from = s
	if w.hasLifetime {
		m.expires = expiresAfter(w.lifetime, b.clock, now)
	}
	r := router{b: b, from: s}
	if _, dest := r.route(m, now); dest.denied {
		b.stats.denied.Add(1)
		b.log.Warn("will is not allowed", "client", s.id, "topic", string(m.topic))
	}
	r.commit(func(err error) {
		if err != nil {
			b.log.Warn("will is not on disk", "client", s.id, "topic", string(m.topic), "err", err)
		}
	})
	r.flush()
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
		if due || over { // the session's end does not wait for the delay
			b.publishWill(s)
		}
		if !over {
			continue
		}
		b.stats.sessionsExpired.Add(1)
		b.log.Debug("session expired", "client", s.id)
		b.remove(s, func(err error) {
			if err != nil {
				b.log.Warn("end of a session is not on disk", "client", s.id, "err", err)
			}
		})
	}
}
