package modbus

import (
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/gateway/point"
)

// brokenAnswers are ways of an answer to be none.
func brokenAnswers() map[string]modbussim.Fault {
	return map[string]modbussim.Fault{
		"corrupt":    {CorruptCRC: true},
		"silent":     {Silent: true},
		"short by 1": {ShortBy: 1},
		"only half":  {SplitAt: 4, SplitFor: 200 * time.Millisecond},
		"late":       {Delay: 150 * time.Millisecond},
		"busy":       {Exception: 6},
	}
}

// TestABrokenAnswerIsAskedForAgain: of points that are due once in an hour one answer is
// lost, and they are not bad for an hour, or at all.
func TestABrokenAnswerIsAskedForAgain(t *testing.T) {
	for name, f := range brokenAnswers() {
		simulate(t, line9600, turnaround, 100*time.Millisecond, func(b *bus) {
			b.Unit(7).SetHolding(0, 1, 2)
			b.Unit(7).SetHolding(100, 3)
			f.Table, f.Address, f.Count, f.Times = modbussim.HoldingRegisters, 0, 1, 1
			time.AfterFunc(time.Minute, func() { b.Unit(7).Inject(f) })
			begin := time.Now()
			var hours []time.Duration
			b.samples = func(_ string, s point.Sample) {
				if s.Quality != point.Good {
					t.Errorf("%s: %s is bad: %s", name, s.Point, s.Reason)
				}
				if s.Point == "x" {
					hours = append(hours, s.Time.Sub(begin))
				}
			}
			b.runs(90 * time.Minute)
			if len(hours) != 2 || hours[1] < time.Hour+time.Millisecond || hours[1] > time.Hour+2*time.Second {
				t.Errorf("%s: x was read after %v", name, hours)
			}
			if st := b.Stats().Devices[0]; st.Failed != 1 {
				t.Errorf("%s: %d reads failed", name, st.Failed)
			}
		}, every(time.Hour, deviceOf("m", 7, holding("x", 0), holding("y", 1), Point{Name: "z", Register: "holding:100", Interval: time.Second})))
	}
}

// TestAnAnswerThatIsBrokenEachTimeIsBad and is not asked for twice each time.
func TestAnAnswerThatIsBrokenEachTimeIsBad(t *testing.T) {
	for name, f := range brokenAnswers() {
		simulate(t, line9600, turnaround, 100*time.Millisecond, func(b *bus) {
			b.Unit(7).SetHolding(0, 1)
			b.Unit(7).SetHolding(100, 3)
			f.Table, f.Address, f.Count = modbussim.HoldingRegisters, 0, 1
			b.Unit(7).Inject(f)
			bad := 0
			b.samples = func(_ string, s point.Sample) {
				if s.Point == "x" && s.Quality == point.Good {
					t.Errorf("%s: x is %v", name, s.Value)
				}
				if s.Point == "z" && s.Quality != point.Good {
					t.Errorf("%s: z is bad: %s", name, s.Reason)
				}
				if s.Point == "x" {
					bad++
				}
			}
			b.runs(time.Minute)
			if st := b.Stats().Devices[0]; st.Failed > 62 && name != "busy" {
				t.Errorf("%s: %d reads have failed in 60 polls", name, st.Failed)
			}
			if bad == 0 {
				t.Errorf("%s: nothing was bad", name)
			}
		}, every(time.Second, deviceOf("m", 7, holding("x", 0), holding("z", 100))))
	}
}
