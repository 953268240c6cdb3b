package modbus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
	"headgate/gateway/point"
)

// storm is everything at once: faults of every kind, plugs that are pulled, somebody
// who babbles, commands, tools and listeners, for some minutes of simulated time.
type storm struct {
	*bus
	ctx context.Context
	wg  sync.WaitGroup

	mu   sync.Mutex // guards what follows
	done map[string]int
}

const stormUnits = 4

// TestInAStormNothingHangsAndNoValueIsWrong: each register holds its own address, or
// what was written to it last; when the storm is over all is good again. It blows for
// minutes, or for hours where HEADGATE_PROOF is set.
func TestInAStormNothingHangsAndNoValueIsWrong(t *testing.T) {
	length := 3 * time.Minute
	if os.Getenv("HEADGATE_PROOF") != "" {
		length = 3 * time.Hour
	}
	for _, url := range []string{"rtu:///dev/simulated?baud=115200", "ascii:///dev/simulated?baud=115200&data_bits=7"} {
		var devices []Device
		for unit := range byte(stormUnits) {
			d := every(50*time.Millisecond, deviceOf(fmt.Sprint("m", unit), unit+1, holding("level", 100, rw), holding("do", 200, writeOnly)))
			d.MaxGap = GapOf(0)
			for i := range 3 {
				d.Point = append(d.Point, holding(fmt.Sprint("p", i), 10*i))
			}
			d.Setup = []Setup{{Register: "holding:300", Value: int64(unit)}}
			devices = append(devices, d)
		}
		simulate(t, url, 2*time.Millisecond, 100*time.Millisecond, func(b *bus) {
			ctx, cancel := context.WithTimeout(b.t.Context(), length)
			defer cancel()
			s := &storm{bus: b, ctx: ctx, done: map[string]int{}}
			s.blow()
		}, devices...)
	}
}

func (s *storm) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done[what]++
}

// again has f called after random times of that much at most.
func (s *storm) again(seed uint64, most time.Duration, f func(r *rand.Rand)) {
	r := rand.New(rand.NewPCG(seed, 7))
	s.wg.Go(func() {
		for s.ctx.Err() == nil {
			if wait(s.ctx, time.Duration(r.Int64N(int64(most)))) == nil {
				f(r)
			}
		}
	})
}

func (s *storm) blow() {
	var ends []func()
	for unit := range byte(stormUnits) {
		u := s.Unit(unit + 1)
		for i := range 3 {
			u.SetHolding(uint16(10*i), 1000*uint16(unit)+uint16(i))
		}
		u.SetHolding(100, 0)
		u.SetHolding(200, 0)
		u.SetHolding(300, 0xffff)
		for _, f := range []modbussim.Fault{
			{Chance: 0.01, Delay: 150 * time.Millisecond}, {Chance: 0.01, Delay: 550 * time.Millisecond}, {Chance: 0.02, CorruptCRC: true},
			{Chance: 0.02, FlipBits: 2}, {Chance: 0.02, Silent: true}, {Chance: 0.01, Exception: 6}, {Chance: 0.005, Exception: 2},
			{Chance: 0.01, Before: []byte{unit + 1, 3, 2, 0, 0}}, {Chance: 0.01, SplitAt: 3, SplitFor: 30 * time.Millisecond}, {Chance: 0.01, ShortBy: 1},
		} {
			ends = append(ends, u.Inject(f))
		}
		s.commands(uint64(unit))
	}
	s.again(100, 20*time.Second, func(*rand.Rand) { s.Disconnect(); s.count("pulled") })
	s.again(101, 5*time.Second, func(*rand.Rand) { s.wire.Say([]byte("nobody asked")) })
	s.again(102, time.Second, func(r *rand.Rand) {
		_, err := s.Do(s.ctx, Request{Unit: uint8(1 + r.IntN(9)), Register: "holding:0", Count: 1 + r.IntN(2)})
		s.count("tool: " + point.Outcome(err))
	})
	s.again(103, 2*time.Second, func(r *rand.Rand) {
		ctx, cancel := context.WithTimeout(s.ctx, time.Second)
		defer cancel()
		s.Sniff(ctx, func(Heard) { s.count("heard") })
	})
	run, stop := context.WithCancel(s.t.Context())
	defer stop()
	last := map[string]point.Sample{}
	s.wg.Go(func() {
		<-s.ctx.Done()
		for _, end := range ends {
			end()
		}
		// The longest that a unit is left alone, and a poll of it.
		time.Sleep(maxProbe + 5*time.Second)
		stop()
	})
	s.Run(run, func(u point.Update) {
		for _, sample := range u.Samples {
			last[u.Device+"/"+sample.Point] = sample
			s.check(u.Device, sample)
		}
	})
	s.wg.Wait()
	s.t.Log(s.done)
	for name, sample := range last {
		if sample.Quality != point.Good {
			s.t.Errorf("after the storm %s is bad: %s", name, sample.Reason)
		}
	}
	for unit := range byte(stormUnits) {
		if v, _ := s.Unit(unit+1).Get(modbussim.HoldingRegisters, 300); v != uint16(unit) {
			s.t.Errorf("unit %d is set up with %d", unit+1, v)
		}
	}
	if len(last) != 4*stormUnits || s.done["good"] < 1000 || s.done["written"] < 100 || s.done["pulled"] < 5 || s.done["heard"] < 1000 || s.done["tool: ok"] < 50 {
		s.t.Errorf("%d points; there was no storm: %v", len(last), s.done)
	}
}

// check finds a value that is not the register's.
func (s *storm) check(device string, sample point.Sample) {
	if sample.Quality != point.Good {
		s.count("bad")
		return
	}
	s.count("good")
	if sample.Point == "level" {
		return
	}
	if want := 1000*int64(device[1]-'0') + int64(sample.Point[1]-'0'); sample.Value != point.OfUint(uint64(want)) {
		s.t.Errorf("%s/%s is %v, want %d", device, sample.Point, sample.Value, want)
	}
}

// commands writes to one unit, whose only writer it is: what is read back is what was
// written, or there is a reason.
func (s *storm) commands(unit uint64) {
	s.again(unit, time.Second, func(r *rand.Rand) {
		v := point.OfUint(uint64(r.IntN(1 << 16)))
		name := []string{"level", "do"}[r.IntN(2)]
		began := time.Now()
		got, err := s.Write(s.ctx, point.Command{Device: fmt.Sprint("m", unit), Point: name, Value: v})
		if took := time.Since(began); took > 30*time.Second {
			s.t.Errorf("a command took %v", took)
		}
		switch {
		case err == nil && name == "level" && got != v && got != (point.Value{}):
			s.t.Errorf("%v was written and %v read back", v, got)
		case err == nil:
			s.count("written")
		case errors.Is(err, point.ErrRefused):
			s.t.Error(err)
		default:
			s.count("command: " + point.Outcome(err))
		}
	})
}
