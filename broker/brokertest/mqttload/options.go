package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// options are the command's flags; usage texts stand in parseOptions.
type options struct {
	targets, scenario, lossless string
	file, base, bin, work, json string
	seconds                     float64
	repeat                      int
	calm, drain                 time.Duration
	list, disk, keep, perf      bool
	v5, quiet                   bool

	batch      int   // bytes
	pubs       int   // publishers in the fan-in scenarios
	window     int64 // unacknowledged messages
	rate       int   // messages a second
	conns      int
	bridgeRate int   // messages a second
	backlog    int64 // messages
}

func parseOptions(args []string, usage io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("mqttload", flag.ContinueOnError)
	f.SetOutput(usage)
	f.StringVar(&o.targets, "targets", "", "comma-separated target names or globs (default: all that are not off)")
	f.StringVar(&o.scenario, "scenario", "", "comma-separated scenario names or globs (default: all)")
	f.StringVar(&o.lossless, "lossless", "", "comma-separated target names or globs whose run fails if a message was lost, left undrained or out of order (not "+blastName+")")
	f.StringVar(&o.file, "file", "", "target descriptor file (default: the built-in targets.json)")
	f.Float64Var(&o.seconds, "seconds", 3, "measured seconds of a run")
	f.IntVar(&o.repeat, "repeat", 3, "rounds; every round runs every target once")
	f.BoolVar(&o.list, "list", false, "list the scenarios and targets")
	f.StringVar(&o.json, "json", "", "also write every run to this file ('-': standard output, instead of the tables)")
	f.StringVar(&o.base, "base", "", "target the ratios are to (default: the file's)")
	f.StringVar(&o.work, "work", filepath.Join(os.TempDir(), "mqttload"), "folder for the targets' data")
	f.StringVar(&o.bin, "bin", "bin", "folder that {bin} in the descriptors stands for")
	f.BoolVar(&o.disk, "disk", false, "measure write+fdatasync in -work and end")
	f.BoolVar(&o.keep, "keep", false, "keep the targets' data and logs")
	f.IntVar(&o.batch, "batch", 16<<10, "bytes a publisher gathers before a write")
	f.DurationVar(&o.calm, "calm", 0, "wait this long at most, before a run, for other programs to leave the CPUs alone")
	f.BoolVar(&o.perf, "perf", false, "count the target's system calls and context switches per message with perf(1) in the throughput scenarios; it slows the target")
	f.DurationVar(&o.drain, "drain", 40*time.Second, "longest wait for a backlog to drain; what has not come by then is undrained, not lost")
	f.IntVar(&o.pubs, "pubs", 10, "publishers in the fan-in scenarios")
	f.Int64Var(&o.window, "window", 64, "unacknowledged messages a publisher allows itself (QoS 1, 2)")
	f.IntVar(&o.rate, "rate", 2000, "msg/s in the latency scenarios")
	f.IntVar(&o.conns, "conns", 5000, "clients in the connection scenario")
	f.IntVar(&o.bridgeRate, "bridge-rate", 8000, "msg/s published in the bridge outage scenario")
	f.Int64Var(&o.backlog, "backlog", 1_000_000, "messages that wait in the bridge backlog scenarios")
	f.BoolVar(&o.v5, "v5", false, "speak MQTT 5 instead of 3.1.1")
	f.BoolVar(&o.quiet, "q", false, "no progress lines")
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "usage: mqttload [flags]\nexit: 0 all runs made, 1 a run failed, 2 bad arguments, 3 interrupted")
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return o, o.check()
}

func (o *options) check() error {
	if o.seconds <= 0 || o.seconds > 600 || o.repeat < 1 || o.repeat > 100 || o.pubs < 1 || o.pubs > 1000 ||
		o.window < 1 || o.window > 30000 || o.rate < 1 || o.conns < 1 || o.batch < 1 || o.bridgeRate < 4 || o.backlog < 4 || o.backlog > 1e8 {
		return errors.New("a flag is out of range")
	}
	return nil
}

// duration is the measured part of a run.
func (o *options) duration() time.Duration { return time.Duration(o.seconds * float64(time.Second)) }
