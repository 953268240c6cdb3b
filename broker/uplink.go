package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"headgate/broker/store"
	"headgate/broker/topic"
)

// Uplink is a persistent session whose receiver is a bridge inside the process:
// its queue is the bridge's backlog, or where something overtakes, its lanes'
// queues are. A message leaves its queue when the bridge says that the upstream
// has it.
type Uplink struct {
	b         *Broker
	name      string
	liveFirst bool           // of whoever calls Next and Live
	filters   []UplinkFilter // of whoever calls NewUplink, Reconfigure and Close
	resending bool           // since Rewind: see again. Of whoever calls Next
	s         *session       // of the normal lane, and of what comes down
	high      *session       // of the high one; nil: there is none
	live      *session       // of the live one; nil: there is none
	lanes     []*session     // all, by what goes first
	wakeup    chan struct{}

	now     atomic.Pointer[session] // takes what is published for the normal lane; nil: that itself
	backlog atomic.Uint64           // number of the first record that is not of the backlog

	routeMu sync.Mutex
	router  router // for what comes down

	mu     sync.Mutex // taken last: what comes down may make somebody publish what goes up
	direct []Delivery
	bytes  int64 // of direct
}

// UplinkFilter is one topic filter that goes up.
type UplinkFilter struct {
	Filter string
	QoS    byte // used upstream: every message that matches is queued at it
	// QueueQoS0 keeps messages that were published at QoS 0 on disk too, at QoS.
	// Otherwise they go up at QoS 0, as far as memory holds them.
	QueueQoS0 bool
	// High has what matches sent before all that waits without it. A topic that
	// two filters match has it if one of them does.
	High bool
}

// Delivery is one message for the upstream, with the QoS that it was published
// with.
type Delivery struct {
	Message
	PacketID uint16 // 0 for one that is not queued; the same again after a restart
	Dup      bool   // it may have been sent before
	Received bool   // QoS 2: the upstream's PUBREC came before; go on with PUBREL

	// Replay: it is of the backlog, for Age, as well as the log knows that. Where
	// the live goes first, it is retained only if that is what the topic retains here
	// too: a newer one may have gone before.
	Replay bool
	Age    time.Duration
}

// maxDirect bounds what waits for the upstream in memory, in bytes: QoS 0
// messages that are not queued. Past it the oldest is dropped and counted.
const maxDirect = 256 << 10

// NewUplink gives the session of the bridge called name, with its backlog from
// before. The filters replace those that it had. liveFirst: what comes while
// there is a connection overtakes the backlog. To be called once a name.
func (b *Broker) NewUplink(name string, filters []UplinkFilter, liveFirst bool) (*Uplink, error) {
	id := bridgePrefix + name
	b.mu.Lock()
	defer b.mu.Unlock()
	u := &Uplink{b: b, name: name, liveFirst: liveFirst, wakeup: make(chan struct{}, 1)}
	u.router.b = b
	if err := u.open(id, slices.ContainsFunc(filters, func(f UplinkFilter) bool { return f.High })); err != nil {
		return nil, err
	}
	for _, f := range filters {
		if err := topic.CheckFilter(f.Filter); err != nil {
			return nil, fmt.Errorf("bridge %s: filter %q: %w", name, f.Filter, err)
		}
	}
	u.filters = slices.Clone(filters)
	for _, f := range filters {
		u.listen(f)
	}
	u.Rewind()
	return u, nil
}

func (u *Uplink) wake() {
	select {
	case u.wakeup <- struct{}{}:
	default:
	}
}

// Rewind starts each lane again at the first message that is not acknowledged. What
// the upstream may hold at QoS 2 comes before all else. No Next runs meanwhile.
func (u *Uplink) Rewind() {
	for _, s := range u.lanes {
		s.mu.Lock()
		s.out.start(identifiers, u.wake)
		s.mu.Unlock()
	}
	u.resending = true
}

// Next waits for the next message: of the first lane that has one, in the order of
// each. With backlog false it gives nothing of the normal lane.
func (u *Uplink) Next(ctx context.Context, backlog bool) (Delivery, error) {
	for {
		d, ok, err := u.TryNext(backlog)
		if err != nil || ok {
			return d, err
		}
		select {
		case <-u.wakeup:
		case <-ctx.Done():
			return d, ctx.Err()
		}
	}
}

// TryNext gives the next message if there is one now.
func (u *Uplink) TryNext(backlog bool) (Delivery, bool, error) {
	u.mu.Lock()
	if len(u.direct) > 0 {
		d := u.direct[0]
		u.direct[0] = Delivery{}
		u.direct = u.direct[1:]
		u.bytes -= directBytes(&d)
		u.mu.Unlock()
		return d, true, nil
	}
	u.mu.Unlock()
	m, from, err := u.again()
	for i := 0; m == nil && err == nil && i < len(u.lanes); i++ {
		if from = u.lanes[i]; from != u.s || backlog {
			m, err = u.nextOf(from)
		}
	}
	if err != nil || m == nil {
		return Delivery{}, false, err
	}
	msg, err := m.message.toExternal(m.delivery)
	if err != nil {
		return Delivery{}, false, fmt.Errorf("message %d: %w", m.number, err)
	}
	msg.QoS = m.message.qos // as it was published: the bridge knows the one upstream
	d := Delivery{Message: msg, PacketID: m.packetID, Dup: m.dup, Received: m.release}
	// Where the live goes first, one that was routed just before Live is late too.
	if first := u.backlog.Load(); from == u.s && (m.number < first || u.liveFirst) {
		d.Replay, d.Age = true, u.b.ages.of(m.number, first, u.b.clock, time.Now())
		if u.live != nil {
			d.Retain = d.Retain && u.b.retained.has(&m.message)
		}
	}
	return d, true, nil
}

// again gives what of any lane the upstream may hold from an earlier connection, at
// QoS 2, before anything overtakes it: some upstreams count what they hold against
// their Receive Maximum, and would close each connection that fills it first.
func (u *Uplink) again() (m *outgoingMessage, from *session, err error) {
	if !u.resending {
		return nil, nil, nil
	}
	for _, s := range u.lanes {
		s.mu.Lock()
		holds := s.out.releases > 0 || s.out.againTo > 0
		s.mu.Unlock()
		if !holds {
			continue
		}
		if m, err = u.nextOf(s); m != nil || err != nil {
			return m, s, err
		}
		s.mu.Lock()
		s.out.releases, s.out.againTo = 0, 0
		s.mu.Unlock()
	}
	u.resending = false
	return nil, nil, nil
}

// nextOf gives the next message of a lane; nil: there is none now.
func (u *Uplink) nextOf(s *session) (*outgoingMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok, err := s.out.next(time.Now(), func(number uint64) { u.waitDurable(s, number) }, u.dropped)
	if !ok {
		return nil, err
	}
	return m, nil
}

func (u *Uplink) waitDurable(s *session, number uint64) {
	u.b.store.Commit(nil, func(err error) {
		if err != nil {
			return
		}
		s.mu.Lock()
		s.out.durable(number)
		s.mu.Unlock()
		u.wake()
	})
}

func (u *Uplink) dropped(*outgoingMessage, string) { u.b.stats.dropped.Add(1) }

// receive takes a QoS 0 message that is not queued.
func (u *Uplink) receive(m *message, d delivery) {
	msg, err := m.toExternal(d)
	if err != nil {
		return
	}
	msg.QoS = 0
	x := Delivery{Message: msg}
	u.mu.Lock()
	u.direct = append(u.direct, x)
	u.bytes += directBytes(&x)
	for u.bytes > maxDirect && len(u.direct) > 1 {
		u.bytes -= directBytes(&u.direct[0])
		u.direct[0] = Delivery{}
		u.direct = u.direct[1:]
		u.b.stats.dropped.Add(1)
	}
	u.mu.Unlock()
	u.wake()
}

func directBytes(d *Delivery) int64 {
	return int64(len(d.Topic)+len(d.Payload)) + messageOverhead
}

// Ack lets a message go: the upstream has it, or it is given up.
func (u *Uplink) Ack(packetID uint16) {
	s := u.of(packetID)
	s.mu.Lock()
	s.out.ack(packetID)
	s.mu.Unlock()
	u.wake() // one may have waited for its identifier
}

// Received notes an upstream's PUBREC; done runs when that is on disk. Where that
// waits already, only the first one's does.
func (u *Uplink) Received(packetID uint16, done func(error)) {
	s := u.of(packetID)
	s.mu.Lock()
	known, atOnce := s.out.receive(packetID, func(err error) {
		if err == nil {
			s.mu.Lock()
			s.out.released(packetID)
			s.mu.Unlock()
		}
		done(err)
	})
	s.mu.Unlock()
	if !known || atOnce {
		done(nil)
	}
}

// Publish routes what came down; done runs when it is on disk, or at once when
// nothing of it needs to be. A QoS 2 message's packetID is remembered with it:
// another one of the same identifier is not routed before Release.
func (u *Uplink) Publish(m Message, packetID uint16, done func(error)) {
	now := time.Now()
	r, err := m.toMessage(u.b.clock, now)
	if err != nil {
		done(err)
		return
	}
	r.from = u.s
	if m.QoS == 2 {
		u.s.mu.Lock()
		_, had := u.s.received[packetID]
		u.s.receive(packetID)
		u.s.mu.Unlock()
		if had {
			u.b.store.Commit(nil, done)
			return
		}
	}
	u.routeMu.Lock()
	defer u.routeMu.Unlock()
	u.b.stats.messagesIn.Add(1)
	_, dest := u.router.route(r, now)
	if m.QoS == 2 {
		u.router.keep(store.Record{Kind: store.Put, Key: receivedKey(u.s.id, packetID), Data: []byte{stateFormat}, Window: dest.window})
	}
	committed := func(err error) {
		if err != nil && m.QoS == 2 && !errors.Is(err, store.ErrHeld) {
			u.s.mu.Lock()
			delete(u.s.received, packetID)
			u.s.mu.Unlock()
		}
		done(err)
	}
	kept := u.router.commit(committed)
	u.router.flush()
	if !kept {
		done(nil)
	}
}

// Release forgets a QoS 2 identifier from upstream; done runs when that is on
// disk.
func (u *Uplink) Release(packetID uint16, done func(error)) {
	u.s.mu.Lock()
	_, had := u.s.received[packetID]
	delete(u.s.received, packetID)
	u.s.mu.Unlock()
	if !had {
		u.b.store.Commit(nil, done) // an earlier Release may be on its way there
		return
	}
	u.b.store.Commit([]store.Record{{Kind: store.Delete, Key: receivedKey(u.s.id, packetID)}}, done)
}

// ForgetReceived forgets all of them: the upstream has no session of ours.
func (u *Uplink) ForgetReceived() {
	u.s.mu.Lock()
	var recs []store.Record
	for id := range u.s.received {
		recs = append(recs, store.Record{Kind: store.Delete, Key: receivedKey(u.s.id, id)})
	}
	clear(u.s.received)
	u.s.mu.Unlock()
	if len(recs) == 0 {
		return
	}
	u.b.store.Commit(recs, func(err error) {
		if err != nil && !errors.Is(err, store.ErrClosed) {
			u.b.log.Warn("identifiers from upstream are not forgotten on disk", "client", u.s.id, "err", err)
		}
	})
}

// Backlog is what waits for the upstream, what is on its way included.
type Backlog struct {
	Messages, Bytes int64
	Oldest          time.Duration // how long the first one has waited, about
}

// Backlog gives it as it is now.
func (u *Uplink) Backlog() (b Backlog) {
	var oldest uint64 // record
	for _, s := range u.lanes {
		st := s.queue.Stats()
		b.Messages, b.Bytes = b.Messages+st.Messages, b.Bytes+st.Bytes
		if st.Messages > 0 && (oldest == 0 || st.Oldest < oldest) {
			oldest = st.Oldest
		}
	}
	if oldest > 0 {
		b.Oldest = u.b.ages.of(oldest, u.b.store.Stats().NextRecord, u.b.clock, time.Now())
	}
	return b
}
