package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// messages is a quota of that many.
func messages(n int64, at AtLimit) Quota { return Quota{Bytes: Unlimited, Messages: n, AtLimit: at} }

// peeked gives the numbers of what waits, as fill has made them.
func peeked(t testing.TB, q *Queue) (list []int) {
	t.Helper()
	if err := q.Peek(func(it Item) error { list = append(list, number(it)); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

func wantPeek(t testing.TB, q *Queue, want ...int) {
	t.Helper()
	if got := peeked(t, q); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the queue has %v, want %v", got, want)
	}
	if st := q.Stats(); st.Messages != int64(len(want)) {
		t.Errorf("stats %+v, want %d messages", st, len(want))
	}
}

func TestAtTheLimitTheOldestThatNobodyWasGivenMakeRoom(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "client")
		q.SetQuota(messages(5, DropOldest))
		fill(t, s, q, 0, 4, 0)
		r := q.Reader(nil)
		given := expect(t, r, 0, 2)
		fill(t, s, q, 4, 6, 0)
		wantPeek(t, q, 0, 1, 7, 8, 9) // 0 and 1 are in flight
		q.Ack(given[1].Number)
		for _, n := range []int{7, 8, 9} {
			expectOne(t, r, n)
		}
		nothing(t, r)
		if d := q.Stats().Dropped; d != (Drops{Oldest: 5}) {
			t.Errorf("dropped %+v", d)
		}
		r = q.Reader(nil)
		for _, n := range []int{0, 7, 8, 9} {
			q.Ack(expectOne(t, r, n).Number)
		}
		nothing(t, r)
		if st := q.Stats(); st.Messages != 0 || st.Bytes != 0 || st.Head != 10 {
			t.Errorf("at the end: %+v", st)
		}
	})
}

func TestWhereWhatIsInFlightTakesAllTheRoomTheNewestIsLeftOut(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "client")
		q.SetQuota(messages(2, DropOldest))
		fill(t, s, q, 0, 2, 0)
		given := expect(t, q.Reader(nil), 0, 2)
		fill(t, s, q, 2, 3, 0)
		wantPeek(t, q, 0, 1)
		q.Ack(given[0].Number)
		fill(t, s, q, 5, 1, 0)
		wantPeek(t, q, 1, 5)
		if d := q.Stats().Dropped; d != (Drops{Newest: 3}) {
			t.Errorf("dropped %+v", d)
		}
	})
}

func TestAtTheLimitTheNewestIsLeftOutOfItsQueueAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		full, other := queue(t, s, "full"), queue(t, s, "other")
		full.SetQuota(Quota{Bytes: 50, Messages: UnlimitedMessages, AtLimit: DropNewest})
		for i := range 5 {
			commit(t, s, message(fmt.Sprintf("%07d", i), full, other)) // 19 bytes in full
		}
		wantPeek(t, full, 0, 1)
		wantPeek(t, other, 0, 1, 2, 3, 4)
		if d := full.Stats().Dropped; d != (Drops{Newest: 3}) {
			t.Errorf("dropped %+v", d)
		}
	})
}

func TestAtTheLimitACommitIsRefusedAsAWholeAndSaysWhichQueueIsFull(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		full, other := queue(t, s, "full"), queue(t, s, "other")
		full.SetQuota(messages(3, Refuse))
		fill(t, s, full, 0, 2, 0)
		err := tryCommit(s, message("0000002", full, other), message("0000003", full))
		if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), `queue "full" holds 2 messages, its limit is 3`) {
			t.Errorf("got %v", err)
		}
		wantPeek(t, other)
		commit(t, s, message("0000002", full, other))
		commit(t, s, message("0000003", other), Record{Kind: Put, Key: "k"})
		if err := tryCommit(s, message("0000004", full)); !errors.Is(err, ErrFull) {
			t.Errorf("got %v, want it full", err)
		}
		// What moves here from another queue is taken all the same.
		moved := next(t, other.Reader(nil))
		commit(t, s, Record{Kind: Acknowledge, Refs: []Ref{{other.ID(), nil}}, Number: moved.Number}, message("0000005", full))
		wantPeek(t, full, 0, 1, 2, 5)
		if st := full.Stats(); st.Refused != 2 || st.Dropped != (Drops{}) {
			t.Errorf("stats %+v", st)
		}
		full.SetQuota(Quota{})
		commit(t, s, message("0000006", full))
		s.RemoveQueue(full)
		commit(t, s, message("0000007", other))
	})
}

func TestAQuotaInBytesHoldsAndDropsNoMoreThanItMust(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "client")
		const limit = 300_000
		q.SetQuota(Quota{Bytes: limit, Messages: UnlimitedMessages, AtLimit: DropOldest})
		for i := range 3000 {
			s.Commit([]Record{message(fmt.Sprintf("%07d", i)+strings.Repeat(".", i*37%1000), q)}, nil)
			if i%500 == 0 {
				commit(t, s) // pending_bytes allows so many
			}
			if st := q.Stats(); st.Bytes > limit {
				t.Fatalf("after %d messages: %d bytes", i, st.Bytes)
			}
		}
		commit(t, s)
		var bytes, first, n int
		if err := q.Peek(func(it Item) error {
			if n++; n == 1 {
				first = number(it)
			}
			bytes += len(it.Meta) + len(it.Data)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		st := q.Stats()
		if first+n != 3000 || st.Messages != int64(n) || int(st.Dropped.Oldest) != first {
			t.Errorf("it has %d from %d on, %+v", n, first, st)
		}
		// Counted by stretches of a fraction of the queue.
		if bytes > limit*104/100 || bytes < limit*95/100 {
			t.Errorf("%d bytes wait, the limit is %d", bytes, limit)
		}
		r := q.Reader(nil)
		for range n {
			q.Ack(next(t, r).Number)
		}
		nothing(t, r)
		if st := q.Stats(); st.Messages != 0 || st.Bytes != 0 {
			t.Errorf("at the end: %+v", st)
		}
	})
}

func TestAMessageLargerThanTheQuotaDropsNoOther(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "client")
		q.SetQuota(Quota{Bytes: 1000, Messages: UnlimitedMessages, AtLimit: DropOldest})
		fill(t, s, q, 0, 3, 0)
		fill(t, s, q, 3, 1, 2000)
		wantPeek(t, q, 0, 1, 2)
	})
}

func TestALowerQuotaHoldsAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "client")
		fill(t, s, q, 0, 10, 0)
		q.SetQuota(messages(4, DropNewest))
		wantPeek(t, q, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9) // it has been promised
		q.SetQuota(messages(4, DropOldest))
		wantPeek(t, q, 6, 7, 8, 9)
	})
}

func TestDropsAndTheirCountsSurviveAKill(t *testing.T) {
	for name, checkpointed := range map[string]bool{"log": false, "checkpoint": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, small())
			q := queue(t, s, "client")
			q.SetQuota(messages(100, DropOldest))
			fill(t, s, q, 0, 150, 0)
			given := expect(t, q.Reader(nil), 50, 53)
			fill(t, s, q, 150, 200, 0)
			q.Ack(given[1].Number)
			if checkpointed {
				checkpointNow(t, s)
			}
			fill(t, s, q, 350, 100, 0)
			want := q.Stats()
			if want.Dropped != (Drops{Oldest: 349}) || want.Messages != 100 || want.Head != 50 {
				t.Fatalf("before: %+v", want)
			}
			before := peeked(t, q)
			s = open(t, copyDir(t, dir), small())
			q = queue(t, s, "client")
			wantPeek(t, q, before...)
			got := q.Stats()
			if got.Bytes != want.Bytes || got.Dropped != want.Dropped || got.Head != want.Head {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if lost := s.Stats().LostRecords; lost != 0 {
				t.Errorf("%d count as lost", lost)
			}
			q.SetQuota(messages(100, DropOldest))
			fill(t, s, q, 450, 10, 0)
			if st := q.Stats(); st.Messages != 100 {
				t.Errorf("after the restart: %+v", st)
			}
		})
	}
}

func TestWhatIsDroppedGivesItsDiskSpaceBack(t *testing.T) {
	s := open(t, t.TempDir(), small())
	q := queue(t, s, "gone for ever")
	q.SetQuota(Quota{Bytes: 1 << 20, Messages: UnlimitedMessages, AtLimit: DropOldest})
	fill(t, s, q, 0, 12_000, 1000)
	checkpointNow(t, s)
	await(t, "generations go", func() bool { return s.Stats().SpoolBytes < 6<<20 })
}

func TestWhatWasDroppedBehindAMessageInFlightCostsNoMemoryEach(t *testing.T) {
	s := OpenMemory(small(), quiet())
	defer s.Close()
	q := queue(t, s, "stuck")
	q.SetQuota(messages(10, DropOldest))
	fill(t, s, q, 0, 1, 0)
	expect(t, q.Reader(nil), 0, 1)
	for i := range 20 {
		fill(t, s, q, 1+i*1000, 1000, 0)
	}
	if n := len(q.win.slots) + len(q.win.gaps) + cap(q.unsent.list); n > 300 {
		t.Errorf("%d slots, %d gaps, %d stretches for 10 messages", len(q.win.slots), len(q.win.gaps), cap(q.unsent.list))
	}
}

func TestWhatIsOfEarlierRecordsIsDropped(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "client")
		fill(t, s, q, 0, 5, 0)
		r := q.Reader(nil)
		expect(t, r, 0, 1)
		at := s.Stats().NextRecord
		fill(t, s, q, 5, 3, 0)
		if st := q.Stats(); st.Oldest == 0 || st.Oldest >= at {
			t.Errorf("the oldest is record %d, want one before %d", st.Oldest, at)
		}
		q.DropBefore(at)
		wantPeek(t, q, 0, 5, 6, 7)
		expectOne(t, r, 5)
		if d := q.Stats().Dropped; d != (Drops{Aged: 4}) {
			t.Errorf("dropped %+v", d)
		}
	})
}

func TestAPurgeEmptiesAQueueForGood(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	q := queue(t, s, "client")
	fill(t, s, q, 0, 3000, 1000)
	r := q.Reader(nil)
	given := expect(t, r, 0, 10)
	if n := q.Purge(); n != 3000 {
		t.Errorf("purged %d", n)
	}
	q.Ack(given[3].Number) // it comes too late
	nothing(t, r)
	fill(t, s, q, 3000, 2, 0)
	expectOne(t, r, 3000)
	wantPeek(t, q, 3000, 3001)
	s = open(t, copyDir(t, dir), small())
	q = queue(t, s, "client")
	wantPeek(t, q, 3000, 3001)
	if d := q.Stats().Dropped; d != (Drops{Purged: 3000}) {
		t.Errorf("dropped %+v", d)
	}
}

func TestPeekingTakesNothingAndSeesWhatIsOnDiskAndInMemory(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "client")
		fill(t, s, q, 0, 2000, 100) // more than the ring holds
		r := q.Reader(nil)
		items := expect(t, r, 0, 3)
		q.Ack(items[1].Number)
		got := peeked(t, q)
		if len(got) != 1999 || got[0] != 0 || got[1] != 2 || got[1998] != 1999 {
			t.Errorf("got %d messages, %v ...", len(got), got[:3])
		}
		stop := errors.New("enough")
		n := 0
		if err := q.Peek(func(Item) error { n++; return stop }); err != stop || n != 1 {
			t.Errorf("got %v after %d", err, n)
		}
		expectOne(t, r, 3)
		q.Ack(items[0].Number) // found among what was given
		if st := q.Stats(); st.Messages != 1998 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestAFullStoreDropsTheOldestGenerationWhereThatIsThePolicy(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		cfg := small()
		cfg.MaxBytes, cfg.AtLimit = 8<<20, DropOldest
		s := open(cfg)
		gone, kept := queue(t, s, "gone for ever"), queue(t, s, "kept")
		if !s.memory { // there it keeps all after it
			fill(t, s, kept, 7, 1, 0)
			next(t, kept.Reader(nil))
		}
		for i := 0; i < 20_000; i += 200 {
			fill(t, s, gone, i, 200, 1000)
			if n := s.Stats().SpoolBytes; n > 6<<20 {
				checkpointNow(t, s) // after which generations go
			}
		}
		st := gone.Stats()
		if st.Dropped.Oldest == 0 || st.Messages+int64(st.Dropped.Oldest) != 20_000 {
			t.Errorf("stats %+v", st)
		}
		list := peeked(t, gone)
		if len(list) == 0 || list[len(list)-1] != 19_999 || int64(len(list)) != st.Messages {
			t.Errorf("it has %d, stats %+v", len(list), st)
		}
		if !s.memory {
			wantPeek(t, kept, 7) // it is in flight
		}
		if n := s.Stats().SpoolBytes; n > int64(cfg.MaxBytes) {
			t.Errorf("%d bytes in the spool", n)
		}
	})
}

func TestAFullStoreLeavesTheNewestOutWhereThatIsThePolicy(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		cfg := small()
		cfg.MaxBytes, cfg.AtLimit = 4<<20, DropNewest
		s := open(cfg)
		q := queue(t, s, "client")
		fill(t, s, q, 0, 6000, 1000)
		st := q.Stats()
		if st.Dropped.Newest == 0 || st.Messages+int64(st.Dropped.Newest) != 6000 || s.Stats().Refused != 0 {
			t.Errorf("stats %+v, %+v", st, s.Stats())
		}
		if list := peeked(t, q); list[1999] != 1999 {
			t.Errorf("the 2000th is %d", list[1999])
		}
	})
}

func TestDropsAreLoggedOnceAMinute(t *testing.T) {
	log, out := listen()
	s := OpenMemory(small(), log)
	defer s.Close()
	q := queue(t, s, "client")
	q.SetQuota(messages(1, DropOldest))
	fill(t, s, q, 0, 100, 0)
	for i := range 50 {
		fill(t, s, q, 100+i, 1, 0)
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `msg="messages of a queue are dropped" queue=client oldest=99`) {
		t.Errorf("logged: %s", got)
	}
	now := time.Now()
	if d, ok := q.tell(now.Add(tellInterval)); !ok || d.Oldest != 50 {
		t.Errorf("a minute later: %+v, %v", d, ok)
	}
}
