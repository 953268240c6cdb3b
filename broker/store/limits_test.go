package store

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A store that is full takes messages again when it may have more, or when it may drop
// what is old, without being opened again.
func TestOtherLimitsAreInForceWhileTheStoreIsOpen(t *testing.T) {
	t.Parallel()
	cfg := small()
	cfg.MaxBytes = 8 << 20
	s := open(t, t.TempDir(), cfg)
	q := queue(t, s, "client")
	fill := func() (n int, err error) {
		for ; n < 300 && err == nil; n++ {
			err = tryCommit(s, message(strings.Repeat("x", 100_000), q))
		}
		return n, err
	}
	if _, err := fill(); !errors.Is(err, ErrFull) {
		t.Fatalf("at 8 MiB: %v", err)
	}
	cfg.MaxBytes = 16 << 20
	if !s.SetLimits(cfg) {
		t.Error("16 MiB are not taken")
	}
	if n, err := fill(); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "16MiB") || n < 50 {
		t.Errorf("at 16 MiB after %d messages more: %v", n, err)
	}
	if st := s.Stats(); st.MaxBytes != 16<<20 || st.SpoolBytes <= 8<<20 {
		t.Errorf("stats are %+v", st)
	}
	cfg.MaxBytes, cfg.AtLimit = 4<<20, DropOldest
	if s.SetLimits(cfg) {
		t.Error("a limit is taken of which a generation is half")
	}
	await(t, "the oldest make room", func() bool { return tryCommit(s, message("again", q)) == nil })
	if st := s.Stats(); st.MaxBytes != 16<<20 {
		t.Errorf("its limit is %d bytes", st.MaxBytes)
	}
}

func TestAnotherBudgetIsJudgedByAtOnce(t *testing.T) {
	m := newMachine(t, t.TempDir())
	w, text := m.wear(Config{DailyWriteBudget: 1e6}, nil, noon)
	m.disk(1000 + 1954)
	if st := w.stats(noon.Add(time.Hour)); !st.BudgetPassed || st.Budget != 1e6 || st.Endurance != 0 {
		t.Errorf("got %+v", st)
	}
	w.setLimits(5e9, 2e6)
	if st := w.stats(noon.Add(time.Hour)); st.BudgetPassed || st.Budget != 2e6 || st.Endurance != 5e9 || st.LifeDays < 0 {
		t.Errorf("with another budget: %+v", st)
	}
	m.disk(1000 + 2*1954)
	if st := w.stats(noon.Add(2 * time.Hour)); !st.BudgetPassed || strings.Count(text.String(), "daily_write_budget") != 2 {
		t.Errorf("past that: %+v\n%s", st, text)
	}
}

func TestASizeIsSaidInTheLargestUnitThatIsExact(t *testing.T) {
	for b, want := range map[Bytes]string{2e9: "2GB", 1e9: "1GB", 1 << 20: "1MiB", 1500: "1500B", 2000: "2kB", 1 << 40: "1TiB", 0: "0B", Unlimited: "unlimited"} {
		if got := b.String(); got != want {
			t.Errorf("%d is said as %s, want %s", int64(b), got, want)
		}
	}
}
