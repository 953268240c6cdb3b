package modbus

import (
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/gateway/point"
)

func TestValuesOfAllTablesArriveAndFollow(t *testing.T) {
	overBoth(t, func(t *testing.T, s *modbussim.Server, url string) {
		u := s.Unit(7)
		u.SetHolding(100, 2314, 0, 7)
		u.SetInput(5, 0xfffe)
		u.SetCoils(3, true, false, true)
		u.SetDiscrete(9, true)
		u.SetHolding(200, 0xffff, 0xffff, 0xffff, 0xfffe)
		x := run(t, url, time.Second, deviceOf("meter1", 7,
			holding("voltage", 100, func(p *Point) { p.Scale, p.Unit = 0.1, "V" }),
			holding("count", 101, func(p *Point) { p.Type = "u32" }),
			holding("energy", 200, func(p *Point) { p.Type = "u64" }),
			Point{Name: "temperature", Register: "input:5", Type: "i16"},
			Point{Name: "a", Register: "coil:3"}, Point{Name: "b", Register: "coil:4"}, Point{Name: "c", Register: "coil:5"},
			Point{Name: "door", Register: "discrete:9"},
		))
		x.status(0, "meter1", true, "")
		x.value(0, "meter1", "voltage", "231.4")
		x.value(0, "meter1", "count", "7")
		x.value(0, "meter1", "energy", "18446744073709551614")
		x.value(0, "meter1", "temperature", "-2")
		x.value(0, "meter1", "a", "true")
		x.value(0, "meter1", "b", "false")
		x.value(0, "meter1", "c", "true")
		from := x.value(0, "meter1", "door", "true")
		u.SetHolding(100, 2299)
		x.value(from, "meter1", "voltage", "229.9")
		x.stop()
		st := x.Stats()
		// One read may have been refused for a hole that the unit does not have.
		if d := st.Devices[0]; !d.Online || d.Reads < 5 || d.Failed > 1 || d.RoundTrip <= 0 || st.Timeouts != 0 || st.Requests-st.Answers > 1 {
			t.Errorf("stats are %+v", st)
		}
		for _, s := range x.all("meter1", "voltage") {
			if s.Unit != "V" || s.Time.IsZero() {
				t.Fatalf("a sample is %+v", s)
			}
		}
	})
}

func TestAnExceptionMakesOnlyItsPointsBad(t *testing.T) {
	overBoth(t, func(t *testing.T, s *modbussim.Server, url string) {
		s.Unit(7).SetHolding(1, 11)
		x := run(t, url, time.Second, deviceOf("m", 7, holding("there", 1), holding("hole", 100, func(p *Point) { p.Type = "f64" })))
		from := x.bad(0, "m", "hole", "read holding registers 100-103 of unit 7 on rs485: exception 2 (illegal data address)")
		x.value(from, "m", "there", "11")
		x.status(0, "m", true, "")
		s.Unit(7).SetHolding(100, 0x3ff8, 0, 0, 0)
		x.value(from, "m", "hole", "1.5")
	})
}

func TestWhatIsNoNumberIsBad(t *testing.T) {
	s, url := overTCP(t)
	s.Unit(1).SetHolding(0, 0x7fc0, 0)
	x := run(t, url, time.Second, deviceOf("m", 1, holding("x", 0, func(p *Point) { p.Type = "f32" })))
	from := x.bad(0, "m", "x", "NaN")
	s.Unit(1).SetHolding(0, uint16(math.Float32bits(23.45)>>16), uint16(math.Float32bits(23.45)&0xffff))
	x.value(from, "m", "x", "23.45")
}

func TestAUnitThatIsBusyIsAskedAgain(t *testing.T) {
	s, url := overTCP(t)
	u := s.Unit(7)
	u.SetHolding(10, 1000)
	x := run(t, url, 60*time.Millisecond, deviceOf("m", 7, holding("a", 10)))
	x.value(0, "m", "a", "1000")
	x.failing(func() { u.Inject(modbussim.Fault{Exception: 6, Times: busyTries}) })
	from := x.value(x.now(), "m", "a", "1000")
	for _, s := range x.all("m", "a") {
		if s.Quality == point.Bad {
			t.Errorf("it was bad: %s", s.Reason)
		}
	}
	u.Inject(modbussim.Fault{Exception: 6})
	x.bad(from, "m", "a", "exception 6 (server device busy)")
}

func TestALateReplyIsNotTakenForTheNextAnswer(t *testing.T) {
	overBoth(t, func(t *testing.T, s *modbussim.Server, url string) {
		u := s.Unit(7)
		// Far apart, so that they are two reads of the same shape.
		u.SetHolding(10, 1000)
		u.SetHolding(20, 2000)
		x := run(t, url, 60*time.Millisecond, deviceOf("m", 7, holding("a", 10), holding("b", 20)))
		x.value(0, "m", "a", "1000")
		x.value(0, "m", "b", "2000")
		for range 4 {
			x.failing(func() { u.Inject(modbussim.Fault{Times: 1, Delay: 150 * time.Millisecond}) })
			from := x.now()
			x.value(from, "m", "a", "1000")
			x.value(from, "m", "b", "2000")
		}
		for name, want := range map[string]string{"a": "1000", "b": "2000"} {
			for _, s := range x.all("m", name) {
				if s.Quality == point.Good && s.Value.String() != want {
					t.Fatalf("%s is %v, want %s: a late answer was taken for it", name, s.Value, want)
				}
			}
		}
		if x.Stats().Timeouts < 4 || x.Stats().Discarded == 0 {
			t.Errorf("stats are %+v", x.Stats())
		}
	})
}

func TestADeadUnitDoesNotStallItsNeighbour(t *testing.T) {
	overBoth(t, func(t *testing.T, s *modbussim.Server, url string) {
		s.Unit(1).SetHolding(0, 5)
		x := run(t, url, 60*time.Millisecond, deviceOf("dead", 9, holding("x", 0), holding("y", 50)), deviceOf("alive", 1, holding("x", 0)))
		from := x.bad(0, "dead", "x", "of unit 9 on rs485: no answer within 60ms")
		x.status(from, "dead", false, "unit 9 on rs485 does not answer")
		x.bad(0, "dead", "y", "does not answer")
		// From here on the dead one costs a timeout now and then.
		from = x.now()
		for range 25 {
			from = x.value(from, "alive", "x", "5")
		}
		if st := x.Stats(); st.Devices[0].Timeouts > 6 || st.Devices[0].Timeouts >= st.Devices[1].Reads {
			t.Errorf("the dead unit was asked %d times meanwhile, the other %d times", st.Devices[0].Timeouts, st.Devices[1].Reads)
		}
		s.Unit(9).SetHolding(0, 6)
		s.Unit(9).SetHolding(50, 7)
		from = x.status(from, "dead", true, "")
		x.value(from, "dead", "x", "6")
		x.value(from, "dead", "y", "7")
	})
}

func TestAnswersInPiecesAndBehindNoiseAreGood(t *testing.T) {
	s, url, _ := overRTU(t)
	s.Unit(7).SetHolding(0, 1, 2)
	s.Unit(7).Inject(modbussim.Fault{SplitAt: 4, SplitFor: 5 * time.Millisecond, Before: []byte{0, 7, 0xff}})
	x := run(t, url, time.Second, deviceOf("m", 7, holding("x", 0), holding("y", 1)))
	from := 0
	for range 5 {
		from = x.value(from, "m", "y", "2")
	}
	if st := x.Stats(); st.Devices[0].Failed != 0 || st.Discarded < 15 {
		t.Errorf("stats are %+v", st)
	}
}

func TestThePlugIsPulledAndPutBack(t *testing.T) {
	s, url, plug := overRTU(t)
	s.Unit(7).SetHolding(0, 1)
	x := run(t, url, 200*time.Millisecond, deviceOf("m", 7, holding("x", 0)))
	from := x.value(0, "m", "x", "1")
	s.Disconnect()
	from = x.status(from, "m", false, "rs485 is down: ")
	x.bad(from-1, "m", "x", "rs485 is down: ")
	s.Unit(7).SetHolding(0, 2)
	plug()
	from = x.status(from, "m", true, "")
	x.value(from, "m", "x", "2")
	if st := x.Stats(); !st.Open || st.Opened < 2 || st.Reason != "" {
		t.Errorf("stats are %+v", st)
	}
}

func TestAPortThatIsMissingIsSaidWithItsName(t *testing.T) {
	x := run(t, "rtu:///dev/serial/by-id/nothing?baud=19200", time.Second, deviceOf("m", 7, holding("x", 0, rw)))
	x.status(0, "m", false, "open serial port /dev/serial/by-id/nothing: no such port")
	x.bad(0, "m", "x", "no such port")
	if _, err := x.Write(t.Context(), point.Command{Device: "m", Point: "x", Value: point.OfInt(1)}); point.Outcome(err) != "offline" || !strings.Contains(err.Error(), "no such port") {
		t.Errorf("a write gave %v", err)
	}
}

func TestTheServerIsStartedAgain(t *testing.T) {
	first := modbussim.New()
	first.Unit(1).SetHolding(0, 1)
	ln := listen(t, "127.0.0.1:0")
	address := ln.Addr().String()
	serveTCP(t, first, ln)
	x := run(t, "tcp://"+address, time.Second, deviceOf("m", 1, holding("x", 0)))
	from := x.value(0, "m", "x", "1")
	first.Close()
	from = x.status(from, "m", false, "connect to "+address)
	second := modbussim.New()
	second.Unit(1).SetHolding(0, 2)
	serveTCP(t, second, listen(t, address))
	from = x.status(from, "m", true, "")
	x.value(from, "m", "x", "2")
}

func TestAConnectionThatTheServerClosesIsOpenedAgainWithoutALostValue(t *testing.T) {
	s, url := overTCP(t)
	s.Unit(1).SetHolding(0, 1)
	x := run(t, url, time.Second, deviceOf("m", 1, holding("x", 0)))
	x.value(0, "m", "x", "1")
	for range 5 {
		s.Disconnect()
		x.value(x.now()+1, "m", "x", "1")
	}
	for _, s := range x.all("m", "x") {
		if s.Quality != point.Good {
			t.Errorf("got %+v", s)
		}
	}
	if st := x.Stats(); st.Opened < 4 {
		t.Errorf("stats are %+v", st)
	}
}

func TestAHostThatIsNotThereIsSaid(t *testing.T) {
	ln := listen(t, "127.0.0.1:0")
	address := ln.Addr().(*net.TCPAddr).String()
	ln.Close()
	x := run(t, "tcp://"+address, time.Second, deviceOf("m", 1, holding("x", 0)))
	x.status(0, "m", false, "rs485 is down: connect to "+address)
}
