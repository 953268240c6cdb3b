package broker

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"headgate/broker/packet"
)

// ClientInfo is a client that is connected, or a session that waits for one.
type ClientInfo struct {
	ClientID   string        `json:"client_id"`
	Connected  bool          `json:"connected"`
	Since      *time.Time    `json:"since"`      // when it connected; null while it is not connected
	Remote     string        `json:"remote"`     // its address; "" while it is not connected
	Protocol   string        `json:"protocol"`   // "3.1", "3.1.1" or "5.0"; the same
	KeepAlive  time.Duration `json:"-"`          // 0: none
	User       string        `json:"user"`       // "" where nothing proved a name
	Persistent bool          `json:"persistent"` // the session outlives its connection

	Filters       []string `json:"filters"` // of its subscriptions, the first maxFilters
	Subscriptions int      `json:"subscriptions"`
	InFlight      int      `json:"in_flight"`     // messages on their way to it, without an answer yet
	Queued        int64    `json:"queued"`        // messages that wait for it, those in flight included
	QueuedBytes   int64    `json:"queued_bytes"`  // of them, on disk
	WaitingBytes  int64    `json:"waiting_bytes"` // in memory, to be written to it
}

const maxFilters = 50

// Clients gives limit sessions at most, by their client identifiers, those first
// that are connected, and how many there are in all.
func (b *Broker) Clients(limit int) (list []ClientInfo, total int) {
	sessions := b.allSessions()
	total = len(sessions)
	slices.SortFunc(sessions, func(x, y *session) int {
		if a, b := x.conn.Load() != nil, y.conn.Load() != nil; a != b {
			if a {
				return -1
			}
			return 1
		}
		return cmp.Compare(x.id, y.id)
	})
	list = make([]ClientInfo, 0, min(limit, total))
	for _, s := range sessions[:min(limit, total)] {
		list = append(list, s.info())
	}
	return list, total
}

func (s *session) info() ClientInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := ClientInfo{ClientID: s.id, User: s.user, Persistent: s.persistent(), Subscriptions: len(s.subs), Filters: []string{}}
	for _, sub := range s.subs[:min(len(s.subs), maxFilters)] {
		i.Filters = append(i.Filters, sub.filter)
	}
	if s.persistent() {
		st := s.queue.Stats()
		i.Queued, i.QueuedBytes, i.InFlight = st.Messages, st.Bytes, len(s.out.flight)
	}
	c := s.conn.Load()
	if c == nil {
		return i
	}
	i.Connected, i.Remote, i.Protocol, i.KeepAlive = true, c.nc.RemoteAddr().String(), c.version.String(), c.keepAlive
	i.Since = new(time.Unix(c.since, 0).UTC())
	c.mu.Lock()
	defer c.mu.Unlock()
	i.WaitingBytes = int64(c.out.len())
	if !s.persistent() {
		i.InFlight = c.volatile.flight.n
		i.Queued = int64(len(c.volatile.pending) + i.InFlight)
	}
	return i
}

var errByOperator = errors.New("disconnected by an operator")

// Disconnect ends the connection of a client; its session stays as it asked for.
// The error says that it is not connected.
func (b *Broker) Disconnect(clientID string) error {
	b.mu.Lock()
	s := b.sessions[clientID]
	b.mu.Unlock()
	if s != nil && s.inside == nil {
		if c := s.conn.Load(); c != nil {
			c.end(packet.AdministrativeAction, errByOperator)
			return nil
		}
	}
	return fmt.Errorf("no client %.100q is connected", clientID)
}

// Retained calls fn with each retained message whose topic matches filter. fn is
// called while others cannot retain: it does not block.
func (b *Broker) Retained(filter string, fn func(Message)) {
	now := time.Now()
	b.retained.tree.Match(filter, func(_ string, m *message) {
		if m.expired(now) {
			return
		}
		if external, err := m.toExternal(delivery{qos: m.qos, retain: true}); err == nil {
			fn(external)
		}
	})
}
