package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"headgate/adapters/modbus"
	"headgate/cmd/headgate/config"
	"headgate/cmd/headgate/control"
)

// modbusPlanCmd shows what the links will be busy with.
type modbusPlanCmd struct {
	configFile
	Link       string        `placeholder:"NAME" help:"Only this link; all if left out."`
	Turnaround time.Duration `placeholder:"TIME" help:"How long units take to begin an answer; on a network the round trip. By default as the gateway that runs here has measured it, and 5ms where none has."`
}

// assumedTurnaround is that of a unit that nobody has measured.
const assumedTurnaround = 5 * time.Millisecond

// Run prints the requests of each link. No link is opened.
func (c *modbusPlanCmd) Run(k *kong.Kong) error {
	file, err := config.Load(c.path())
	if err != nil {
		return err
	}
	shown := 0
	for _, m := range file.Modbus {
		if c.Link != "" && m.Name != c.Link {
			continue
		}
		units, err := c.units(m, file.Gateway.DataDir)
		if err != nil {
			fmt.Fprintf(k.Stderr, "headgate: the gateway that runs here does not say what it has measured: %v\n", err)
		}
		p, err := modbus.NewPlan(m, units.of)
		if err != nil {
			return err
		}
		if shown++; shown > 1 {
			fmt.Fprintln(k.Stdout)
		}
		printPlan(k.Stdout, m, p, units)
	}
	switch {
	case shown == 0 && c.Link != "":
		return fmt.Errorf("the configuration has no link %q", c.Link)
	case shown == 0:
		return errors.New("the configuration has no [[modbus]] link")
	}
	return nil
}

// units gives the turnarounds of a link's units.
func (c *modbusPlanCmd) units(m modbus.Config, dataDir string) (turnarounds, error) {
	units := turnarounds{assumed: cmp.Or(c.Turnaround, assumedTurnaround)}
	if c.Turnaround > 0 {
		return units, nil
	}
	var has modbusHas
	err := control.New(control.Paths(dataDir)).Post(context.Background(), modbusLinkPath, modbusAsk{Link: m.Link()}, &has)
	if errors.Is(err, control.ErrNoGateway) {
		err = nil
	}
	units.measured = has.Turnaround
	return units, err
}

// turnarounds are what a link's units take to begin an answer.
type turnarounds struct {
	measured map[uint8]time.Duration // by the gateway that runs
	assumed  time.Duration           // of the others
}

func (t turnarounds) of(unit uint8) time.Duration {
	return cmp.Or(t.measured[unit], t.assumed)
}

// say gives that of a unit as it is printed.
func (t turnarounds) say(unit uint8) string {
	if d := t.measured[unit]; d > 0 {
		return fmt.Sprintf("%v, measured", d.Round(10*time.Microsecond))
	}
	return fmt.Sprintf("%v, assumed", t.assumed)
}

// mostPoints of a request are named; of more, how many.
const mostPoints = 4

func printPlan(w io.Writer, m modbus.Config, p modbus.Plan, units turnarounds) {
	fmt.Fprintf(w, "%s, %s:\n", m.Name, m.URL)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "device\tunit\treads\tanswers after\ttakes\ta minute\tpoints")
	for _, r := range p.Reads {
		points := strings.Join(r.Points[:min(len(r.Points), mostPoints)], " ")
		if n := len(r.Points); n > mostPoints {
			points = fmt.Sprintf("%s ... (%d)", points, n)
		}
		reads := r.Registers
		if r.Holes > 0 {
			reads += fmt.Sprintf(" (%d for nothing)", r.Holes)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%v\t%.4g\t%s\n", r.Device, r.Unit, reads, units.say(r.Unit), r.Took.Round(100*time.Microsecond), r.PerMinute, points)
	}
	t.Flush()
	fmt.Fprintf(w, "%.3g requests a second (one by one: %.3g), %.0f %% of the link's time\n", p.PerSecond, p.OneByOne, 100*p.Load)
	if p.Load > 1 {
		fmt.Fprintln(w, "This cannot be done: points will come late. Read less often, fewer points, or faster.")
	}
}
