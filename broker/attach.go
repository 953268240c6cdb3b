package broker

import (
	"fmt"
	"time"

	"headgate/broker/clock"
	"headgate/broker/packet"
	"headgate/broker/store"
)

// attachment is what a CONNECT asks of its session.
type attachment struct {
	clean  bool
	expiry uint32
	will   *will
	window int
}

// attach gives c its session: the one that there is, or a new one. A client
// that is connected under the same identifier is closed first. [MQTT-3.1.4-3]
// durable yields once the session is on disk.
func (b *Broker) attach(c *conn, a attachment, now time.Time) (present bool, durable <-chan error, err error) {
	for {
		b.mu.Lock()
		s := b.sessions[c.clientID]
		if s == nil {
			break
		}
		if owner := s.owner(); owner != "" && owner != c.user && b.knows(owner) {
			b.mu.Unlock()
			return false, nil, &packet.Error{Reason: packet.ClientIdentifierNotValid,
				Text: fmt.Sprintf("CONNECT: the session of client identifier %.100q belongs to another user", c.clientID)}
		}
		old := s.conn.Load()
		if old == nil {
			break
		}
		b.mu.Unlock()
		old.end(packet.SessionTakenOver, errTakenOver)
		select {
		case <-old.finished:
		case <-c.done:
			return false, nil, errShutdown
		}
	}
	defer b.mu.Unlock()
	r := router{b: b}
	var gone *store.Queue
	old := b.sessions[c.clientID]
	s, count := old, b.persistent
	if s != nil && (a.clean || !s.persistent()) { // [MQTT-3.1.2-4]; or one that has ended, of which the will is left
		s = nil
		if old.persistent() {
			count--
		}
	}
	begins := a.expiry > 0 && (s == nil || !s.persistent())
	if most := b.live.Load().MaxSessions; begins && count >= int(most) {
		return false, nil, &packet.Error{Reason: packet.QuotaExceeded, Text: fmt.Sprintf("CONNECT: there are %d sessions already", most)}
	}
	present = s != nil
	if s == nil {
		s = newSession(c.clientID)
		if old != nil {
			r.publishWill(old, now)
			b.remove(old, &r)
			gone = old.queue
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user = c.user
	// Those of by now: a reload may have come since the client was let in.
	c.rights = b.live.Load().policy.Rights(c.user, c.clientID)
	s.rights.Store(c.rights)
	// A will that waited is not published: the client is back. [MQTT-3.1.3-9]
	s.expiry, s.will, s.willAt, s.gone = a.expiry, a.will, time.Time{}, clock.Instant{}
	r.keepWill(s)
	if begins || s.persistent() {
		r.keep(s.record())
	}
	done := make(chan error, 1)
	report := func(err error) { done <- err }
	switch {
	case b.settle(s.id, gone, &r, report):
	case b.unsettled.has(s.id):
		b.store.Commit(nil, report) // there is no session: not on disk either
	default:
		done <- nil
	}
	if begins {
		// After the commit: a session without a queue gets one at the next start.
		if err := b.makePersistent(s); err != nil {
			return false, nil, &packet.Error{Reason: packet.ServerUnavailable, Text: err.Error()}
		}
		b.persistent++
	}
	if s.persistent() {
		s.out.start(a.window, c.wake)
	}
	c.router.from = s
	c.session = s
	b.sessions[s.id] = s
	delete(b.offline, s)
	s.conn.Store(c)
	return present, done, nil
}

// owner is the user that connected last; "": nothing proved a name.
func (s *session) owner() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user
}

// knows says whether there may be such a user.
func (b *Broker) knows(user string) bool {
	return b.cfg.OtherUsers || b.live.Load().policy.Has(user)
}

// detach takes c from its session, which ends or waits for its client.
func (b *Broker) detach(c *conn) {
	s := c.session
	b.mu.Lock()
	defer b.mu.Unlock()
	s.conn.Store(nil)
	now := time.Now()
	s.mu.Lock()
	s.gone = b.clock.At(now)
	ends := s.expiry == 0
	waits := false
	if s.will != nil {
		if delay := min(s.will.delay, time.Duration(s.expiry)*time.Second); delay > 0 {
			s.willAt, waits = now.Add(delay), true // [MQTT-3.1.3-9]
		}
	}
	s.mu.Unlock()
	report := func(err error) {
		if err != nil {
			b.log.Warn("end of a connection is not on disk", "client", s.id, "err", err)
		}
	}
	r := router{b: b}
	if !waits {
		r.publishWill(s, now)
	}
	if ends {
		b.remove(s, &r)
		b.settle(s.id, s.queue, &r, report)
		return
	}
	// By itself: a will that there is no room for does not take this with it.
	b.settle(s.id, nil, &r, report)
	b.offline[s] = struct{}{}
	s.mu.Lock()
	rec := s.record()
	s.mu.Unlock()
	b.store.Commit([]store.Record{rec}, report)
}
