package modbus

import (
	"strings"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/gateway/point"
)

// holds waits until a register or coil of the unit has that value.
func holds(t *testing.T, u *modbussim.Unit, table modbussim.Table, address, want uint16) {
	t.Helper()
	for end := time.Now().Add(guard); ; <-time.After(time.Millisecond) {
		got, _ := u.Get(table, address)
		if got == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d holds %#x, want %#x", address, got, want)
		}
	}
}

func TestADeviceIsSetUpWheneverItComesOnline(t *testing.T) {
	overBoth(t, func(t *testing.T, s *modbussim.Server, url string) {
		u := s.Unit(3)
		u.SetHolding(0, 1, 0, 0, 0, 0xff00)
		u.SetCoils(0, false)
		d := deviceOf("m", 3, holding("x", 0))
		d.Setup = []Setup{
			{Register: "holding:1", Value: int64(7)},
			{Register: "holding:99", Value: int64(1)}, // which it does not have
			{Register: "holding:2", Type: "f32", Order: "CDAB", Value: 1.5},
			{Register: "holding:4", Bits: "0:4", Value: int64(9)},
			{Register: "coil:0", Value: true},
		}
		x := run(t, url, 100*time.Millisecond, d)
		set := func() {
			t.Helper()
			holds(t, u, modbussim.Coils, 0, 1) // the last
			holds(t, u, modbussim.HoldingRegisters, 1, 7)
			holds(t, u, modbussim.HoldingRegisters, 3, 0x3fc0)
			holds(t, u, modbussim.HoldingRegisters, 4, 0xff09)
		}
		set()
		x.value(x.now(), "m", "x", "1")
		if n := u.Counts().Writes; n != 4 {
			t.Errorf("%d writes were made for 4", n)
		}
		// Away, and back as another one.
		from := x.now()
		back := u.Inject(modbussim.Fault{Silent: true})
		from = x.status(from, "m", false, "does not answer")
		u.SetHolding(1, 0)
		u.SetCoils(0, false)
		back()
		x.status(from, "m", true, "")
		set()
		if n := u.Counts().Writes; n != 6 {
			t.Errorf("%d writes were made, of which 4 for what stood there already", n)
		}
	})
}

func TestASetupThatIsNotAnsweredIsWrittenAgain(t *testing.T) {
	s, url := overTCP(t)
	u := s.Unit(3)
	u.SetHolding(0, 1, 0)
	u.Inject(modbussim.Fault{Writes: true, Silent: true, Times: 1})
	d := deviceOf("m", 3, holding("x", 0))
	d.Setup = []Setup{{Register: "holding:1", Value: int64(7)}}
	x := run(t, url, 50*time.Millisecond, d)
	holds(t, u, modbussim.HoldingRegisters, 1, 7)
	for _, s := range x.all("m", "x") {
		if s.Quality != point.Good {
			t.Errorf("got %+v", s)
		}
	}
}

func TestASetupOfWhatMustNotBeReadIsOnlyWritten(t *testing.T) {
	s, url := overTCP(t)
	u := s.Unit(3)
	u.SetHolding(0, 1, 7)
	d := deviceOf("m", 3, holding("x", 0))
	d.Setup, d.NoRead = []Setup{{Register: "holding:1", Value: int64(7)}}, []string{"holding:1"}
	written := make(chan struct{})
	u.OnWrite(func(modbussim.Table, uint16, []uint16) { close(written) })
	x := run(t, url, time.Second, d)
	texts := listening(t, x)
	select {
	case <-written:
	case <-time.After(guard):
		t.Fatal("it is not written")
	}
	x.value(x.now(), "m", "x", "1")
	if said := texts(); strings.Contains(said, "read holding register 1?") {
		t.Errorf("it was read: %s", said)
	}
}
