package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func TestDoneRunsInTheOrderOfTheCalls(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "client")
		var order []int // the committer's alone
		last := make(chan struct{})
		for i := range 5000 {
			recs := []Record{message("x", q)}
			switch i % 4 {
			case 1:
				recs = nil
			case 2:
				recs = []Record{{Kind: 99}} // refused
			}
			s.Commit(recs, func(err error) {
				if (err != nil) != (i%4 == 2) {
					t.Errorf("commit %d: %v", i, err)
				}
				order = append(order, i)
				if i == 4999 {
					close(last)
				}
			})
		}
		<-last
		for i, n := range order {
			if i != n {
				t.Fatalf("done %d ran at place %d", n, i)
			}
		}
	})
}

func TestTheSlicesOfACommitMayBeUsedAgainAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "client")
		data, meta := []byte("0000000"), []byte("meta")
		recs := []Record{{Kind: Message, Refs: []Ref{{q.ID(), meta}}, Data: data}}
		for i := range 1000 {
			copy(data, fmt.Sprintf("%07d", i))
			copy(meta, fmt.Sprintf("%04d", i))
			s.Commit(recs, nil)
		}
		for i, it := range expect(t, q.Reader(nil), 0, 1000) {
			if string(it.Meta) != fmt.Sprintf("%04d", i) {
				t.Fatalf("meta of %d: %q", i, it.Meta)
			}
		}
	})
}

func TestLargeRecordsGoThroughTheRingAndTheDisk(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{MinFree: 1 << 20, RingBytes: 1 << 20}
	s := open(t, dir, cfg)
	q := queue(t, s, "client")
	sizes := []int{0, 1, 300, maxSegmentBytes - 100, maxSegmentBytes, maxSegmentBytes + 1, 1 << 20, 8_100_000, 12, 8_100_000, 5}
	data := func(i int) []byte { return bytes.Repeat([]byte{byte(i + 1)}, sizes[i]) }
	for i := range sizes {
		commit(t, s, Record{Kind: Message, Refs: []Ref{{q.ID(), nil}}, Data: data(i)})
	}
	check := func() {
		r := q.Reader(nil)
		for i := range sizes {
			it := next(t, r)
			if !bytes.Equal(it.Data, data(i)) || it.Ordinal != uint64(i) {
				t.Fatalf("message %d: %d bytes, ordinal %d", i, len(it.Data), it.Ordinal)
			}
		}
		nothing(t, r)
	}
	check()
	closeStore(t, s)
	s = open(t, dir, cfg)
	q = queue(t, s, "client")
	check()
}

func TestARecordThatTheLogDoesNotTakeIsRefusedWithItsReason(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(Config{})
		q := queue(t, s, "client")
		for want, rec := range map[string]Record{
			"kind 18":                     {Kind: acknowledged},
			"key of 0 bytes":              {Kind: Put, Data: []byte("x")},
			"key of 70000 bytes":          {Kind: Delete, Key: strings.Repeat("k", 70000)},
			"meta of 70000 bytes":         {Kind: Message, Refs: []Ref{{q.ID(), make([]byte, 70000)}}},
			"only a message":              {Kind: Put, Key: "k", Refs: []Ref{{q.ID(), nil}}},
			"a message has no key":        {Kind: Message, Key: "k"},
			"at most 9437184 go into":     {Kind: Message, Data: make([]byte, 10<<20)},
			"record 2 of 2: kind 0 is":    {},
			"at most 9437184 go into the": {Kind: Put, Key: "k", Data: make([]byte, 10<<20)},
		} {
			err := tryCommit(s, message("fine", q), rec)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
		if st := q.Stats(); st.Messages != 0 {
			t.Errorf("stats: %+v", st)
		}
	})
}

func TestStateIsAsTheLastCommitLeftIt(t *testing.T) {
	for name, restart := range restarts {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, small())
			want := map[string]string{}
			long := strings.Repeat("0123456789", 70_000) // more than one chunk
			set := func(key, value string) {
				want[key] = value
				commit(t, s, Record{Kind: Put, Key: key, Data: []byte(value)})
			}
			remove := func(key string) {
				delete(want, key)
				commit(t, s, Record{Kind: Delete, Key: key})
			}
			check := func() {
				t.Helper()
				got := map[string]string{}
				last := ""
				err := s.State("s/", func(key string, value []byte) error {
					if key <= last {
						t.Errorf("key %q after %q", key, last)
					}
					last = key
					got[key] = string(value)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if !maps.Equal(got, want) {
					t.Fatalf("%d keys, want %d", len(got), len(want))
				}
			}
			commit(t, s, Record{Kind: Put, Key: "other/1", Data: []byte("x")})
			for i := range 300 {
				set(fmt.Sprintf("s/%d", i*7%300), fmt.Sprint(i))
			}
			set("s/long", long)
			set("s/empty", "")
			check()
			s, dir = restart(t, s, dir)
			check()
			for i := range 100 {
				remove(fmt.Sprintf("s/%d", i))
			}
			remove("s/was never there")
			set("s/long", long[:300_000])
			set("s/150", "anew")
			check()
			s, dir = restart(t, s, dir)
			check()
			remove("s/long")
			set("s/10", "again")
			s, _ = restart(t, s, dir)
			check()
			stop := errors.New("stop")
			if err := s.State("s/", func(string, []byte) error { return stop }); err != stop {
				t.Errorf("State gives %v", err)
			}
		})
	}
}

func TestBeyondMaxBytesMessagesAreRefusedUntilSomeAreAcknowledged(t *testing.T) {
	cfg := small()
	cfg.MaxBytes = 8 << 20
	dir := t.TempDir()
	s := open(t, dir, cfg)
	q := queue(t, s, "client")
	var err error
	n := 0
	for ; n < 200; n++ {
		if err = tryCommit(s, message(strings.Repeat("x", 100_000), q)); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "max_bytes") {
		t.Fatalf("after %d messages: %v", n, err)
	}
	if got := s.Stats().SpoolBytes; got > int64(cfg.MaxBytes) {
		t.Errorf("the spool has %d bytes", got)
	}
	commit(t, s, Record{Kind: Put, Key: "state", Data: []byte("goes on")})
	r := q.Reader(nil)
	for range n {
		q.Ack(next(t, r).Number)
	}
	nothing(t, r)
	await(t, "messages are taken again", func() bool {
		checkpointNow(t, s)
		return tryCommit(s, message("again", q)) == nil
	})
	if s.Err() != nil {
		t.Error(s.Err())
	}
	closeStore(t, s)
	s = open(t, dir, cfg)
	if it := next(t, queue(t, s, "client").Reader(nil)); string(it.Data) != "again" {
		t.Errorf("got %.20q", it.Data)
	}
}

func TestBelowMinFreeMessagesAreRefusedAndStateGoesOn(t *testing.T) {
	dir := t.TempDir()
	free, err := freeBytes(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg := small()
	cfg.MinFree = Bytes(free / 2 * 3)
	log, text := listen()
	s, err := Open(dir, cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	q := queue(t, s, "client")
	for range 3 {
		if err := tryCommit(s, message("x", q)); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "min_free") {
			t.Fatalf("got %v", err)
		}
	}
	if st := q.Stats(); st.Messages != 0 || st.Next != 0 {
		t.Errorf("stats: %+v", st)
	}
	if n := strings.Count(text.String(), "messages are refused"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, text)
	}
	commit(t, s, Record{Kind: Put, Key: "k", Data: []byte("v")})
}

func TestWhatWaitsForTheDiskIsBounded(t *testing.T) {
	s := open(t, t.TempDir(), small())
	q := queue(t, s, "client")
	// The committer is held in a done, so that nothing is taken from what waits.
	hold, held := make(chan struct{}), make(chan struct{})
	s.Commit([]Record{message("first", q)}, func(error) { close(held); <-hold })
	<-held
	var full, fine atomic.Int64
	rec := []Record{message(strings.Repeat("x", 10_000), q)}
	for range 1000 {
		s.Commit(rec, func(err error) {
			if errors.Is(err, ErrFull) {
				full.Add(1)
			} else if err == nil {
				fine.Add(1)
			}
		})
	}
	if st := s.Stats(); st.PendingBytes > 1<<20 || st.RingBytes > 2<<20 {
		t.Errorf("%d bytes wait, %d are in the ring", st.PendingBytes, st.RingBytes)
	}
	close(hold)
	commit(t, s)
	if f, n := full.Load(), fine.Load(); f+n != 1000 || n < 50 || n > 105 {
		t.Errorf("%d refused, %d fine", f, n)
	}
	if st := q.Stats(); st.Messages != fine.Load()+1 {
		t.Errorf("stats: %+v", st)
	}
}

func TestSpaceComesBackAndTheDiskStaysBoundedInALongChurn(t *testing.T) {
	dir := t.TempDir()
	cfg := small()
	s := open(t, dir, cfg)
	q := queue(t, s, "client")
	r := q.Reader(nil)
	var most int64
	given := 0
	for round := range 40 {
		fill(t, s, q, round*3000, 3000, 200) // 600 kB
		for ; given < (round+1)*3000-1000; given++ {
			it := next(t, r)
			if number(it) != given {
				t.Fatalf("got %d, want %d", number(it), given)
			}
			q.Ack(it.Number)
		}
		checkpointNow(t, s)
		most = max(most, du(t, filepath.Join(dir, "spool")))
	}
	// Two or three generations, and what the tail's files are allocated with.
	if most > 20<<20 {
		t.Errorf("the spool took %d bytes on disk", most)
	}
	for ; given < 120_000; given++ {
		q.Ack(next(t, r).Number)
	}
	nothing(t, r)
	await(t, "all but the tail to go", func() bool { checkpointNow(t, s); return s.Stats().Generations == 1 })
	closeStore(t, s)
	if n := du(t, dir); n > reserveBytes+8<<20 {
		t.Errorf("closed and empty it takes %d bytes", n)
	}
	s = open(t, dir, cfg)
	if st := queue(t, s, "client").Stats(); st.Messages != 0 || st.Next != 120_000 {
		t.Errorf("stats: %+v", st)
	}
}

// du is what a directory takes on disk.
func du(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return nil // it is just being removed
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			bytes += blocks(info)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func TestAfterCloseEverythingIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s := open(small())
		q := queue(t, s, "client")
		fill(t, s, q, 0, 2000, 200)
		r := q.Reader(nil)
		it := next(t, r)
		closeStore(t, s)
		closeStore(t, s)
		if err := tryCommit(s, message("x", q)); !errors.Is(err, ErrClosed) {
			t.Errorf("commit: %v", err)
		}
		if _, err := s.Queue("new"); !errors.Is(err, ErrClosed) {
			t.Errorf("queue: %v", err)
		}
		for range 3000 {
			if _, _, err := r.Next(); err != nil {
				if !errors.Is(err, ErrClosed) {
					t.Errorf("next: %v", err)
				}
				return
			}
		}
		q.Ack(it.Number)
		t.Error("the reader goes on")
	})
}

func TestAQueueGoesWithTheCommitThatRemovesItOrStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, small())
	q := queue(t, s, "client")
	fill(t, s, q, 0, 5, 1)
	remove := Record{Kind: Remove, Refs: []Ref{{Queue: q.ID()}}}
	if err := tryCommit(s, remove, Record{Kind: Put, Key: ""}); err == nil {
		t.Fatal("a key of no length is taken")
	}
	if n := q.Stats().Messages; n != 5 || s.Stats().Queues != 1 {
		t.Errorf("after a commit that is refused %d messages wait, want 5", n)
	}
	commit(t, s, Record{Kind: Put, Key: "session", Data: []byte("new")}, remove, remove)
	for range 2 {
		if n := s.Stats().Queues; n != 0 {
			t.Errorf("%d queues are there, want none", n)
		}
		found := ""
		if err := s.State("", func(key string, value []byte) error { found += key + " " + string(value); return nil }); err != nil || found != "session new" {
			t.Errorf("state: got %q, %v", found, err)
		}
		closeStore(t, s)
		s = open(t, dir, small())
	}
	closeStore(t, s)
}
