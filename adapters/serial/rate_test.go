package serial

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"headgate/adapters/port"
	"headgate/gateway/point"
)

const (
	ratePorts = 8
	rateLine  = "%08d 12.375 kg stable\r\n"
)

// rateMode is what the talkers' lines can carry.
func rateMode() port.Mode {
	m := port.DefaultMode()
	m.Baud = 115200
	return m
}

// TestTalkers is the other process of TestNoByteOfEightPortsIsLost: talkers that
// send numbered lines as fast as their lines carry them.
func TestTalkers(t *testing.T) {
	lines := 0
	if n, _ := fmt.Sscan(os.Getenv("HEADGATE_TALKERS"), &lines); n == 0 {
		t.Skip("it is the other half of another test")
	}
	var far [ratePorts]io.WriteCloser
	for i := range far {
		path, line, err := port.Pair(rateMode())
		if err != nil {
			t.Fatal(err)
		}
		far[i] = line
		fmt.Printf("port %s\n", path)
	}
	bufio.NewReader(os.Stdin).ReadString('\n') // all of them are open
	var talking sync.WaitGroup
	for _, line := range far {
		talking.Go(func() {
			var all strings.Builder
			for n := range lines {
				fmt.Fprintf(&all, rateLine, n)
			}
			io.WriteString(line, all.String())
		})
	}
	talking.Wait()
	io.Copy(io.Discard, os.Stdin) // until the other half has heard all
}

// TestNoByteOfEightPortsIsLost has eight ports talk at the full rate of 115200 baud,
// for a minute where HEADGATE_PROOF is set, and says what it costs.
func TestNoByteOfEightPortsIsLost(t *testing.T) {
	lines := 250 // half a second
	if os.Getenv("HEADGATE_PROOF") != "" {
		lines = 30_000
	}
	talkers := exec.Command(os.Args[0], "-test.run=^TestTalkers$")
	talkers.Env = append(os.Environ(), fmt.Sprintf("HEADGATE_TALKERS=%d", lines))
	talkers.Stderr = os.Stderr
	in, err := talkers.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := talkers.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := talkers.Start(); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() {
		in.Close()
		talkers.Wait()
		cancel()
		running.Wait()
	})
	var adapters []*Adapter
	var next [ratePorts]int
	heard := make(chan int, ratePorts)
	paths := bufio.NewScanner(out)
	for i := range ratePorts {
		path := ""
		for path == "" && paths.Scan() {
			path, _ = strings.CutPrefix(paths.Text(), "port ")
		}
		cfg := Config{
			Name: "scale", URL: "serial://" + path + "?baud=115200",
			Parse: Parse{Regexp: `^(?P<number>\d+) (?P<weight>[\d.]+) kg (?P<state>\w+)$`},
		}
		cfg.SetDefaults()
		a, err := New(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		adapters = append(adapters, a)
		running.Go(func() {
			a.Run(ctx, func(u point.Update) {
				for _, s := range u.Samples {
					if n, ok := s.Value.Int(); s.Point == "number" && ok {
						if n != int64(next[i]) {
							t.Errorf("port %d: line %d came where %d was due", i, n, next[i])
						}
						next[i] = int(n) + 1
					}
				}
				if next[i] == lines {
					next[i]++ // it is said once
					heard <- i
				}
			})
		})
	}
	for end := time.Now().Add(hangs); ; time.Sleep(time.Millisecond) {
		open := 0
		for _, a := range adapters {
			if a.Stats().Open {
				open++
			}
		}
		if open == ratePorts {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d ports are open", open)
		}
	}
	time.Sleep(cutWithin)
	began, before := time.Now(), used()
	io.WriteString(in, "\n")
	for range ratePorts {
		select {
		case <-heard:
		case <-time.After(hangs + 2*rateMode().WireTime(lines*len(fmt.Sprintf(rateLine, 0)))):
			t.Fatalf("heard up to the lines %v of %d", next, lines)
		}
	}
	took, cpu := time.Since(began), used()-before
	for i, a := range adapters {
		if s := a.Stats(); s.Messages != uint64(lines) || s.Unmatched+s.TooLong != 0 || s.Bytes != uint64(lines*len(fmt.Sprintf(rateLine, 0))) {
			t.Errorf("port %d: stats are %+v", i, s)
		}
	}
	t.Logf("%d ports, %d lines each in %v: %.1f %% of a core", ratePorts, lines, took.Round(time.Millisecond), 100*cpu.Seconds()/took.Seconds())
}

// used is the CPU time of this process so far.
func used() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
