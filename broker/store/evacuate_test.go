package store

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// slowBeside fills a store with a queue that is read at once and one of which no
// message is acknowledged, with a few in each generation. It gives how many wait,
// and the most that the spool took on disk.
func slowBeside(t *testing.T, s *Store, dir string, rounds int) (waiting int, most int64) {
	t.Helper()
	fast, slow := queue(t, s, "fast"), queue(t, s, "slow")
	r := fast.Reader(nil)
	for i := range rounds {
		var recs []Record
		for range 3000 {
			recs = append(recs, message(strings.Repeat(".", 200), fast))
		}
		recs = append(recs, message(fmt.Sprintf("%07d", i), slow))
		commit(t, s, recs...)
		for range 3000 {
			fast.Ack(next(t, r).Number)
		}
		checkpointNow(t, s)
		most = max(most, du(t, spoolDir(dir)))
	}
	return rounds, most
}

func TestAQueueThatStandsStillDoesNotKeepEveryGeneration(t *testing.T) {
	t.Parallel()
	for name, restart := range restarts {
		if name != "killed" && !proof() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, small())
			n, most := slowBeside(t, s, dir, 40) // 24 MB in 12 generations
			// Without it all that were begun would stay: 24 MB of data, 2 MB each.
			if st := s.Stats(); st.Evacuated == 0 || st.Generations > 9 {
				t.Errorf("%d segments were moved, %d generations stay", st.Evacuated, st.Generations)
			} else {
				t.Logf("%d segments were moved, %d generations stay, the spool took %d MB at most", st.Evacuated, st.Generations, most>>20)
			}
			for range 2 {
				expect(t, queue(t, s, "slow").Reader(nil), 0, n)
				s, dir = restart(t, s, dir)
				st := s.Stats()
				if q := queue(t, s, "slow").Stats(); q.Messages != int64(n) || q.Next != uint64(n) || st.LostRecords+st.DamagedSegments != 0 {
					t.Fatalf("after the restart: %+v, %+v", q, st)
				}
			}
			// It moves on, through what was moved and what was not.
			q := queue(t, s, "slow")
			r := q.Reader(nil)
			for _, it := range expect(t, r, 0, n/2) {
				q.Ack(it.Number)
			}
			fill(t, s, q, n, 10, 0)
			for _, it := range expect(t, r, n/2, n+10) {
				q.Ack(it.Number)
			}
			nothing(t, r)
			await(t, "all but the tail to go", func() bool { checkpointNow(t, s); return s.Stats().Generations == 1 })
			if st := q.Stats(); st.Messages != 0 || st.Bytes != 0 {
				t.Errorf("stats: %+v", st)
			}
		})
	}
}

func TestAReaderInTheMiddleOfAnEvacuationMissesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, small())
	n, _ := slowBeside(t, s, dir, 20)
	r := queue(t, s, "slow").Reader(nil)
	expect(t, r, 0, 3)
	slowBeside(t, s, dir, 1)
	for i := 3; i < n; i++ {
		if it := next(t, r); it.Ordinal != uint64(i) {
			t.Fatalf("ordinal %d, want %d", it.Ordinal, i)
		}
		if i%4 == 0 {
			checkpointNow(t, s)
		}
	}
	if files, err := filepath.Glob(filepath.Join(spoolDir(dir), "*", movedFile)); err != nil || len(files) == 0 {
		t.Errorf("nothing was moved: the test proves nothing (%v)", err)
	}
}
