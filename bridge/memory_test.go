package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// memory is a Source in memory, with what a session of the local broker does:
// identifiers by place in the queue, acknowledgements in any order, and done
// called later, in order, by a goroutine of its own.
type memory struct {
	liveFirst bool
	onLive    func() // called once, when Live says yes

	more    chan struct{} // buffered; woken when Next may give more
	commits chan func()

	mu       sync.Mutex // guards what follows
	queue    []*queued  // from the first that is not acknowledged
	base     int        // place of queue[0]
	cursor   int        // place of the next one
	end      int        // place after the backlog
	ahead    int        // where the live goes first: place of its next one
	live     bool       // what Live said last
	rewinds  int
	acks     []uint16
	hold     bool            // commits are kept back
	kept     []func()        // those
	inbound  map[uint16]bool // QoS 2 identifiers
	arrived  []Message       // what Publish routed
	released []uint16        // what Release forgot
	refuse   func(m Message) error
	twice    []uint16 // identifiers acknowledged again
}

type queued struct {
	Outgoing
	sent  bool // it was handed out
	acked bool
}

func newMemory(t testing.TB) *memory {
	m := &memory{more: make(chan struct{}, 1), commits: make(chan func(), 100_000), inbound: make(map[uint16]bool)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for f := range m.commits {
			f()
		}
	}()
	t.Cleanup(func() { close(m.commits); <-ended })
	return m
}

func (m *memory) commit(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hold {
		m.kept = append(m.kept, f)
		return
	}
	m.commits <- f
}

// holdCommits keeps done calls back, or lets the kept ones go.
func (m *memory) holdCommits(hold bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hold = hold
	if !hold {
		for _, f := range m.kept {
			m.commits <- f
		}
		m.kept = nil
	}
}

// put queues messages of QoS 1.
func (m *memory) put(topic string, payloads ...string) {
	for _, p := range payloads {
		m.add(Message{Topic: topic, Payload: []byte(p), QoS: 1}, true)
	}
}

func (m *memory) add(msg Message, keep bool) {
	m.mu.Lock()
	o := Outgoing{Message: msg}
	if keep {
		o.PacketID = uint16((m.base+len(m.queue))%65535 + 1)
	}
	m.queue = append(m.queue, &queued{Outgoing: o})
	m.mu.Unlock()
	wake(m.more)
}

func (m *memory) TryNext(backlog bool) (Outgoing, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cursor > m.base && m.queue[m.cursor-1-m.base].PacketID == 0 {
		m.queue[m.cursor-1-m.base].acked = true
		m.trim()
	}
	for m.liveFirst && m.ahead < m.base+len(m.queue) {
		m.ahead++
		if o, ok := m.hand(m.ahead - 1); ok {
			return o, true, nil
		}
	}
	end := m.base + len(m.queue)
	if m.liveFirst {
		end = m.end
	}
	for backlog && m.cursor < end {
		m.cursor++
		if o, ok := m.hand(m.cursor - 1); ok {
			return o, true, nil
		}
	}
	return Outgoing{}, false, nil
}

// hand gives the message at a place. m.mu is held.
func (m *memory) hand(place int) (Outgoing, bool) {
	q := m.queue[place-m.base]
	if q.acked {
		return Outgoing{}, false
	}
	o := q.Outgoing
	o.Dup = q.sent && o.PacketID != 0
	q.sent = true
	if place < m.end {
		o.Replay, o.Age = true, 90*time.Second
	}
	return o, true
}

func (m *memory) Next(ctx context.Context, backlog bool) (Outgoing, error) {
	for {
		if o, ok, err := m.TryNext(backlog); ok || err != nil {
			return o, err
		}
		select {
		case <-m.more:
		case <-ctx.Done():
			return Outgoing{}, ctx.Err()
		}
	}
}

func (m *memory) Rewind() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cursor, m.ahead = m.base, max(m.base, m.end)
	m.rewinds++
}

func (m *memory) Live(on bool) {
	m.mu.Lock()
	if hook := m.onLive; on && hook != nil {
		m.onLive = nil
		defer hook()
	}
	defer m.mu.Unlock()
	m.live = on
	if on {
		m.end = m.base + len(m.queue)
		m.ahead = m.end
	} else {
		m.ahead = 1 << 60 // what comes joins the backlog
	}
}

func (m *memory) isLive() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live
}

func (m *memory) find(id uint16) *queued {
	i := slices.IndexFunc(m.queue, func(q *queued) bool { return q.PacketID == id && !q.acked })
	if i < 0 || !m.queue[i].sent {
		return nil
	}
	return m.queue[i]
}

func (m *memory) trim() {
	for len(m.queue) > 0 && m.queue[0].acked && (m.base < m.cursor || m.liveFirst && m.base < m.ahead) {
		m.queue = m.queue[1:]
		m.base++
		m.cursor = max(m.cursor, m.base)
	}
}

func (m *memory) Ack(id uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acks = append(m.acks, id)
	q := m.find(id)
	if q == nil {
		m.twice = append(m.twice, id)
		return
	}
	q.acked = true
	m.trim()
}

func (m *memory) Received(id uint16, done func(error)) {
	m.commit(func() {
		m.mu.Lock()
		if q := m.find(id); q != nil {
			q.Received = true
		}
		m.mu.Unlock()
		done(nil)
	})
}

func (m *memory) Publish(msg Message, id uint16, done func(error)) {
	m.mu.Lock()
	if m.refuse != nil {
		if err := m.refuse(msg); err != nil {
			m.mu.Unlock()
			done(err)
			return
		}
	}
	if id == 0 || !m.inbound[id] {
		m.arrived = append(m.arrived, msg)
	}
	if id != 0 {
		m.inbound[id] = true
	}
	m.mu.Unlock()
	m.commit(func() { done(nil) })
}

func (m *memory) Release(id uint16, done func(error)) {
	m.mu.Lock()
	delete(m.inbound, id)
	m.released = append(m.released, id)
	m.mu.Unlock()
	m.commit(func() { done(nil) })
}

func (m *memory) ForgetReceived() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.inbound)
}

func (m *memory) Backlog() (b Backlog) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range m.queue {
		if !q.acked {
			b.Messages++
			b.Bytes += int64(len(q.Payload))
		}
	}
	return b
}

func (m *memory) left() int64 {
	return m.Backlog().Messages
}

func (m *memory) received() []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.arrived)
}

func (m *memory) ackedSoFar() []uint16 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.acks)
}

var errFull = errors.New("the store is full")

// numbers gives n texts that tell their order.
func numbers(n int) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = fmt.Sprintf("%06d", i)
	}
	return s
}
