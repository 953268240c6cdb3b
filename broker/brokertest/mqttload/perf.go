package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// perfCount counts the system calls and context switches of pid for d with
// perf(1); wait gives the counts by event name, when d has passed.
func perfCount(ctx context.Context, pid int, d time.Duration) (wait func() map[string]float64, err error) {
	c := exec.CommandContext(ctx, "perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter,context-switches",
		"-p", strconv.Itoa(pid), "--", "sleep", fmt.Sprint(d.Seconds()))
	var out bytes.Buffer
	c.Stderr = &out
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start perf (apt-get install linux-perf): %w", err)
	}
	return func() map[string]float64 {
		_ = c.Wait()
		m := map[string]float64{}
		for l := range strings.SplitSeq(out.String(), "\n") {
			f := strings.Split(l, ",")
			if len(f) > 3 {
				if v, err := strconv.ParseFloat(f[0], 64); err == nil {
					m[f[2]] = v
				}
			}
		}
		return m
	}, nil
}
