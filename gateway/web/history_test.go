package web

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"headgate/gateway/point"
)

func TestTheHistoryKeepsThePeaksOfAnHour(t *testing.T) {
	f := oneDevice()
	h := newHistory(f.devices)
	if h.slot != time.Second {
		t.Fatalf("two points have slots of %v", h.slot)
	}
	start := time.Unix(1_000_000, 0)
	for i := range 4000 {
		f.set(0, float64(i%100), start.Add(time.Duration(i)*time.Second))
		h.add(f.devices)
	}
	p := h.plot("meter", "voltage", start.Add(3999*time.Second))
	if len(p.Times) != 3600 || p.Times[0] != 1_000_400 || p.Times[3599] != 1_003_999 {
		t.Fatalf("got %d values from %d on", len(p.Times), p.Times[0])
	}
	if *p.Low[0] != 0 || *p.High[99] != 99 {
		t.Errorf("got %v, %v", *p.Low[0], *p.High[99])
	}
	line := h.sparkline("meter", "voltage", start.Add(3999*time.Second))
	if len(line) != sparks || *line[0] < 40 || *line[0] > 60 {
		t.Errorf("got %d parts", len(line))
	}
}

func TestAGapShowsAsAGap(t *testing.T) {
	f := oneDevice()
	h := newHistory(f.devices)
	start := time.Unix(1_000_000, 0)
	f.set(0, 1, start)
	h.add(f.devices)
	f.devices[0].Points[0].Last = point.Sample{Quality: point.Bad, Time: start.Add(time.Second)}
	h.add(f.devices)
	f.set(0, 3, start.Add(2*time.Second))
	h.add(f.devices)
	p := h.plot("meter", "voltage", start.Add(2*time.Second))
	if len(p.Times) != 3 || *p.Low[0] != 1 || p.Low[1] != nil || *p.Low[2] != 3 {
		t.Errorf("got %+v", p)
	}
	if p = h.plot("meter", "power", start); len(p.Times) != 0 {
		t.Errorf("a point without a value has %d", len(p.Times))
	}
}

func TestAPointThatIsReadSeldomHasNoGaps(t *testing.T) {
	f := oneDevice()
	h := newHistory(f.devices)
	start := time.Unix(1_000_000, 0)
	for i := range 3 {
		f.set(0, float64(i), start.Add(time.Duration(i)*10*time.Second))
		h.add(f.devices)
	}
	p := h.plot("meter", "voltage", start.Add(20*time.Second))
	if len(p.Times) != 21 {
		t.Fatalf("got %d values", len(p.Times))
	}
	for i, low := range p.Low {
		if low == nil || *low != float64(i/10) {
			t.Errorf("at %d s: got %v", i, low)
		}
	}
}

func TestAClockThatIsSetBackBeginsAnew(t *testing.T) {
	f := oneDevice()
	h := newHistory(f.devices)
	start := time.Unix(1_000_000, 0)
	for _, at := range []time.Duration{0, -2 * time.Hour, -2*time.Hour + time.Second} {
		f.set(0, 5, start.Add(at))
		h.add(f.devices)
	}
	if p := h.plot("meter", "voltage", start.Add(-2*time.Hour+time.Second)); len(p.Times) < 1 {
		t.Errorf("got nothing after the clock was set back")
	}
}

func TestTheHistoryHasALimitInBytes(t *testing.T) {
	for _, n := range []int{1, 100, 1000, 20_000} {
		d := Device{Name: "d"}
		for i := range n {
			d.Points = append(d.Points, Point{Name: fmt.Sprint(i)})
		}
		h := newHistory([]Device{d})
		if bytes := n * h.slots * spanBytes; bytes > maxHistory {
			t.Errorf("%d points take %d bytes", n, bytes)
		}
	}
}

func TestTheLogKeepsTheNewestLines(t *testing.T) {
	l := NewLog(slog.NewTextHandler(io.Discard, nil))
	log := slog.New(l).With("part", "x")
	log.WithGroup("g").Warn("said", "client", "a b", "n", 3)
	lines, last := l.After(0)
	if len(lines) != 1 || last != 1 || lines[0].Level != "warn" || lines[0].Text != "said" || lines[0].Facts != `part=x g.client="a b" g.n=3` {
		t.Fatalf("got %+v", lines)
	}
	log.Debug("not wanted")
	for i := range 10_000 {
		log.Info("line", "count", i)
	}
	lines, last = l.After(0)
	if l.kept.bytes > maxLog || last != 10_001 || lines[len(lines)-1].Number != last {
		t.Errorf("%d bytes, the last is %d", l.kept.bytes, last)
	}
	if after, _ := l.After(last - 2); len(after) != 2 {
		t.Errorf("got %d lines, want 2", len(after))
	}
	if after, _ := l.After(last + 5); len(after) != 0 {
		t.Errorf("got %d lines, want none", len(after))
	}
}

// What a scrape costs a gateway of 1,250 points, with Go's and the process's own.
func BenchmarkMetricsOf5000Series(b *testing.B) {
	f := oneDevice()
	for i := range 4 {
		family := Family{Name: fmt.Sprintf("headgate_point_%d", i), Help: "h", Labels: []string{"device", "point"}}
		for j := range 1250 {
			family.Series = append(family.Series, Series{float64(j), []string{"meter", fmt.Sprintf("point%d", j)}})
		}
		f.metrics = append(f.metrics, family)
	}
	scrape(b, f)
}

// plant gives devices of so many points, after a meter with two.
func plant(points int) []Device {
	list := append([]Device{}, oneDevice().devices...)
	for len(list)*100 < points {
		d := Device{Name: fmt.Sprint("d", len(list))}
		for i := range 100 {
			d.Points = append(d.Points, Point{Name: fmt.Sprint("p", i)})
		}
		list = append(list, d)
	}
	return list
}

func TestTheHistoryFitsWhatAReloadMakesOfThePoints(t *testing.T) {
	f := oneDevice()
	h := newHistory(f.devices)
	start := time.Unix(1_000_000, 0)
	for i := range 3600 {
		f.set(0, float64(i), start.Add(time.Duration(i)*time.Second))
		f.set(1, 1, start.Add(time.Duration(i)*time.Second))
		h.add(f.devices)
	}
	end := start.Add(3599 * time.Second)
	many := plant(5000)
	h.fit(many)
	if n := 5000 * h.slots * spanBytes; n > maxHistory || h.slot == time.Second {
		t.Fatalf("5000 points may take %d bytes", n)
	}
	p := h.plot("meter", "voltage", end)
	if n := len(p.Times); n < h.slots-1 || *p.High[n-1] != 3599 || *p.Low[1] > 3600*1.1*h.slot.Seconds()/3600*2 {
		t.Errorf("got %d slots of %v up to %v", len(p.Times), h.slot, *p.High[len(p.Times)-1])
	}
	for i := range p.Times {
		if p.Low[i] == nil {
			t.Fatalf("slot %d is a gap", i)
		}
	}
	h.fit(f.devices) // and back: each value stands in all that its slot was
	p = h.plot("meter", "voltage", end)
	if h.slot != time.Second || len(p.Times) < 3500 || *p.High[len(p.Times)-1] != 3599 {
		t.Errorf("got %d slots of %v", len(p.Times), h.slot)
	}
	f.devices[0].Points = f.devices[0].Points[:1]
	h.fit(f.devices)
	if len(h.points) != 1 {
		t.Errorf("of a point that has gone, something is kept: %d", len(h.points))
	}
}

func TestALayoutIsOfTheNamesAndTheirOrder(t *testing.T) {
	a, b := oneDevice().devices, oneDevice().devices
	b[0].Samples, b[0].Points[0].Unit = 7, "mV"
	if layoutOf(a) != layoutOf(b) {
		t.Error("a value changes the layout")
	}
	b[0].Points[0], b[0].Points[1] = b[0].Points[1], b[0].Points[0]
	if layoutOf(a) == layoutOf(b) {
		t.Error("another order does not change the layout")
	}
	if layoutOf(a) == layoutOf(append(a, Device{Name: "more"})) {
		t.Error("another device does not change the layout")
	}
}
