package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"headgate/cmd/headgate/config"
	"headgate/cmd/headgate/control"
)

// topCmd is headgate status again and again, with rates.
type topCmd struct {
	configFile
	Every time.Duration `default:"1s" placeholder:"1s" help:"How often."`
	Count int           `short:"n" placeholder:"N" help:"End after so many pages. By default it goes on until it is interrupted."`
}

// Validate is called by the parser.
func (c *topCmd) Validate() error {
	if c.Every < 100*time.Millisecond {
		return fmt.Errorf("--every %v: want 100ms or more", c.Every)
	}
	return c.configFile.Validate()
}

// Run draws a page over the one before on a terminal, and one after the other
// where there is none.
func (c *topCmd) Run(k *kong.Kong) error {
	file, err := config.Load(c.path())
	if err != nil {
		return err
	}
	ctx, stop := untilStopped()
	defer stop()
	client := control.New(control.Paths(file.Gateway.DataDir))
	begin, end := "", "\n"
	if out, ok := k.Stdout.(*os.File); ok && term.IsTerminal(int(out.Fd())) {
		fmt.Fprint(out, enterScreen)
		defer fmt.Fprint(out, leaveScreen)
		begin, end = "\x1b[H", "\x1b[J"
	}
	var before statusReport
	for n := 1; ; n++ {
		now, err := topPage(ctx, client, &before, k.Stdout, begin, end)
		if err != nil {
			return fmt.Errorf("top: %w", err)
		}
		before = now
		if n == c.Count {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.Every):
		}
	}
}

func topPage(ctx context.Context, client *control.Client, before *statusReport, out io.Writer, begin, end string) (now statusReport, err error) {
	if err := client.Get(ctx, statusPath, &now); err != nil {
		return now, err
	}
	page := now.page()
	if rates := now.rates(before); rates != "" {
		head, rest, _ := strings.Cut(page, "\n")
		page = head + "\n" + rates + rest
	}
	// What is left of a longer line before goes with the end of each.
	_, err = io.WriteString(out, begin+strings.ReplaceAll(page, "\n", clearLine(begin)+"\n")+end)
	return now, err
}

func clearLine(begin string) string {
	if begin == "" {
		return ""
	}
	return "\x1b[K"
}

// rates says what goes through a second since the report before; "" of the first.
func (r *statusReport) rates(before *statusReport) string {
	seconds := r.Uptime - before.Uptime
	if before.Uptime == 0 || seconds <= 0 {
		return ""
	}
	per := func(now, then int64) float64 { return float64(now-then) / seconds }
	var samples, samplesBefore uint64
	for i := range r.Devices {
		samples += r.Devices[i].Samples
	}
	for i := range before.Devices {
		samplesBefore += before.Devices[i].Samples
	}
	p := reportPage{}
	p.line("now", "%.3g values, %.3g messages in, %.3g out, %.3g commits a second", per(int64(samples), int64(samplesBefore)),
		per(r.Flow.In, before.Flow.In), per(r.Flow.Out, before.Flow.Out), per(r.Store.Commits, before.Store.Commits))
	return p.b.String()
}
