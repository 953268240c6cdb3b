package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"headgate/adapters/modbus"
	"headgate/cmd/headgate/config"
)

// modbusPlanCmd shows what the links will be busy with.
type modbusPlanCmd struct {
	configFile
	Link       string        `placeholder:"NAME" help:"Only this link; all if left out."`
	Turnaround time.Duration `default:"5ms" placeholder:"TIME" help:"How long units take to begin an answer; on a network the round trip."`
}

// Run prints the requests of each link. Nothing is opened.
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
		p, err := modbus.NewPlan(m, c.Turnaround)
		if err != nil {
			return err
		}
		if shown++; shown > 1 {
			fmt.Fprintln(k.Stdout)
		}
		printPlan(k.Stdout, m, p, c.Turnaround)
	}
	switch {
	case shown == 0 && c.Link != "":
		return fmt.Errorf("the configuration has no link %q", c.Link)
	case shown == 0:
		return errors.New("the configuration has no [[modbus]] link")
	}
	return nil
}

// mostPoints of a request are named; of more, how many.
const mostPoints = 4

func printPlan(w io.Writer, m modbus.Config, p modbus.Plan, turnaround time.Duration) {
	fmt.Fprintf(w, "%s, %s, answers that begin after %v:\n", m.Name, m.URL, turnaround)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "device\tunit\treads\ttakes\ta minute\tpoints")
	for _, r := range p.Reads {
		points := strings.Join(r.Points[:min(len(r.Points), mostPoints)], " ")
		if n := len(r.Points); n > mostPoints {
			points = fmt.Sprintf("%s ... (%d)", points, n)
		}
		reads := r.Registers
		if r.Holes > 0 {
			reads += fmt.Sprintf(" (%d for nothing)", r.Holes)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%v\t%.4g\t%s\n", r.Device, r.Unit, reads, r.Took.Round(100*time.Microsecond), r.PerMinute, points)
	}
	t.Flush()
	fmt.Fprintf(w, "%.3g requests a second (one by one: %.3g), %.0f %% of the link's time\n", p.PerSecond, p.OneByOne, 100*p.Load)
	if p.Load > 1 {
		fmt.Fprintln(w, "This cannot be done: points will come late. Read less often, fewer points, or faster.")
	}
}
