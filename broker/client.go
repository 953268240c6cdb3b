package broker

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"headgate/broker/clock"
	"headgate/broker/packet"
	"headgate/broker/store"
	"headgate/broker/topic"
)

// Message is an application message as the process's own clients see it.
type Message struct {
	Topic      string
	Payload    []byte
	QoS        byte
	Retain     bool
	Properties packet.Properties // those that are passed on; others are ignored
}

// toMessage gives m as the broker routes it. It shares the payload.
func (m *Message) toMessage(c *clock.Clock, now time.Time) (*message, error) {
	if err := topic.CheckName(m.Topic); err != nil {
		return nil, fmt.Errorf("publish to %q: %w", m.Topic, err)
	}
	if m.QoS > 2 {
		return nil, fmt.Errorf("publish to %q: QoS %d", m.Topic, m.QoS)
	}
	r := &message{topic: []byte(m.Topic), payload: m.Payload, qos: m.QoS, retain: m.Retain}
	r.setProperties(&m.Properties, c, now, nil)
	return r, nil
}

func (m *message) toExternal(d delivery) (Message, error) {
	p, err := m.properties()
	if m.expires != nil {
		p.MessageExpiry = m.expires.seconds(time.Now())
		p.Set(packet.PropMessageExpiry)
	}
	return Message{Topic: string(m.topic), Payload: m.payload, QoS: d.qos, Retain: d.retain, Properties: p}, err
}

// Client is a client inside the process, with a clean session: the gateway's.
// It publishes and subscribes without a network.
type Client struct {
	b *Broker
	s *session

	mu          sync.Mutex
	router      router
	waiting     []*message // what the disk has no time for yet, oldest first
	bytes       int64      // of waiting
	outstanding int64      // bytes handed to the log and not on disk yet
	dropped     int64
	failing     bool // said already

	// While the disk takes nothing: what was routed, or refused, and is to be
	// committed when it does.
	away      bool
	late      []lateBatch // oldest first
	lateBytes int64
	batches   uint64 // routed
	spare     batch  // room for the next one

	handlersMu sync.RWMutex
	handlers   []handler
}

// lateBatch is the n-th batch of a Client.
type lateBatch struct {
	batch
	n uint64
}

type handler struct {
	filters []string
	handle  func(Message)
}

const (
	// maxWaiting bounds what a Client keeps while the disk is slow, and what it keeps
	// while the disk takes nothing, in bytes: past it the oldest is dropped and counted.
	maxWaiting = 4 << 20

	lateOverhead = 512 // bytes of a batch beside its records
)

// NewClient makes a client inside the process. name becomes part of its client
// identifier.
func (b *Broker) NewClient(name string) *Client {
	c := &Client{b: b, s: newSession(localPrefix + "client/" + name)}
	c.router.b, c.router.window = b, clientWindow
	c.s.inside = c
	return c
}

// Publish routes m. It never waits: what is to be kept goes to the disk with
// what follows within clientWindow, or the window of its class, and what the
// disk cannot take yet waits in memory, up to a limit in bytes at which the
// oldest is dropped and counted. The error is for a message that cannot be published at all.
func (c *Client) Publish(m Message) error {
	r, err := m.toMessage(c.b.clock, time.Now())
	if err != nil {
		return err
	}
	r.from = c.s
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outstanding < maxOutstanding && len(c.waiting) == 0 {
		c.route(r)
		return nil
	}
	c.waiting = append(c.waiting, r)
	c.bytes += r.bytes()
	for c.bytes > maxWaiting {
		c.bytes -= c.waiting[0].bytes()
		c.waiting[0] = nil
		c.waiting = c.waiting[1:]
		c.drop(1)
	}
	return nil
}

// route sends one on. The caller holds c.mu.
func (c *Client) route(m *message) {
	c.b.stats.messagesIn.Add(1)
	c.router.route(m, time.Now())
	c.batches++
	b := lateBatch{c.router.batch, c.batches}
	switch {
	case len(b.recs) == 0:
	case c.away:
		c.router.batch = batch{}
		c.keepLate(b)
	default:
		c.commit(b)
	}
	c.router.flush()
}

// commit hands a batch to the log. The caller holds c.mu.
func (c *Client) commit(b lateBatch) {
	c.outstanding += b.bytes
	c.router.batch = b.batch
	c.router.submit(func(err error) {
		if !errors.Is(err, store.ErrClosed) { // that comes at once, with c.mu held
			c.committed(b, err)
		}
	})
	c.router.batch, c.spare = c.spare, batch{}
}

// keepLate keeps a batch until the disk takes it. The caller holds c.mu.
func (c *Client) keepLate(b lateBatch) {
	// One that was refused comes here later than those after it.
	i, _ := slices.BinarySearchFunc(c.late, b.n, func(l lateBatch, n uint64) int { return cmp.Compare(l.n, n) })
	c.late = slices.Insert(c.late, i, b)
	c.lateBytes += b.bytes + lateOverhead
	for c.lateBytes > maxWaiting {
		c.lateBytes -= c.late[0].bytes + lateOverhead
		c.late[0] = lateBatch{}
		c.late = c.late[1:]
		c.drop(1)
	}
}

// diskIsBack commits what was kept. It runs on the log's goroutine.
func (c *Client) diskIsBack(err error) {
	if err != nil {
		return // the store closes without it
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.b.log.Info("store takes the gateway's messages again", "count", len(c.late))
	late := c.late
	c.away, c.late, c.lateBytes = false, nil, 0
	for _, b := range late {
		c.commit(b)
	}
}

// committed goes on with what waited. It runs on the log's goroutine.
func (c *Client) committed(b lateBatch, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outstanding -= b.bytes
	switch {
	case errors.Is(err, store.ErrUnavailable):
		if !errors.Is(err, store.ErrHeld) {
			c.keepLate(b)
		}
		if !c.away {
			c.away = true
			c.b.log.Error("store does not take the gateway's messages: the last ones are kept in memory until it does", "err", err)
			c.b.store.Commit(nil, c.diskIsBack)
		}
	case err != nil && !c.failing:
		c.failing = true
		c.b.log.Error("store does not take the gateway's messages: they are dropped until it does", "err", err)
	case err == nil && c.failing:
		c.failing = false
		c.b.log.Info("store takes the gateway's messages again", "count", c.dropped)
	}
	if err != nil && !errors.Is(err, store.ErrUnavailable) {
		c.drop(1)
	}
	if err == nil {
		b.reset()
		c.spare = b.batch
	}
	for len(c.waiting) > 0 && c.outstanding < maxOutstanding {
		m := c.waiting[0]
		c.waiting[0] = nil
		c.waiting = c.waiting[1:]
		c.bytes -= m.bytes()
		c.route(m)
	}
}

func (c *Client) drop(n int64) {
	c.dropped += n
	c.b.stats.dropped.Add(n)
}

// Subscribe calls handle with every message that is published from now on and
// matches filter, at the QoS at which it was published; retained ones from
// before are not given. handle runs on the publisher's goroutine: it must not
// block, and must not change what it is given.
func (c *Client) Subscribe(filter string, handle func(Message)) error {
	if err := topic.CheckFilter(filter); err != nil {
		return fmt.Errorf("subscribe to %q: %w", filter, err)
	}
	c.handlersMu.Lock()
	c.handlers = append(c.handlers, handler{[]string{filter}, handle})
	c.handlersMu.Unlock()
	return c.take(filter)
}

func (c *Client) take(filter string) error {
	_, _, err := c.b.subscribe(c.s, filter, subscription{qos: 2, noLocal: true, retainAsPublished: true})
	return err
}

// SubscribeAll is Subscribe for several filters, in place of all that were subscribed
// to before: a message that matches more than one is handled once. One that matches a
// filter of before and of now is not missed. There is one such call at a time.
func (c *Client) SubscribeAll(filters []string, handle func(Message)) error {
	for _, filter := range filters {
		if err := topic.CheckFilter(filter); err != nil {
			return fmt.Errorf("subscribe to %q: %w", filter, err)
		}
	}
	var before []string
	c.handlersMu.Lock()
	for _, h := range c.handlers {
		before = append(before, h.filters...)
	}
	c.handlers = []handler{{slices.Clone(filters), handle}}
	c.handlersMu.Unlock()
	var errs []error
	for _, filter := range filters {
		if !slices.Contains(before, filter) {
			errs = append(errs, c.take(filter))
		}
	}
	for _, filter := range before {
		if !slices.Contains(filters, filter) {
			c.b.unsubscribe(c.s, filter)
		}
	}
	return errors.Join(errs...)
}

// Unsubscribe ends what Subscribe began with this filter. When it has returned, its
// handles are not called any more.
func (c *Client) Unsubscribe(filter string) {
	c.b.unsubscribe(c.s, filter)
	c.handlersMu.Lock()
	c.handlers = slices.DeleteFunc(c.handlers, func(h handler) bool { return slices.Equal(h.filters, []string{filter}) })
	c.handlersMu.Unlock()
}

// Close ends the subscriptions.
func (c *Client) Close() { c.b.endSession(c.s, &router{b: c.b}) }

func (c *Client) receive(m *message, d delivery) {
	msg, err := m.toExternal(d)
	if err != nil {
		c.b.log.Error("fault in the broker: properties of a message", "topic", string(m.topic), "err", err)
		return
	}
	c.handlersMu.RLock()
	defer c.handlersMu.RUnlock()
	for _, h := range c.handlers {
		if slices.ContainsFunc(h.filters, func(filter string) bool { return topic.Match(filter, msg.Topic) }) {
			h.handle(msg)
		}
	}
}

// Dropped is how many messages were dropped because the store did not take them.
func (c *Client) Dropped() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped
}
