package store

import (
	"testing"
	"time"
)

// busy has the committer in the middle of a commit until end is called.
func busy(t *testing.T, s *Store) (end func()) {
	t.Helper()
	s.telling.Lock()
	before := s.durable.Load()
	s.Commit([]Record{{Kind: Put, Key: "busy", Data: []byte("x")}}, nil)
	await(t, "a commit on its way", func() bool { return s.durable.Load() > before })
	return s.telling.Unlock
}

// TestAPUBRECIsOnDiskWhenItIsToldThoughWhatCameBesideItIsLeftOut.
func TestAPUBRECIsOnDiskWhenItIsToldThoughWhatCameBesideItIsLeftOut(t *testing.T) {
	for _, ackFirst := range []bool{true, false} {
		s := open(t, t.TempDir(), small())
		exact, q := queue(t, s, "exact"), queue(t, s, "q")
		commit(t, s, message("qos 2", exact))
		it, r := next(t, exact.Reader(nil)), q.Reader(nil)
		end := busy(t, s)
		s.Commit([]Record{passing(10*time.Second, "x", q)}, nil)
		x := next(t, r)
		done := make(chan error, 1)
		if ackFirst {
			q.Ack(x.Number)
		}
		exact.Received(it.Number, func(err error) { done <- err })
		if !ackFirst {
			q.Ack(x.Number)
		}
		end()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		after := open(t, copyDir(t, s.dir), small())
		if it := next(t, queue(t, after, "exact").Reader(nil)); !it.Received {
			t.Errorf("acknowledged first %v: after a crash the PUBREC is not known", ackFirst)
		}
	}
}

func TestAPurgeIsOnDiskWhenItIsToldThoughWhatCameBesideItIsLeftOut(t *testing.T) {
	s := open(t, t.TempDir(), small())
	old, q := queue(t, s, "old"), queue(t, s, "q")
	commit(t, s, message("old", old))
	r := q.Reader(nil)
	end := busy(t, s)
	s.Commit([]Record{passing(10*time.Second, "x", q)}, nil)
	q.Ack(next(t, r).Number)
	old.Purge()
	done := make(chan error, 1)
	s.Commit(nil, func(err error) { done <- err })
	end()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := queue(t, open(t, copyDir(t, s.dir), small()), "old").Stats().Messages; n != 0 {
		t.Errorf("%d messages are there after a crash that were purged", n)
	}
}

// TestWhoHasNoWindowDoesNotWaitForThatOfOthers: with what is left out goes the reason
// to write at once, but for those who wait without a window.
func TestWhoHasNoWindowDoesNotWaitForThatOfOthers(t *testing.T) {
	const window = 10 * time.Minute
	for what, ask := range map[string]func(*Store, *Queue, uint64, func(error)){
		"a PUBREC": func(_ *Store, q *Queue, n uint64, done func(error)) { q.Received(n, done) },
		"an acknowledgement": func(s *Store, q *Queue, n uint64, done func(error)) {
			s.Commit([]Record{{Kind: Acknowledge, Refs: []Ref{{Queue: q.ID()}}, Number: n}}, done)
		},
	} {
		s := open(t, t.TempDir(), small())
		exact, q := queue(t, s, "exact"), queue(t, s, "q")
		commit(t, s, message("qos 2", exact))
		it, r := next(t, exact.Reader(nil)), q.Reader(nil)
		end := busy(t, s)
		s.Commit([]Record{passing(window, "x", q)}, nil)
		s.mu.Lock()
		s.closeSegment()
		s.mu.Unlock()
		s.Commit([]Record{passing(window, "y", q)}, nil)
		done := make(chan error, 1)
		ask(s, exact, it.Number, func(err error) { done <- err })
		q.Ack(next(t, r).Number)
		end()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(window / 20):
			t.Fatalf("%s waits for a window that is not its own", what)
		}
	}
}

func TestACommitOfNothingMakesNoCheckpoint(t *testing.T) {
	inMemory(t, func(t *testing.T, s *Store, _ *Queue) {
		time.Sleep(time.Minute)
		before := s.counters.checkpoints.Load()
		for range 10 {
			commit(t, s)
			time.Sleep(time.Minute)
		}
		if n := s.counters.checkpoints.Load() - before; n > 0 {
			t.Errorf("%d checkpoints of nothing", n)
		}
	})
}

func TestWhatIsPurgedIsInTheLogSoonWhileMessagesAreLeftOut(t *testing.T) {
	inMemory(t, func(t *testing.T, s *Store, q *Queue) {
		old := queue(t, s, "old")
		commit(t, s, message("old", old))
		r := q.Reader(nil)
		s.Commit([]Record{passing(time.Second, "x", q)}, nil)
		q.Ack(next(t, r).Number)
		time.Sleep(2 * ackDelay)
		old.Purge()
		time.Sleep(2 * ackDelay)
		old.mu.Lock()
		defer old.mu.Unlock()
		if old.listed {
			t.Errorf("%v later it is not in the log", 2*ackDelay)
		}
	})
}
