package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

func TestOrderIsKeptFromRingToDiskAndBack(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "slow")
		r := q.Reader(nil)
		fill(t, s, q, 0, 10, 100)
		expect(t, r, 0, 10) // from the ring
		at := 10
		for end := 10; end < 12000; {
			fill(t, s, q, end, 2000, 100) // more than the ring holds
			end += 2000
			for ; at < end-700; at++ { // from disk, up to within the ring
				if it := next(t, r); number(it) != at || it.Ordinal != uint64(at) {
					t.Fatalf("got %d with ordinal %d, want %d", number(it), it.Ordinal, at)
				}
			}
		}
		for ; at < 12010; at++ {
			if it := next(t, r); number(it) != at {
				t.Fatalf("got %d, want %d", number(it), at)
			}
		}
		nothing(t, r)
		fill(t, s, q, 12010, 3, 100)
		expectOne(t, r, 12010)
		expectOne(t, r, 12011)
		expectOne(t, r, 12012)
		nothing(t, r)
		if st := s.Stats(); st.RingBytes > 200<<10 && !s.memory {
			t.Errorf("ring of %d bytes", st.RingBytes)
		}
	})
}

func expectOne(t *testing.T, r *Reader, n int) Item {
	t.Helper()
	it := next(t, r)
	if number(it) != n || it.Ordinal != uint64(n) {
		t.Fatalf("got %d with ordinal %d, want %d", number(it), it.Ordinal, n)
	}
	return it
}

func TestASlowReaderBesideAProducerSeesEverythingInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		cfg := small()
		cfg.RingBytes = 1
		s := open(cfg)
		q := queue(t, s, "slow")
		const n = 20000
		wake := make(chan struct{}, 1)
		r := q.Reader(func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
		// Less than PendingBytes on its way, or a slow disk would have some refused.
		room := make(chan struct{}, 1000)
		refused := make(chan error, 1)
		go func() {
			for i := range n {
				room <- struct{}{}
				s.Commit([]Record{message(fmt.Sprintf("%07d", i)+strings.Repeat(".", i%300), q)}, func(err error) {
					if err != nil {
						select {
						case refused <- fmt.Errorf("commit message %d: %w", i, err):
						default:
						}
					}
					<-room
				})
			}
		}()
		for i := 0; i < n; {
			if i%4000 == 0 { // what it reads then is on disk, and the producer goes on beside it
				await(t, "the producer to be ahead", func() bool { return q.Stats().Next >= uint64(min(i+3000, n)) })
			}
			it, ok, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				select {
				case <-wake:
				case err := <-refused:
					t.Fatal(err)
				case <-time.After(hang):
					t.Fatalf("no notification at message %d", i)
				}
				continue
			}
			if number(it) != i || it.Ordinal != uint64(i) || len(it.Data) != 7+i%300 {
				t.Fatalf("got %.7q with ordinal %d, want %d", it.Data, it.Ordinal, i)
			}
			if i%3 == 0 {
				q.Ack(it.Number)
			}
			i++
		}
	})
}

func TestANewReaderGivesTheUnacknowledgedAgainAndEndsTheOneBefore(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "client")
		fill(t, s, q, 0, 10, 0)
		old := q.Reader(nil)
		items := expect(t, old, 0, 6)
		for _, i := range []int{0, 1, 3} {
			q.Ack(items[i].Number)
		}
		got := make(chan error, 1)
		q.Received(items[4].Number, func(err error) { got <- err })
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		r := q.Reader(nil)
		nothing(t, old)
		for _, n := range []int{2, 4, 5, 6, 7, 8, 9} {
			if it := expectOne(t, r, n); it.Received != (n == 4) || it.Recovered {
				t.Errorf("message %d: %+v", n, it)
			}
		}
		nothing(t, r)
	})
}

func TestAfterARestartTheUnacknowledgedComeAgainWithTheSameOrdinalsAndReceivedMarks(t *testing.T) {
	for name, restart := range restarts {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, small())
			q := queue(t, s, "client")
			other := queue(t, s, "other")
			for i := range 40 {
				commit(t, s, message(fmt.Sprintf("%07d", i), q), message("for another", other))
			}
			r := q.Reader(nil)
			items := expect(t, r, 0, 30)
			for _, i := range []int{0, 1, 2, 5, 9, 10, 29} {
				q.Ack(items[i].Number)
			}
			q.Received(items[7].Number, nil)
			q.Received(items[10].Number, nil) // that one is acknowledged
			commit(t, s)                      // ends after all before it
			for round := range 3 {
				s, dir = restart(t, s, dir)
				q = queue(t, s, "client")
				r = q.Reader(nil)
				var first Item
				for i := 3; i < 40; i++ {
					if i == 5 || i == 9 || i == 10 || i == 29 {
						continue
					}
					it := expectOne(t, r, i)
					if it.Received != (i == 7) || !it.Recovered || it.Number != items[0].Number+2*uint64(i) {
						t.Fatalf("restart %d, message %d: %+v", round, i, it)
					}
					if i == 3 {
						first = it
					}
				}
				nothing(t, r)
				if st := q.Stats(); st.Messages != 33 || st.Head != 3 || st.Next != 40 {
					t.Fatalf("restart %d: %+v", round, st)
				}
				q.Ack(first.Number + 1000) // was never given
			}
		})
	}
}

// restarts are the ways in which a store goes down and comes up again.
var restarts = map[string]func(t *testing.T, s *Store, dir string) (*Store, string){
	"closed": func(t *testing.T, s *Store, dir string) (*Store, string) {
		closeStore(t, s)
		return open(t, dir, s.cfg), dir
	},
	"killed": func(t *testing.T, s *Store, dir string) (*Store, string) {
		dir = copyDir(t, dir)
		return open(t, dir, s.cfg), dir
	},
	"killed after a checkpoint": func(t *testing.T, s *Store, dir string) (*Store, string) {
		checkpointNow(t, s)
		dir = copyDir(t, dir)
		return open(t, dir, s.cfg), dir
	},
}

// checkpointNow waits until a checkpoint has passed all that is in the log.
func checkpointNow(t testing.TB, s *Store) {
	t.Helper()
	await(t, "a checkpoint", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.ckpt.applied == s.next-1 && !s.ckpt.busy && s.newAcks.Load() == 0 {
			return true
		}
		s.ckpt.at = time.Time{}
		s.nudge()
		return false
	})
}

func TestAcknowledgementsOutOfOrderAndAgainCountOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "client")
		fill(t, s, q, 0, 1000, 50)
		items := expect(t, q.Reader(nil), 0, 1000)
		for _, i := range rand.Perm(1000) {
			q.Ack(items[i].Number)
			q.Ack(items[i].Number)
		}
		if st := q.Stats(); st.Messages != 0 || st.Bytes != 0 || st.Head != 1000 {
			t.Errorf("stats: %+v", st)
		}
		nothing(t, q.Reader(nil))
	})
}

func TestAnAcknowledgementMayOvertakeTheCommit(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	q := queue(t, s, "client")
	r := q.Reader(nil)
	seen := 0
	for i := range 500 {
		done := make(chan error, 1)
		s.Commit([]Record{message(fmt.Sprintf("%07d", i), q)}, func(err error) { done <- err })
		it := expectOne(t, r, i)
		if !it.Durable {
			seen++
		}
		q.Ack(it.Number)
		if i%50 == 0 {
			<-done
		}
	}
	if seen == 0 {
		t.Error("the reader gave nothing before it was durable")
	}
	if st := q.Stats(); st.Messages != 0 || st.Bytes != 0 {
		t.Errorf("stats: %+v", st)
	}
	commit(t, s, Record{Kind: Delete, Key: "x"})
	s = open(t, copyDir(t, dir), small())
	q = queue(t, s, "client")
	if st := q.Stats(); st.Messages != 0 || st.Head != 500 {
		t.Errorf("stats after a kill: %+v", st)
	}
	nothing(t, q.Reader(nil))
	fill(t, s, q, 500, 1, 0)
	expectOne(t, q.Reader(nil), 500)
}

func TestAcknowledgementsAreOnDiskAfterASecondWithoutAnyCommit(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	q := queue(t, s, "client")
	fill(t, s, q, 0, 10, 0)
	before := s.Stats().Records
	for _, it := range expect(t, q.Reader(nil), 0, 10) {
		q.Ack(it.Number)
	}
	await(t, "the acknowledgements to be written", func() bool { return s.Stats().Records > before })
	s = open(t, copyDir(t, dir), small())
	if st := queue(t, s, "client").Stats(); st.Messages != 0 {
		t.Errorf("stats: %+v", st)
	}
}

func TestAMessageForManyQueuesIsInEachOnce(t *testing.T) {
	for _, n := range []int{1, 2, linearRefs, linearRefs + 1, 500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, small())
			var qs []*Queue
			for i := range n {
				qs = append(qs, queue(t, s, fmt.Sprintf("client %d", i)))
			}
			twice := append(append([]*Queue{}, qs...), qs[0])
			rand.Shuffle(len(twice), func(i, j int) { twice[i], twice[j] = twice[j], twice[i] })
			for i := range 20 {
				commit(t, s, message(fmt.Sprintf("%07d", i), twice...))
			}
			check := func(recovered bool) {
				for _, q := range s.Queues() {
					r := q.Reader(nil)
					for _, it := range expect(t, r, 0, 20) {
						if string(it.Meta) != "meta of "+q.Name() || it.Recovered != recovered {
							t.Fatalf("%s: %+v", q.Name(), it)
						}
					}
					nothing(t, r)
				}
			}
			check(false)
			closeStore(t, s)
			s = open(t, dir, small())
			check(true)
		})
	}
}

func TestAReaderIsNotifiedOnceItHadNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "client")
		calls := make(chan struct{}, 100)
		r := q.Reader(func() { calls <- struct{}{} })
		fill(t, s, q, 0, 3, 0)
		<-calls // a reader that was not asked yet counts as one that had nothing
		expect(t, r, 0, 3)
		fill(t, s, q, 3, 1, 0)
		if len(calls) != 0 {
			t.Error("a notification although Next had not given nothing")
		}
		expectOne(t, r, 3)
		nothing(t, r)
		fill(t, s, q, 4, 2, 0)
		if len(calls) != 1 {
			t.Errorf("%d notifications, want 1", len(calls))
		}
	})
}

func TestARemovedQueueIsGoneWithAllThatWaits(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	stay, leave := queue(t, s, "stays"), queue(t, s, "leaves")
	for i := range 30 {
		var recs []Record
		for j := range 500 {
			recs = append(recs, message(fmt.Sprintf("%07d", i*500+j)+strings.Repeat(".", 300), leave))
		}
		commit(t, s, append(recs, message("kept", stay))...)
	}
	r := leave.Reader(nil)
	expect(t, r, 0, 5)
	if n := s.Stats().Generations; n < 3 {
		t.Fatalf("%d generations: the test wants more", n)
	}
	s.RemoveQueue(leave)
	s.RemoveQueue(leave)
	nothing(t, r)
	leave.Ack(3)
	commit(t, s, message("for nobody", leave), message("and one more", stay))
	again := queue(t, s, "leaves")
	if again.ID() == leave.ID() || again.Stats().Messages != 0 || again.Stats().Next != 0 {
		t.Errorf("the new queue: id %d, %+v", again.ID(), again.Stats())
	}
	items := stay.Reader(nil)
	for range 25 {
		it := next(t, items)
		stay.Ack(it.Number)
	}
	checkpointNow(t, s)
	await(t, "generations to go", func() bool { checkpointNow(t, s); return s.Stats().Generations <= 3 })
	closeStore(t, s)
	s = open(t, dir, small())
	if n := len(s.Queues()); n != 2 {
		t.Errorf("%d queues after the restart", n)
	}
	if st := queue(t, s, "stays").Stats(); st.Messages != 6 {
		t.Errorf("stats: %+v", st)
	}
	if st := queue(t, s, "leaves").Stats(); st.Messages != 0 {
		t.Errorf("stats: %+v", st)
	}
}

func TestAMessageMovesFromOneQueueToAnotherInOneCommit(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	from, to := queue(t, s, "from"), queue(t, s, "to")
	fill(t, s, from, 0, 3, 100)
	r := from.Reader(nil)
	it := next(t, r)
	move := []Record{
		{Kind: Message, Refs: []Ref{{Queue: to.ID(), Meta: it.Meta}}, Data: it.Data},
		{Kind: Acknowledge, Refs: []Ref{{Queue: from.ID()}}, Number: it.Number},
	}
	commit(t, s, move...)
	commit(t, s, move[1]) // again does nothing
	if f, w := from.Stats().Messages, to.Stats().Messages; f != 2 || w != 1 {
		t.Fatalf("%d messages are in the one and %d in the other, want 2 and 1", f, w)
	}
	// As a crash leaves it: nothing but the log says so.
	closeStore(t, s)
	s = open(t, dir, small())
	from, to = queue(t, s, "from"), queue(t, s, "to")
	expect(t, to.Reader(nil), 0, 1)
	r = from.Reader(nil)
	if got := number(next(t, r)); got != 1 {
		t.Errorf("the first that is left is %d, want 1", got)
	}
}

func TestAMoveIsTakenWhereTheStoreIsFull(t *testing.T) {
	cfg := small()
	cfg.MaxBytes = 1 << 20
	s := open(t, t.TempDir(), cfg)
	from, to := queue(t, s, "from"), queue(t, s, "to")
	for i := 0; ; i++ {
		if err := tryCommit(s, message(fmt.Sprintf("%07d", i)+strings.Repeat("x", 10_000), from)); err != nil {
			break
		}
	}
	it := next(t, from.Reader(nil))
	commit(t, s, Record{Kind: Message, Refs: []Ref{{Queue: to.ID(), Meta: it.Meta}}, Data: it.Data},
		Record{Kind: Acknowledge, Refs: []Ref{{Queue: from.ID()}}, Number: it.Number})
	expect(t, to.Reader(nil), 0, 1)
}

func TestAReaderPassesWhatIsLostBetweenWhatIsAcknowledged(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	q := queue(t, s, "client")
	fill(t, s, q, 0, 10, 0)
	for i, it := range expect(t, q.Reader(nil), 0, 10) {
		if i == 1 || i == 2 || i == 7 {
			q.Ack(it.Number)
		}
	}
	checkpointNow(t, s)
	closeStore(t, s)
	// The log is lost, the checkpoint is not.
	if err := os.RemoveAll(spoolDir(dir)); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, small())
	q = queue(t, s, "client")
	nothing(t, q.Reader(nil))
	if st := q.Stats(); st.Messages != 0 || st.Head != 10 || s.Stats().LostRecords != 7 {
		t.Errorf("got %+v and %d lost, want nothing that waits and 7 lost", st, s.Stats().LostRecords)
	}
}
