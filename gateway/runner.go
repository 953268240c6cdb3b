package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"headgate/gateway/point"
)

// An adapter that ends is run again after firstBackoff, then after twice that
// and so on up to maxBackoff; once it has run for settled, from the beginning.
const (
	firstBackoff = time.Second
	maxBackoff   = 30 * time.Second
	settled      = 30 * time.Second
)

// runner keeps one adapter running.
type runner struct {
	gateway  *Gateway
	adapter  Adapter
	devices  []*device
	commands *queue
	log      *slog.Logger

	cancel  context.CancelCauseFunc // by start
	running sync.WaitGroup          // by start

	panics atomic.Uint64
	strays atomic.Uint64 // updates of devices that there are not

	mu       sync.Mutex // guards what follows
	runs     bool
	restarts uint64
	failure  error // why it ended last; nil once it runs well again
	panicked bool  // one of the failures in a row was a panic
}

// attempt is one run of an adapter.
type attempt struct {
	started time.Time
	ended   atomic.Bool
}

// panicError is a panic of an adapter, which is always a bug of the adapter.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

func newRunner(g *Gateway, a Adapter) *runner {
	r := &runner{gateway: g, adapter: a, log: g.log.With("link", a.Name())}
	r.commands = newQueue(maxQueued, maxQueuedBytes, g.execute, g.refuse)
	return r
}

// errReplaced is why a runner ends while the gateway goes on.
var errReplaced = errors.New("the link was changed or taken out")

// start runs the adapter and carries its commands until ctx ends, or cancel is called.
// It is called once; running is done when both have ended.
func (r *runner) start(ctx context.Context) {
	ctx, r.cancel = context.WithCancelCause(ctx)
	r.running.Go(func() {
		defer r.cancel(nil)
		r.run(ctx)
	})
	r.running.Go(func() { r.commands.run(ctx) })
}

// goodbye says why ctx, which start made, has ended.
func goodbye(ctx context.Context) string {
	if err := context.Cause(ctx); err == errReplaced {
		return err.Error()
	}
	return "gateway stopped"
}

// run runs the adapter until ctx ends, however often it takes.
func (r *runner) run(ctx context.Context) {
	backoff := firstBackoff
	for {
		a := &attempt{started: time.Now()}
		err := r.once(ctx, a)
		a.ended.Store(true)
		if ctx.Err() != nil {
			r.logPanic(err)
			r.announce(goodbye(ctx))
			return
		}
		r.announce("adapter failed: " + err.Error())
		if time.Since(a.started) >= settled {
			backoff = firstBackoff
		}
		r.failed(err)
		wait := time.NewTimer(backoff)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			r.announce(goodbye(ctx))
			return
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// once runs the adapter once; its error is never nil.
func (r *runner) once(ctx context.Context, a *attempt) (err error) {
	defer func() {
		r.setRunning(false)
		if v := recover(); v != nil {
			err = r.recovered(v)
		}
	}()
	r.setRunning(true)
	if err := r.adapter.Run(ctx, func(u point.Update) { r.emit(a, u) }); err != nil {
		return err
	}
	return errors.New("it ended by itself")
}

// emit is what the adapter calls.
func (r *runner) emit(a *attempt, u point.Update) {
	d := r.gateway.field.Load().devices[u.Device]
	if d == nil || d.runner != r {
		if r.strays.Add(1) == 1 {
			r.log.Warn("the adapter speaks of a device that is not its own", "device", u.Device)
		}
		return
	}
	d.update(a, u)
	r.well(a)
}

// write carries out one command; a panic is an error like another.
func (r *runner) write(ctx context.Context, cmd point.Command) (v point.Value, err error) {
	if !r.isRunning() {
		return v, fmt.Errorf("%w: the adapter does not run", point.ErrOffline)
	}
	defer func() {
		if p := recover(); p != nil {
			err = r.recovered(p)
			r.logPanic(err)
		}
	}()
	return r.adapter.Write(ctx, cmd)
}

// announce says of all the adapter's devices that they are offline.
func (r *runner) announce(reason string) {
	for _, d := range r.devices {
		d.announce(reason)
	}
}

func (r *runner) recovered(v any) error {
	r.panics.Add(1)
	return &panicError{value: v, stack: debug.Stack()}
}

func (r *runner) logPanic(err error) {
	if p := (*panicError)(nil); errors.As(err, &p) {
		r.log.Error("the adapter panicked, which is a bug", "err", fmt.Sprintf("%v\n%s", p, p.stack))
	}
}

// failed notes the end of a run, and logs the first of several in a row, and
// the first panic among them.
func (r *runner) failed(err error) {
	var p *panicError
	isPanic := errors.As(err, &p)
	r.mu.Lock()
	first := r.failure == nil
	firstPanic := isPanic && !r.panicked
	r.failure = err
	r.panicked = r.panicked || isPanic
	r.restarts++
	r.mu.Unlock()
	switch {
	case firstPanic:
		r.logPanic(err)
	case first:
		r.log.Warn("the adapter ended, and is run again", "err", err)
	}
}

// well notes that the adapter speaks; after a while that ends its trouble.
func (r *runner) well(a *attempt) {
	r.mu.Lock()
	ended := r.failure != nil && time.Since(a.started) >= settled
	if ended {
		r.failure, r.panicked = nil, false
	}
	restarts := r.restarts
	r.mu.Unlock()
	if ended {
		r.log.Info("the adapter runs again", "count", restarts)
	}
}

func (r *runner) setRunning(on bool) {
	r.mu.Lock()
	r.runs = on
	r.mu.Unlock()
}

func (r *runner) isRunning() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.runs
}
