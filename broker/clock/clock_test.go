package clock

import (
	"errors"
	"testing"
	"time"
)

// machine is a Source that a test turns. Its time and Go's go together, but for
// a suspend; wall is set by itself.
type machine struct {
	id     byte // the boot's
	begin  time.Time
	now    time.Time // stands for time.Now, with no monotonic part of its own
	slept  time.Duration
	off    time.Duration // of the wall clock from the truth
	synced bool
}

func newMachine() *machine {
	begin := time.Date(2026, time.June, 1, 0, 0, 0, 0, time.UTC)
	return &machine{id: 1, begin: begin, now: begin.Add(time.Minute)}
}

func (m *machine) BootID() (id [16]byte) {
	if m.id > 0 {
		id[0], id[15] = 0xA0, m.id
	}
	return id
}
func (m *machine) SinceBoot() time.Duration { return m.now.Sub(m.begin) + m.slept }
func (m *machine) Wall() (time.Time, bool)  { return m.now.Add(m.slept + m.off), m.synced }

// boot lets the machine be off for a while.
func (m *machine) boot(off time.Duration) {
	m.id++
	m.now = m.now.Add(off)
	m.begin, m.slept = m.now, 0
}

func (m *machine) start(t *testing.T, record []byte) *Clock {
	t.Helper()
	c, err := New(m, record, m.now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const years50 = 50 * 365 * 24 * time.Hour

func TestWithinABootTheWallClockDoesNotMatter(t *testing.T) {
	for _, jump := range []time.Duration{years50, -years50} {
		for _, synced := range []bool{false, true} {
			m := newMachine()
			c := m.start(t, nil)
			since := c.At(m.now)
			m.now = m.now.Add(time.Hour)
			m.off, m.synced = jump, synced
			c.Tick(m.now)
			if got := c.Since(since, m.now); got != time.Hour {
				t.Errorf("after a jump of %v, synced %v: got %v, want 1h", jump, synced, got)
			}
			c = m.start(t, c.Tick(m.now)) // the same boot
			m.off = -jump
			m.now = m.now.Add(time.Hour)
			c.Tick(m.now)
			if got := c.Since(since, m.now); got != 2*time.Hour {
				t.Errorf("after a restart and a jump of %v: got %v, want 2h", -jump, got)
			}
		}
	}
}

func TestASuspendCountsFromTheTickAfterIt(t *testing.T) {
	m := newMachine()
	c := m.start(t, nil)
	since := c.At(m.now)
	m.slept = time.Hour
	c.Tick(m.now)
	if got := c.Since(since, m.now); got != time.Hour {
		t.Errorf("got %v, want 1h", got)
	}
}

// Each boot runs for an hour and is off for a day before the next.
func TestTimeSwitchedOffCountsBetweenBootsThatWereSynced(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	cases := []struct {
		name   string
		synced []bool // of each boot
		want   time.Duration
	}{
		{"none was synced", []bool{false, false}, 2 * hour},
		{"the first was synced", []bool{true, false}, 2 * hour},
		{"the second was synced", []bool{false, true}, 2 * hour},
		{"both were synced", []bool{true, true}, 2*hour + day},
		{"between one that was and one that was not", []bool{true, true, false}, 3*hour + day},
		{"the middle one was not synced", []bool{true, false, true}, 3*hour + 2*day},
		{"only the middle one was synced", []bool{false, true, false}, 3 * hour},
		{"the last two were synced", []bool{false, true, true}, 3*hour + day},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			m := newMachine()
			m.now = m.begin
			var since Instant
			var record []byte
			var c *Clock
			for i, synced := range tc.synced {
				if i > 0 {
					m.boot(day)
				}
				c = m.start(t, record)
				if i == 0 {
					since = c.At(m.now)
				}
				m.off = -years50 // until NTP comes, half an hour later
				c.Tick(m.now)
				m.now = m.now.Add(hour / 2)
				if synced {
					m.off = 0
				}
				m.synced = synced
				c.Tick(m.now)
				m.now = m.now.Add(hour / 2)
				record = c.Tick(m.now)
				m.synced = false
			}
			if got := c.Since(since, m.now); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestElapsedGrowsWhenTheClockBecomesSynced(t *testing.T) {
	m := newMachine()
	m.synced = true
	c := m.start(t, nil)
	since := c.At(m.now)
	record := c.Tick(m.now)
	m.boot(48 * time.Hour)
	m.off, m.synced = -years50, false
	c = m.start(t, record)
	if got := c.Since(since, m.now); got != 0 {
		t.Errorf("before NTP comes: got %v, want 0", got)
	}
	m.off, m.synced = 0, true
	c.Tick(m.now)
	if got := c.Since(since, m.now); got != 48*time.Hour {
		t.Errorf("afterwards: got %v, want 48h", got)
	}
}

func TestElapsedIsNeverNegative(t *testing.T) {
	m := newMachine()
	m.synced = true
	c := m.start(t, nil)
	now := c.At(m.now)
	later, unseen := now, now
	later.Mono += 1000
	unseen.Mono = 0
	record := c.Tick(m.now)
	m.boot(time.Minute)
	m.off = -years50 // called synced, and wrong
	c = m.start(t, record)
	m.now = m.now.Add(10 * time.Second)
	c.Tick(m.now)
	for _, tc := range []struct {
		name       string
		since, now Instant
		want       time.Duration
	}{
		{"an instant to come", later, now, 0},
		{"an instant of a boot to come", Instant{Boot: now.Boot + 1}, now, 0},
		{"before the clock began to count", Instant{}, unseen, 0},
		{"a boot that nobody knows of", now, Instant{Boot: 1<<32 - 1, Mono: 1 << 40}, 0},
		{"a wall clock that went back over a boot", now, c.At(m.now), 10 * time.Second},
	} {
		if got := c.Elapsed(tc.since, tc.now); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestWithoutABootIDTimeThatWentOnIsTheSameBoot(t *testing.T) {
	m := newMachine()
	m.id = 0
	c := m.start(t, nil)
	since := c.At(m.now)
	m.now = m.now.Add(time.Hour)
	record := c.Tick(m.now)
	c = m.start(t, record)
	if got := c.At(m.now).Boot; got != since.Boot {
		t.Errorf("got boot %d, want %d", got, since.Boot)
	}
	m.boot(0)
	m.id = 0
	c = m.start(t, record)
	if got := c.At(m.now).Boot; got == since.Boot {
		t.Error("its time began again, and it is taken for the same boot")
	}
	if got := c.Since(since, m.now); got != time.Hour {
		t.Errorf("got %v, want 1h", got)
	}
}

func TestTimeDoesNotGoBackWithinABootWhateverTheKernelSays(t *testing.T) {
	m := newMachine()
	c := m.start(t, nil)
	m.now = m.now.Add(time.Hour)
	since, record := c.At(m.now), c.Tick(m.now)
	m.slept = -30 * time.Minute // a container with a time namespace of its own
	c = m.start(t, record)
	if got := c.Since(since, m.now); got != 0 {
		t.Errorf("got %v, want 0", got)
	}
	m.now = m.now.Add(time.Minute)
	c.Tick(m.now)
	if got := c.Since(since, m.now); got != time.Minute {
		t.Errorf("got %v, want 1m: it stands still", got)
	}
}

func TestBeforeIsWhenTheLastOneWasSeen(t *testing.T) {
	m := newMachine()
	c := m.start(t, nil)
	if got, want := c.Before(), c.At(m.now); got != want {
		t.Errorf("at the first start: got %+v, want %+v", got, want)
	}
	m.now = m.now.Add(time.Hour)
	record := c.Tick(m.now)
	m.now = m.now.Add(30 * time.Second) // and then the power fails
	m.boot(time.Hour)
	m.now = m.now.Add(10 * time.Second)
	c = m.start(t, record)
	if got := c.Since(c.Before(), m.now); got != 10*time.Second {
		t.Errorf("got %v, want 10s", got)
	}
}

// What was noted before a record was lost counts from when the new one begins,
// or by the wall clock where that was synced: it does not stay for ever.
func TestWithoutItsRecordAClockBeginsAnew(t *testing.T) {
	good := func() []byte {
		m := newMachine()
		return m.start(t, nil).Tick(m.now)
	}()
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)/2] ^= 1
	for name, record := range map[string][]byte{
		"empty": {}, "short": good[:10], "cut": good[:len(good)-1], "flipped": flipped,
		"no boot":                  encodeRecord([16]byte{1}, nil),
		"numbers that stand still": encodeRecord([16]byte{1}, boots{{number: 1}, {number: 1}}),
	} {
		m := newMachine()
		m.now = m.now.Add(time.Hour)
		c, err := New(m, record, m.now)
		if !errors.Is(err, ErrDamaged) || c == nil {
			t.Fatalf("%s: got %v and %v, want ErrDamaged and a clock", name, c, err)
		}
		for _, old := range []Instant{{Boot: 3, Mono: 5_000_000}, {Boot: 1<<32 - 1}, {}} {
			if got := c.Since(old, m.now); got != 0 {
				t.Errorf("%s: got %v for %+v at once, want 0", name, got, old)
			}
			m.now = m.now.Add(time.Hour)
			if got := c.Since(old, m.now); got != time.Hour {
				t.Errorf("%s: got %v for %+v an hour later, want 1h", name, got, old)
			}
			m.now = m.now.Add(-time.Hour)
		}
		m.synced = true
		c.Tick(m.now)
		old := Instant{Boot: 3, Wall: m.now.UnixMilli() - 7_200_000, Synced: true}
		if got := c.Since(old, m.now); got != 2*time.Hour {
			t.Errorf("%s: got %v by the wall clock, want 2h", name, got)
		}
	}
}

func TestARecordOfANewerFormatIsRefused(t *testing.T) {
	m := newMachine()
	record := m.start(t, nil).Tick(m.now)
	record = record[:len(record)-4]
	record[0] = recordFormat + 1
	sum := checksum(record)
	record = append(record, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
	c, err := New(m, record, m.now)
	if err == nil || errors.Is(err, ErrDamaged) || c != nil {
		t.Errorf("got %v and %v, want an error that is not ErrDamaged, and no clock", c, err)
	}
}

func TestTheMachinesOwnClocks(t *testing.T) {
	s := System()
	if s.BootID() == [16]byte{} {
		t.Error("no boot id")
	}
	if first, second := s.BootID(), System().BootID(); first != second {
		t.Errorf("the boot id is %x, then %x", first, second)
	}
	a, b := s.SinceBoot(), s.SinceBoot()
	if a <= 0 || b < a {
		t.Errorf("time since the boot is %v, then %v", a, b)
	}
}

func TestAWallClockIsPlausibleBetweenTheBuildAndItsEndOfLife(t *testing.T) {
	day := func(year int) time.Time { return time.Date(year, time.July, 1, 0, 0, 0, 0, time.UTC) }
	for year, want := range map[int]bool{1970: false, 2000: false, 2025: false, 2027: true, 2050: true, 2099: false} {
		if got := plausible(day(year), day(2026)); got != want {
			t.Errorf("%d: got %v, want %v", year, got, want)
		}
	}
	if (system{built: time.Now().AddDate(1, 0, 0)}).synced() {
		t.Error("a clock before the build is synced")
	}
}

func (s system) synced() bool { _, synced := s.Wall(); return synced }

func BenchmarkElapsed(b *testing.B) {
	c, err := New(System(), nil, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	since := c.At(now)
	for b.Loop() {
		c.Since(since, now)
	}
}

func TestWhatWasNotedBeforeTheClockWasSetHasItsTimeAfterwards(t *testing.T) {
	m := newMachine()
	truth := m.now
	m.off = -years50
	c := m.start(t, nil)
	first := c.At(m.now)
	if _, ok := c.Wall(first, m.now); ok {
		t.Error("nobody has set the clock yet, and it is known")
	}
	want := func(c *Clock, i Instant, at time.Time) {
		t.Helper()
		if got, ok := c.Wall(i, m.now); !ok || !got.Equal(at) {
			t.Errorf("got %v %v, want %v", got, ok, at)
		}
	}
	m.now = m.now.Add(time.Hour)
	m.off, m.synced = 0, true
	want(c, first, truth) // before any Tick
	record := c.Tick(m.now)
	want(c, first, truth)

	// The next boot is not synced: what was measured in the one before is known, and
	// nothing of this one.
	m.boot(24 * time.Hour)
	m.off, m.synced = -years50, false
	c = m.start(t, record)
	want(c, first, truth)
	if _, ok := c.Wall(c.At(m.now), m.now); ok {
		t.Error("a boot that was never synced has a time")
	}
	for _, i := range []Instant{{}, {Boot: first.Boot - 1}, {Boot: first.Boot + 7}} {
		if _, ok := c.Wall(i, m.now); ok {
			t.Errorf("%v is of no boot that is known, and has a time", i)
		}
	}
}

func TestWhetherTheClockIsSyncedIsAskedOnceASecond(t *testing.T) {
	m := newMachine()
	c := m.start(t, nil)
	for _, step := range []struct {
		after      time.Duration
		is, answer bool
	}{{0, false, false}, {999 * time.Millisecond, true, false}, {time.Millisecond, true, true}, {999 * time.Millisecond, false, true}, {time.Millisecond, false, false}} {
		m.now = m.now.Add(step.after)
		m.synced = step.is
		if got := c.Synced(m.now); got != step.answer {
			t.Errorf("at %v: synced %v, want %v", m.now.Sub(m.begin), got, step.answer)
		}
	}
}
