package broker

import (
	"fmt"
	"math"
	"time"

	"headgate/broker/store"
)

// QueueLimits say how much may wait in one queue, and what becomes of what is
// too much: the table queue = { ... } of a bridge.
type QueueLimits struct {
	// MaxBytes bounds topics, payloads and properties together. Default
	// "unlimited": the store's own max_bytes.
	MaxBytes store.Bytes `toml:"max_bytes" json:"max_bytes"`

	// MaxMessages bounds their number. Default "unlimited".
	MaxMessages Count `toml:"max_messages" json:"max_messages"`

	// MaxWait is how long a message may wait before it is dropped, 1m or more;
	// it may be a minute more, and a sixty-fourth. Default "unlimited".
	MaxWait Wait `toml:"max_wait" json:"max_wait"`

	// AtLimit is what happens at MaxBytes and MaxMessages. "drop_oldest": what
	// has waited longest and is not on its way goes; "drop_newest": what comes
	// is left out; "refuse": the publisher keeps it, and hears "quota
	// exceeded". Default "drop_oldest".
	AtLimit store.AtLimit `toml:"at_limit" json:"at_limit"`
}

// SetDefaults fills what was left out.
func (l *QueueLimits) SetDefaults() {
	setDefault(&l.MaxBytes, store.Unlimited)
	setDefault(&l.MaxMessages, Unlimited)
	setDefault(&l.MaxWait, UnlimitedWait)
	setDefault(&l.AtLimit, store.DropOldest)
}

// Check reports each fault by its key.
func (l *QueueLimits) Check(fault func(key, format string, args ...any)) {
	if l.MaxBytes < minQueueBytes || l.MaxBytes > 1<<42 && l.MaxBytes != store.Unlimited {
		fault("max_bytes", `%v: want %v to 4TB, or "unlimited"`, l.MaxBytes, store.Bytes(minQueueBytes))
	}
	if l.MaxMessages < 1 {
		fault("max_messages", `%d: want at least 1, or "unlimited"`, l.MaxMessages)
	}
	if time.Duration(l.MaxWait) < time.Minute {
		fault("max_wait", `%v: want 1m or more, or "unlimited"`, l.MaxWait)
	}
}

// minQueueBytes is the least that a queue's limit may be: less is a mistake in
// the unit.
const minQueueBytes = 1000

func (l *QueueLimits) quota() store.Quota {
	q := store.Quota{Bytes: l.MaxBytes, Messages: int64(l.MaxMessages), AtLimit: l.AtLimit}
	if l.MaxMessages == Unlimited {
		q.Messages = store.UnlimitedMessages
	}
	return q
}

// sessionQueue gives the limits of a session's queue, and of a shared
// subscription's.
func (l *Limits) sessionQueue() QueueLimits {
	return QueueLimits{l.MaxSessionBytes, l.MaxSessionMessages, l.MaxSessionWait, l.SessionAtLimit}
}

// Wait is a limit on how long something waits: a duration, or "unlimited".
type Wait time.Duration

// UnlimitedWait is no limit.
const UnlimitedWait Wait = math.MaxInt64

// UnmarshalText takes a duration such as "72h", or "unlimited".
func (w *Wait) UnmarshalText(text []byte) error {
	if string(text) == "unlimited" {
		*w = UnlimitedWait
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return fmt.Errorf(`%q: want a duration such as "72h", or "unlimited"`, text)
	}
	*w = Wait(d)
	return nil
}

// MarshalText gives it as String does.
func (w Wait) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// String gives it as the configuration has it.
func (w Wait) String() string {
	if w == UnlimitedWait {
		return "unlimited"
	}
	return time.Duration(w).String()
}

// bridgePrefix begins the names of the bridges' queues.
const bridgePrefix = localPrefix + "bridge/"

// queueLimits gives the limits of a queue by its name; false for one that keeps
// what it has: a bridge's that is not configured, or not yet.
func (b *Broker) queueLimits(name string) (QueueLimits, bool) {
	if bridge, ok := bridgeOf(name); ok {
		b.bridgesMu.Lock()
		defer b.bridgesMu.Unlock()
		l, ok := b.bridges[bridge]
		return l, ok
	}
	return b.live.Load().sessionQueue(), true
}

func (b *Broker) limitQueue(q *store.Queue) {
	if l, ok := b.queueLimits(q.Name()); ok {
		q.SetQuota(l.quota())
	}
}

// limitQueues puts new limits into force.
func (b *Broker) limitQueues() {
	for _, q := range b.store.Queues() {
		b.limitQueue(q)
	}
}

// forgetBridge has the queue of a bridge be one of a bridge that is not configured.
func (b *Broker) forgetBridge(name string) {
	b.bridgesMu.Lock()
	defer b.bridgesMu.Unlock()
	delete(b.bridges, name)
}

// LimitBridge limits the queue of the bridge called name from now on, its lanes
// together; until then it has no limit.
func (b *Broker) LimitBridge(name string, l QueueLimits) {
	b.bridgesMu.Lock()
	b.bridges[name] = l
	b.bridgesMu.Unlock()
	for _, q := range b.store.Queues() {
		if bridge, ok := bridgeOf(q.Name()); ok && bridge == name {
			q.SetQuota(l.quota())
		}
	}
}

// dropAged drops what has waited too long.
func (b *Broker) dropAged(now time.Time) {
	before := make(map[Wait]uint64) // records
	for _, q := range b.store.Queues() {
		l, ok := b.queueLimits(q.Name())
		if !ok || l.MaxWait == UnlimitedWait {
			continue
		}
		number, known := before[l.MaxWait]
		if !known {
			number = b.ages.before(time.Duration(l.MaxWait), b.clock, now)
			before[l.MaxWait] = number
		}
		if number > 0 {
			q.DropBefore(number)
		}
	}
}
