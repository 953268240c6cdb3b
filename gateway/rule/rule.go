// Package rule publishes again, elsewhere and changed, what others publish: the
// [[rule]] tables. All rules are one client in the process, which is not given what it
// has published itself: so what a rule has published is never taken by a rule, and no
// rules can make a loop. What waits for them is bounded in bytes, and nobody who
// publishes waits for them. The expressions are gateway/expression's; cmd/headgate
// brings the rules and the broker together.
package rule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"headgate/broker/topic"
	"headgate/gateway/expression"
)

// Message is one MQTT message. Its payload is not changed.
type Message struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
}

// Client is what the rules need of a broker.
type Client interface {
	// Publish takes one message and never blocks; the error says why it is lost.
	Publish(m Message) error

	// SubscribeAll has handle called once with each message that is published from now
	// on by others and matches some of filters. It takes the place of the call before;
	// with an error nothing is changed. handle does not block.
	SubscribeAll(filters []string, handle func(Message)) error
}

const (
	// maxWaiting bounds what waits to be published again, in bytes: past it the oldest
	// is dropped and counted.
	maxWaiting = 4 << 20

	// maxResting bounds what the throttles of one rule remember, in bytes: past it a
	// message to one more topic is dropped and counted.
	maxResting = 1 << 20

	// maxPayload is the longest payload that an expression is tried on.
	maxPayload = 1 << 20

	overhead = 128 // bytes of a message or a topic beside its texts
)

// Rules are all [[rule]] tables. Make them with New.
type Rules struct {
	client Client
	log    *slog.Logger
	wake   chan struct{} // holds one token when something came
	rules  atomic.Pointer[[]*rule]

	changing sync.Mutex // guards what follows, and is held while rules are changed
	running  bool

	mu      sync.Mutex // guards what follows
	waiting []Message
	bytes   int
	dropped uint64
}

// rule is one of them.
type rule struct {
	Config
	when, payload *expression.Program

	taken, published, filtered, throttled, failed atomic.Uint64

	mu   sync.Mutex // guards what follows
	last string     // why it failed last
	bad  time.Time  // when it failed first

	// Of Run alone.
	resting map[string]*rest // by topic
	bytes   int              // of resting
}

// rest is a topic that waits for the end of its throttle.
type rest struct {
	until time.Time
	next  *Message // what is published then; nil: nothing
}

// Stats is one rule as it stands. The counts are since the start, or since it was changed.
type Stats struct {
	Name      string
	Taken     uint64 // messages that matched from
	Published uint64
	Filtered  uint64    // when was not true
	Throttled uint64    // left out by throttle
	Failed    uint64    // of when, payload, to or the broker
	Error     string    // of the last one
	Since     time.Time // of the first one; zero: none
}

// Useless says that a rule has failed at messages and has never published one: it is
// not as it was meant.
func (s *Stats) Useless() bool { return s.Failed > 0 && s.Published == 0 }

// New makes the rules of the tables, in which Check has found no fault.
func New(tables []Config, client Client, log *slog.Logger) (*Rules, error) {
	r := &Rules{client: client, log: log, wake: make(chan struct{}, 1)}
	rules, err := newRules(tables, nil)
	if err != nil {
		return nil, err
	}
	r.rules.Store(&rules)
	return r, nil
}

// newRules makes a rule of each table. One that stands before as it is goes on, with
// its counts and what its throttle holds.
func newRules(tables []Config, before []*rule) (rules []*rule, err error) {
	for _, c := range tables {
		if i := slices.IndexFunc(before, func(old *rule) bool { return reflect.DeepEqual(old.Config, c) }); i >= 0 {
			rules = append(rules, before[i])
			before = slices.Delete(slices.Clone(before), i, i+1)
			continue
		}
		one := &rule{Config: c, resting: map[string]*rest{}}
		var err, other error
		if c.When != "" {
			one.when, err = compile(c.When)
		}
		if c.Payload != "" {
			one.payload, other = compile(c.Payload)
		}
		if err = errors.Join(err, other); err != nil {
			return nil, fmt.Errorf("rule %q: %w", c.Name, err)
		}
		rules = append(rules, one)
	}
	return rules, nil
}

// Reload has the rules be those of other tables, in which Check has found no fault.
// Those that are the same go on; what the throttle of another one has held back goes
// with it. With an error all are as they were. It may be called at any time.
func (r *Rules) Reload(tables []Config) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	rules, err := newRules(tables, *r.rules.Load())
	if err != nil {
		return err
	}
	if r.running {
		if err := r.subscribe(rules); err != nil {
			return err
		}
	}
	r.rules.Store(&rules)
	return nil
}

// subscribe has the rules hear what they take. The caller holds changing.
func (r *Rules) subscribe(rules []*rule) error {
	var filters []string
	for _, one := range rules {
		filters = append(filters, one.From)
	}
	slices.Sort(filters)
	if err := r.client.SubscribeAll(slices.Compact(filters), r.hear); err != nil {
		return fmt.Errorf("subscribe for the rules: %w", err)
	}
	return nil
}

// Stats gives each rule as it stands, and how many messages were dropped because they
// came too fast. It may be called at any time.
func (r *Rules) Stats() (rules []Stats, dropped uint64) {
	for _, one := range *r.rules.Load() {
		s := Stats{Name: one.Name, Taken: one.taken.Load(), Published: one.published.Load(), Filtered: one.filtered.Load(),
			Throttled: one.throttled.Load(), Failed: one.failed.Load()}
		one.mu.Lock()
		s.Error, s.Since = one.last, one.bad
		one.mu.Unlock()
		rules = append(rules, s)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return rules, r.dropped
}

// Run publishes until ctx ends. The error is that of subscribing.
func (r *Rules) Run(ctx context.Context) error {
	r.changing.Lock()
	r.running = true
	err := r.subscribe(*r.rules.Load())
	r.changing.Unlock()
	if err != nil {
		return err
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-timer.C:
		}
		for _, m := range r.take() {
			for _, one := range *r.rules.Load() {
				if topic.Match(one.From, m.Topic) {
					r.apply(one, m, time.Now())
				}
			}
		}
		timer.Reset(r.rouse(time.Now()))
	}
}

// hear keeps a message until its turn.
func (r *Rules) hear(m Message) {
	r.mu.Lock()
	r.waiting = append(r.waiting, m)
	r.bytes += m.bytes()
	first := false
	for r.bytes > maxWaiting {
		r.bytes -= r.waiting[0].bytes()
		r.waiting[0] = Message{}
		r.waiting = r.waiting[1:]
		first = first || r.dropped == 0
		r.dropped++
	}
	r.mu.Unlock()
	if first {
		r.log.Warn("messages come faster than rules take them, and the oldest are left out", "topic", m.Topic)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (m *Message) bytes() int { return len(m.Topic) + len(m.Payload) + overhead }

func (r *Rules) take() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.waiting
	r.waiting, r.bytes = nil, 0
	return list
}

// apply does what a rule says to one message.
func (r *Rules) apply(one *rule, m Message, now time.Time) {
	one.taken.Add(1)
	out, ok, err := one.make(m)
	if err == nil && ok {
		err = r.send(one, out, now)
	}
	if err != nil {
		r.fail(one, m.Topic, err)
	} else if !ok {
		one.filtered.Add(1)
	}
}

func (r *Rules) fail(one *rule, name string, err error) {
	if one.failed.Add(1) == 1 {
		r.log.Warn("a rule fails", "rule", one.Name, "topic", name, "err", err)
	}
	one.mu.Lock()
	one.last = err.Error()
	if one.bad.IsZero() {
		one.bad = time.Now()
	}
	one.mu.Unlock()
}

// make gives what the rule makes of a message; ok is false where when is not true.
func (one *rule) make(m Message) (out Message, ok bool, err error) {
	out = m
	if out.Topic, err = fill(one.To, m.Topic, placesOf(one.From, m.Topic)); err != nil {
		return out, false, err
	}
	if err := topic.CheckName(out.Topic); err != nil {
		return out, false, fmt.Errorf("the topic %q %w", out.Topic, err)
	}
	if strings.HasPrefix(out.Topic, "$") {
		return out, false, fmt.Errorf("the topic %q begins with $", out.Topic)
	}
	if one.QoS != nil {
		out.QoS = byte(*one.QoS)
	}
	if one.Retain != nil {
		out.Retain = *one.Retain
	}
	if one.when == nil && one.payload == nil {
		return out, true, nil
	}
	if len(m.Payload) > maxPayload {
		return out, false, fmt.Errorf("the payload is longer than %d bytes", maxPayload)
	}
	in := inputsOf(m)
	if one.when != nil {
		r := one.when.Run(in, time.Time{})
		on, isBool := r.Value.(bool)
		switch {
		case r.Value == nil:
			return out, false, errors.New("when: " + r.Reason)
		case !isBool:
			return out, false, errors.New("when: it is neither true nor false")
		case !on:
			return out, false, nil
		}
	}
	if one.payload != nil {
		r := one.payload.Run(in, time.Time{})
		if r.Value == nil {
			return out, false, errors.New("payload: " + r.Reason)
		}
		if out.Payload, err = expression.ToPayload(r.Value); err != nil {
			return out, false, fmt.Errorf("payload: %w", err)
		}
	}
	return out, true, nil
}

// inputsOf gives the inputs of expressions, by slot.
func inputsOf(m Message) []expression.Input {
	payload := expression.OfPayload(m.Payload)
	payload.Name = "payload"
	var levels []any
	for level := range strings.SplitSeq(m.Topic, "/") {
		levels = append(levels, level)
	}
	return []expression.Input{payload, {Name: "topic", Value: m.Topic}, {Name: "levels", Value: levels}, {Name: "retain", Value: m.Retain}}
}
