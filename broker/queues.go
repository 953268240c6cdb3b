package broker

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"headgate/broker/clock"
	"headgate/broker/store"
	"headgate/broker/topic"
)

// Queues looks into the queues of a store: a running broker's, or one that
// nobody runs on.
type Queues struct {
	store  *store.Store
	clock  *clock.Clock
	ages   *ages
	limits func(name string) (QueueLimits, bool)
}

// Queues looks into the broker's own.
func (b *Broker) Queues() *Queues {
	return &Queues{store: b.store, clock: b.clock, ages: b.ages, limits: b.queueLimits}
}

// LookInto looks into a store that no broker runs on. bridges are the limits of
// those that are configured, by name. It writes nothing.
func LookInto(st *store.Store, cfg Config, bridges map[string]QueueLimits, log *slog.Logger) (*Queues, error) {
	b := &Broker{store: st, bridges: bridges}
	b.live.Store(&settings{Limits: cfg.Limits})
	var err error
	if b.clock, err = openClock(cfg.Clock, st, log); err != nil {
		return nil, fmt.Errorf("read the clock's record: %w", err)
	}
	if b.ages, err = loadAges(st); err != nil {
		return nil, fmt.Errorf("read the ages of the log: %w", err)
	}
	return b.Queues(), nil
}

// QueueKind is whose a queue is.
type QueueKind string

// The kinds of queues.
const (
	SessionQueue QueueKind = "session"
	GroupQueue   QueueKind = "group"      // of a shared subscription
	BridgeQueue  QueueKind = "bridge"     //
	OldBridge    QueueKind = "old bridge" // one that is not configured any more: its queue is kept until it is purged
)

// QueueInfo is where one queue stands.
type QueueInfo struct {
	Name     string      `json:"name"`
	Kind     QueueKind   `json:"kind"`
	Messages int64       `json:"messages"`
	Bytes    int64       `json:"bytes"`
	OldestMS int64       `json:"oldest_ms"` // how long the first one has waited, about; 0: there is none
	Limits   QueueLimits `json:"limits"`
	Dropped  store.Drops `json:"dropped"` // since the queue was created
	Refused  int64       `json:"refused"` // commits since the start
}

// List gives all queues by their names.
func (v *Queues) List() []QueueInfo {
	now, next := time.Now(), v.store.Stats().NextRecord
	var list []QueueInfo
	for _, q := range v.store.Queues() {
		st := q.Stats()
		i := QueueInfo{Name: q.Name(), Kind: SessionQueue, Messages: st.Messages, Bytes: st.Bytes, Dropped: st.Dropped, Refused: st.Refused}
		limits, configured := v.limits(q.Name())
		switch _, _, shared, _ := topic.SplitShared(q.Name()); {
		case strings.HasPrefix(q.Name(), bridgePrefix) && configured:
			i.Kind = BridgeQueue
		case strings.HasPrefix(q.Name(), bridgePrefix):
			i.Kind = OldBridge
			limits.SetDefaults()
		case shared:
			i.Kind = GroupQueue
		}
		i.Limits = limits
		if st.Messages > 0 && st.Oldest > 0 {
			i.OldestMS = max(1, v.ages.of(st.Oldest, next, v.clock, now).Milliseconds())
		}
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b QueueInfo) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// QueuedMessage is one that waits.
type QueuedMessage struct {
	Message
	Time time.Time // about when it came
}

// Messages gives what waits in a queue, the oldest first, and takes nothing. An
// error of fn ends it, and is returned.
func (v *Queues) Messages(name string, fn func(QueuedMessage) error) error {
	q, err := v.find(name)
	if err != nil {
		return err
	}
	now, next := time.Now(), v.store.Stats().NextRecord
	return q.Peek(func(it store.Item) error {
		var m message
		d, err := parseMeta(it.Meta)
		if err == nil {
			err = m.fromStored(it.Data, v.clock)
		}
		if err != nil {
			return fmt.Errorf("record %d of queue %q: %w", it.Number, name, err)
		}
		out, err := m.toExternal(d)
		if err != nil {
			return fmt.Errorf("record %d of queue %q: %w", it.Number, name, err)
		}
		return fn(QueuedMessage{out, now.Add(-v.ages.of(it.Number, next, v.clock, now))})
	})
}

// Purge drops all that waits in a queue, and gives how many messages that was,
// when it is on disk.
func (v *Queues) Purge(name string) (messages int64, err error) {
	q, err := v.find(name)
	if err != nil {
		return 0, err
	}
	messages = q.Purge()
	done := make(chan error, 1)
	v.store.Commit(nil, func(err error) { done <- err })
	return messages, <-done
}

// PurgeBridge is Purge for all queues of the bridge called name.
func (v *Queues) PurgeBridge(name string) (messages int64, err error) {
	for _, q := range v.store.Queues() {
		if bridge, ok := bridgeOf(q.Name()); ok && bridge == name {
			n, err := v.Purge(q.Name())
			if messages += n; err != nil {
				return messages, err
			}
		}
	}
	return messages, nil
}

func (v *Queues) find(name string) (*store.Queue, error) {
	var near []string
	var local *store.Queue // with the prefix that a shell would take for a variable
	for _, q := range v.store.Queues() {
		switch q.Name() {
		case name:
			return q, nil
		case localPrefix + name:
			local = q
		}
		if strings.HasSuffix(q.Name(), "/"+name) {
			near = append(near, q.Name())
		}
	}
	if local != nil {
		return local, nil
	}
	slices.Sort(near)
	if len(near) > 0 {
		return nil, fmt.Errorf("there is no queue %q: there is %s", name, strings.Join(near, ", "))
	}
	return nil, fmt.Errorf("there is no queue %q: headgate queue list says which there are", name)
}
