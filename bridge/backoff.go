package bridge

import (
	"math/rand/v2"
	"time"
)

const (
	firstWait   = 150 * time.Millisecond // the bound of the first wait
	refusedWait = 5 * time.Second        // the least bound after a refusal: asking faster does not help
	localWait   = 100 * time.Millisecond // the bound to an upstream on this machine, to which nobody else comes back
)

// backoff gives the waits between attempts: drawn evenly between zero and a
// bound that doubles up to max (full jitter), so that a thousand gateways do not
// come back to a restarted upstream in one instant.
type backoff struct {
	max     time.Duration
	local   bool // the upstream is on this machine
	attempt int
}

// next gives the wait before the next attempt.
func (b *backoff) next(refused bool) time.Duration {
	return rand.N(b.bound(refused))
}

// bound gives the bound of the next wait and counts the attempt.
func (b *backoff) bound(refused bool) time.Duration {
	bound := firstWait
	for range b.attempt {
		if bound *= 2; bound >= b.max {
			break
		}
	}
	b.attempt++
	switch {
	case refused:
		bound = max(bound, refusedWait)
	case b.local:
		bound = localWait
	}
	return min(bound, b.max)
}

func (b *backoff) reset() { b.attempt = 0 }
