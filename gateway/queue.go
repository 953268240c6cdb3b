package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// queue holds commands until its goroutine gets to them, one at a time. It is
// bounded by their number and by their bytes.
type queue struct {
	most, mostBytes int
	do              func(ctx context.Context, c *command)
	left            func(c *command, reason error) // for what waits when run ends
	wake            chan struct{}                  // holds one token when there may be something to do

	mu      sync.Mutex // guards what follows
	waiting []command
	bytes   int
	closed  error // why nothing is taken any more; nil: it is
}

func newQueue(most, mostBytes int, do func(context.Context, *command), left func(*command, error)) *queue {
	return &queue{most: most, mostBytes: mostBytes, do: do, left: left, wake: make(chan struct{}, 1)}
}

// put adds a command; the error says why it is not taken. It does not block.
func (q *queue) put(c command) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed != nil:
		return q.closed
	case len(q.waiting) >= q.most || q.bytes+c.bytes() > q.mostBytes:
		return fmt.Errorf("%d commands wait already", len(q.waiting))
	}
	q.waiting = append(q.waiting, c)
	q.bytes += c.bytes()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// take removes the first command.
func (q *queue) take() (c command, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return c, false
	}
	c = q.waiting[0]
	q.waiting[0] = command{}
	q.waiting = q.waiting[1:]
	q.bytes -= c.bytes()
	return c, true
}

// run does the commands until ctx ends, and hands over what is left then.
func (q *queue) run(ctx context.Context) {
	for ctx.Err() == nil {
		if c, ok := q.take(); ok {
			q.do(ctx, &c)
			continue
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
		}
	}
	why := errStopping
	if context.Cause(ctx) == errReplaced {
		why = errReplaced
	}
	q.mu.Lock()
	q.closed = why
	q.mu.Unlock()
	for c, ok := q.take(); ok; c, ok = q.take() {
		q.left(&c, why)
	}
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

var errStopping = errors.New("the gateway is stopping")
