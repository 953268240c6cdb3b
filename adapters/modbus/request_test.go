package modbus

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/gateway/point"
)

// asker is what a tool asks: an adapter that runs, or a link of its own.
type asker interface {
	Do(ctx context.Context, r Request) (Answer, error)
}

// overEither runs a test through a gateway that polls, and without one.
func overEither(t *testing.T, f func(t *testing.T, u *modbussim.Unit, a asker)) {
	t.Run("adapter", func(t *testing.T) {
		s, url := overTCP(t)
		s.Unit(3).SetHolding(99, 1)
		x := run(t, url, guard/4, deviceOf("m", 3, holding("x", 99)))
		x.status(0, "m", true, "")
		f(t, s.Unit(3), x)
	})
	t.Run("probe", func(t *testing.T) {
		s, url := overTCP(t)
		p, err := Open(t.Context(), Config{URL: url, Timeout: guard / 4})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		f(t, s.Unit(3), p)
	})
}

func TestAToolReadsAndWritesBesideThePolls(t *testing.T) {
	overEither(t, func(t *testing.T, u *modbussim.Unit, a asker) {
		u.SetHolding(0, 0x1234, 0x5678)
		u.SetCoils(4, true, false, true)
		got, err := a.Do(t.Context(), Request{Unit: 3, Register: "holding:0", Count: 2})
		if err != nil || string(got.Data) != "\x12\x34\x56\x78" || got.Took <= 0 {
			t.Errorf("got %+v, %v", got, err)
		}
		if got, err = a.Do(t.Context(), Request{Unit: 3, Register: "coil:4", Count: 3}); err != nil || string(got.Data) != "\x05" {
			t.Errorf("got %+v, %v", got, err)
		}
		f, err := NewFormat(Point{Register: "holding:1", Type: "i8l", Access: "rw"})
		if err != nil {
			t.Fatal(err)
		}
		w, err := f.Write(3, point.OfInt(-2))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Do(t.Context(), w); err != nil {
			t.Error(err)
		}
		if got, err = a.Do(t.Context(), f.Read(3)); err != nil {
			t.Fatal(err)
		}
		if v, err := f.Decode(got.Data); err != nil || v != point.OfInt(-2) || string(got.Data) != "\x56\xfe" {
			t.Errorf("got %v of % x, %v", v, got.Data, err)
		}
	})
}

func TestAToolIsToldWhatCameOfItsRequest(t *testing.T) {
	overEither(t, func(t *testing.T, u *modbussim.Unit, a asker) {
		for want, c := range map[string]struct {
			r   Request
			err error
		}{
			"read holding registers 7-8 of unit 3": {Request{Unit: 3, Register: "holding:7", Count: 2}, point.ErrException},
			"exception 2 (illegal data address)":   {Request{Unit: 3, Register: "holding:7", Count: 2}, point.ErrException},
			"read input register 0 of unit 200":    {Request{Unit: 200, Register: "input:0", Count: 1, Timeout: 20 * time.Millisecond}, point.ErrTimeout},
			"want 1 to 125":                        {Request{Unit: 3, Register: "holding:7", Count: 126}, point.ErrRefused},
			"no table \"holdin\"":                  {Request{Unit: 3, Register: "holdin:7", Count: 1}, point.ErrRefused},
			"input register 7 can only be read":    {Request{Unit: 3, Register: "input:7", Write: &Write{Data: []byte{0, 1}}}, point.ErrRefused},
			"from holding:0 on: want 1 to 121":     {Request{Unit: 3, Register: "holding:0", Write: &Write{}}, point.ErrRefused},
			"write holding register 7 of unit 3":   {Request{Unit: 3, Register: "holding:7", Write: &Write{Data: []byte{0, 1}}}, point.ErrException},
			"65535 is the last address":            {Request{Unit: 3, Register: "holding:65535", Count: 2}, point.ErrRefused},
		} {
			if _, err := a.Do(t.Context(), c.r); !errors.Is(err, c.err) || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: got %v, want %q", c.r, err, want)
			}
		}
	})
}

func TestAToolThatAsksForAUnitThatIsNotThereDisturbsNoDevice(t *testing.T) {
	s, url, _ := overRTU(t)
	s.Unit(3).SetHolding(0, 7)
	x := run(t, url, guard/4, deviceOf("m", 3, holding("x", 0)))
	from := x.value(0, "m", "x", "7")
	if _, err := x.Do(t.Context(), Request{Unit: 9, Register: "holding:0", Count: 1, Timeout: 30 * time.Millisecond}); !errors.Is(err, point.ErrTimeout) {
		t.Errorf("got %v", err)
	}
	x.value(from, "m", "x", "7")
	if st := x.Stats(); !st.Devices[0].Online || st.Devices[0].Timeouts != 0 {
		t.Errorf("the device's stats are %+v", st.Devices[0])
	}
	if _, err := x.Do(t.Context(), Request{Unit: 0, Register: "holding:0", Count: 1}); !errors.Is(err, point.ErrRefused) {
		t.Errorf("unit 0: got %v", err)
	}
}

// TestAToolReachesAUnitAbove247, as some are shipped, to give it another id.
func TestAToolReachesAUnitAbove247(t *testing.T) {
	s, url, _ := overRTU(t)
	s.Unit(254).SetHolding(0x20, 254)
	p, err := Open(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Do(t.Context(), Request{Unit: 254, Register: "holding:0x20", Write: &Write{Data: []byte{0, 9}}}); err != nil {
		t.Error(err)
	}
	if _, err := p.Do(t.Context(), Request{Unit: 0, Register: "holding:0", Count: 1}); !errors.Is(err, point.ErrRefused) {
		t.Errorf("unit 0: got %v", err)
	}
}

func TestAProbeOpensALinkAgainThatHasFailed(t *testing.T) {
	s, url := overTCP(t)
	s.Unit(3).SetHolding(0, 7)
	p, err := Open(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.transport.wire.stream.Close() // as the other side does
	if _, err := p.Do(t.Context(), Request{Unit: 3, Register: "holding:0", Count: 1}); err == nil {
		t.Error("a closed link has answered")
	}
	if got, err := p.Do(t.Context(), Request{Unit: 3, Register: "holding:0", Count: 1}); err != nil || string(got.Data) != "\x00\x07" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestEveryInterpretationCanBeCopiedIntoAConfig(t *testing.T) {
	r := Request{Unit: 3, Register: "input:0x10", Count: 4}
	all := Interpretations(r, []byte("\x43\x66\x33\x34AB\x00\x00"))
	var lines []string
	for _, i := range all {
		lines = append(lines, i.Type+" "+i.Order+" "+i.Value.String()+" "+i.Point)
	}
	for _, want := range []string{
		`f32 ABCD 230.20001 { name = "...", register = "input:0x10", type = "f32" }`,
		`u16 AB 17254 { name = "...", register = "input:0x10", type = "u16" }`,
		`i16 BA 26179 { name = "...", register = "input:0x10", type = "i16", order = "BA" }`,
		`u32 CDAB 859063142 { name = "...", register = "input:0x10", type = "u32", order = "CDAB" }`,
		`bool AB true { name = "...", register = "input:0x10", type = "bool" }`,
		`string AB Cf34AB { name = "...", register = "input:0x10", type = "string", length = 8 }`,
		`u64 EFGHABCD 4702320962058990388 { name = "...", register = "input:0x10", type = "u64", order = "EFGHABCD" }`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("there is no %s among\n%s", want, strings.Join(lines, "\n"))
		}
	}
	for _, i := range all {
		p := Point{Register: r.Register, Type: i.Type, Order: i.Order}
		if i.Type == "string" {
			p.Length = 8
		} else if i.Type == "string8" {
			p.Length = 4
		}
		if _, err := NewFormat(p); err != nil {
			t.Errorf("%+v: %v", i, err)
		}
	}
	if n := len(Interpretations(Request{Register: "coil:0"}, []byte{1})); n != 0 {
		t.Errorf("a coil has %d interpretations", n)
	}
}
