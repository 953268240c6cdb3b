package modbus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/adapters/datatype"
)

// fieldsOf makes points at these registers, each "holding:0 u16" or with its own
// interval, "holding:0 u16 5s".
func fieldsOf(t testing.TB, points ...string) (fields []*field) {
	t.Helper()
	for i, text := range points {
		w := strings.Fields(text)
		p := Point{Name: fmt.Sprint(i), Register: w[0], Type: w[1], Interval: time.Second, Number: datatype.Number{Scale: 1}}
		if len(w) > 2 {
			p.Interval, _ = time.ParseDuration(w[2])
		}
		f, err := newField(Device{}, p)
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, &f)
	}
	return fields
}

// deviceWith is a device of these limits with these points.
func deviceWith(t testing.TB, l limits, points ...string) *device {
	t.Helper()
	d := &device{unit: &unit{mostMisses: 1}, limits: l, fields: fieldsOf(t, points...)}
	for _, f := range d.fields {
		g := d.group(f.interval)
		g.fields = append(g.fields, f)
	}
	d.forget(time.Time{})
	return d
}

func noLimits() limits { return limits{registers: 125, bits: 2000} }

// payingHole is a cost at which a hole of so many registers pays, and no wider one.
func payingHole(registers int) cost {
	return cost{request: time.Duration(registers)*time.Millisecond + time.Microsecond, register: time.Millisecond}
}

// described gives reads as text, and checks what holds for every plan.
func described(t *testing.T, l limits, fields []*field, reads []*read) (got []string) {
	t.Helper()
	seen := 0
	for _, r := range reads {
		got = append(got, fmt.Sprintf("%s of %d", r, len(r.fields)))
		seen += len(r.fields)
		for _, f := range r.fields {
			if a := int(f.register.address); a < int(r.address) || a+f.size() > int(r.address)+r.count {
				t.Errorf("%s does not hold all of %s", r, f.name)
			}
		}
		if r.count > l.most(r.table) {
			t.Errorf("%s is more than a request may read", r)
		}
	}
	if seen != len(fields) {
		t.Errorf("%d of %d points are read", seen, len(fields))
	}
	return got
}

func TestPointsAreReadTogetherWhereThatIsLessTime(t *testing.T) {
	for _, c := range []struct {
		hole   int
		points []string
		want   []string
	}{
		{0, []string{"holding:2 u16", "holding:0 f32"}, []string{"holding registers 0-2 of 2"}},
		{0, []string{"holding:0 u32", "holding:1 u16", "holding:1 i16"}, []string{"holding registers 0-1 of 3"}},
		{0, []string{"holding:0 u16", "holding:2 u16"}, []string{"holding register 0 of 1", "holding register 2 of 1"}},
		{12, []string{"holding:0 u16", "holding:13 u16"}, []string{"holding registers 0-13 of 2"}},
		{12, []string{"holding:0 u16", "holding:14 u16"}, []string{"holding register 0 of 1", "holding register 14 of 1"}},
		{12, []string{"holding:0 u64", "holding:1 u16", "holding:16 u16"}, []string{"holding registers 0-16 of 3"}},
		{12, []string{"holding:0 u16", "input:1 u16"}, []string{"input register 1 of 1", "holding register 0 of 1"}},
		{1, []string{"coil:7 bool", "coil:8 bool", "coil:20 bool", "coil:60 bool"}, []string{"coils 7-20 of 3", "coil 60 of 1"}},
		{0, []string{"holding:65532 u64"}, []string{"holding registers 65532-65535 of 1"}},
		// The cut is made where it costs least, not where the first read is full.
		{30, []string{"holding:0 u16", "holding:10 u16", "holding:30 u16", "holding:124 u16", "holding:130 u16"},
			[]string{"holding registers 0-30 of 3", "holding registers 124-130 of 2"}},
	} {
		d := deviceWith(t, noLimits(), c.points...)
		if got := described(t, d.limits, d.fields, d.plan(d.fields, payingHole(c.hole))); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.points, got, c.want)
		}
	}
}

// TestOneRequestForEachPoint, as some devices want it, but for points of one register.
func TestOneRequestForEachPoint(t *testing.T) {
	d := Device{OneRequestPerPoint: true, MaxRegisters: 125, MaxBits: 2000}
	l, err := d.limits()
	if err != nil {
		t.Fatal(err)
	}
	points := deviceWith(t, l, "holding:0 u16", "holding:1 f32", "holding:3 u16", "holding:3 i16", "holding:5 u16", "coil:0 bool", "coil:1 bool")
	want := []string{"coil 0 of 1", "coil 1 of 1", "holding register 0 of 1", "holding registers 1-2 of 1", "holding register 3 of 2", "holding register 5 of 1"}
	if got := described(t, l, points.fields, points.plan(points.fields, payingHole(50))); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNoReadIsLongerThanARequestAndNoValueIsCut(t *testing.T) {
	var registers, bits []string
	for i := range 40 {
		registers = append(registers, fmt.Sprintf("holding:%d u64", 4*i))
	}
	for i := range 2001 {
		bits = append(bits, fmt.Sprintf("discrete:%d bool", i))
	}
	for _, c := range []struct {
		limits limits
		points []string
		want   int
	}{
		{noLimits(), registers, 2}, {limits{registers: 10, bits: 2000}, registers, 20}, {limits{registers: 4, bits: 2000}, registers, 40},
		{noLimits(), bits, 2}, {limits{registers: 125, bits: 100}, bits, 21},
	} {
		d := deviceWith(t, c.limits, c.points...)
		if got := described(t, c.limits, d.fields, d.plan(d.fields, payingHole(50))); len(got) != c.want {
			t.Errorf("%+v: got %d reads %q, want %d", c.limits, len(got), got, c.want)
		}
	}
}

func TestWhatMustNotBeReadIsInNoHole(t *testing.T) {
	points := []string{"holding:0 u16", "holding:4 u16", "holding:8 u16", "coil:4 bool", "coil:8 bool"}
	for _, c := range []struct {
		change func(*limits)
		want   []string
	}{
		{func(l *limits) { l.noRead = []span{{holdingRegisters, 5, 8}} }, []string{"coils 4-8 of 2", "holding registers 0-4 of 2", "holding register 8 of 1"}},
		{func(l *limits) { l.noRead = []span{{coils, 6, 7}} }, []string{"coil 4 of 1", "coil 8 of 1", "holding registers 0-8 of 3"}},
		{func(l *limits) { l.noRead = []span{{holdingRegisters, 9, 100}} }, []string{"coils 4-8 of 2", "holding registers 0-8 of 3"}},
		{func(l *limits) { l.gap = GapOf(2) }, []string{"coil 4 of 1", "coil 8 of 1", "holding register 0 of 1", "holding register 4 of 1", "holding register 8 of 1"}},
		{func(l *limits) { l.gap = GapOf(3) }, []string{"coils 4-8 of 2", "holding registers 0-8 of 3"}},
	} {
		l := noLimits()
		c.change(&l)
		d := deviceWith(t, l, points...)
		if got := described(t, l, d.fields, d.plan(d.fields, payingHole(50))); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %q, want %q", l, got, c.want)
		}
	}
}

// TestTheBreakEvenIsThatOfTheLine: the figures of 8N1 with 5 ms of turnaround and
// none. A unit's turnaround is measured with the silence before it.
func TestTheBreakEvenIsThatOfTheLine(t *testing.T) {
	for _, c := range []struct {
		url        string
		turnaround time.Duration
		want       int
	}{
		{"rtu:///dev/x?baud=9600", 5 * time.Millisecond, 12}, {"rtu:///dev/x?baud=9600", 0, 10},
		{"rtu:///dev/x?baud=19200", 5 * time.Millisecond, 14}, {"rtu:///dev/x?baud=38400", 5 * time.Millisecond, 22},
		{"rtu:///dev/x?baud=115200", 5 * time.Millisecond, 55}, {"rtu:///dev/x?baud=115200", 0, 26},
		{"rtu+tcp://h:1?baud=9600", 5 * time.Millisecond, 8}, {"ascii:///dev/x?baud=9600&data_bits=7", 5 * time.Millisecond, 8},
		{"tcp://h", 5 * time.Millisecond, 31250},
	} {
		l, err := parseURL(c.url)
		if err != nil {
			t.Fatal(err)
		}
		tr := newTransport(l, Config{}, &counts{})
		turnaround := c.turnaround
		if l.carrier == serialLine && turnaround > 0 {
			turnaround += l.frameGap()
		}
		if got := tr.cost(turnaround, 0).hole(); got != c.want {
			t.Errorf("%s with %v: got %d, want %d", c.url, c.turnaround, got, c.want)
		}
	}
}

// twoHundredPoints have four gaps of ten registers between them.
func twoHundredPoints() (points []string) {
	for i := range 200 {
		points = append(points, fmt.Sprintf("holding:%d u16", i+i/40*10))
	}
	return points
}

// TestAMapOfTwoHundredPoints over four gaps is read in a tenth of the requests
// that one by one would take.
func TestAMapOfTwoHundredPoints(t *testing.T) {
	for _, url := range []string{"rtu:///dev/x?baud=9600", "rtu:///dev/x?baud=115200", "tcp://h"} {
		l, _ := parseURL(url)
		d := deviceWith(t, noLimits(), twoHundredPoints()...)
		if reads := d.plan(d.fields, newTransport(l, Config{}, &counts{}).cost(0, 0)); len(reads) > 3 {
			t.Errorf("%s: it takes %d requests", url, len(reads))
		}
	}
}

// BenchmarkPlan plans a map of 200 points over four gaps at 9600 baud, and gives how
// many requests it takes.
func BenchmarkPlan(b *testing.B) {
	l, err := parseURL("rtu:///dev/x?baud=9600")
	if err != nil {
		b.Fatal(err)
	}
	d := deviceWith(b, noLimits(), twoHundredPoints()...)
	c := newTransport(l, Config{}, &counts{}).cost(turnaround, 0)
	requests := 0
	for b.Loop() {
		requests = len(d.plan(d.fields, c))
	}
	b.ReportMetric(float64(requests), "requests")
}
