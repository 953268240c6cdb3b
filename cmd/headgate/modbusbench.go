package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/alecthomas/kong"

	"headgate/adapters/modbus"
	"headgate/gateway/point"
)

// modbusBenchCmd reads as fast as it goes.
type modbusBenchCmd struct {
	modbusUnit
	Register string        `arg:"" help:"Table and 0-based address of the first one, like holding:100."`
	Count    int           `arg:"" optional:"" help:"How many in a request; 1 if left out."`
	For      time.Duration `default:"5s" placeholder:"TIME" help:"For how long."`
}

// Run reads one request after the other and prints what came of them.
func (c *modbusBenchCmd) Run(k *kong.Kong) error {
	ctx, stop := untilStopped()
	defer stop()
	a, f, unit, err := c.openUnit(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	r := modbus.Request{Unit: unit, Register: c.Register, Count: max(c.Count, 1), Timeout: c.Timeout}
	// One to find out whether it can be done at all.
	if _, err := a.Do(ctx, r); err != nil {
		return err
	}
	b := bench{request: r, outcomes: map[string]int{}}
	if err := b.run(ctx, a, c.For); err != nil {
		return err
	}
	b.print(k.Stdout, f.config.WireTime(r))
	return nil
}

// bench is what came of the requests.
type bench struct {
	request  modbus.Request
	took     []time.Duration // of those that were answered, sorted
	outcomes map[string]int  // of the others
	last     error
	elapsed  time.Duration
}

func (b *bench) run(ctx context.Context, a modbusAsker, length time.Duration) error {
	began := time.Now()
	for b.elapsed = 0; b.elapsed < length && ctx.Err() == nil; b.elapsed = time.Since(began) {
		answer, err := a.Do(ctx, b.request)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			b.took = append(b.took, answer.Took)
		case errors.Is(err, point.ErrRefused):
			return err
		default:
			b.outcomes[point.Outcome(err)]++
			b.last = err
		}
	}
	slices.Sort(b.took)
	return nil
}

// print prints it; onWire is what one request needs on the line, 0 if that is not
// known.
func (b *bench) print(w io.Writer, onWire time.Duration) {
	n := len(b.took)
	rate := float64(n) / b.elapsed.Seconds()
	fmt.Fprintf(w, "%d requests of %d in %v: %.1f a second, %.0f values a second\n", n, b.request.Count, b.elapsed.Round(time.Millisecond), rate, rate*float64(b.request.Count))
	if n > 0 {
		at := func(p int) time.Duration { return b.took[min(n-1, n*p/100)].Round(10 * time.Microsecond) }
		fmt.Fprintf(w, "answered in %v (median), %v (95 %%), %v (99 %%), %v (the slowest)\n", at(50), at(95), at(99), at(100))
	}
	if onWire > 0 {
		fmt.Fprintf(w, "on the wire each takes %v: %.1f a second is the limit, %.0f %% of it was reached\n", onWire.Round(10*time.Microsecond), 1/onWire.Seconds(), 100*rate*onWire.Seconds())
	}
	for outcome, count := range b.outcomes {
		fmt.Fprintf(w, "%d came to nothing: %s\n", count, outcome)
	}
	if b.last != nil {
		fmt.Fprintf(w, "the last one: %v\n", b.last)
	}
}
