// Command mqttload starts MQTT brokers from a descriptor file, loads them one
// after the other on loopback, and prints what each did beside a base target:
// messages a second, CPU time a message, memory, latency, and what was lost.
// Its README says how the figures are made and what today's brokers reach.
//
// It owns the generator, the scenarios and the checks for loss and order. It
// shares no code with the broker that it measures, and nothing in the product
// imports it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"headgate/bridge/faultnet"
)

// Exit codes.
const (
	exitMade        = 0 // every run was made
	exitFailed      = 1 // a run failed, or a -lossless target lost something
	exitBad         = 2 // bad arguments
	exitInterrupted = 3
)

func main() {
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(exitMade)
	}
	if err != nil {
		os.Exit(bad(err))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := realMain(ctx, o)
	stop()
	os.Exit(code)
}

func bad(err error) int {
	fmt.Fprintf(os.Stderr, "mqttload: %v\n", err)
	return exitBad
}

func realMain(ctx context.Context, o *options) int {
	if o.disk {
		if err := disk(ctx, o.work, o.duration()); err != nil {
			return bad(err)
		}
		return exitMade
	}
	file, err := loadTargets(o.file)
	if err != nil {
		return bad(err)
	}
	if o.list {
		printList(os.Stdout, scenarios(), file.Targets)
		return exitMade
	}
	b := newBench(o, file)
	if len(b.scenarios) == 0 || len(b.targets) == 0 {
		return bad(errors.New("no scenario or no target matches"))
	}
	code := b.run(ctx)
	if o.json != "" {
		if err := b.writeJSON(); err != nil {
			return bad(err)
		}
	}
	return code
}

func printList(w io.Writer, ss []scenario, ts []Target) {
	fmt.Fprintln(w, "scenarios:")
	for _, s := range ss {
		fmt.Fprintf(w, "  %-20s [%s] %s\n", s.name, s.mode, s.desc)
	}
	fmt.Fprintln(w, "targets:")
	for _, t := range ts {
		var modes []string
		for m := range t.Modes {
			modes = append(modes, m)
		}
		slices.Sort(modes)
		off := ""
		if t.Off {
			off = " (off)"
		}
		fmt.Fprintf(w, "  %-24s %s%s\n", t.Name, strings.Join(modes, ","), off)
	}
}

// match says whether name is one of the comma-separated globs.
func match(patterns, name string) bool {
	for p := range strings.SplitSeq(patterns, ",") {
		if ok, _ := path.Match(strings.TrimSpace(p), name); ok {
			return true
		}
	}
	return false
}

// result is one run, as written with -json.
type result struct {
	Scenario string  `json:"scenario"`
	Target   string  `json:"target"`
	Round    int     `json:"round"`
	Metrics  metrics `json:"metrics,omitempty"`
	Error    string  `json:"error,omitempty"`
}

// bench is one call of the command: what is to run, and what has come out.
type bench struct {
	o         *options
	scenarios []scenario
	targets   []*Target
	base      string
	out       io.Writer // tables
	progress  io.Writer // a line a run

	results []result
	absent  map[string]bool // targets whose program is missing, reported once
}

func newBench(o *options, file *Targets) *bench {
	b := &bench{o: o, base: file.Base, out: os.Stdout, progress: os.Stderr, absent: map[string]bool{}}
	if o.base != "" {
		b.base = o.base
	}
	if o.json == "-" {
		b.out = io.Discard
	}
	if o.quiet {
		b.progress = io.Discard
	}
	for _, s := range scenarios() {
		if o.scenario == "" || match(o.scenario, s.name) {
			b.scenarios = append(b.scenarios, s)
		}
	}
	for i := range file.Targets {
		t := &file.Targets[i]
		if (o.targets == "" && !t.Off) || (o.targets != "" && match(o.targets, t.Name)) {
			b.targets = append(b.targets, t)
		}
	}
	return b
}

func (b *bench) run(ctx context.Context) int {
	fmt.Fprintf(b.out, "machine: %d CPUs, %s %s; %gs a run, %d rounds, base %s\n",
		runtime.NumCPU(), runtime.Version(), runtime.GOARCH, b.o.seconds, b.o.repeat, b.base)
	code := exitMade
	for _, s := range b.scenarios {
		here := b.able(s)
		if len(here) == 0 {
			continue
		}
		t := newTable(s, here, b.base)
		for round := 0; round < b.o.repeat && ctx.Err() == nil; round++ {
			for _, target := range here {
				m, err := b.once(ctx, s, target)
				if ctx.Err() != nil {
					break
				}
				b.note(t, s, target, round, m, err)
				if err != nil {
					code = exitFailed
				}
			}
		}
		t.print(b.out)
		if ctx.Err() != nil {
			return exitInterrupted
		}
	}
	return code
}

// able gives the targets that can run s: they have its mode and their program is here.
func (b *bench) able(s scenario) []*Target {
	var here []*Target
	for _, t := range b.targets {
		m, ok := t.Modes[s.mode]
		if !ok || (t.Raw && !s.raw) {
			continue
		}
		if _, err := exec.LookPath(strings.ReplaceAll(m.Cmd[0], "{bin}", b.o.bin)); err != nil {
			if !b.absent[t.Name] {
				fmt.Fprintf(os.Stderr, "mqttload: %s left out: %v\n", t.Name, err)
			}
			b.absent[t.Name] = true
			continue
		}
		here = append(here, t)
	}
	return here
}

// note keeps one run's outcome for the table and the JSON file, and tells it.
func (b *bench) note(t *table, s scenario, target *Target, round int, m metrics, err error) {
	res := result{Scenario: s.name, Target: target.Name, Round: round, Metrics: m}
	if err != nil {
		res.Error = err.Error()
		t.fail(target.Name, res.Error)
		fmt.Fprintf(b.progress, "%s %s #%d: ERROR %v\n", s.name, target.Name, round, err)
	} else {
		fmt.Fprintf(b.progress, "%s %s #%d: %s\n", s.name, target.Name, round, line(s, m))
	}
	if m != nil {
		t.add(target.Name, m)
	}
	b.results = append(b.results, res)
}

// once starts the target afresh, runs the scenario and stops it. Metrics and an
// error come together when a -lossless target lost something.
func (b *bench) once(ctx context.Context, s scenario, t *Target) (m metrics, err error) {
	e := &env{ctx: ctx, o: b.o, t: t, ver: 4, dur: b.o.duration()}
	e.warm = min(e.dur/4, time.Second)
	if b.o.v5 {
		e.ver = 5
	}
	rport := 0
	if strings.HasPrefix(s.mode, "bridge") {
		if e.sink, err = newSink(); err != nil {
			return nil, err
		}
		defer e.sink.down()
		rport = e.sink.port
	}
	if s.link > 0 {
		link, err := faultnet.Listen("127.0.0.1:0", e.sink.addr())
		if err != nil {
			return nil, err
		}
		defer link.Close()
		link.Delay(s.link)
		_, port, _ := net.SplitHostPort(link.Addr())
		rport, _ = strconv.Atoi(port)
	}
	if e.in, err = t.start(ctx, b.o, s.mode, rport); err != nil {
		return nil, err
	}
	defer e.in.stop(b.o.keep)
	runtime.GC()
	if err := calm(ctx, b.o.calm); err != nil {
		return nil, err
	}
	busy0, cpu0, self0, t0 := machineBusy(), e.in.cpu(), selfCPU(), time.Now()
	pid := e.in.cmd.Process.Pid
	if m, err = s.run(e); err != nil {
		return nil, err
	}
	if e.in.cmd.Process.Pid == pid { // not restarted by the scenario
		others := (machineBusy() - busy0) - (e.in.cpu() - cpu0) - (selfCPU() - self0)
		m["others"] = others.Seconds() / time.Since(t0).Seconds()
	}
	if b.o.lossless != "" && match(b.o.lossless, t.Name) && s.name != blastName {
		err = m.losses()
	}
	return m, err
}

func (b *bench) writeJSON() error {
	j, err := json.MarshalIndent(map[string]any{
		"base": b.base, "seconds": b.o.seconds, "repeat": b.o.repeat,
		"cpus": runtime.NumCPU(), "go": runtime.Version(), "runs": b.results,
	}, "", " ")
	if err != nil {
		return fmt.Errorf("encode the results: %w", err)
	}
	j = append(j, '\n')
	if b.o.json == "-" {
		_, err = os.Stdout.Write(j)
		return err
	}
	return os.WriteFile(b.o.json, j, 0o644)
}
