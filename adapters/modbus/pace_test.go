package modbus

import (
	"math"
	"testing"
	"time"
)

func TestTheMedianIsOfTheNewestPolls(t *testing.T) {
	t.Parallel()
	var p polls
	if p.median() != 0 || p.last() != 0 {
		t.Errorf("without a poll: got %v and %v", p.median(), p.last())
	}
	for _, ms := range []int{900, 5, 7} {
		p.add(time.Duration(ms) * time.Millisecond)
	}
	if got := p.median(); got != 7*time.Millisecond {
		t.Errorf("of three: got %v", got)
	}
	for ms := range 3 * keptPolls {
		p.add(time.Duration(ms) * time.Millisecond)
	}
	if got, want := p.median(), time.Duration(3*keptPolls-1-keptPolls/2)*time.Millisecond; got != want {
		t.Errorf("of many: got %v, want %v", got, want)
	}
	if got, want := p.last(), time.Duration(3*keptPolls-1)*time.Millisecond; got != want {
		t.Errorf("the last: got %v, want %v", got, want)
	}
}

func TestTheLoadOfALinkIsThatOfTheLastMinute(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	var o occupancy
	want := func(now, load float64, known bool) {
		t.Helper()
		if got, ok, _ := o.share(at(now)); ok != known || math.Abs(got-load) > 1e-9 {
			t.Errorf("after %v s: got %v, %v; want %v, %v", now, got, ok, load, known)
		}
	}
	want(0, 0, false)
	for s := range 120 { // a quarter of each second
		o.add(at(float64(s)), at(float64(s)+0.25))
		if s == 5 {
			want(5.5, 0, false)
		}
		if s == 25 {
			want(25.5, 0.25, true)
		}
	}
	want(120, 0.25, true)
	want(150, 0.125, true) // nothing since
	want(500, 0, true)
	o.add(at(505), at(525)) // reaches over three stretches
	want(530, 20.0/60, true)
	o.add(at(600), at(900)) // longer than all that is kept
	want(900, 1, true)
	if _, _, total := o.share(at(900)); total != 350*time.Second {
		t.Errorf("in all: got %v", total)
	}
}

func TestTheMeasuredLoadIsThePlannedOne(t *testing.T) {
	d := every(time.Second, deviceOf("m", 1, holding("x", 0), holding("y", 9)))
	cfg := Config{Name: "rs485", URL: line9600, Device: []Device{d}}
	cfg.SetDefaults()
	plan, err := NewPlan(cfg, func(uint8) time.Duration { return turnaround })
	if err != nil {
		t.Fatal(err)
	}
	simulate(t, line9600, turnaround, 300*time.Millisecond, func(b *bus) {
		b.Unit(1).SetHolding(0, make([]uint16, 10)...)
		b.runs(5 * time.Minute)
		s := b.Stats()
		if math.Abs(s.Load/plan.Load-1) > 0.05 {
			t.Errorf("the load is %.3f, planned %.3f", s.Load, plan.Load)
		}
		if took := s.Devices[0].PollMedian; math.Abs(float64(took)/float64(plan.Reads[0].Took)-1) > 0.05 {
			t.Errorf("a poll takes %v, planned %v", took, plan.Reads[0].Took)
		}
	}, d)
}
