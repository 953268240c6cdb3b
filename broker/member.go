package broker

import (
	"time"

	"headgate/broker/packet"
)

// fillShared takes from the groups of the session what its client has room for.
func (c *conn) fillShared(now time.Time) error {
	list := c.session.memberships.Load()
	if list == nil {
		return nil
	}
	for _, mem := range *list {
		if err := c.fillFrom(mem, now); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) fillFrom(mem *member, now time.Time) error {
	for range shareBatch {
		if c.crowded() {
			// An acknowledgement brings it back. Until then the next one has what
			// this one was told of.
			if !mem.full.Swap(true) {
				mem.g.wakeNext()
			}
			return nil
		}
		mem.full.Store(false)
		if c.waiting() >= outBatch {
			break // it is written, and then comes back
		}
		m, ok, err := mem.g.take(mem, now)
		if err != nil || !ok {
			return err
		}
		c.sendShared(mem, m, now)
	}
	mem.g.wakeNext()
	return nil
}

// sendShared sends a message that has been taken from a group's queue.
func (c *conn) sendShared(mem *member, m *outgoingMessage, now time.Time) {
	if m.delivery.qos == 2 {
		c.moveShared(mem, m)
		return
	}
	if m.lease != nil && mem.s.persistent() {
		m.message = *c.entry.unmount(&m.message)
		if c.tooLarge(m) {
			m.lease.end()
			return
		}
		mem.s.mu.Lock()
		m.packetID = mem.s.out.lease(m.lease)
		mem.s.mu.Unlock()
		c.mu.Lock()
		c.appendPacket(&m.message, m.delivery, now)
		c.mu.Unlock()
		return
	}
	sent, _ := c.send(&m.message, m.delivery, now)
	switch {
	case sent:
	case m.lease != nil && c.ending() != nil:
		m.lease.giveBack() // it is not the message's fault
	default:
		c.b.stats.dropped.Add(1)
		if m.lease != nil {
			m.lease.end()
		}
	}
}

// moveShared makes a QoS 2 message the session's own.
func (c *conn) moveShared(mem *member, m *outgoingMessage) {
	c.moving.Add(1)
	own := mem.s.persistent()
	if !own {
		m.message = *m.message.clone()
	}
	mem.g.move(mem, m, func(err error) {
		c.moving.Add(-1)
		switch {
		case refusedFull(err):
			// It is back in the group's queue, and asked for again by then.
		case err != nil:
			c.end(packet.ServerBusy, err)
		case !own:
			if sent, _ := c.send(&m.message, m.delivery, time.Now()); !sent {
				c.b.stats.dropped.Add(1)
			}
		}
		c.wake()
	})
}

// taken is what a connection has of its session's groups when it ends.
type taken struct {
	leases  []*lease
	members []*member
}

// endShared takes from an ending connection what the other members may have.
func (c *conn) endShared() (t taken) {
	if list := c.session.memberships.Load(); list != nil {
		t.members = *list
	}
	s := c.session
	s.mu.Lock()
	t.leases = s.out.endLeases()
	s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.volatile.leases {
		t.leases = append(t.leases, l)
	}
	for _, p := range c.volatile.pending {
		if p.d.lease != nil {
			t.leases = append(t.leases, p.d.lease)
		}
	}
	c.volatile.leases = nil
	return t
}

// giveBack lets them have it.
func (t taken) giveBack() {
	for _, l := range t.leases {
		l.giveBack()
	}
	for _, m := range t.members {
		m.full.Store(false)
		m.g.wakeNext()
	}
}

// crowded says that c's client has as much in flight as it may, or takes its
// messages slowly.
func (c *conn) crowded() bool {
	s := c.session
	if s.persistent() {
		s.mu.Lock()
		full := len(s.out.flight)+int(c.moving.Load()) >= s.out.window || s.out.held != nil
		s.mu.Unlock()
		if full {
			return true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v := &c.volatile
	return c.last || c.out.len() >= outPause || len(v.pending) > 0 || v.flight.n+int(c.moving.Load()) >= v.window
}
