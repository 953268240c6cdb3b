package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of CPU times in /proc: USER_HZ is 100 on every Linux port that Go has.
const clockTick = time.Second / 100

// cpu is the process's user+system time so far.
func (in *Inst) cpu() time.Duration { return procCPU(in.cmd.Process.Pid) }

// procCPU is 0 for a process that is gone.
func procCPU(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return 0
	}
	f := bytes.Fields(b[i+1:])
	if len(f) < 13 {
		return 0
	}
	u, _ := strconv.ParseInt(string(f[11]), 10, 64)
	s, _ := strconv.ParseInt(string(f[12]), 10, 64)
	return time.Duration(u+s) * clockTick
}

// mem is a VmHWM or VmRSS line in KiB.
func (in *Inst) mem(key string) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", in.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for _, l := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(l, key+":"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return n
		}
	}
	return 0
}

// selfCPU is this process's user+system time so far.
func selfCPU() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// machineBusy is the machine's CPU time spent so far, without idle, iowait
// and steal.
func machineBusy() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	l, _, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(l)
	var n int64
	for _, i := range []int{1, 2, 3, 6, 7} {
		if i < len(f) {
			v, _ := strconv.ParseInt(f[i], 10, 64)
			n += v
		}
	}
	return time.Duration(n) * clockTick
}

// calm waits until the rest of the machine uses less than a sixth of a core,
// or for limit.
func calm(ctx context.Context, limit time.Duration) error {
	for end := time.Now().Add(limit); time.Now().Before(end); {
		b, g, t := machineBusy(), selfCPU(), time.Now()
		if err := pause(ctx, 400*time.Millisecond); err != nil {
			return err
		}
		if (machineBusy() - b - (selfCPU() - g)).Seconds() < time.Since(t).Seconds()/6 {
			return nil
		}
	}
	return nil
}
