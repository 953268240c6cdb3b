package store

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// machine is the kernel's files of a machine whose store is on the second
// partition of an eMMC.
type machine struct {
	t    *testing.T
	root string
}

func newMachine(t *testing.T, dir string) *machine {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, root: t.TempDir()}
	dev := uint64(st.Dev)
	for _, d := range []string{"proc/self", "sys/dev/block", "sys/devices/mmc0/mmcblk0/mmcblk0p2", "sys/devices/mmc0/mmcblk0/device"} {
		if err := os.MkdirAll(filepath.Join(m.root, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(m.root, "sys/dev/block", fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev)))
	if err := os.Symlink("../../devices/mmc0/mmcblk0/mmcblk0p2", link); err != nil {
		t.Fatal(err)
	}
	m.put("sys/devices/mmc0/mmcblk0/mmcblk0p2/partition", "2\n")
	m.put("sys/devices/mmc0/mmcblk0/mmcblk0p2/stat", "1 1 1 1 1 1 1 1 1 1 1\n")
	m.disk(1000)
	m.files(500)
	return m
}

func (m *machine) put(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.root, name)
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		m.t.Fatal(err)
	}
}

// disk sets what the whole device has taken, in sectors.
func (m *machine) disk(sectors int64) {
	m.t.Helper()
	m.put("sys/devices/mmc0/mmcblk0/stat", fmt.Sprintf("  9213 4104 710000 5210  88 17 %d 912 0 1000 6000\n", sectors))
}

func (m *machine) files(bytes int64) {
	m.t.Helper()
	m.put("proc/self/io", fmt.Sprintf("rchar: 1\nwchar: 2\nread_bytes: 3\nwrite_bytes: %d\ncancelled_write_bytes: 0\n", bytes))
}

func (m *machine) wear(cfg Config, saved []byte, now time.Time) (*wear, *logged) {
	cfg.SetDefaults()
	cfg.root = m.root
	log, text := listen()
	w := newWear(m.root, &cfg, new(atomic.Int64), log)
	w.begin(saved, now)
	return w, text
}

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func TestWhatIsWrittenOnADayIsKnownOverRestarts(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(t, dir)
	cfg := small()
	cfg.root = m.root
	for round := int64(1); round <= 2; round++ {
		m.disk(10) // a machine that has just been started
		s, err := Open(dir, cfg, quiet())
		if err != nil {
			t.Fatal(err)
		}
		q := queue(t, s, "client")
		before := s.Stats().Wear
		commit(t, s, Record{Kind: Put, Key: "key", Data: []byte("12345")}, message(strings.Repeat("x", 995), q))
		m.disk(10 + 40)
		m.files(500 + 8000*round)
		st := s.Stats()
		got, want := st.Wear, Wear{Day: before.Day, Payload: 1000 * round, Files: 8000 * round, Disk: 20480 * round, Device: "mmcblk0",
			Amplification: 20.48, PerDay: -1, LifeDays: -1, EMMCUsed: -1, Budget: int64(Unlimited)}
		if dayOf(time.Now()) != before.Day.Unix()/86400 {
			t.Skip("midnight came in between")
		}
		if got != want {
			t.Errorf("start %d: got %+v, want %+v", round, got, want)
		}
		if st.CommitP50 == 0 || st.CommitP99 < st.CommitP50 {
			t.Errorf("half of the commits take %v, 99 of 100 %v", st.CommitP50, st.CommitP99)
		}
		if round == 1 {
			checkpointNow(t, s)
			// One that is killed has what the checkpoint had.
			copied := open(t, copyDir(t, dir), cfg)
			if got := copied.Stats().Wear.Payload; got != 1000 {
				t.Errorf("after a crash: payload %d, want 1000", got)
			}
		}
		closeStore(t, s)
	}
}

// The control is sample with the counters read before it holds the lock.
func TestWhatIsWrittenCountsOnceHoweverManyAsk(t *testing.T) {
	m := newMachine(t, t.TempDir())
	w, _ := m.wear(Config{}, nil, noon)
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for range 500 {
				w.sample(noon)
			}
		})
	}
	for n := range int64(500) {
		m.files(500 + n)
	}
	asking.Wait()
	if st := w.stats(noon); st.Files != 499 {
		t.Errorf("%d bytes were written, want 499", st.Files)
	}
}

func TestACardsLifeFollowsFromWhatIsWrittenInTwoDays(t *testing.T) {
	m := newMachine(t, t.TempDir())
	w, _ := m.wear(Config{CardEndurance: 30e12}, nil, noon)
	m.disk(1000 + 2e6)
	if st := w.stats(noon.Add(9 * time.Minute)); st.LifeDays != -1 || st.PerDay != -1 {
		t.Errorf("after nine minutes: %+v", st)
	}
	w.sample(noon.Add(12 * time.Hour)) // 1.024 GB in half a day
	m.disk(1000 + 4e6)
	st := w.stats(noon.Add(24 * time.Hour))
	if want := int64(2.048e9); st.PerDay != want || st.LifeDays != 30e12/want || st.Disk != want/2 {
		t.Errorf("got %+v, want %d a day, %d days, half of it on this day", st, want, 30e12/want)
	}
	w, _ = m.wear(Config{CardEndurance: 30e12}, nil, noon)
	if st := w.stats(noon.Add(time.Hour)); st.PerDay != 0 || st.LifeDays != maxLifeDays {
		t.Errorf("nothing written: %+v", st)
	}
}

func TestTheWriteBudgetIsSaidOnceADay(t *testing.T) {
	m := newMachine(t, t.TempDir())
	cfg := Config{DailyWriteBudget: 1e6}
	w, text := m.wear(cfg, nil, noon)
	said := func() int { return strings.Count(text.String(), "daily_write_budget") }
	m.disk(1000 + 1953)
	if st := w.stats(noon.Add(time.Hour)); st.BudgetPassed || said() != 0 {
		t.Errorf("below it: %+v, said %d times", st, said())
	}
	m.disk(1000 + 1954)
	for i := range 3 {
		st := w.stats(noon.Add(time.Hour + time.Duration(i)*time.Minute))
		if !st.BudgetPassed || said() != 1 {
			t.Errorf("past it: %+v, said %d times", st, said())
		}
		if a := (&Stats{Wear: st}).Alarms(); len(a) != 1 || a[0].Name != "write_budget" {
			t.Errorf("alarms %+v", a)
		}
	}
	again, text2 := m.wear(cfg, w.encode(noon.Add(2*time.Hour)), noon.Add(2*time.Hour))
	if st := again.stats(noon.Add(3 * time.Hour)); !st.BudgetPassed || text2.String() != "" {
		t.Errorf("after a restart: %+v, logged %q", st, text2)
	}
	w.sample(noon.Add(13 * time.Hour))
	if st := w.stats(noon.Add(14 * time.Hour)); st.BudgetPassed || st.Disk != 0 {
		t.Errorf("the next day: %+v", st)
	}
	m.disk(1000 + 4000)
	if w.sample(noon.Add(15 * time.Hour)); said() != 2 {
		t.Errorf("the next day it is said %d times in all", said())
	}
}

func TestWhereTheDeviceIsNotKnownTheFilesCount(t *testing.T) {
	m := newMachine(t, t.TempDir())
	if err := os.RemoveAll(filepath.Join(m.root, "sys/dev/block")); err != nil {
		t.Fatal(err)
	}
	w, _ := m.wear(Config{DailyWriteBudget: 1e6}, nil, noon)
	w.payload.Add(1e6)
	m.files(500 + 2e6)
	if st := w.stats(noon.Add(time.Hour)); st.Disk != -1 || st.Device != "" || st.Files != 2e6 || st.Amplification != 2 || !st.BudgetPassed {
		t.Errorf("got %+v", st)
	}
	if err := os.Remove(w.selfIO); err != nil {
		t.Fatal(err)
	}
	if st := w.stats(noon.Add(2 * time.Hour)); st.Files != -1 || st.Amplification != 0 || st.PerDay != -1 {
		t.Errorf("and without those: %+v", st)
	}
}

func TestAnEMMCsOwnAccountOfItsLife(t *testing.T) {
	for _, tt := range []struct {
		lifeTime, preEOL string
		used             int
		spare            string
		alarm            bool
	}{
		{"0x01 0x02\n", "0x01\n", 20, "normal", false},
		{"0x08 0x01\n", "0x02\n", 80, "warning", true},
		{"0x0b 0x00\n", "0x01\n", 110, "normal", true},
		{"0x00 0x00\n", "0x00\n", -1, "", false},
		{"what\n", "0x09\n", -1, "", false},
	} {
		m := newMachine(t, t.TempDir())
		m.put("sys/devices/mmc0/mmcblk0/device/life_time", tt.lifeTime)
		m.put("sys/devices/mmc0/mmcblk0/device/pre_eol_info", tt.preEOL)
		w, _ := m.wear(Config{}, nil, noon)
		st := Stats{Wear: w.stats(noon)}
		if st.Wear.EMMCUsed != tt.used || st.Wear.EMMCSpare != tt.spare || len(st.Alarms()) > 0 != tt.alarm {
			t.Errorf("%q, %q: got %d %%, %q, alarms %v", tt.lifeTime, tt.preEOL, st.Wear.EMMCUsed, st.Wear.EMMCSpare, st.Alarms())
		}
	}
}

func TestSavedWearThatCannotBeReadBeginsAnew(t *testing.T) {
	m := newMachine(t, t.TempDir())
	w, _ := m.wear(Config{}, nil, noon)
	w.payload.Add(7)
	good := w.encode(noon.Add(time.Hour))
	for _, b := range [][]byte{nil, {}, {9}, good[:len(good)-1], {wearVersion, 0xff}} {
		w, _ := m.wear(Config{}, b, noon)
		if st := w.stats(noon); st.Payload != 0 {
			t.Errorf("%x: %+v", b, st)
		}
	}
	w, _ = m.wear(Config{}, good, noon)
	if st := w.stats(noon); st.Payload != 7 {
		t.Errorf("what is whole: %+v", st)
	}
}

func TestCommitLatenciesAreThoseOfTheLastTwoHours(t *testing.T) {
	var l latencies
	within := func(got, want time.Duration) bool { return got >= want && float64(got) <= float64(want)*1.25+1000 }
	for i := 1; i <= 1000; i++ {
		l.add(time.Duration(i)*time.Millisecond, noon)
	}
	p50, p99 := l.percentiles(noon)
	if !within(p50, 500*time.Millisecond) || !within(p99, 990*time.Millisecond) {
		t.Errorf("got %v and %v", p50, p99)
	}
	l.add(time.Hour, noon.Add(61*time.Minute))
	if p50, p99 := l.percentiles(noon.Add(61 * time.Minute)); !within(p50, 500*time.Millisecond) || p99 < 990*time.Millisecond {
		t.Errorf("an hour later %v and %v", p50, p99)
	}
	if p50, _ := l.percentiles(noon.Add(121 * time.Minute)); p50 < 30*time.Minute {
		t.Errorf("two hours later the first are still there: %v", p50)
	}
	if p50, p99 := l.percentiles(noon.Add(24 * time.Hour)); p50 != 0 || p99 != 0 {
		t.Errorf("a day later %v and %v", p50, p99)
	}
	for _, d := range []time.Duration{-1, 0, 1, time.Microsecond, 3 * time.Microsecond, 5 * time.Microsecond, 70 * time.Microsecond, time.Minute, math.MaxInt64} {
		if end := bucketEnd(bucketOf(d)); d < time.Hour && (end < d || !within(end, max(d, time.Microsecond)) && d > 4*time.Microsecond) {
			t.Errorf("%v is counted up to %v", d, end)
		}
	}
}
