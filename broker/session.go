package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"headgate/broker/auth"
	"headgate/broker/clock"
	"headgate/broker/store"
	"headgate/broker/topic"
)

// session is the state that belongs to a client identifier. A persistent one
// (its expiry is not 0) has a queue in the store and outlives its connection
// and the process; any other ends with its connection.
type session struct {
	id    string
	queue *store.Queue // nil: not persistent

	conn atomic.Pointer[conn] // nil while no client is connected
	// memberships are those in shared subscriptions; nil: none. Replaced under mu.
	memberships atomic.Pointer[[]*member]
	inside      inside // a receiver inside the process, instead of a connection; or nil

	peer atomic.Pointer[string] // the id of the gateway that receives; nil: it is none

	// rights are those of user; nil: everything is allowed.
	rights atomic.Pointer[auth.Rights]

	mu       sync.Mutex
	user     string // who connected last; "": nothing proved a name
	expiry   uint32 // seconds after the connection ends; expiryNever
	subs     subscriptions
	received map[uint16]struct{} // inbound QoS 2 identifiers: PUBREC sent, PUBREL awaited
	out      outgoing            // used while somebody receives, and only if persistent
	will     *will               // published when the connection ends badly
	willKept bool                // the log has a will of this client; guarded by Broker.mu
	willAt   time.Time           // when a delayed will is due, by Go's monotonic clock; zero: none waits
	gone     clock.Instant       // when the connection ended; zero while there is one
	ended    bool                // removed: whoever still holds it must not use it
}

// expiryNever is the Session Expiry Interval that does not expire. [MQTT 3.1.2.11.2]
const expiryNever = 0xFFFF_FFFF

// inside is a receiver within the process.
type inside interface {
	receive(m *message, d delivery) // must not block; m is the receiver's
}

func newSession(id string) *session {
	return &session{id: id}
}

// receive notes the packet identifier of an inbound QoS 2 message. The caller holds
// s.mu.
func (s *session) receive(id uint16) {
	if s.received == nil {
		s.received = make(map[uint16]struct{})
	}
	s.received[id] = struct{}{}
}

func (s *session) persistent() bool { return s.queue != nil }

// The keys of a session's state in the store. A client identifier holds no
// U+0000, so it ends there.
const (
	sessionPrefix  = "session/"
	subPrefix      = "sub/"
	receivedPrefix = "rx/"
	willPrefix     = "will/"
	retainedPrefix = "retained/"
)

func sessionKey(id string) string            { return sessionPrefix + id }
func subKey(id, filter string) string        { return subPrefix + id + "\x00" + filter }
func receivedKey(id string, p uint16) string { return receivedPrefix + id + "\x00" + itoa(int(p)) }

func splitKey(key, prefix string) (id, rest string, ok bool) {
	return strings.Cut(strings.TrimPrefix(key, prefix), "\x00")
}

func itoa(i int) string { return strconv.Itoa(i) }

const (
	stateFormat   = 1
	sessionFormat = 3 // 1 was without the user, 1 and 2 with gone as a wall clock's ms
)

var errState = errors.New("stored state is damaged or of a newer format")

// sessionRecord is what is stored of a session itself.
type sessionRecord struct {
	expiry  uint32
	gone    clock.Instant // when the connection ended; zero: it was connected
	orderly bool          // that end was seen, and sent is right
	sent    uint64        // the highest record number that was sent
	user    string        // whose rights it has
}

const (
	sessionGone    = 1 << 0
	sessionOrderly = 1 << 1
)

func (r sessionRecord) encode() []byte {
	var flags byte
	if !r.gone.IsZero() {
		flags |= sessionGone
	}
	if r.orderly {
		flags |= sessionOrderly
	}
	b := []byte{sessionFormat, flags}
	b = binary.BigEndian.AppendUint32(b, r.expiry)
	b = binary.BigEndian.AppendUint64(b, r.sent)
	if flags&sessionGone != 0 {
		b = r.gone.Append(b)
	}
	return append(b, r.user...)
}

func decodeSession(b []byte) (r sessionRecord, err error) {
	switch {
	case len(b) >= 21 && (b[0] == 1 || b[0] == 2):
		r.expiry = binary.BigEndian.Uint32(b[1:])
		if gone := int64(binary.BigEndian.Uint64(b[5:])); gone != 0 {
			r.gone, r.orderly = clock.Instant{Wall: gone, Synced: true}, true
		}
		r.sent = binary.BigEndian.Uint64(b[13:])
		r.user = string(b[21:])
		return r, nil
	case len(b) < 14 || b[0] != sessionFormat:
		return r, errState
	}
	r.orderly = b[1]&sessionOrderly != 0
	r.expiry = binary.BigEndian.Uint32(b[2:])
	r.sent = binary.BigEndian.Uint64(b[6:])
	rest := b[14:]
	if b[1]&sessionGone != 0 {
		if r.gone, rest, err = clock.CutInstant(rest); err != nil {
			return r, fmt.Errorf("%w: %w", errState, err)
		}
	}
	r.user = string(rest)
	return r, nil
}

// records gives what s is as it stands, for the log. The caller holds s.mu.
func (s *session) record() store.Record {
	r := sessionRecord{expiry: s.expiry, gone: s.gone, orderly: !s.gone.IsZero(), sent: s.out.sent, user: s.user}
	return store.Record{Kind: store.Put, Key: sessionKey(s.id), Data: r.encode()}
}

// restore reads the sessions that the store kept. Each one is offline; one that
// was connected when the process ended has been gone since that was last seen to
// run. This is written down: were it counted from each start anew, a session
// would never expire where the power fails again and again.
func (b *Broker) restore() error {
	var gone []store.Record
	err := b.store.State(sessionPrefix, func(key string, value []byte) error {
		id := strings.TrimPrefix(key, sessionPrefix)
		r, err := decodeSession(value)
		if err != nil {
			return fmt.Errorf("session %q: %w", id, err)
		}
		s := newSession(id)
		s.expiry, s.user = r.expiry, r.user
		s.rights.Store(b.live.Load().policy.Rights(s.user, id))
		if s.queue, err = b.store.Queue(id); err != nil {
			return fmt.Errorf("queue of session %q: %w", id, err)
		}
		s.out.queue, s.out.clock = s.queue, b.clock
		b.limitQueue(s.queue)
		if r.gone.IsZero() {
			r.gone = b.clock.Before()
			if r.expiry != expiryNever {
				gone = append(gone, store.Record{Kind: store.Put, Key: key, Data: r.encode()})
			}
		}
		s.gone = r.gone
		if r.orderly {
			s.out.sent = r.sent
		} else {
			s.out.doubtful = int(b.live.Load().MaxInflight) + doubtfulMargin
		}
		b.sessions[id] = s
		b.persistent++
		return nil
	})
	if err != nil {
		return err
	}
	err = b.store.State(subPrefix, func(key string, value []byte) error {
		id, filter, _ := splitKey(key, subPrefix)
		s := b.sessions[id]
		if s == nil {
			return nil
		}
		sub, err := decodeSubscription(value)
		if err != nil {
			return fmt.Errorf("subscription %q of session %q: %w", filter, id, err)
		}
		s.subs.set(filter, sub)
		return b.addToIndex(s, filter, sub)
	})
	if err != nil {
		return err
	}
	err = b.store.State(receivedPrefix, func(key string, _ []byte) error {
		id, p, _ := splitKey(key, receivedPrefix)
		n, err := strconv.ParseUint(p, 10, 16)
		if s := b.sessions[id]; s != nil && err == nil {
			s.receive(uint16(n))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		b.store.Commit(gone, func(err error) {
			if err != nil {
				b.log.Warn("sessions without a client are not on disk as such", "count", len(gone), "err", err)
			}
		})
	}
	for _, q := range b.store.Queues() {
		if b.sessions[q.Name()] == nil && b.groups.byName[q.Name()] == nil {
			b.store.RemoveQueue(q)
		}
	}
	return nil
}

// doubtfulMargin is how many more messages than were in flight may come again
// after a crash: acknowledgements reach the disk in groups.
const doubtfulMargin = 1000

// makePersistent gives s a queue, so that it outlives its connection.
func (b *Broker) makePersistent(s *session) error {
	q, err := b.store.Queue(s.id)
	if err != nil {
		return fmt.Errorf("queue of session %q: %w", s.id, err)
	}
	s.queue, s.out.queue, s.out.clock = q, q, b.clock
	b.limitQueue(q)
	return nil
}

// remove ends s, takes it off the list, and adds to r what ends it on disk. The
// caller holds b.mu, and commits r by settle.
func (b *Broker) remove(s *session, r *router) {
	b.endSession(s, r)
	delete(b.sessions, s.id)
	delete(b.offline, s)
	if s.persistent() {
		b.persistent--
	}
}

// endSession forgets s: its subscriptions, its queue, all that is stored.
func (b *Broker) endSession(s *session, r *router) {
	s.mu.Lock()
	s.ended = true
	subs := slices.Clone(s.subs)
	if s.persistent() {
		for _, sub := range subs {
			r.keep(store.Record{Kind: store.Delete, Key: subKey(s.id, sub.filter)})
		}
		for p := range s.received {
			r.keep(store.Record{Kind: store.Delete, Key: receivedKey(s.id, p)})
		}
		r.keep(store.Record{Kind: store.Delete, Key: sessionKey(s.id)})
		r.keep(store.Record{Kind: store.Remove, Refs: []store.Ref{{Queue: s.queue.ID()}}})
	}
	s.mu.Unlock()
	for _, sub := range subs {
		b.removeFromIndex(s, sub.filter)
	}
}

// roomFor says why s may have no subscription to filter; nil: it may.
func (b *Broker) roomFor(s *session, filter string) error {
	l := b.live.Load()
	s.mu.Lock()
	_, had := s.subs.find(filter)
	n := len(s.subs)
	s.mu.Unlock()
	switch {
	case had:
		return nil
	case n >= int(l.MaxSubscriptions):
		return fmt.Errorf("a client may have %d subscriptions", l.MaxSubscriptions)
	case b.subscriptions() >= int64(l.MaxSubscriptionsTotal):
		return fmt.Errorf("there may be %d subscriptions in all", l.MaxSubscriptionsTotal)
	}
	return nil
}

// subscribe adds or replaces a subscription in memory and gives the record that
// keeps it, if s is persistent. [MQTT-3.8.4-3]
func (b *Broker) subscribe(s *session, filter string, sub subscription) (isNew bool, rec []store.Record, err error) {
	if err := b.addToIndex(s, filter, sub); err != nil {
		return false, nil, err
	}
	s.mu.Lock()
	had := s.subs.set(filter, sub)
	s.mu.Unlock()
	if s.persistent() {
		rec = []store.Record{{Kind: store.Put, Key: subKey(s.id, filter), Data: sub.encode()}}
	}
	return !had, rec, nil
}

// addToIndex lets the router find a subscription.
func (b *Broker) addToIndex(s *session, filter string, sub subscription) error {
	if _, inner, shared, _ := topic.SplitShared(filter); shared {
		return b.join(s, filter, inner, sub)
	}
	b.index.Set(filter, s, sub)
	return nil
}

func (b *Broker) removeFromIndex(s *session, filter string) {
	if _, _, shared, _ := topic.SplitShared(filter); shared {
		b.leave(s, filter)
		return
	}
	b.index.Delete(filter, s)
}

// unsubscribe removes one.
func (b *Broker) unsubscribe(s *session, filter string) (had bool, rec []store.Record) {
	s.mu.Lock()
	had = s.subs.remove(filter)
	s.mu.Unlock()
	if !had {
		return false, nil
	}
	b.removeFromIndex(s, filter)
	if s.persistent() {
		rec = []store.Record{{Kind: store.Delete, Key: subKey(s.id, filter)}}
	}
	return true, rec
}

// subscriptionIndex finds the sessions that a topic name goes to.
type subscriptionIndex = topic.Index[*session, subscription]
