package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// failSync makes the next commit fail, as a sync does that the disk did not take.
func failSync(t *testing.T, s *Store) {
	t.Helper()
	commit(t, s) // the committer is past everything, and only it uses the tail
	s.spool.tail.tail.mem.Close()
	s.spool.tail.tail.vlog.Close()
}

// away takes the directory's identity away, so that no attempt succeeds until
// back is called.
func away(t *testing.T, dir string) (back func()) {
	t.Helper()
	lock, other := filepath.Join(dir, lockFile), filepath.Join(dir, "elsewhere")
	if err := os.Rename(lock, other); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Rename(other, lock); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatASyncDidNotTakeIsCommittedAgainAndNothingIsLostOrDoubled(t *testing.T) {
	dir := t.TempDir()
	log, text := listen()
	s, err := Open(dir, small(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	q := queue(t, s, "client")
	r := q.Reader(nil)
	for i := range 10 {
		fill(t, s, q, i*500, 250, 200)
		failSync(t, s)
		fill(t, s, q, i*500+250, 250, 200)
		expect(t, r, i*250, i*250+250) // a reader goes on through it
	}
	if st := s.Stats(); st.Generations < 11 || !st.FailingSince.IsZero() || st.LastError != "" || s.Err() != nil {
		t.Errorf("%d generations, stats %+v", st.Generations, st)
	}
	if n := strings.Count(text.String(), "level=ERROR"); n != 10 {
		t.Errorf("%d errors are logged, want 10:\n%s", n, text)
	}
	for round, dir := range []string{copyDir(t, dir), dir} {
		if round == 1 {
			closeStore(t, s)
		}
		s := open(t, dir, small())
		q := queue(t, s, "client")
		if st, n := s.Stats(), q.Stats().Messages; n != 5000 || st.LostRecords+st.DamagedSegments+st.DamagedGenerations != 0 {
			t.Errorf("%d messages, want 5000; %+v", n, st)
		}
		r := q.Reader(nil)
		expect(t, r, 0, 5000)
		nothing(t, r)
		fill(t, s, q, 5000, 1, 0)
		expectOne(t, r, 5000)
	}
}

func TestADiskThatDoesNotComeBackInTimeEndsCommitsUntilItDoes(t *testing.T) {
	dir := t.TempDir()
	cfg := small()
	cfg.Patience = 300 * time.Millisecond
	s := open(t, dir, cfg)
	q := queue(t, s, "client")
	fill(t, s, q, 0, 1000, 200)
	back := away(t, dir)
	failSync(t, s)
	held := make(chan error, 2)
	for i := 1000; i < 1002; i++ {
		s.Commit([]Record{message(fmt.Sprintf("%07d", i), q)}, func(err error) { held <- err })
	}
	for range 2 {
		if err := <-held; !errors.Is(err, ErrHeld) || !errors.Is(err, ErrUnavailable) || !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("got %v, want ErrUnavailable and why", err)
		}
	}
	for _, rec := range []Record{message("refused", q), {Kind: Put, Key: "k"}} {
		if err := tryCommit(s, rec); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrHeld) {
			t.Errorf("got %v, want ErrUnavailable and nothing held", err)
		}
	}
	after := make(chan error, 1)
	s.Commit(nil, func(err error) { after <- err })
	if _, err := s.Queue("new"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a new queue: got %v, want ErrUnavailable", err)
	}
	if st := s.Stats(); st.FailingSince.IsZero() || st.LastError == "" || s.Err() == nil {
		t.Errorf("stats say nothing of it: %+v", st)
	}
	r := q.Reader(nil)
	expect(t, r, 0, 500)
	select {
	case err := <-after:
		t.Errorf("a commit of nothing does not wait for the disk: %v", err)
	default:
	}
	back()
	if err := <-after; err != nil {
		t.Errorf("a commit of nothing: %v", err)
	}
	await(t, "the store to go on", func() bool { return tryCommit(s) == nil })
	if st := s.Stats(); !st.FailingSince.IsZero() || st.LastError != "" || s.Err() != nil {
		t.Errorf("stats still say so: %+v", st)
	}
	fill(t, s, q, 1002, 100, 0)
	expect(t, r, 500, 1102)
	s = open(t, copyDir(t, dir), small())
	r = queue(t, s, "client").Reader(nil)
	expect(t, r, 0, 1102)
	nothing(t, r)
}

func TestClosingDoesNotWaitForADiskThatIsAway(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	q := queue(t, s, "client")
	fill(t, s, q, 0, 10, 0)
	back := away(t, dir)
	failSync(t, s)
	held := make(chan error, 1)
	s.Commit([]Record{message("0000010", q)}, func(err error) { held <- err })
	await(t, "the failure", func() bool { return s.Err() != nil })
	if err := s.Close(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("close: %v", err)
	}
	if err := <-held; !errors.Is(err, ErrUnavailable) {
		t.Errorf("commit: %v", err)
	}
	back()
	s = open(t, dir, small())
	r := queue(t, s, "client").Reader(nil)
	expect(t, r, 0, 10) // the last one may be there
}

func TestAStateDatabaseThatDoesNotTakeACheckpointIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	q, other := queue(t, s, "client"), queue(t, s, "other")
	long := strings.Repeat("0123456789", 70_000)
	commit(t, s, Record{Kind: Put, Key: "long", Data: []byte(long)}, Record{Kind: Put, Key: "gone"}, Record{Kind: Put, Key: "old", Data: []byte("1")})
	fill(t, s, q, 0, 100, 0)
	fill(t, s, other, 0, 10, 0)
	for _, it := range expect(t, q.Reader(nil), 0, 50) {
		q.Ack(it.Number)
	}
	checkpointNow(t, s)
	old := s.state.(*stateDB).db
	s.state.(*stateDB).blog.Errorf("sync: input/output error")
	commit(t, s, Record{Kind: Delete, Key: "gone"}, Record{Kind: Put, Key: "old", Data: []byte("2")})
	checkpointNow(t, s)
	if s.state.(*stateDB).db == old {
		t.Error("it is still the same database")
	}
	if err := s.Err(); err != nil {
		t.Errorf("trouble that is over is still reported: %v", err)
	}
	// Nothing but the checkpoint has it.
	dir = copyDir(t, dir)
	if err := os.RemoveAll(spoolDir(dir)); err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{newSuffix, oldSuffix} {
		if _, err := os.Lstat(stateDir(dir) + left); err == nil {
			t.Errorf("%s is left", left)
		}
	}
	s = open(t, dir, small())
	if a, b := queue(t, s, "client").Stats(), queue(t, s, "other").Stats(); a.Head != 50 || a.Next != 100 || b.Next != 10 {
		t.Errorf("queues: %+v and %+v", a, b)
	}
	got := map[string]string{}
	if err := s.State("", func(k string, v []byte) error { got[k] = string(v); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got["long"] != long || got["old"] != "2" {
		t.Errorf("%d keys, old is %q, long has %d bytes", len(got), got["old"], len(got["long"]))
	}
}

func TestAReplacementOfTheStateThatACrashInterruptsIsEndedAtTheNextStart(t *testing.T) {
	for _, tt := range []struct {
		name  string
		leave func(t *testing.T, state string)
	}{
		{"before the old one went", func(t *testing.T, state string) { run(t, "mkdir", state+newSuffix) }},
		{"between the two", func(t *testing.T, state string) {
			run(t, "cp", "-r", state, state+newSuffix)
			run(t, "mv", state, state+oldSuffix)
		}},
		{"after it", func(t *testing.T, state string) { run(t, "cp", "-r", state, state+oldSuffix) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, small())
			commit(t, s, Record{Kind: Put, Key: "k", Data: []byte("v")})
			closeStore(t, s)
			tt.leave(t, stateDir(dir))
			if err := os.RemoveAll(spoolDir(dir)); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, small())
			n := 0
			if err := s.State("", func(k string, v []byte) error { n++; return nil }); err != nil || n != 1 {
				t.Errorf("%d keys, %v", n, err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if strings.Contains(e.Name(), newSuffix) || strings.Contains(e.Name(), oldSuffix) {
					t.Errorf("%s is left", e.Name())
				}
			}
		})
	}
}
