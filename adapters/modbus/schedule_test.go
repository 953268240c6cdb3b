package modbus

import (
	"strings"
	"testing"
	"time"
)

func TestALatePollIsLeftOutAndTheScheduleDoesNotDrift(t *testing.T) {
	begin := time.Now()
	g := &group{interval: time.Second, due: begin}
	for _, c := range []struct {
		at, due time.Duration
		merged  uint64
	}{{0, time.Second, 0}, {1300 * time.Millisecond, 2 * time.Second, 0}, {2 * time.Second, 3 * time.Second, 0}, {5500 * time.Millisecond, 6 * time.Second, 2}, {7 * time.Second, 8 * time.Second, 1}} {
		if merged := g.advance(begin.Add(c.at)); merged != c.merged || g.due.Sub(begin) != c.due {
			t.Errorf("at %v: due at %v and %d left out, want %v and %d", c.at, g.due.Sub(begin), merged, c.due, c.merged)
		}
	}
}

func TestWhatIsDueAtOnceIsReadTogetherWhateverItsInterval(t *testing.T) {
	begin := time.Now()
	d := deviceWith(t, noLimits(), "holding:0 u16 1s", "holding:1 u16 2s", "holding:2 u16 5s")
	d.start(begin)
	for second, want := range []string{"0-2", "0", "0-1", "0", "0-1", "0-2"} {
		reads, merged := d.release(begin.Add(time.Duration(second)*time.Second), payingHole(10))
		if len(reads) != 1 || merged != 0 || strings.Fields(reads[0].String())[2] != want {
			t.Errorf("second %d: got %v and %d left out, want %s", second, reads, merged, want)
		}
	}
}

func TestWhatIsNotDoneInTimeIsNotQueuedAgain(t *testing.T) {
	begin := time.Now()
	d := deviceWith(t, noLimits(), "holding:0 u16 1s", "holding:500 u16 1s")
	d.start(begin)
	var q queue
	total := uint64(0)
	for second := range 5 {
		reads, merged := d.release(begin.Add(time.Duration(second)*time.Second), payingHole(10))
		q.add(reads...)
		total += merged
	}
	if len(q.waiting) != 2 || total != 4 {
		t.Errorf("%d reads wait and %d were left out, want 2 and 4", len(q.waiting), total)
	}
	for range 2 {
		q.take(0).done()
	}
	if reads, _ := d.release(begin.Add(5*time.Second), payingHole(10)); len(reads) != 2 {
		t.Errorf("%d reads are due after that, want 2", len(reads))
	}
}

func TestTheEarliestDeadlineGoesFirstAndAmongEqualOnesTheUnitThatWaitedLongest(t *testing.T) {
	now := time.Now()
	made := func(deadline, asked, notBefore time.Duration) *read {
		return &read{device: &device{unit: &unit{mostMisses: 1, asked: now.Add(asked), notBefore: now.Add(notBefore)}}, deadline: now.Add(deadline)}
	}
	q := queue{waiting: []*read{
		made(-time.Hour, -time.Hour, time.Minute), // must not be asked now, and keeps nobody waiting
		made(3*time.Second, -9*time.Second, 0), made(2*time.Second, -time.Second, 0), made(2*time.Second, -3*time.Second, 0), made(2*time.Second, -2*time.Second, 0),
	}}
	want := []*read{q.waiting[3], q.waiting[4], q.waiting[2], q.waiting[1]}
	for i, r := range want {
		at, _ := q.first(now)
		if at < 0 || q.take(at) != r {
			t.Fatalf("number %d is not the one", i)
		}
	}
	if at, ready := q.first(now); at >= 0 || !ready.Equal(now.Add(time.Minute)) {
		t.Errorf("got %d, ready in %v; want none for a minute", at, ready.Sub(now))
	}
}

func TestUnitsThatAreAwayShareATwentiethOfTheLink(t *testing.T) {
	now := time.Now()
	r := &read{device: &device{unit: &unit{misses: 2, mostMisses: 2, notBefore: now.Add(time.Second)}}}
	q := queue{waiting: []*read{r}}
	q.probed(now, 300*time.Millisecond)
	if _, ready := q.first(now); ready.Sub(now) != 5700*time.Millisecond {
		t.Errorf("the next is asked after %v, want 5.7s", ready.Sub(now))
	}
	r.device.unit.misses = 1
	if _, ready := q.first(now); ready.Sub(now) != time.Second {
		t.Errorf("one that is online is asked after %v, want 1s", ready.Sub(now))
	}
}

func TestAnOfflineUnitIsAskedLessAndLess(t *testing.T) {
	u := &unit{presence: online, mostMisses: defaultMisses}
	now := time.Now()
	var waits []string
	for i := range 8 {
		changed := u.missed(now, 500*time.Millisecond)
		if changed != (i == 1) {
			t.Errorf("after %d misses changed is %v", i+1, changed)
		}
		waits = append(waits, u.notBefore.Sub(now).String())
	}
	if got := strings.Join(waits, " "); got != "500ms 1s 2s 4s 8s 16s 30s 30s" {
		t.Errorf("it waits %s", got)
	}
	if !u.answered() || u.answered() || !u.notBefore.IsZero() {
		t.Error("one answer does not make it online")
	}
}
