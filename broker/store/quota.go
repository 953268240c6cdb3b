package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// AtLimit says what becomes of a message for which a queue, or the store, has no
// room.
type AtLimit string

const (
	// DropOldest makes room: the oldest messages that no reader was given go.
	// Where what was given takes all the room, the new one goes. After a restart
	// only what Received was noted for counts as given.
	DropOldest AtLimit = "drop_oldest"

	// DropNewest leaves the new one out; the commit succeeds all the same.
	DropNewest AtLimit = "drop_newest"

	// Refuse ends the commit with ErrFull.
	Refuse AtLimit = "refuse"
)

// UnmarshalText reads it as a configuration has it.
func (a *AtLimit) UnmarshalText(text []byte) error {
	switch v := AtLimit(text); v {
	case DropOldest, DropNewest, Refuse:
		*a = v
		return nil
	}
	return fmt.Errorf("%q: want %q, %q or %q", text, DropOldest, DropNewest, Refuse)
}

// Quota is how much of a queue may wait. The zero Quota is none.
type Quota struct {
	Bytes    Bytes // of Data and Meta; or Unlimited
	Messages int64 // or UnlimitedMessages
	AtLimit  AtLimit
}

// UnlimitedMessages is no limit to their number.
const UnlimitedMessages = math.MaxInt64

// over says whether so much is more than q allows.
func (q *Quota) over(messages, bytes int64) bool {
	return q.AtLimit != "" && (messages > q.Messages || bytes > int64(q.Bytes))
}

// Drops counts messages that left a queue without having been acknowledged, by
// the reason. They are those since the queue was created.
type Drops struct {
	Oldest uint64 `json:"oldest"` // made room for others
	Newest uint64 `json:"newest"` // found none
	Aged   uint64 `json:"aged"`   // were too old: DropBefore
	Purged uint64 `json:"purged"`
}

// Total is all of them.
func (d Drops) Total() uint64 { return d.Oldest + d.Newest + d.Aged + d.Purged }

func (d *Drops) add(o Drops) {
	d.Oldest += o.Oldest
	d.Newest += o.Newest
	d.Aged += o.Aged
	d.Purged += o.Purged
}

func (d Drops) encode() (b []byte) {
	for _, n := range []uint64{d.Oldest, d.Newest, d.Aged, d.Purged} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func cutDrops(b []byte) (d Drops, err error) {
	for _, n := range []*uint64{&d.Oldest, &d.Newest, &d.Aged, &d.Purged} {
		v, w := binary.Uvarint(b)
		if w <= 0 {
			return Drops{}, segmentError("counts of what was dropped")
		}
		*n, b = v, b[w:]
	}
	return d, nil
}

// SetQuota limits what waits in the queue, from now on: what it has too much of
// is dropped, where that is the policy.
func (q *Queue) SetQuota(quota Quota) {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	if !q.setQuota(quota) || quota.AtLimit != DropOldest {
		return
	}
	if m, b := q.held(); quota.over(m, b) {
		q.trim(0, 0)
		q.s.soon()
	}
}

// setQuota says whether the quota is another one. The caller holds Store.mu.
func (q *Queue) setQuota(quota Quota) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.removed || q.quota == quota {
		return false
	}
	for _, a := range []struct {
		is AtLimit
		by int
	}{{q.quota.AtLimit, -1}, {quota.AtLimit, 1}} {
		if a.is == Refuse {
			q.s.refusers += a.by
		}
	}
	q.quota = quota
	return true
}

// Quota gives what SetQuota has set.
func (q *Queue) Quota() Quota {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.quota
}

// DropBefore drops what is of records before number, but for what a reader was
// given. Where a queue has thousands of messages, some of them may stay until
// their neighbours are as old.
func (q *Queue) DropBefore(number uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := q.dropTo(q.unsent.older(number)); n > 0 {
		q.dropped(Drops{Aged: n})
		q.s.soon()
	}
}

// Purge drops everything, also what a reader was given, and gives how many
// messages that was. They are gone from the disk with the next commit.
func (q *Queue) Purge() (messages int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if messages = q.messages; messages == 0 || q.removed {
		return 0
	}
	for i := range q.parts {
		p := &q.parts[i]
		p.g.living.Add(-p.living)
		p.living = 0
	}
	q.newAcked = addOrdinals(q.newAcked, ordinals{q.win.head, q.next})
	q.win.skipTo(q.next)
	q.messages, q.bytes, q.missing, q.unsent = 0, 0, 0, timeline{}
	q.dropped(Drops{Purged: uint64(messages)})
	q.s.soon()
	return messages
}

// makeRoom says whether a message of so many bytes may be added, and drops others
// for it where that is the policy. The caller holds Store.mu.
func (q *Queue) makeRoom(bytes int64) bool {
	over := func() bool {
		m, b := q.held()
		return q.quota.over(m+1, b+bytes)
	}
	switch {
	case q.quota.AtLimit == "", q.quota.AtLimit == Refuse, !over():
		return true // refused before, or let in all the same
	case q.quota.AtLimit == DropOldest && bytes <= int64(q.quota.Bytes):
		if q.trim(1, bytes); !over() {
			return true
		}
	}
	q.leaveOut()
	return false
}

// leaveOut counts a message that is not added.
func (q *Queue) leaveOut() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropped(Drops{Newest: 1})
}

// dropTo drops what is before an ordinal and no reader was given. The caller
// holds mu.
func (q *Queue) dropTo(end uint64) (n uint64) {
	r := ordinals{q.win.end(), end}
	if r.first >= r.end || q.removed {
		return 0
	}
	q.bytes -= q.unsent.drop(end)
	for i := q.partAt(r.first); i < len(q.parts) && q.parts[i].first < r.end; i++ {
		p := &q.parts[i]
		some := ordinals{max(p.first, r.first), min(p.end, r.end)}.len()
		p.living -= int64(some)
		p.g.living.Add(-int64(some))
		n += some
	}
	if r.end > q.filed {
		n += r.end - max(r.first, q.filed)
	}
	q.missing -= min(q.missing, r.len()-n)
	q.win.drop(r)
	q.newAcked = addOrdinals(q.newAcked, r)
	q.counted(-int64(n))
	return n
}

// free drops what a generation holds, but for what a reader was given.
func (q *Queue) free(g *generation) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.parts {
		if p.g == g && p.living > 0 {
			q.dropped(Drops{Oldest: q.dropTo(p.end)})
		}
	}
}

// counted changes how many messages wait. The caller holds mu.
func (q *Queue) counted(by int64) {
	if q.messages += by; q.messages == 0 {
		q.bytes = 0
	}
}

// dropped counts, for the log and for what is told. The caller holds mu.
func (q *Queue) dropped(d Drops) {
	if d.Total() == 0 {
		return
	}
	q.s.counters.dropped.Add(int64(d.Total()))
	q.drops.add(d)
	q.newDrops.add(d)
	q.untold.add(d)
	if q.list() {
		q.s.listUnlogged(q)
	}
}

// soon has what was dropped in the log as soon as an acknowledgement would be, but
// for those that wait because messages are left out.
func (s *Store) soon() {
	more := !s.newDrops.Swap(true)
	if s.newAcks.Add(1) == 1 || more {
		s.nudge()
	}
}

// admitQueues says whether the queues that refuse have room. The caller holds mu.
func (s *Store) admitQueues(recs []Record) (err error) {
	if s.refusers == 0 {
		return nil
	}
	var asked []*Queue
	for i := range recs {
		r := &recs[i]
		if r.Kind != Message {
			continue
		}
		for j := range r.Refs {
			q := s.queues[r.Refs[j].Queue]
			if q == nil {
				continue
			}
			if q.askedMessages == 0 {
				asked = append(asked, q)
			}
			q.askedMessages++
			q.askedBytes += int64(len(r.Data) + len(r.Refs[j].Meta))
		}
	}
	for _, q := range asked {
		err = errors.Join(err, q.refuse())
	}
	for _, q := range asked {
		q.askedMessages, q.askedBytes = 0, 0
	}
	return err
}

// refuse says why what is asked for may not be added. The caller holds Store.mu.
func (q *Queue) refuse() error {
	messages, bytes := q.held()
	moreMessages, moreBytes := q.asked()
	if q.quota.AtLimit != Refuse || !q.quota.over(messages+moreMessages, bytes+moreBytes) {
		return nil
	}
	q.mu.Lock()
	q.refused++
	q.mu.Unlock()
	if messages+moreMessages > q.quota.Messages {
		return fmt.Errorf("%w: queue %q holds %d messages, its limit is %d", ErrFull, q.name, messages, q.quota.Messages)
	}
	return fmt.Errorf("%w: queue %q holds %v, its limit is %v", ErrFull, q.name, Bytes(bytes), q.quota.Bytes)
}

// tellInterval is how often a queue's drops are logged at most.
const tellInterval = time.Minute

// toldDrops is what is to be logged of a queue's drops.
type toldDrops struct {
	queue string
	Drops
}

// tell takes what is to be logged, if it is time for that. The caller holds mu.
func (q *Queue) tell(now time.Time) (toldDrops, bool) {
	d := toldDrops{q.name, q.untold}
	d.Purged = 0 // who did that knows
	if d.Total() == 0 || now.Sub(q.toldAt) < tellInterval {
		return d, false
	}
	q.untold, q.toldAt = Drops{}, now
	return d, true
}

func (s *Store) logDropped(list []toldDrops) {
	for _, d := range list {
		s.log.Warn("messages of a queue are dropped", "queue", d.queue, "oldest", d.Oldest, "newest", d.Newest, "aged", d.Aged)
	}
}
