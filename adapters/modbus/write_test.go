package modbus

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/gateway/point"
)

// writeOnly is a point in a config that is never read.
func writeOnly(p *Point) { p.Access = "w" }

func TestAPointThatIsOnlyWrittenIsNeverRead(t *testing.T) {
	overBoth(t, func(t *testing.T, s *modbussim.Server, url string) {
		u := s.Unit(3)
		u.SetHolding(0, 7, 0, 9)
		d := deviceOf("m", 3, holding("before", 0), holding("reset", 1, writeOnly), holding("after", 2))
		x := run(t, url, 300*time.Millisecond, d)
		texts := listening(t, x)
		from := x.value(x.value(0, "m", "before", "7"), "m", "after", "9")
		got, err := x.Write(t.Context(), point.Command{Device: "m", Point: "reset", Value: point.OfInt(5)})
		if v, _ := u.Get(modbussim.HoldingRegisters, 1); err != nil || got != (point.Value{}) || v != 5 {
			t.Errorf("got %v, %v, and the register holds %d", got, err, v)
		}
		x.value(from, "m", "after", "9")
		u.Inject(modbussim.Fault{Silent: true})
		x.status(from, "m", false, "does not answer")
		if samples := x.all("m", "reset"); len(samples) > 0 {
			t.Errorf("a point without a value has said %+v", samples)
		}
		if said := texts(); strings.Contains(said, "read holding registers") || strings.Contains(said, "read holding register 1?") {
			t.Errorf("it was read:\n%.1000s", said)
		}
	})
}

func TestADeviceThatIsOnlyWrittenIsNotPolled(t *testing.T) {
	s, url := overTCP(t)
	s.Unit(3).SetHolding(1, 0)
	x := run(t, url, time.Second, deviceOf("m", 3, holding("reset", 1, writeOnly)))
	for end := time.Now().Add(guard); !x.Stats().Open && time.Now().Before(end); <-time.After(time.Millisecond) {
	}
	for _, v := range []int64{5, 6} {
		if _, err := x.Write(t.Context(), point.Command{Device: "m", Point: "reset", Value: point.OfInt(v)}); err != nil {
			t.Error(err)
		}
	}
	x.status(0, "m", true, "")
	if st := x.Stats(); st.Requests != 2 {
		t.Errorf("%d requests were made for 2 commands", st.Requests)
	}
}

func TestAWriteIsReadBack(t *testing.T) {
	overBoth(t, func(t *testing.T, s *modbussim.Server, url string) {
		u := s.Unit(3)
		u.SetHolding(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		u.SetCoils(0, false)
		seldom := deviceOf("m", 3,
			holding("setpoint", 0, rw, func(p *Point) { p.Scale, p.Type = 0.1, "i16" }),
			holding("speed", 1, rw, func(p *Point) { p.Type, p.Order = "f32", "CDAB" }),
			holding("total", 3, rw, func(p *Point) { p.Type = "u64" }),
			holding("enable", 7, rw, func(p *Point) { p.Type = "bool" }),
			Point{Name: "relay", Register: "coil:0", Access: "rw"},
		)
		seldom.Interval = time.Hour
		x := run(t, url, time.Second, seldom)
		x.value(0, "m", "setpoint", "0")
		x.value(0, "m", "relay", "false")
		for _, c := range []struct {
			point string
			value point.Value
			want  string
		}{
			{"setpoint", point.OfFloat(-21.5), "-21.5"},
			{"speed", point.OfFloat(23.45), "23.45"},
			{"total", point.OfUint(18446744073709551615), "18446744073709551615"},
			{"enable", point.OfBool(true), "true"},
			{"relay", point.OfString("on"), "true"},
			{"relay", point.OfInt(0), "false"},
		} {
			from := len(x.all("m", c.point))
			got, err := x.Write(t.Context(), point.Command{Device: "m", Point: c.point, Value: c.value})
			if err != nil || got.String() != c.want {
				t.Errorf("%s: got %v, %v; want %s", c.point, got, err, c.want)
			}
			// Whoever has commanded it publishes it: the adapter does not, too.
			if samples := x.all("m", c.point); len(samples) != from {
				t.Errorf("%s: emitted too: %+v", c.point, samples[from:])
			}
		}
		if v, _ := u.Get(modbussim.HoldingRegisters, 0); v != 0xff29 {
			t.Errorf("the register holds %#x, want 0xff29", v)
		}
		if st := x.Stats(); st.Devices[0].Writes != 6 {
			t.Errorf("stats are %+v", st)
		}
	})
}

func TestWhatADeviceMakesOfAWriteIsWhatIsGivenBack(t *testing.T) {
	s, url := overTCP(t)
	u := s.Unit(3)
	u.SetHolding(0, 0)
	u.OnWrite(func(table modbussim.Table, address uint16, values []uint16) {
		u.Set(table, address, min(values[0], 100))
	})
	x := run(t, url, time.Second, deviceOf("m", 3, holding("x", 0, rw)))
	x.status(0, "m", true, "")
	got, err := x.Write(t.Context(), point.Command{Device: "m", Point: "x", Value: point.OfInt(500)})
	if err != nil || got != point.OfUint(100) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAWriteThatCannotBeIsRefusedBeforeItIsSent(t *testing.T) {
	s, url := overTCP(t)
	s.Unit(3).SetHolding(0, 0, 0)
	x := run(t, url, time.Second, deviceOf("m", 3, holding("x", 0, rw), holding("r", 1)))
	x.status(0, "m", true, "")
	for want, cmd := range map[string]point.Command{
		`no device "n" on rs485`:    {Device: "n", Point: "x", Value: point.OfInt(1)},
		`device m has no point "y"`: {Device: "m", Point: "y", Value: point.OfInt(1)},
		"point r of m is read only": {Device: "m", Point: "r", Value: point.OfInt(1)},
		"0 to 65535":                {Device: "m", Point: "x", Value: point.OfInt(65536)},
		"not a number":              {Device: "m", Point: "x", Value: point.OfString("warm")},
	} {
		if _, err := x.Write(t.Context(), cmd); !errors.Is(err, point.ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", cmd, err, want)
		}
	}
	if n := s.Unit(3).Counts().Writes; n != 0 {
		t.Errorf("%d writes were made", n)
	}
}

func TestAWriteThatFailsSaysHow(t *testing.T) {
	overBoth(t, func(t *testing.T, s *modbussim.Server, url string) {
		s.Unit(3).SetHolding(0, 0)
		dead := deviceOf("dead", 4, holding("x", 0, rw))
		dead.Timeout = 100 * time.Millisecond
		x := run(t, url, time.Second, deviceOf("m", 3, holding("x", 0, rw), holding("hole", 9, rw)), dead)
		x.status(0, "m", true, "")
		write := func(device, name string) error {
			_, err := x.Write(t.Context(), point.Command{Device: device, Point: name, Value: point.OfInt(1)})
			return err
		}
		if err := write("m", "hole"); !errors.Is(err, point.ErrException) || !strings.Contains(err.Error(), "write holding register 9 of unit 3 on rs485: exception 2") {
			t.Errorf("got %v, want exception 2", err)
		}
		s.Unit(3).Inject(modbussim.Fault{Writes: true, Silent: true, Times: 1})
		if err := write("m", "x"); !errors.Is(err, point.ErrTimeout) || !strings.Contains(err.Error(), "no answer within 1s") {
			t.Errorf("got %v, want a timeout", err)
		}
		if err := write("dead", "x"); !errors.Is(err, point.ErrTimeout) {
			t.Errorf("got %v, want a timeout", err)
		}
		if err := write("m", "x"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		x.stop()
		if err := write("m", "x"); !errors.Is(err, point.ErrOffline) {
			t.Errorf("after the end: %v, want offline", err)
		}
	})
}

func TestARegisterThatCanOnlyBeWrittenIsWritten(t *testing.T) {
	s, url := overTCP(t)
	s.Unit(3).SetHolding(0, 0, 1)
	s.Unit(3).SetHolding(9, 0)
	x := run(t, url, time.Second, deviceOf("m", 3, holding("x", 9, rw)))
	x.status(0, "m", true, "")
	s.Unit(3).OnWrite(func(modbussim.Table, uint16, []uint16) { s.Unit(3).Inject(modbussim.Fault{Exception: 2}) })
	got, err := x.Write(t.Context(), point.Command{Device: "m", Point: "x", Value: point.OfInt(5)})
	if err != nil || got != (point.Value{}) {
		t.Errorf("got %v, %v; want the zero value, for it was acknowledged", got, err)
	}
}

func TestEachFunctionThatWritesIsThere(t *testing.T) {
	overBoth(t, func(t *testing.T, s *modbussim.Server, url string) {
		u := s.Unit(3)
		u.SetHolding(0, 0xffff, 0xffff, 0xffff, 0, 0xffff)
		u.SetCoils(0, false, false)
		by := func(function uint8) func(*Point) { return func(p *Point) { p.WriteFunction = function } }
		x := run(t, url, time.Second, deviceOf("m", 3,
			Point{Name: "c5", Register: "coil:0", Access: "rw"},
			Point{Name: "c15", Register: "coil:1", Access: "rw", WriteFunction: 15},
			holding("r6", 0, rw),
			holding("r16", 1, rw, by(16)),
			holding("r23", 2, rw, by(23), func(p *Point) { p.Type = "u32" }),
			holding("r22", 4, rw, func(p *Point) { p.Bits = "4:8" }),
		))
		x.status(0, "m", true, "")
		for name, function := range map[string]byte{"c5": 5, "c15": 15, "r6": 6, "r16": 16, "r23": 23, "r22": 22} {
			// It is refused when it comes by this function, and by no other.
			u.Inject(modbussim.Fault{Function: function, Exception: 3, Times: 1})
			cmd := point.Command{Device: "m", Point: name, Value: point.OfInt(1)}
			if _, err := x.Write(t.Context(), cmd); !errors.Is(err, exception(3)) {
				t.Errorf("%s: got %v, want the exception of function %d", name, err, function)
			}
			if got, err := x.Write(t.Context(), cmd); err != nil || got.String() != "1" && got.String() != "true" {
				t.Errorf("%s: got %v, %v", name, got, err)
			}
		}
		for address, want := range []uint16{1, 1, 0, 1, 0xf01f} {
			if v, _ := u.Get(modbussim.HoldingRegisters, uint16(address)); v != want {
				t.Errorf("register %d holds %#x, want %#x", address, v, want)
			}
		}
		for address := range uint16(2) {
			if v, _ := u.Get(modbussim.Coils, address); v != 1 {
				t.Errorf("coil %d is off", address)
			}
		}
	})
}

func TestBitsAreSetWhereTheDeviceHasNoFunctionForThem(t *testing.T) {
	s, url := overTCP(t)
	u := s.Unit(3)
	u.SetHolding(0, 0x00ff, 0x1234, 0x5678)
	u.Inject(modbussim.Fault{Function: 22, Exception: 1})
	x := run(t, url, time.Second, deviceOf("m", 3,
		holding("one", 0, rw, func(p *Point) { p.Bits = "3"; p.Type = "bool" }),
		holding("two", 1, rw, func(p *Point) { p.Bits = "8:16"; p.Type = "u32" }),
	))
	x.status(0, "m", true, "")
	for range 2 { // the second time the function is not tried
		if got, err := x.Write(t.Context(), point.Command{Device: "m", Point: "one", Value: point.OfBool(false)}); err != nil || got != point.OfBool(false) {
			t.Errorf("got %v, %v", got, err)
		}
	}
	if got, err := x.Write(t.Context(), point.Command{Device: "m", Point: "two", Value: point.OfInt(0xabcd)}); err != nil || got != point.OfUint(0xabcd) {
		t.Errorf("got %v, %v", got, err)
	}
	for address, want := range []uint16{0x00f7, 0x12ab, 0xcd78} {
		if v, _ := u.Get(modbussim.HoldingRegisters, uint16(address)); v != want {
			t.Errorf("register %d holds %#x, want %#x", address, v, want)
		}
	}
}

func TestAWriteGoesBeforeThePolls(t *testing.T) {
	s, url := overTCP(t)
	u := s.Unit(3)
	var points []Point
	for i := range 40 {
		u.SetHolding(uint16(10*i), 0)
		points = append(points, holding(string(rune('a'+i%26))+string(rune('a'+i/26)), 10*i, rw))
	}
	u.Inject(modbussim.Fault{Delay: 10 * time.Millisecond})
	d := deviceOf("m", 3, points...)
	d.Interval = 100 * time.Millisecond // 40 reads of 10 ms: never done
	x := run(t, url, time.Second, d)
	x.status(0, "m", true, "")
	before := u.Counts().Requests
	if _, err := x.Write(t.Context(), point.Command{Device: "m", Point: "aa", Value: point.OfInt(1)}); err != nil {
		t.Fatal(err)
	}
	// The read under way, the write, the read-back; one more may have begun.
	if n := u.Counts().Requests - before; n > 4 {
		t.Errorf("%d requests were made until it was done", n)
	}
}

func TestManyWritesInARowAreAllDone(t *testing.T) {
	s, url := overTCP(t)
	s.Unit(3).SetHolding(0, 0)
	x := run(t, url, time.Second, deviceOf("m", 3, holding("x", 0, rw)))
	x.status(0, "m", true, "")
	s.Unit(3).Inject(modbussim.Fault{Delay: 2 * time.Millisecond}) // so that a poll is due in between
	errs := make(chan error)
	const all = 5 * writesInARow
	for i := range all {
		go func() {
			_, err := x.Write(t.Context(), point.Command{Device: "m", Point: "x", Value: point.OfInt(int64(i))})
			errs <- err
		}()
	}
	for range all {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestAWriteEndsWithItsContext(t *testing.T) {
	s, url := overTCP(t)
	s.Unit(3).SetHolding(0, 0)
	x := run(t, url, 10*time.Second, deviceOf("m", 3, holding("x", 0, rw)))
	x.status(0, "m", true, "")
	s.Unit(3).Inject(modbussim.Fault{Silent: true})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := x.Write(ctx, point.Command{Device: "m", Point: "x", Value: point.OfInt(1)})
	if !errors.Is(err, point.ErrTimeout) || time.Since(began) > 5*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
	// And Run ends at once, though a request waits for its answer: see run.
}
