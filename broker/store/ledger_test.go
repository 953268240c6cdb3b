package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// harmed makes a store of which a part of the sealed generations is unreadable.
func harmed(t *testing.T) (dir string, lost uint64) {
	t.Helper()
	s, dir, n := damaged(t)
	closeStore(t, s)
	path := filepath.Join(spoolDir(dir), "00000001", "000001.vlog")
	if err := harms[0].do(path); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, small())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	lost, last := s.ledger.total()
	if lost == 0 || int(lost) > n || last.Time.IsZero() {
		t.Fatalf("%d are lost, last %+v: the test wants some", lost, last)
	}
	return dir, lost
}

func TestALossIsInTheLedgerOnceHoweverOftenTheStoreIsOpened(t *testing.T) {
	dir, lost := harmed(t)
	for round := range 3 {
		s := open(t, dir, small())
		st := s.Stats()
		if st.Lost != lost || st.LastLoss.Queue != damagedQueue || st.LastLoss.Count != lost ||
			st.LastLoss.First < 100 || st.LastLoss.Last < st.LastLoss.First+lost-1 {
			t.Fatalf("start %d: %d lost, want %d; last %+v", round, st.Lost, lost, st.LastLoss)
		}
		q := queue(t, s, damagedQueue)
		r := q.Reader(nil)
		for range 3000 * round { // over it in the end
			if it, ok, _ := r.Next(); ok {
				q.Ack(it.Number)
			}
		}
		closeStore(t, s)
	}
}

func TestTheLedgerStaysSmallAndForgetsNoCount(t *testing.T) {
	log, text := listen()
	g := ledger{path: filepath.Join(t.TempDir(), ledgerFile), log: log}
	const n = 3000
	for i := range n {
		g.add(Loss{Queue: fmt.Sprintf("queue %d", i), ID: QueueID(i + 1), First: 1, Last: 9, Count: 2, Reason: strings.Repeat("r", 300)})
		if i%7 == 0 {
			g.flush()
		}
	}
	g.flush()
	info, err := os.Stat(g.path)
	if err != nil || info.Size() > ledgerBytes {
		t.Fatalf("%v, %v", info, err)
	}
	again := ledger{path: g.path, log: log}
	again.load()
	count, last := again.total()
	if count != 2*n || last.Queue != fmt.Sprintf("queue %d", n-1) || len(again.entries) > 500 || again.entries[0].Reason != foldedReason {
		t.Errorf("%d lost in %d entries, last %+v", count, len(again.entries), last)
	}
	// A damaged line costs itself.
	b, err := os.ReadFile(g.path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] = 0
	if err := os.WriteFile(g.path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	third := ledger{path: g.path, log: log}
	third.load()
	if count, _ := third.total(); count != 2*n-2 || !strings.Contains(text.String(), "cannot be read") {
		t.Errorf("%d lost after the damage", count)
	}
}

func TestWhatHasTwiceEndedTheProcessIsPutAsideAtTheThirdStart(t *testing.T) {
	s, dir, n := damaged(t)
	closeStore(t, s)
	marker := filepath.Join(dir, openingFile)
	for times, aside := range []bool{false, false, true} {
		copied := copyDir(t, dir)
		if times > 0 {
			if err := os.WriteFile(filepath.Join(copied, openingFile), fmt.Appendf(nil, "%d 00000002\n", times), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := open(t, copied, small())
		if got := s.Stats().DamagedGenerations == 1; got != aside {
			t.Errorf("after %d: put aside %v, want %v", times, got, aside)
		}
		if q := queue(t, s, damagedQueue); q.Stats().Messages != int64(n-100) {
			t.Errorf("after %d: %+v", times, q.Stats())
		}
		if _, err := os.Lstat(marker); err == nil {
			t.Error("the marker is left")
		}
		closeStore(t, s)
	}
}
