package modbus

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/adapters/port"
	"headgate/gateway/point"
)

// bus is an adapter on a simulated serial line, with simulated time.
type bus struct {
	*Adapter
	*modbussim.Server
	wire    *modbussim.Wire                     // the last one
	samples func(device string, s point.Sample) // called with each sample
	t       *testing.T
}

// simulate has f drive a bus at that baud, with so much turnaround, in simulated
// time. The adapter runs from begin on until f returns.
func simulate(t *testing.T, url string, turnaround, timeout time.Duration, f func(b *bus), devices ...Device) {
	t.Helper()
	simulateConfig(t, Config{Name: "rs485", URL: url, Timeout: timeout, Device: devices}, turnaround, f)
}

func simulateConfig(t *testing.T, cfg Config, turnaround time.Duration, f func(b *bus)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.SetDefaults()
		cfg.Check(func(key, format string, args ...any) { t.Fatalf("%s: %s", key, fmt.Sprintf(format, args...)) })
		a, err := New(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		b := &bus{Adapter: a, Server: modbussim.New(), t: t, samples: func(string, point.Sample) {}}
		var serving sync.WaitGroup
		a.transport.pause = wait
		a.transport.dial = func(context.Context) (stream, error) {
			near, far := net.Pipe()
			w := &modbussim.Wire{Far: far, Mode: a.transport.link.mode, Turnaround: turnaround, Simulated: true}
			b.wire = w
			serving.Go(func() {
				serve := b.ServeRTU
				if a.transport.link.framing == ascii {
					serve = b.ServeASCII
				}
				if err := serve(context.Background(), w); err != nil {
					t.Error(err)
				}
			})
			return connection{near, "the line"}, nil
		}
		defer func() { b.Close(); serving.Wait() }()
		f(b)
	})
}

// runs runs the adapter for so long.
func (b *bus) runs(d time.Duration) {
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	time.AfterFunc(d, cancel)
	b.Run(ctx, func(u point.Update) {
		for _, s := range u.Samples {
			b.samples(u.Device, s)
		}
	})
}

// counted runs the adapter for so long, and gives how many good samples each
// point had.
func (b *bus) counted(d time.Duration) map[string]int {
	n := map[string]int{}
	b.samples = func(device string, s point.Sample) {
		if s.Quality == point.Good {
			n[device+"/"+s.Point]++
		}
	}
	b.runs(d)
	return n
}

const line9600 = "rtu:///dev/simulated?baud=9600"

// every has a device polled at that interval.
func every(interval time.Duration, d Device) Device {
	d.Interval = interval
	return d
}

func TestARefusedBatchIsBisectedAndOnlyItsOwnPointsGoBad(t *testing.T) {
	var points []Point
	for i := range 40 {
		points = append(points, holding(fmt.Sprint("p", i), i))
	}
	simulate(t, line9600, 5*time.Millisecond, time.Second, func(b *bus) {
		for i := range 40 {
			if i != 17 && i != 30 {
				b.Unit(1).SetHolding(uint16(i), uint16(i))
			}
		}
		good := b.counted(10 * time.Minute)
		for i := range 40 {
			name := fmt.Sprint("m/p", i)
			// It takes a second or two to find out which they are.
			if n := good[name]; (i == 17 || i == 30) && n != 0 || i != 17 && i != 30 && n < 597 {
				t.Errorf("%s had %d good samples in 600 s", name, n)
			}
		}
		// Three reads a second for what there is, and the two that are not there
		// asked for again after 1, 2, 4 ... s.
		if n := b.Unit(1).Counts().Requests; n < 1790 || n > 1850 {
			t.Errorf("%d requests were made in 600 s, want about 1800", n)
		}
		b.Unit(1).SetHolding(17, 17)
		if good := b.counted(time.Minute); good["m/p17"] < 58 {
			t.Errorf("a register that is there now had %d good samples in 60 s", good["m/p17"])
		}
	}, every(time.Second, deviceOf("m", 1, points...)))
}

// TestABrokenAnswerDoesNotCostTheTimeout of a second: the neighbour is polled
// meanwhile.
func TestABrokenAnswerDoesNotCostTheTimeout(t *testing.T) {
	for _, scheme := range []string{"rtu", "ascii"} {
		simulate(t, scheme+":///dev/simulated?baud=9600", turnaround, time.Second, func(b *bus) {
			b.Unit(1).SetHolding(0, 1)
			b.Unit(2).SetHolding(0, 1)
			b.Unit(1).Inject(modbussim.Fault{CorruptCRC: true, Chance: 0.3})
			if n := b.counted(time.Minute)["well/x"]; n < 595 {
				b.t.Errorf("%s: the neighbour had %d of 600 polls", scheme, n)
			}
		}, every(time.Second, deviceOf("ill", 1, holding("x", 0))), every(100*time.Millisecond, deviceOf("well", 2, holding("x", 0))))
	}
}

// TestOnALineThatCannotCarryAllNothingStarves: eight units want more than the line
// has; what is due once in a minute comes once in a minute.
func TestOnALineThatCannotCarryAllNothingStarves(t *testing.T) {
	var devices []Device
	for unit := range byte(8) {
		devices = append(devices, every(100*time.Millisecond, deviceOf(fmt.Sprint("fast", unit), unit+1, holding("x", 0))))
	}
	devices = append(devices, every(time.Minute, deviceOf("slow", 9, holding("x", 0))))
	simulate(t, line9600, turnaround, time.Second, func(b *bus) {
		for unit := range byte(9) {
			b.Unit(unit+1).SetHolding(0, 1)
		}
		if n := b.counted(10*time.Minute + time.Second)["slow/x"]; n < 10 {
			t.Errorf("it was read %d times in ten minutes, want 10", n)
		}
	}, devices...)
}

// TestTheMeasuredTurnaroundDecidesWhatIsReadTogether: at 115200 baud a hole of 40
// registers does not pay if the unit answers at once, and does at 5 ms, which is
// known after the first answer.
func TestTheMeasuredTurnaroundDecidesWhatIsReadTogether(t *testing.T) {
	for turnaround, want := range map[time.Duration]uint64{0: 120, 5 * time.Millisecond: 61} {
		simulate(t, "rtu:///dev/simulated?baud=115200", turnaround, time.Second, func(b *bus) {
			b.Unit(1).SetHolding(0, make([]uint16, 50)...)
			b.counted(59*time.Second + 500*time.Millisecond)
			if n := b.Unit(1).Counts().Requests; n != want {
				t.Errorf("with %v %d requests were made in 60 polls, want %d", turnaround, n, want)
			}
		}, every(time.Second, deviceOf("m", 1, holding("a", 0), holding("b", 41))))
	}
}

// TestATableThatIsNotThereCostsLittle: it is found out point by point, while the
// neighbour is polled in time, and then asked for again in few requests; whether the
// device says that it does not have these addresses or that it does not know the
// function.
func TestATableThatIsNotThereCostsLittle(t *testing.T) {
	for _, e := range []byte{0, byte(illegalFunction)} {
		aTableThatIsNotThere(t, e)
	}
}

func aTableThatIsNotThere(t *testing.T, e byte) {
	t.Helper()
	var points []Point
	for i := range 100 {
		points = append(points, holding(fmt.Sprint("p", i), i))
	}
	simulate(t, line9600, turnaround, time.Second, func(b *bus) {
		b.Unit(1).SetInput(0, 1)
		b.Unit(1).Inject(modbussim.Fault{Exception: e})
		b.Unit(2).SetHolding(0, 1)
		good := b.counted(time.Hour)
		if n := good["neighbour/x"]; n < 3595 {
			t.Errorf("the neighbour had %d polls in an hour", n)
		}
		// 199 to find out; one by one the rest of the hour would take 1,200.
		if n := b.Unit(1).Counts().Requests; n > 300 {
			t.Errorf("exception %d: %d requests were made in an hour for what is not there", e, n)
		}
	}, every(time.Second, deviceOf("m", 1, points...)), every(time.Second, deviceOf("neighbour", 2, holding("x", 0))))
}

func TestAHoleThatTheDeviceRefusesIsLearnt(t *testing.T) {
	simulate(t, line9600, 5*time.Millisecond, time.Second, func(b *bus) {
		b.Unit(1).SetHolding(0, 1, 2, 3)
		b.Unit(1).SetHolding(10, 1, 2, 3)
		good := b.counted(time.Minute)
		for _, name := range []string{"m/a", "m/b", "m/c", "m/d"} {
			if good[name] < 60 {
				t.Errorf("%s had %d good samples in 60 s", name, good[name])
			}
		}
		if n := b.Unit(1).Counts().Requests; n > 121 {
			t.Errorf("%d requests were made in 60 s, want two each second and one that was refused", n)
		}
	}, every(time.Second, deviceOf("m", 1, holding("a", 0), holding("b", 2), holding("c", 10), holding("d", 12))))
}

func TestAReadThatIsNeverAnsweredIsCutLikeOneThatIsRefused(t *testing.T) {
	simulate(t, line9600, 5*time.Millisecond, 200*time.Millisecond, func(b *bus) {
		b.Unit(1).SetHolding(0, 1, 2, 3, 4)
		b.Unit(1).SetInput(0, 1)
		b.Unit(1).Inject(modbussim.Fault{Table: modbussim.HoldingRegisters, Address: 2, Count: 1, Silent: true})
		good := b.counted(10 * time.Minute)
		for _, name := range []string{"m/p0", "m/p1", "m/p3", "m/i"} {
			if good[name] < 570 {
				t.Errorf("%s had %d good samples in 600 s", name, good[name])
			}
		}
	}, every(time.Second, deviceOf("m", 1, holding("p0", 0), holding("p1", 1), holding("p2", 2), holding("p3", 3), Point{Name: "i", Register: "input:0"})))
}

// TestOneDeadUnitOfEightCostsTheOthersLittle: the seven keep 94 % of what they
// have when the dead one is not there, on a line that is asked for more than it
// can carry.
func TestOneDeadUnitOfEightCostsTheOthersLittle(t *testing.T) {
	polls := func(dead bool) (total int) {
		var devices []Device
		for unit := range byte(8) {
			if !dead && unit == 3 {
				continue
			}
			devices = append(devices, every(100*time.Millisecond, deviceOf(fmt.Sprint("m", unit), unit+1, holding("x", 0))))
		}
		simulate(t, line9600, 5*time.Millisecond, 300*time.Millisecond, func(b *bus) {
			for unit := range byte(8) {
				if unit != 3 {
					b.Unit(unit+1).SetHolding(0, 1)
				}
			}
			least, most := 1<<30, 0
			for name, n := range b.counted(5 * time.Minute) {
				if !strings.HasPrefix(name, "m3") {
					total += n
					least, most = min(least, n), max(most, n)
				}
			}
			if most-least > most/50 {
				t.Errorf("of units that want the same one had %d polls and another %d", least, most)
			}
		}, devices...)
		return total
	}
	alone, beside := polls(false), polls(true)
	if share := float64(beside) / float64(alone); share < 0.94 {
		t.Errorf("the others make %d polls beside a dead unit and %d without it: %.1f %%", beside, alone, 100*share)
	}
}

// TestALineIsUsedToItsLimit in simulated time, where nothing but the adapter
// itself can waste any; BenchmarkBus has the same in the machine's time.
func TestALineIsUsedToItsLimit(t *testing.T) {
	for _, baud := range []int{1200, 9600, 19200, 115200} {
		for _, n := range []int{1, 10, 125} {
			mode := port.DefaultMode()
			mode.Baud = baud
			simulate(t, fmt.Sprintf("rtu:///dev/simulated?baud=%d", baud), turnaround, time.Second, func(b *bus) {
				b.Unit(1).SetHolding(0, make([]uint16, n)...)
				b.Unit(2).SetHolding(0, make([]uint16, n)...)
				const time = 20 * time.Second
				polls := 0
				for name, n := range b.counted(time) {
					if strings.HasSuffix(name, "/p0") {
						polls += n
					}
				}
				if used := float64(polls+1) * float64(limit(mode, n)) / float64(time); used < 0.995 {
					t.Errorf("%d baud, %d registers: %d polls are %.1f %% of the limit", baud, n, polls, 100*used)
				}
			}, registersAt(1, n, minInterval), registersAt(2, n, minInterval))
		}
	}
}

// TestNoFaultMakesAWrongValue: of the answers 1 % come late, 1 % broken and 1 %
// not at all; every register holds its own address, and the units' differ. Over a
// million polls where HEADGATE_PROOF is set.
func TestNoFaultMakesAWrongValue(t *testing.T) {
	polls := 10_000
	if os.Getenv("HEADGATE_PROOF") != "" {
		polls = 1_000_000
	}
	const units, reads = 4, 3
	var devices []Device
	for unit := range byte(units) {
		d := every(50*time.Millisecond, deviceOf(fmt.Sprint("m", unit), unit+1))
		d.MaxGap = GapOf(0) // reads of the same shape: nothing but the time tells their answers apart
		for i := range reads {
			d.Point = append(d.Point, holding(fmt.Sprint("p", i), 10*i))
		}
		devices = append(devices, d)
	}
	const timeout = 100 * time.Millisecond
	simulate(t, "rtu:///dev/simulated?baud=115200", turnaround, timeout, func(b *bus) {
		for unit := range byte(units) {
			u := b.Unit(unit + 1)
			for i := range reads {
				u.SetHolding(uint16(10*i), 1000*uint16(unit)+uint16(i))
			}
			// Late by more than the timeout, and by so much that other requests to
			// the unit would be under way by then.
			for _, by := range []time.Duration{110, 150, 250, 450, 550} {
				u.Inject(modbussim.Fault{Chance: 0.002, Delay: by * time.Millisecond})
			}
			u.Inject(modbussim.Fault{Chance: 0.005, CorruptCRC: true})
			u.Inject(modbussim.Fault{Chance: 0.005, FlipBits: 2})
			u.Inject(modbussim.Fault{Chance: 0.01, Silent: true})
		}
		good, bad, wrong := 0, 0, 0
		ctx, cancel := context.WithCancel(b.t.Context())
		defer cancel()
		b.Run(ctx, func(u point.Update) {
			for _, s := range u.Samples {
				if s.Quality != point.Good {
					bad++
					continue
				}
				if good++; good == polls {
					cancel()
				}
				if want := 1000*int64(u.Device[1]-'0') + int64(s.Point[1]-'0'); s.Value != point.OfUint(uint64(want)) {
					wrong++
					b.t.Errorf("%s/%s is %v, want %d", u.Device, s.Point, s.Value, want)
				}
			}
		})
		failed := 0
		for _, d := range b.Stats().Devices {
			failed += int(d.Failed)
		}
		b.t.Logf("%d good, %d bad, %d wrong, %d reads failed", good, bad, wrong, failed)
		if failed < polls/50 {
			b.t.Errorf("only %d of %d failed: the faults did not happen", failed, polls)
		}
		if bad > polls/100 {
			b.t.Errorf("%d were bad, of which most should have been asked for again", bad)
		}
	}, devices...)
}

// TestALineOnWhichSomebodyBabblesIsGivenUpForAWhile and taken up again when it
// is silent.
func TestALineOnWhichSomebodyBabblesIsGivenUpForAWhile(t *testing.T) {
	simulate(t, line9600, turnaround, 200*time.Millisecond, func(b *bus) {
		b.Unit(1).SetHolding(0, 7)
		reason, before, after := "", 0, 0
		begin := time.Now()
		b.samples = func(_ string, s point.Sample) {
			switch since := s.Time.Sub(begin); {
			case s.Quality != point.Good:
				reason = s.Reason
			case s.Value != point.OfUint(7):
				b.t.Errorf("got %v", s.Value)
			case since < 5*time.Second:
				before++
			case since > 14*time.Second:
				after++
			}
		}
		time.AfterFunc(5*time.Second, func() {
			noise := make([]byte, 96)
			for i := range noise {
				noise[i] = byte(i * 7)
			}
			for time.Since(begin) < 10*time.Second {
				b.wire.Say(noise) // 100 ms
			}
		})
		b.runs(20 * time.Second)
		if before < 45 || after < 55 || !strings.Contains(reason, "nobody had asked for") {
			b.t.Errorf("%d good before, %d good after, and %q between", before, after, reason)
		}
	}, every(100*time.Millisecond, deviceOf("m", 1, holding("x", 0))))
}
