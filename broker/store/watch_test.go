package store

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// hangDisk makes the next write of the store's hang, until back is called: the
// loss ledger becomes a pipe that nobody reads.
func hangDisk(t *testing.T, s *Store) (back func()) {
	t.Helper()
	path := filepath.Join(s.dir, ledgerFile)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	s.ledger.add(Loss{Queue: "another", Reason: "none: a test"})
	var end *os.File
	t.Cleanup(func() {
		if end != nil {
			end.Close()
		}
	})
	return func() {
		t.Helper()
		var err error
		if end, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAWriteThatDoesNotComeBackEndsTheWaitingAndIsTakenWhenItDoes(t *testing.T) {
	dir := t.TempDir()
	cfg := small()
	cfg.Patience = 200 * time.Millisecond
	s := open(t, dir, cfg)
	q := queue(t, s, "client")
	fill(t, s, q, 0, 10, 0)
	back := hangDisk(t, s)
	held := make(chan error, 2)
	for _, data := range []string{"0000010", "0000011"} {
		s.Commit([]Record{message(data, q)}, func(err error) { held <- err })
	}
	for range 2 {
		if err := <-held; !errors.Is(err, ErrHeld) {
			t.Fatalf("got %v, want ErrHeld", err)
		}
	}
	for range 3 {
		if err := tryCommit(s, message("refused", q)); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrHeld) {
			t.Errorf("got %v, want ErrUnavailable and nothing held", err)
		}
	}
	if st := s.Stats(); st.FailingSince.IsZero() || len(st.Alarms()) != 1 || st.Alarms()[0].Name != "disk" || s.Err() == nil {
		t.Errorf("stats say nothing of it: %+v", st)
	}
	after := make(chan error, 1)
	s.Commit(nil, func(err error) { after <- err })
	back()
	if err := <-after; err != nil {
		t.Errorf("what waits for the disk: %v", err)
	}
	if st := s.Stats(); !st.FailingSince.IsZero() || len(st.Alarms()) != 0 || s.Err() != nil {
		t.Errorf("stats still say so: %+v", st)
	}
	fill(t, s, q, 12, 10, 0)
	for _, s := range []*Store{s, open(t, copyDir(t, dir), small())} {
		r := queue(t, s, "client").Reader(nil)
		expect(t, r, 0, 22)
		nothing(t, r)
	}
}

func TestClosingDoesNotWaitForEverForAWriteThatDoesNotComeBack(t *testing.T) {
	cfg := small()
	cfg.Patience = 50 * time.Millisecond
	s := open(t, t.TempDir(), cfg)
	q := queue(t, s, "client")
	fill(t, s, q, 0, 10, 0)
	back := hangDisk(t, s)
	held := make(chan error, 1)
	s.Commit([]Record{message("0000010", q)}, func(err error) { held <- err })
	if err := s.Close(); err == nil {
		t.Error("a close that gave up says nothing")
	}
	if err := <-held; !errors.Is(err, ErrUnavailable) {
		t.Errorf("commit: %v", err)
	}
	if err := tryCommit(s, message("late", q)); !errors.Is(err, ErrClosed) {
		t.Errorf("after it: %v", err)
	}
	back()
	<-s.committer
}

func TestACommitterThatIsStuckIsToldFromADiskThatHangs(t *testing.T) {
	t.Parallel()
	cfg := small()
	cfg.Patience = 200 * time.Millisecond
	s := open(t, t.TempDir(), cfg)
	q := queue(t, s, "client")
	fill(t, s, q, 0, 10, 0)
	tail := s.spool.list()[len(s.spool.list())-1]
	tail.mu.RLock() // as a reader that never comes to its end would
	s.Commit([]Record{message("0000010", q)}, func(error) {})
	await(t, "the store says that it is stuck", func() bool { return s.Stats().Stuck })
	tail.mu.RUnlock()
	await(t, "it goes on", func() bool { st := s.Stats(); return !st.Stuck && st.FailingSince.IsZero() })
	expect(t, q.Reader(nil), 0, 11)

	slow := open(t, t.TempDir(), cfg)
	q = queue(t, slow, "client")
	slow.asking.Store(true) // the disk has not answered
	back := hangDisk(t, slow)
	slow.Commit([]Record{message("0000000", q)}, func(error) {})
	await(t, "the store says that it fails", func() bool { return !slow.Stats().FailingSince.IsZero() })
	if slow.Stats().Stuck {
		t.Error("a disk that hangs counts as a committer that is stuck")
	}
	back()
	await(t, "the disk is back", func() bool { return slow.Stats().FailingSince.IsZero() })
}
