package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"headgate/cmd/headgate/config"
	"headgate/cmd/headgate/control"
	"headgate/gateway/web"
)

const logPath = "/api/v1/log"

// logCmd prints what the gateway that runs here has kept of its log.
type logCmd struct {
	configFile
	Lines  int    `short:"n" default:"50" placeholder:"50" help:"How many of the newest lines, at most."`
	Follow bool   `short:"f" help:"Go on with those that come, until it is interrupted."`
	Level  string `enum:"debug,info,warn,error" default:"info" help:"The least level: debug, info, warn or error. Debug lines are there only with headgate run -v."`
}

var levels = []string{"debug", "info", "warn", "error"}

// Run prints them, the oldest first.
func (c *logCmd) Run(k *kong.Kong) error {
	file, err := config.Load(c.path())
	if err != nil {
		return err
	}
	ctx, stop := untilStopped()
	defer stop()
	client := control.New(control.Paths(file.Gateway.DataDir))
	last, err := c.print(ctx, client, 0, k.Stdout)
	for err == nil && c.Follow {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
		last, err = c.print(ctx, client, last, k.Stdout)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// print prints the lines after the one of that number, and gives the number of the
// newest. Of what was there before it, c.Lines at most.
func (c *logCmd) print(ctx context.Context, client *control.Client, after uint64, out io.Writer) (last uint64, err error) {
	var lines []web.Line
	if err := client.Get(ctx, fmt.Sprintf("%s?after=%d", logPath, after), &lines); err != nil {
		return after, err
	}
	last = after
	if len(lines) > 0 {
		last = lines[len(lines)-1].Number
	}
	lines = slices.DeleteFunc(lines, func(l web.Line) bool { return slices.Index(levels, l.Level) < slices.Index(levels, c.Level) })
	if after == 0 && len(lines) > c.Lines {
		lines = lines[len(lines)-max(c.Lines, 0):]
	}
	for _, l := range lines {
		facts := ""
		if l.Facts != "" {
			facts = "  " + l.Facts
		}
		if _, err := fmt.Fprintf(out, "%s %-5s %s%s\n", l.Time.Local().Format("2006-01-02 15:04:05.000"), strings.ToUpper(l.Level), l.Text, facts); err != nil {
			return last, err
		}
	}
	return last, nil
}
