package broker

import (
	"fmt"

	"headgate/broker/clock"
	"headgate/broker/store"
)

// A bridge has a queue for each priority, a lane: what has the high one overtakes
// what waits with the normal one. Order holds within a lane. To the upstream both
// are one session, so each has packet identifiers of its own.
//
// The normal lane has 1 to 57,344 of them, the high one the 8,191 above.
const (
	normalIdentifiers = 57_344
	highIdentifiers   = identifiers - normalIdentifiers

	highLane = "/high" // after the client identifier of the bridge
)

// lane opens the session that stands for a lane, with what waits in it from
// before. With create false there is none where there was none. The caller holds
// b.mu.
func (u *Uplink) lane(id string, create bool) (*session, error) {
	b := u.b
	s := b.sessions[id]
	if s == nil {
		if !create {
			return nil, nil
		}
		s = newSession(id)
		if err := b.makePersistent(s); err != nil {
			return nil, err
		}
		b.sessions[id] = s
	}
	delete(b.offline, s) // it never expires
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expiry, s.inside, s.gone = expiryNever, u, clock.Instant{}
	b.store.Commit([]store.Record{s.record()}, func(err error) {
		if err != nil {
			b.log.Error("session of a bridge is not on disk", "client", id, "err", err)
		}
	})
	return s, nil
}

// open opens the lanes; high says that something has the high priority. What
// waits in a lane that is not wanted any more still goes up. The caller holds b.mu.
func (u *Uplink) open(id string, high bool) (err error) {
	if u.s, err = u.lane(id, true); err == nil {
		u.high, err = u.lane(id+highLane, high)
	}
	if err != nil {
		return fmt.Errorf("open the queues of a bridge: %w", err)
	}
	u.lanes = []*session{u.s}
	u.s.out.count = normalIdentifiers
	if u.high != nil {
		u.lanes = []*session{u.high, u.s}
		u.high.out.skip, u.high.out.count = normalIdentifiers, highIdentifiers
	}
	return nil
}

// of gives the lane that a packet identifier belongs to.
func (u *Uplink) of(packetID uint16) *session {
	if u.high != nil && packetID > normalIdentifiers {
		return u.high
	}
	return u.s
}

// overtaken says whether a message that goes to s goes to the bridge by its high
// lane already; goes says which sessions it goes to.
func overtaken(s *session, goes func(*session) bool) bool {
	u, ok := s.inside.(*Uplink)
	return ok && s == u.s && u.high != nil && goes(u.high)
}

// isFrom says whether m was published by the one that s receives for.
func (s *session) isFrom(m *message) bool {
	return s == m.from || m.from != nil && s.inside != nil && s.inside == m.from.inside
}
