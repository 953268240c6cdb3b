package store

import (
	"sync/atomic"
	"time"
)

// Stats is what the store has done since Open, and where it stands.
type Stats struct {
	Commits     int64 // transactions that reached the disk
	Records     int64 // records in them
	Bytes       int64 // bytes of segments in them
	Acks        int64 // acknowledgements taken
	Refused     int64 // commits that ended with ErrFull
	Checkpoints int64
	Evacuated   int64 // segments that were moved to another generation

	Spared      int64 // messages that were never written: see Record.Spare
	SparedBytes int64 // bytes of their segments

	SyncTime time.Duration // spent in writing and syncing, all commits together
	SyncLast time.Duration // the last one
	SyncMax  time.Duration

	// CommitP50 and CommitP99 are how long half of the commits of the last one to
	// two hours took at most, and 99 of 100; zero: there was none.
	CommitP50, CommitP99 time.Duration

	Wear Wear

	SpoolBytes   int64 // what the spool's segments take on disk
	Generations  int   // directories in the spool
	RingBytes    int64 // the newest records, in memory
	PendingBytes int64 // what waits for the disk
	FreeBytes    int64 // free space in the file system, as last seen

	Queues   int
	Messages int64 // not acknowledged, all queues together

	NextRecord    uint64 // the number that the next record gets
	DurableRecord uint64 // every record up to this one is on disk

	MaxBytes int64 // what SpoolBytes may become

	DamagedSegments    int64 // that could not be read and were left out
	DamagedGenerations int64 // that could not be opened and were put aside
	LostRecords        int64 // messages that are missing, counted once for each queue

	// Lost counts the messages in the loss ledger, and LastLoss is its last entry:
	// see Losses.
	Lost     uint64
	LastLoss Loss

	// FailingSince is since when the disk has not taken what was written to it,
	// and LastError why; zero if it takes everything.
	FailingSince time.Time

	// Stuck says that a write does not come back although the disk takes others: the
	// fault is the store's own.
	Stuck     bool
	LastError string

	// Refusing is since when messages are refused for want of room, and RefusedFor
	// what wants it; zero while they are taken.
	Refusing   time.Time
	RefusedFor string
}

// QueueStats is where one queue stands.
type QueueStats struct {
	Messages int64  // not acknowledged
	Bytes    int64  // of their Data and Meta
	Next     uint64 // ordinal of the next message
	Head     uint64 // ordinal of the first one that is not acknowledged
	Oldest   uint64 // its record's number, or nearly so; 0: there is none
	Dropped  Drops
	Refused  int64 // commits since Open, for the queue's Quota
}

type counters struct {
	commits, records, bytes, acks, refused, checkpoints atomic.Int64
	dropped, evacuated, syncTime, syncLast, syncMax     atomic.Int64
	damagedSegments, damagedGenerations, payload        atomic.Int64
	spared, sparedBytes                                 atomic.Int64
}

func (c *counters) synced(took time.Duration) {
	c.syncTime.Add(int64(took))
	c.syncLast.Store(int64(took))
	c.syncMax.Store(max(c.syncMax.Load(), int64(took))) // the committer alone calls it
}

// Dropped is how many messages left their queues since Open without having been
// acknowledged: see Drops.
func (s *Store) Dropped() int64 { return s.counters.dropped.Load() }

// Stats gives the figures as they are now.
func (s *Store) Stats() Stats {
	c := &s.counters
	st := Stats{
		Commits:            c.commits.Load(),
		Records:            c.records.Load(),
		Bytes:              c.bytes.Load(),
		Acks:               c.acks.Load(),
		Refused:            c.refused.Load(),
		Evacuated:          c.evacuated.Load(),
		Checkpoints:        c.checkpoints.Load(),
		Spared:             c.spared.Load(),
		SparedBytes:        c.sparedBytes.Load(),
		SyncTime:           time.Duration(c.syncTime.Load()),
		SyncLast:           time.Duration(c.syncLast.Load()),
		SyncMax:            time.Duration(c.syncMax.Load()),
		SpoolBytes:         s.spool.bytes.Load(),
		Generations:        len(s.spool.list()),
		FreeBytes:          s.space.free.Load(),
		DurableRecord:      s.durable.Load(),
		DamagedSegments:    c.damagedSegments.Load(),
		DamagedGenerations: c.damagedGenerations.Load(),
		LostRecords:        s.lost.Load(),
	}
	now := time.Now()
	st.CommitP50, st.CommitP99 = s.latencies.percentiles(now)
	st.Wear = Wear{Payload: c.payload.Load(), Files: unknown, Disk: unknown, PerDay: unknown, LifeDays: unknown, EMMCUsed: unknown}
	if s.wear != nil {
		st.Wear = s.wear.stats(now)
	}
	s.mu.Lock()
	if r := &s.refusal; r.reason != nil && now.Sub(r.last) <= quietAfter {
		st.Refusing, st.RefusedFor = r.since, r.reason.Error()
	}
	st.NextRecord, st.Queues, st.MaxBytes = s.next, len(s.queues), s.space.maxBytes
	st.RingBytes, st.PendingBytes = s.ring.bytes, s.pending
	s.mu.Unlock()
	st.Lost, st.LastLoss = s.ledger.total()
	for _, t := range []*trouble{&s.stateTrouble, &s.logTrouble} {
		if since, err := t.now(); err != nil {
			st.FailingSince, st.LastError = since, err.Error()
		}
	}
	st.Stuck = s.stuck(now)
	for _, q := range s.Queues() {
		st.Messages += q.Stats().Messages
	}
	return st
}
