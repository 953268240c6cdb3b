package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"headgate/adapters/port"
)

// simCmd simulates a bus, for who has no hardware, or wants to see what a gateway
// makes of a bad one.
type simCmd struct {
	Port       string        `placeholder:"PATH" help:"Where the bus is to be found: a link to its port is made there. By default in a directory headgate-sim for temporary files."`
	Baud       int           `default:"9600" help:"The speed of the bus; each byte takes its time."`
	Parity     string        `default:"N" enum:"N,E,O" help:"Its parity: N, E or O."`
	Turnaround time.Duration `default:"5ms" placeholder:"TIME" help:"How long a unit thinks before it answers."`
	TCP        string        `name:"tcp" placeholder:"ADDRESS" help:"Serve the same units over Modbus TCP too, like 127.0.0.1:5020."`
	Fault      []string      `placeholder:"FAULT" help:"What goes wrong from the start: silence, late, flips, echo, babble, unplug; silence:2 for unit 2 alone."`
	For        time.Duration `placeholder:"20s" help:"End by itself after this time."`
}

// Run runs it until "q", a signal, or the end of --for.
func (c *simCmd) Run(k *kong.Kong) error {
	ctx, stop := untilStopped()
	defer stop()
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	mode := port.DefaultMode()
	mode.Baud, mode.Parity = c.Baud, port.Parity(c.Parity[0])
	if c.Baud < 50 {
		return &ended{status: exitUsage, err: fmt.Errorf("--baud %d: want a speed like 9600", c.Baud)}
	}
	path, err := filepath.Abs(cmp.Or(c.Port, filepath.Join(os.TempDir(), "headgate-sim", "bus")))
	if err != nil {
		return err
	}
	bus, err := openSimBus(path, mode, c.Turnaround, c.TCP)
	if err != nil {
		return err
	}
	s := simScreen{bus: bus, out: k.Stdout}
	for _, f := range c.Fault {
		name, unit, _ := strings.Cut(f, ":")
		n, err := strconv.ParseUint(cmp.Or(unit, "0"), 10, 8)
		if err == nil {
			err = bus.toggle(name, uint8(n))
		}
		if err != nil {
			return errors.Join(&ended{status: exitUsage, err: fmt.Errorf("--fault %s: %w", f, err)}, bus.close())
		}
	}
	var keys <-chan byte
	if in := int(os.Stdin.Fd()); term.IsTerminal(in) && isTerminal(k.Stdout) {
		if old, err := term.MakeRaw(in); err == nil {
			defer term.Restore(in, old)
			s.raw, keys = true, pressedKeys()
		}
	}
	s.begin()
	err = s.run(ctx, keys)
	s.say("%s", s.state())
	return errors.Join(err, bus.close())
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// simScreen is what a person sees of a bus, and does to it.
type simScreen struct {
	bus  *simBus
	out  io.Writer
	raw  bool  // a terminal that does not turn a new line into its beginning too
	unit uint8 // whose faults the keys switch; 0: of each
}

// begin says what there is.
func (s *simScreen) begin() {
	s.say("A bus of %d simulated Modbus devices, %s.\nTo poll it, copy into a configuration:", len(simDevices()), s.bus.mode)
	s.say("%s", s.bus.config())
	s.say("or look at it:\n  headgate modbus scan --units 1-5 --url '%s'", s.bus.url())
	if !s.raw {
		return
	}
	s.say("Keys:")
	for _, f := range simFaults() {
		s.say("  %c  %s: %s", f.key, f.name, f.what)
	}
	s.say("  1 to %d, 0  which unit is silent, late or flips: one of them, or each\n  q  end", len(simDevices()))
}

// say prints lines.
func (s *simScreen) say(format string, args ...any) {
	text := strings.TrimSuffix(fmt.Sprintf(format, args...), "\n") + "\n"
	if s.raw {
		text = "\r\x1b[K" + strings.ReplaceAll(text, "\n", "\r\n")
	}
	io.WriteString(s.out, text)
}

// run obeys the keys until ctx ends, "q", or the bus fails.
func (s *simScreen) run(ctx context.Context, keys <-chan byte) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case key := <-keys:
			switch end, err := s.press(key); {
			case err != nil:
				return err
			case end:
				return nil
			}
		case <-tick.C:
			if s.raw {
				io.WriteString(s.out, "\r\x1b[K"+fitted(s.state(), widthOf(s.out)))
			}
		}
	}
}

// press does what a key means; end is true for that which ends it.
func (s *simScreen) press(key byte) (end bool, err error) {
	switch {
	case key == 'q' || key == 3: // 3 is Ctrl-C, which a raw terminal does not turn into a signal
		return true, nil
	case key >= '0' && int(key-'0') <= len(simDevices()):
		s.unit = key - '0'
		s.say("The keys are for %s.", s.whose())
		return false, nil
	}
	for _, f := range simFaults() {
		if f.key != key {
			continue
		}
		if err := s.bus.toggle(f.name, s.unit); err != nil {
			return false, err
		}
		s.say("%s  on: %s", time.Now().Format("15:04:05"), cmp.Or(s.bus.faults(), "nothing"))
	}
	return false, nil
}

func (s *simScreen) whose() string {
	if s.unit == 0 {
		return "every unit"
	}
	return fmt.Sprintf("unit %d", s.unit)
}

// state is how the bus is, in a line.
func (s *simScreen) state() string {
	var b strings.Builder
	for _, d := range simDevices() {
		fmt.Fprintf(&b, "%s (%d) asked %d times   ", d.name, d.unit, s.bus.sim.Unit(d.unit).Counts().Requests)
	}
	return b.String() + "wrong: " + cmp.Or(s.bus.faults(), "nothing")
}
