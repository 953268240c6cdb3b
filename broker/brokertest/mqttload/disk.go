package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// disk times append + fdatasync, the floor under any durable acknowledgement,
// for d at each of three sizes.
func disk(ctx context.Context, dir string, d time.Duration) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, size := range []int{512, 16 << 10, 256 << 10} {
		t, err := syncTimes(ctx, dir, size, d)
		if err != nil {
			return err
		}
		slices.Sort(t)
		fmt.Printf("append %7d bytes + fdatasync: p50 %v p99 %v (%.0f/s over %d)\n", size,
			t[len(t)/2].Round(time.Microsecond), t[len(t)*99/100].Round(time.Microsecond), float64(len(t))/d.Seconds(), len(t))
	}
	return nil
}

// syncTimes gives at least one time.
func syncTimes(ctx context.Context, dir string, size int, d time.Duration) ([]time.Duration, error) {
	f, err := os.CreateTemp(dir, "disk-")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_ = os.Remove(f.Name())
	b := make([]byte, size)
	var t []time.Duration
	for end := time.Now().Add(d); len(t) == 0 || (time.Now().Before(end) && len(t) < 100000); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s := time.Now()
		if _, err := f.Write(b); err != nil {
			return nil, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return nil, err
		}
		t = append(t, time.Since(s))
	}
	return t, nil
}
