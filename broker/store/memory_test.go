package store

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// onBoth runs a test of what a store does with a disk, and without one.
func onBoth(t *testing.T, test func(t *testing.T, open func(Config) *Store)) {
	t.Run("disk", func(t *testing.T) {
		test(t, func(cfg Config) *Store { return open(t, t.TempDir(), cfg) })
	})
	t.Run("memory", func(t *testing.T) {
		test(t, func(cfg Config) *Store {
			s := OpenMemory(cfg, quiet())
			t.Cleanup(func() { s.Close() })
			return s
		})
	})
}

func TestBeyondMaxBytesAStoreInMemoryRefusesUntilSomeAreAcknowledged(t *testing.T) {
	cfg := small()
	cfg.MaxBytes = 8 << 20
	s := OpenMemory(cfg, quiet())
	defer s.Close()
	q := queue(t, s, "client")
	n := 0
	var err error
	for ; n < 200 && err == nil; n++ {
		err = tryCommit(s, message(strings.Repeat("x", 100_000), q))
	}
	if !errors.Is(err, ErrFull) || n < 70 {
		t.Fatalf("after %d messages: %v", n, err)
	}
	for i := range 1000 { // state goes on, and leaves nothing behind that grows
		commit(t, s, Record{Kind: Put, Key: "state", Data: []byte(fmt.Sprint(i))})
	}
	if st := s.Stats(); st.RingBytes > int64(cfg.MaxBytes) || st.SpoolBytes != st.RingBytes {
		t.Errorf("the ring has %d bytes, the spool %d", st.RingBytes, st.SpoolBytes)
	}
	r := q.Reader(nil)
	for range n - 1 {
		q.Ack(next(t, r).Number)
	}
	nothing(t, r)
	await(t, "messages are taken again", func() bool { return tryCommit(s, message("again", q)) == nil })
	if st := s.Stats(); st.RingBytes > 1<<20 {
		t.Errorf("the ring still has %d bytes", st.RingBytes)
	}
}

func TestAStoreInMemoryKeepsItsStateThroughCheckpoints(t *testing.T) {
	s := OpenMemory(small(), quiet())
	defer s.Close()
	want := map[string]string{}
	for i := range 300 {
		key := fmt.Sprintf("s/%03d", i%100)
		if i%7 == 3 {
			commit(t, s, Record{Kind: Delete, Key: key})
			delete(want, key)
		} else {
			commit(t, s, Record{Kind: Put, Key: key, Data: []byte(fmt.Sprint(i))}, Record{Kind: Put, Key: "other", Data: nil})
			want[key] = fmt.Sprint(i)
		}
		if i%50 == 0 {
			checkpointNow(t, s)
		}
	}
	got := map[string]string{}
	last := ""
	if err := s.State("s/", func(key string, value []byte) error {
		if key <= last {
			t.Errorf("%s comes after %s", key, last)
		}
		last = key
		got[key] = string(value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAStoreInMemoryRunsInABubbleAndLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	synctest.Test(t, func(t *testing.T) {
		s := OpenMemory(Config{}, quiet())
		q := queue(t, s, "client")
		var done []string
		for i := range 3 {
			s.Commit([]Record{message(fmt.Sprint(i), q)}, func(err error) { done = append(done, fmt.Sprint(i, err)) })
		}
		synctest.Wait()
		if got := strings.Join(done, " "); got != "0 <nil> 1 <nil> 2 <nil>" {
			t.Errorf("done: %s", got)
		}
		time.Sleep(time.Hour) // timers of every kind
		it := next(t, q.Reader(nil))
		q.Ack(it.Number)
		time.Sleep(time.Minute)
		if st := q.Stats(); st.Messages != 2 || !it.Durable || it.Recovered {
			t.Errorf("stats %+v, item %+v", st, it)
		}
		closeStore(t, s)
	})
	await(t, "its goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}

func TestAReaderThatComesPastWhatWasAcknowledgedGoesOnInTheRing(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "client")
		for i := range 6 {
			commit(t, s, message(fmt.Sprint(i), q)) // a segment each
		}
		r := q.Reader(nil)
		var numbers []uint64
		for range 6 {
			numbers = append(numbers, next(t, r).Number)
		}
		for _, n := range numbers[3:] {
			q.Ack(n)
		}
		r = q.Reader(nil) // another connection
		for range 3 {
			q.Ack(next(t, r).Number)
		}
		commit(t, s, message("last", q))
		if it := next(t, r); string(it.Data) != "last" {
			t.Errorf("got %q, want the last one", it.Data)
		}
	})
}
