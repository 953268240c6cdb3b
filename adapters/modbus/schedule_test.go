package modbus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// planned gives the reads of points at these registers, each "holding:0 u16" or
// with its own interval, "holding:0 u16 5s".
func planned(t *testing.T, points ...string) []string {
	t.Helper()
	d := &device{}
	for i, text := range points {
		w := strings.Fields(text)
		p := Point{Name: fmt.Sprint(i), Register: w[0], Type: w[1], Interval: time.Second, Scale: 1}
		if len(w) > 2 {
			p.Interval, _ = time.ParseDuration(w[2])
		}
		f, err := newField(Device{}, p)
		if err != nil {
			t.Fatal(err)
		}
		d.fields = append(d.fields, &f)
	}
	var got []string
	seen := 0
	for _, r := range plan(d) {
		got = append(got, fmt.Sprintf("%s of %d", r.span(), len(r.fields)))
		seen += len(r.fields)
		for _, f := range r.fields {
			if a := int(f.register.address); a < int(r.address) || a+f.size() > int(r.address)+r.count {
				t.Errorf("%s does not hold all of %s", r.span(), f.name)
			}
		}
		if r.count > r.table.maxRead() {
			t.Errorf("%s is more than a request may read", r.span())
		}
	}
	if seen != len(points) {
		t.Errorf("%d of %d points are read", seen, len(points))
	}
	return got
}

func TestPointsThatTouchAreReadTogether(t *testing.T) {
	for _, c := range []struct{ points, want []string }{
		{[]string{"holding:2 u16", "holding:0 f32"}, []string{"holding registers 0-2 of 2"}},
		{[]string{"holding:0 u32", "holding:1 u16", "holding:1 i16"}, []string{"holding registers 0-1 of 3"}},
		{[]string{"holding:0 u16", "holding:2 u16"}, []string{"holding register 0 of 1", "holding register 2 of 1"}},
		{[]string{"holding:0 u16", "input:1 u16"}, []string{"input register 1 of 1", "holding register 0 of 1"}},
		{[]string{"holding:0 u16", "holding:1 u16 5s"}, []string{"holding register 0 of 1", "holding register 1 of 1"}},
		{[]string{"coil:7 bool", "coil:8 bool", "coil:10 bool"}, []string{"coils 7-8 of 2", "coil 10 of 1"}},
		{[]string{"holding:65532 u64"}, []string{"holding registers 65532-65535 of 1"}},
	} {
		if got := planned(t, c.points...); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.points, got, c.want)
		}
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
	if got := planned(t, registers...); !slices.Equal(got, []string{"holding registers 0-123 of 31", "holding registers 124-159 of 9"}) {
		t.Errorf("got %q", got)
	}
	if got := planned(t, bits...); !slices.Equal(got, []string{"discrete inputs 0-1999 of 2000", "discrete input 2000 of 1"}) {
		t.Errorf("got %q", got)
	}
}

func TestALatePollIsLeftOutAndTheScheduleDoesNotDrift(t *testing.T) {
	begin := time.Now()
	r := &read{device: &device{unit: &unit{}}, interval: time.Second, due: begin}
	for _, c := range []struct {
		at, due time.Duration
		merged  uint64
	}{{0, time.Second, 0}, {1300 * time.Millisecond, 2 * time.Second, 0}, {2 * time.Second, 3 * time.Second, 0}, {5500 * time.Millisecond, 6 * time.Second, 2}, {7 * time.Second, 8 * time.Second, 1}} {
		if merged := r.advance(begin.Add(c.at)); merged != c.merged || r.due.Sub(begin) != c.due {
			t.Errorf("at %v: due at %v and %d left out, want %v and %d", c.at, r.due.Sub(begin), merged, c.due, c.merged)
		}
	}
}

func TestAUnitThatMustNotBeAskedKeepsNoOtherWaiting(t *testing.T) {
	now := time.Now()
	dead := &read{device: &device{unit: &unit{notBefore: now.Add(time.Minute)}}, due: now.Add(-time.Hour)}
	alive := &read{device: &device{unit: &unit{}}, due: now.Add(time.Second)}
	if r, at := next([]*read{dead, alive}); r != alive || !at.Equal(alive.due) {
		t.Errorf("got the dead one at %v", at)
	}
}

func TestAnOfflineUnitIsAskedLessAndLess(t *testing.T) {
	u := &unit{presence: online}
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
