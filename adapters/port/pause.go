package port

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Timers of the Go runtime fire up to a millisecond late, which is as long as
// half the silence between two frames: what is shorter than fine, and the end
// of what is longer, is slept through in the kernel.
const (
	fine    = 4 * time.Millisecond
	endPart = 1500 * time.Microsecond
)

// Pause waits for d, to some 100 microseconds, or less when ctx ends. It may
// notice the end of ctx 4 ms late.
func Pause(ctx context.Context, d time.Duration) error {
	end := time.Now().Add(d)
	if d > fine {
		timer := time.NewTimer(d - endPart)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for ctx.Err() == nil {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		spec := unix.NsecToTimespec(int64(left))
		// A signal ends it early; the runtime sends some.
		if err := unix.Nanosleep(&spec, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return ctx.Err()
}
