package store

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// within gives a message with a window.
func within(window time.Duration, data string, q *Queue) Record {
	r := message(data, q)
	r.Window = window
	return r
}

// inMemory runs a test with a store without a disk, on a clock of its own.
func inMemory(t *testing.T, test func(t *testing.T, s *Store, q *Queue)) {
	synctest.Test(t, func(t *testing.T) {
		s := OpenMemory(small(), quiet())
		defer s.Close()
		q := queue(t, s, "client")
		commit(t, s)
		time.Sleep(time.Minute)
		test(t, s, q)
	})
}

func TestWhatComesWithinAWindowIsOneCommitAtItsEnd(t *testing.T) {
	inMemory(t, func(t *testing.T, s *Store, q *Queue) {
		before, begin := s.Stats().Commits, time.Now()
		done := make(chan time.Duration, 100)
		for i := range 50 {
			s.Commit([]Record{within(20*time.Millisecond, fmt.Sprint(i), q)}, func(err error) {
				if err != nil {
					t.Error(err)
				}
				done <- time.Since(begin)
			})
			time.Sleep(100 * time.Microsecond)
		}
		if st := q.Stats(); st.Messages != 50 {
			t.Errorf("%d messages are in the queue before the commit, want 50", st.Messages)
		}
		for range 50 {
			if took := <-done; took != 20*time.Millisecond {
				t.Fatalf("done after %v, want 20ms after the first one", took)
			}
		}
		if n := s.Stats().Commits - before; n != 1 {
			t.Errorf("%d commits, want 1", n)
		}
	})
}

func TestTheEarliestDeadlineTakesAllAlong(t *testing.T) {
	inMemory(t, func(t *testing.T, s *Store, q *Queue) {
		begin := time.Now()
		done := make(chan string, 9)
		tell := func(name string) func(error) {
			return func(error) { done <- fmt.Sprint(name, " ", time.Since(begin)) }
		}
		want := func(list ...string) {
			t.Helper()
			for _, w := range list {
				if got := <-done; got != w {
					t.Errorf("got %q, want %q", got, w)
				}
			}
		}
		s.Commit([]Record{within(10*time.Second, "", q)}, tell("long"))
		s.Commit(nil, tell("nothing")) // it hastens nothing
		s.Commit([]Record{within(time.Second, "", q)}, tell("short"))
		s.Commit([]Record{within(5*time.Second, "", q)}, tell("middle"))
		want("long 1s", "nothing 1s", "short 1s", "middle 1s")
		s.Commit([]Record{within(time.Second, "", q)}, tell("window"))
		s.Commit([]Record{within(time.Second, "", q), message("", q)}, tell("at once"))
		want("window 1s", "at once 1s")
		s.Commit(nil, tell("alone"))
		want("alone 1s")
		r := q.Reader(nil)
		it := next(t, r)
		s.Commit([]Record{within(time.Second, "", q)}, tell("before PUBREC"))
		q.Received(it.Number, tell("PUBREC"))
		want("before PUBREC 1s", "PUBREC 1s")
	})
}

func TestSoMuchThatLessIsNotSavedDoesNotWaitForItsWindow(t *testing.T) {
	inMemory(t, func(t *testing.T, s *Store, q *Queue) {
		begin := time.Now()
		done := make(chan error, 1)
		large := string(make([]byte, windowBytes/4))
		for i := range 4 {
			s.Commit([]Record{within(10*time.Second, large, q)}, func(err error) {
				if i == 3 {
					done <- err
				}
			})
		}
		if err := <-done; err != nil || time.Since(begin) != 0 {
			t.Errorf("done after %v: %v", time.Since(begin), err)
		}
	})
}

func TestCloseDoesNotWaitForAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := OpenMemory(small(), quiet())
		q := queue(t, s, "client")
		commit(t, s)
		begin := time.Now()
		var err error = fmt.Errorf("done did not run")
		s.Commit([]Record{within(10*time.Second, "x", q)}, func(e error) { err = e })
		closeStore(t, s)
		if err != nil || time.Since(begin) > 10*time.Millisecond {
			t.Errorf("closed after %v: %v", time.Since(begin), err)
		}
	})
}

func TestAcknowledgementsAreNotHeldByAWindow(t *testing.T) {
	inMemory(t, func(t *testing.T, s *Store, q *Queue) {
		commit(t, s, message("x", q))
		q.Ack(next(t, q.Reader(nil)).Number)
		s.Commit([]Record{within(10*time.Second, "y", q)}, nil)
		records := s.Stats().Records
		time.Sleep(ackDelay)
		synctest.Wait()
		if n := s.Stats().Records - records; n != 2 {
			t.Errorf("%d records after %v, want the message and the acknowledgement", n, ackDelay)
		}
	})
}
