package serial

import (
	"context"
	"time"
)

const (
	// gatherStep is how often a line that talks without a pause is read; at once
	// where so much comes that a read gives gatherBytes: the system holds 4 kB.
	gatherStep  = 4 * time.Millisecond
	gatherBytes = 1024

	// A line talks without a pause once gatherReads reads in a row have come
	// within gatherWithin of the one before. A short message is read as it comes.
	gatherReads  = 8
	gatherWithin = 10 * time.Millisecond
)

// gathering says when to read a line, so that one that talks without a pause does
// not wake the process for every few bytes.
type gathering struct {
	last  time.Time // the read before
	near  int       // reads in a row that came soon after the one before
	timer *time.Timer
}

// newGathering makes one, whose timer is to be stopped in the end.
func newGathering() *gathering {
	return &gathering{timer: time.NewTimer(time.Hour)}
}

// wait waits; the error is that of ctx, when it ended first.
func (g *gathering) wait(ctx context.Context, d time.Duration) error {
	g.timer.Reset(d)
	select {
	case <-g.timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next gives how long after a read of n bytes, at the time now, the next one may
// wait. Those of all lines meet at the same times, and are one waking.
func (g *gathering) next(now time.Time, n int) time.Duration {
	if now.Sub(g.last) > gatherWithin {
		g.near = 0
	}
	g.near++
	g.last = now
	if g.near < gatherReads || n >= gatherBytes {
		return 0
	}
	return gatherStep - time.Duration(now.UnixNano())%gatherStep
}
