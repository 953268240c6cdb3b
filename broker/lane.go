package broker

import (
	"fmt"
	"strings"
	"time"

	"headgate/broker/clock"
	"headgate/broker/store"
)

// A bridge has up to three queues, its lanes: what has the high priority overtakes
// what waits with the normal one, and where the live goes first, it overtakes what
// has waited for the upstream. Order holds within a lane. To the upstream all are
// one session, so each has packet identifiers of its own; the bridge's quota holds
// for all of them together.
//
// The normal lane has 1 to 57,344 of them, then come the high and the live one.
const (
	normalIdentifiers = 57_344
	highIdentifiers   = 4_095
	liveIdentifiers   = identifiers - normalIdentifiers - highIdentifiers

	highLane = "/high" // after the client identifier of the bridge
	liveLane = "/live"
)

// bridgeOf gives the name of the bridge that a queue is a lane of; false for none.
func bridgeOf(queue string) (name string, ok bool) {
	lane, ok := strings.CutPrefix(queue, bridgePrefix)
	return strings.TrimSuffix(strings.TrimSuffix(lane, highLane), liveLane), ok
}

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
	if err == nil {
		u.live, err = u.lane(id+liveLane, u.liveFirst)
	}
	if err != nil {
		return fmt.Errorf("open the queues of a bridge: %w", err)
	}
	if u.high != nil {
		u.lanes = append(u.lanes, u.high)
		u.high.out.skip, u.high.out.count = normalIdentifiers, highIdentifiers
	}
	if u.live != nil {
		u.lanes = append(u.lanes, u.live)
		u.live.out.skip, u.live.out.count = normalIdentifiers+highIdentifiers, liveIdentifiers
	}
	u.lanes = append(u.lanes, u.s)
	u.s.out.count = normalIdentifiers
	for _, s := range u.lanes {
		if s.out.doubtful > 0 { // the window is the bridge's, up to all identifiers
			s.out.doubtful = s.out.count + doubtfulMargin
		}
	}
	u.shareQuota()
	return nil
}

// shareQuota has the limits of the bridge hold for its lanes together. What has the
// high priority is not dropped for the rest.
func (u *Uplink) shareQuota() {
	var rest, high []*store.Queue
	for _, s := range u.lanes {
		if s == u.high {
			high = append(high, s.queue)
		} else {
			rest = append(rest, s.queue)
		}
	}
	u.b.store.ShareQuota(rest, high)
}

// of gives the lane that a packet identifier belongs to.
func (u *Uplink) of(packetID uint16) *session {
	switch {
	case u.live != nil && packetID > normalIdentifiers+highIdentifiers:
		return u.live
	case u.high != nil && packetID > normalIdentifiers:
		return u.high
	}
	return u.s
}

// Live says whether what is published from now on can go up as it comes: there is
// a connection. While there is none it joins the backlog, and all that waits in the
// normal lane when there is one again is the backlog: each outage's adds to it.
func (u *Uplink) Live(on bool) {
	if on {
		u.backlog.Store(u.b.store.Stats().NextRecord)
	}
	if u.liveFirst {
		if on {
			u.now.Store(u.live)
		} else {
			u.now.Store(nil)
		}
	}
	// How old the backlog is, is known the better for it.
	if recs := u.b.ages.tick(u.b.store.Stats().NextRecord, u.b.clock, time.Now()); len(recs) > 0 {
		u.b.store.Commit(recs, func(err error) {
			if err != nil {
				u.b.log.Debug("age of a backlog is not on disk", "client", u.s.id, "err", err)
			}
		})
	}
}

// taking gives the session whose queue takes what is published for s.
func (s *session) taking() *session {
	if u, ok := s.inside.(*Uplink); ok && s == u.s {
		if live := u.now.Load(); live != nil {
			return live
		}
	}
	return s
}

// overtaken says whether a message that goes to s goes to the bridge by its high
// lane already; goes says which sessions it goes to.
func overtaken(s *session, goes func(*session) bool) bool {
	u, ok := s.inside.(*Uplink)
	return ok && s == u.s && u.high != nil && goes(u.high)
}

// isFrom says whether m was published by the one that s receives for, or by the
// same gateway.
func (s *session) isFrom(m *message) bool {
	return s == m.from || m.from != nil && (s.inside != nil && s.inside == m.from.inside || s.isPeerOf(m.from))
}
