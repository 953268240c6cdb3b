package broker

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"headgate/broker/store"
)

// Limits are what the broker allows, made for a board with 512 MB of memory. No
// limit at all is written "unlimited", never 0. They are part of the [broker]
// table, and a reload puts new ones into force.
type Limits struct {
	// MaxConnections is how many clients may be connected at a time; one more
	// is refused with "server busy". Default 10000.
	MaxConnections Count `toml:"max_connections"`

	// MaxSessions is how many sessions there may be that outlive their
	// connection; a client that would begin one more is refused with "quota
	// exceeded". Default 10000.
	MaxSessions Count `toml:"max_sessions"`

	// MaxSessionBytes, MaxSessionMessages and MaxSessionWait bound what waits on
	// disk for one session, and for one shared subscription: in bytes of topics,
	// payloads and properties, in messages, and in how long one waits (1m or
	// more; it may be a minute more, and a sixty-fourth). Default: a quarter of
	// what the store takes by default, 256MB, and 64MB on a 32-bit system, so
	// that a client that never comes back does not fill the store; and
	// "unlimited".
	MaxSessionBytes    store.Bytes `toml:"max_session_bytes"`
	MaxSessionMessages Count       `toml:"max_session_messages"`
	MaxSessionWait     Wait        `toml:"max_session_wait"`

	// SessionAtLimit is what happens at the first two. "drop_oldest": what has
	// waited longest and is not on its way goes; "drop_newest": what comes is
	// left out; "refuse": the publisher keeps it and hears "quota exceeded", and
	// no other session gets it either. Drops are counted and logged. Default
	// "drop_oldest".
	SessionAtLimit store.AtLimit `toml:"session_at_limit"`

	// MaxSubscriptions is how many topic filters one client may subscribe to;
	// one more is refused with "quota exceeded". Default 10000.
	MaxSubscriptions Count `toml:"max_subscriptions"`

	// MaxSubscriptionsTotal is how many there may be in all. Default 200000.
	MaxSubscriptionsTotal Count `toml:"max_subscriptions_total"`

	// MaxTopicLevels is how many levels a topic may have: "a/b/c" has three. A
	// PUBLISH with more closes its connection, a filter with more is refused,
	// both with "topic name/filter invalid". Default 100.
	MaxTopicLevels Count `toml:"max_topic_levels"`

	// MaxPacketBytes is the largest packet that is taken; a larger one closes
	// its connection. Default 1MB.
	MaxPacketBytes store.Bytes `toml:"max_packet_bytes"`

	// MaxInflight is how many QoS 1 and 2 messages may be on their way to one
	// client, unacknowledged. A client that names a lower Receive Maximum gets
	// that. Default 1000.
	MaxInflight Count `toml:"max_inflight"`

	// ReceiveMaximum is how many QoS 1 and 2 messages an MQTT 5.0 client may
	// have on their way to the broker, unacknowledged: one that has more is
	// disconnected. Default 1000.
	ReceiveMaximum Count `toml:"receive_maximum"`

	// TopicAliasMaximum is how many topic aliases an MQTT 5.0 client may use.
	// Default 32.
	TopicAliasMaximum Count `toml:"topic_alias_maximum"`

	// MaxQueuedBytes bounds what waits in memory for one slow client. Past it
	// its QoS 0 messages, and a clean session's QoS 1 and 2 messages, are
	// dropped and counted; a persistent session's wait on disk. Default 8MB.
	MaxQueuedBytes store.Bytes `toml:"max_queued_bytes"`

	// MaxQueuedTotalBytes bounds the same over all clients together. Default
	// 64MB.
	MaxQueuedTotalBytes store.Bytes `toml:"max_queued_total_bytes"`

	// MaxRetained is how many topics may have a retained message, and
	// MaxRetainedBytes bounds them all together, topics included. Past either a
	// new one is refused with "quota exceeded", or where the protocol has no
	// word for it passed on but not kept. Default 100000, and 32MB.
	MaxRetained      Count       `toml:"max_retained"`
	MaxRetainedBytes store.Bytes `toml:"max_retained_bytes"`

	// ConnectTimeout is how long a new connection may take from its first byte
	// to the end of its CONNECT, TLS and authentication included. Default 10s.
	ConnectTimeout time.Duration `toml:"connect_timeout"`

	// MaxKeepAlive is the longest keep alive that an MQTT 5.0 client may have;
	// one that asks for longer, or for none, gets this. Left out, any is taken.
	MaxKeepAlive time.Duration `toml:"max_keep_alive"`

	// SysInterval is how often the figures under $SYS are published. Default 10s.
	SysInterval time.Duration `toml:"sys_interval"`

	// MaxSessionExpiry bounds how long a session outlives its connection; a
	// client that asks for longer gets this. An MQTT 3.1.1 session that is not
	// clean asks for ever. Default 8760h (a year).
	MaxSessionExpiry time.Duration `toml:"max_session_expiry"`
}

// Count is a limit on a number of things: a whole number, or "unlimited".
type Count int

// Unlimited is no limit.
const Unlimited Count = math.MaxInt32

// UnmarshalTOML takes a whole number or "unlimited".
func (c *Count) UnmarshalTOML(v any) error {
	switch v := v.(type) {
	case int64:
		if v < 1 {
			return fmt.Errorf(`%d: want at least 1, or "unlimited"`, v)
		}
		if v >= int64(Unlimited) {
			return fmt.Errorf(`%d: too many; for no limit write "unlimited"`, v)
		}
		*c = Count(v)
		return nil
	case string:
		if v == "unlimited" {
			*c = Unlimited
			return nil
		}
	}
	return fmt.Errorf(`%#v: want a whole number, or "unlimited"`, v)
}

// SetDefaults fills what was left out.
func (l *Limits) SetDefaults() {
	setDefault(&l.MaxConnections, 10_000)
	setDefault(&l.MaxSessions, 10_000)
	if strconv.IntSize == 32 {
		setDefault(&l.MaxSessionBytes, 64_000_000)
	}
	setDefault(&l.MaxSessionBytes, 256_000_000)
	setDefault(&l.MaxSessionMessages, Unlimited)
	setDefault(&l.MaxSessionWait, UnlimitedWait)
	setDefault(&l.SessionAtLimit, store.DropOldest)
	setDefault(&l.MaxSubscriptions, 10_000)
	setDefault(&l.MaxSubscriptionsTotal, 200_000)
	setDefault(&l.MaxTopicLevels, 100)
	setDefault(&l.MaxPacketBytes, 1_000_000)
	setDefault(&l.MaxInflight, 1000)
	setDefault(&l.ReceiveMaximum, 1000)
	setDefault(&l.TopicAliasMaximum, 32)
	setDefault(&l.MaxQueuedBytes, 8_000_000)
	setDefault(&l.MaxQueuedTotalBytes, 64_000_000)
	setDefault(&l.MaxRetained, 100_000)
	setDefault(&l.MaxRetainedBytes, 32_000_000)
	setDefault(&l.ConnectTimeout, 10*time.Second)
	setDefault(&l.SysInterval, 10*time.Second)
	setDefault(&l.MaxSessionExpiry, 365*24*time.Hour)
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// maxPacketLimit is the most that max_packet_bytes may be: what the store can
// keep as one record.
const maxPacketLimit = 8_000_000

// Check reports each fault by its key, relative to the [broker] table.
func (l *Limits) Check(fault func(key, format string, args ...any)) {
	count := func(key string, c, most Count) {
		if c < 1 || c > most && c != Unlimited {
			fault(key, `%d: want 1 to %d, or "unlimited"`, c, most)
		}
	}
	count("max_connections", l.MaxConnections, 1_000_000)
	count("max_sessions", l.MaxSessions, 10_000_000)
	count("max_subscriptions", l.MaxSubscriptions, 10_000_000)
	count("max_subscriptions_total", l.MaxSubscriptionsTotal, 100_000_000)
	count("max_topic_levels", l.MaxTopicLevels, 65_535)
	count("max_inflight", l.MaxInflight, 65_535)
	count("receive_maximum", l.ReceiveMaximum, 65_535)
	count("topic_alias_maximum", l.TopicAliasMaximum, 65_535)
	count("max_retained", l.MaxRetained, 100_000_000)
	queue := l.sessionQueue()
	queue.Check(func(key, format string, args ...any) {
		fault(strings.Replace(key, "max_", "max_session_", 1), format, args...)
	})
	bytes := func(key string, b, most store.Bytes) {
		if b < 1 || b > most && b != store.Unlimited {
			fault(key, `%v: want 1B to %v, or "unlimited"`, b, most)
		}
	}
	if l.MaxPacketBytes < 1 || l.MaxPacketBytes > maxPacketLimit {
		fault("max_packet_bytes", "%v: want 1B to %v, which is what the store can keep as one record", l.MaxPacketBytes, store.Bytes(maxPacketLimit))
	}
	bytes("max_queued_bytes", l.MaxQueuedBytes, 1<<40)
	bytes("max_queued_total_bytes", l.MaxQueuedTotalBytes, 1<<40)
	bytes("max_retained_bytes", l.MaxRetainedBytes, 1<<40)
	for _, d := range []struct {
		key string
		d   time.Duration
	}{{"connect_timeout", l.ConnectTimeout}, {"max_keep_alive", l.MaxKeepAlive}, {"max_session_expiry", l.MaxSessionExpiry}} {
		if d.d < 0 {
			fault(d.key, "%v is negative", d.d)
		}
	}
	if l.SysInterval < time.Second {
		fault("sys_interval", "%v: want 1s or more", l.SysInterval)
	}
	if l.MaxKeepAlive > 0 && l.MaxKeepAlive < time.Second || l.MaxKeepAlive > math.MaxUint16*time.Second {
		fault("max_keep_alive", "%v: want 1s to %v", l.MaxKeepAlive, math.MaxUint16*time.Second)
	}
}

// wire gives c as a two-byte integer of the protocol.
func (c Count) wire() uint16 { return uint16(min(c, math.MaxUint16)) }
