package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"headgate/broker/clock"
	"headgate/broker/store"
)

// clockKey is the state key of the clock's record.
const clockKey = "clock"

// openClock gives the clock that the expiries of sessions and messages count by.
func openClock(src clock.Source, st *store.Store, log *slog.Logger) (*clock.Clock, error) {
	if src == nil {
		src = clock.System()
	}
	var record []byte
	err := st.State(clockKey, func(key string, value []byte) error {
		if key == clockKey {
			record = append([]byte{}, value...) // also an empty one is a record
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c, err := clock.New(src, record, time.Now())
	if errors.Is(err, clock.ErrDamaged) {
		log.Warn("clock's record cannot be used: what was stored before counts from now on, or by the wall clock where that was synced", "err", err)
		err = nil
	}
	return c, err
}

// writeClock brings the clock up to date and commits its record. A record in the
// log that names a boot is behind the record that makes the boot known. How old
// the log's records are goes with it, and what is too old goes.
func (b *Broker) writeClock(now time.Time) {
	rec := store.Record{Kind: store.Put, Key: clockKey, Data: b.clock.Tick(now)}
	recs := append(b.ages.tick(b.store.Stats().NextRecord, b.clock, now), rec)
	b.store.Commit(recs, func(err error) {
		if failing := err != nil; b.clockFailing.Swap(failing) != failing && failing {
			b.log.Warn("clock's record is not on disk: after a boot this one's time does not count towards an expiry", "err", err)
		}
	})
	b.dropAged(now)
}

// Uptime says in which boot a time of time.Now is, how long that had run by then, and
// whether the machine's wall clock is right, as of a second ago at most.
func (b *Broker) Uptime(at time.Time) (boot uint32, uptime time.Duration, synced bool) {
	i := b.clock.At(at)
	return i.Boot, time.Duration(i.Mono) * time.Millisecond, b.clock.Synced(at)
}

// WallTime is the wall clock's time when a boot had run for uptime. It is known when
// the clock was right at some time in that boot.
func (b *Broker) WallTime(boot uint32, uptime time.Duration) (at time.Time, known bool) {
	return b.clock.Wall(clock.Instant{Boot: boot, Mono: uptime.Milliseconds()}, time.Now())
}

// deadline is when a message expires. It does not change.
type deadline struct {
	clock *clock.Clock
	since clock.Instant
	after uint32 // seconds, from since
}

// expiresAfter counts from now. A wall clock that is set does not matter to it.
func expiresAfter(seconds uint32, c *clock.Clock, now time.Time) *deadline {
	return &deadline{clock: c, since: c.At(now), after: seconds}
}

// left is how much time is left at now; 0 or less: none.
func (d *deadline) left(now time.Time) time.Duration {
	return time.Duration(d.after)*time.Second - d.clock.Since(d.since, now)
}

// seconds is left as a Message Expiry Interval. [MQTT-3.3.2-6]
func (d *deadline) seconds(now time.Time) uint32 {
	return uint32((max(0, d.left(now)) + time.Second - 1) / time.Second)
}

func (d *deadline) appendStored(dst []byte) []byte {
	return binary.AppendUvarint(d.since.Append(dst), uint64(d.after))
}

// cutDeadline reads what appendStored wrote, and gives what follows it.
func cutDeadline(b []byte, c *clock.Clock) (d *deadline, rest []byte, err error) {
	d = &deadline{clock: c}
	if d.since, b, err = clock.CutInstant(b); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errStoredMessage, err)
	}
	after, n := binary.Uvarint(b)
	if n <= 0 || after > 1<<32-1 {
		return nil, nil, errStoredMessage
	}
	d.after = uint32(after)
	return d, b[n:], nil
}

// oldDeadline is that of a message whose expiry was stored as a wall clock's ms:
// by the wall clock once that is synced, and after a year of running at the
// latest.
func oldDeadline(ms int64, c *clock.Clock) *deadline {
	const year = 365 * 24 * 60 * 60
	return &deadline{clock: c, since: clock.Instant{Wall: ms - year*1000, Synced: true}, after: year}
}
