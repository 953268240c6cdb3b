package serial

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"headgate/adapters/port"
)

// initPause is between two attempts at the initialisation of a device.
const initPause = time.Second

// asker asks one device what its config says, for as long as its port is open.
type asker struct {
	adapter   *Adapter
	init      []question
	requests  []asked
	keepAlive *asked
	log       *slog.Logger
}

// asked is a question that is asked again and again.
type asked struct {
	question
	interval time.Duration
	due      time.Time
	misses   uint64 // in a row
}

func newAsker(a *Adapter, cfg Config, log *slog.Logger) (*asker, error) {
	k := &asker{adapter: a, log: log}
	for _, i := range cfg.Init {
		q, err := i.question()
		if err != nil {
			return nil, err
		}
		k.init = append(k.init, q)
	}
	for i := range cfg.Request {
		r := &cfg.Request[i]
		q, err := r.question()
		if err != nil {
			return nil, err
		}
		q.waits = true
		if !r.Parse.empty() {
			if q.parser, err = newParser(cfg.parsing(r)); err != nil {
				return nil, err
			}
		}
		k.requests = append(k.requests, asked{question: q, interval: r.Interval})
	}
	if cfg.KeepAlive != nil {
		q, err := cfg.KeepAlive.question()
		if err != nil {
			return nil, err
		}
		k.keepAlive = &asked{question: q, interval: cfg.KeepAlive.Interval}
	}
	return k, nil
}

// parsing is the config of the parser of a request's answer.
func (c Config) parsing(r *Request) Config {
	c.Parse = r.Parse
	return c
}

// idle says whether there is nothing to ask.
func (k *asker) idle() bool {
	return len(k.init) == 0 && len(k.requests) == 0 && k.keepAlive == nil
}

// run asks until ctx ends or the port is gone.
func (k *asker) run(ctx context.Context, p *port.Port) {
	// What comes sooner may be the rest of something, and is dropped.
	if k.idle() || sleep(ctx, cutWithin) != nil || !k.initialise(ctx, p) {
		return
	}
	now := time.Now()
	for i := range k.requests {
		k.requests[i].due = now
	}
	for ctx.Err() == nil {
		next := k.next(time.Now())
		if sleep(ctx, time.Until(next.due)) != nil {
			return
		}
		if next == k.keepAlive && time.Since(k.adapter.lastSent()) < next.interval {
			continue // something else was sent meanwhile
		}
		began := time.Now()
		err := k.adapter.exchange(ctx, p, next.question)
		if ended(ctx, err) {
			return
		}
		k.note(next, err)
		// It keeps its beat, but what was missed is not made up for.
		next.due = next.due.Add(next.interval)
		if next.due.Before(began) {
			next.due = began.Add(next.interval)
		}
	}
}

// next gives what is due first.
func (k *asker) next(now time.Time) *asked {
	var first *asked
	for i := range k.requests {
		if r := &k.requests[i]; first == nil || r.due.Before(first.due) {
			first = r
		}
	}
	if alive := k.keepAlive; alive != nil {
		alive.due = k.adapter.lastSent().Add(alive.interval)
		if alive.due.Before(now) {
			alive.due = now
		}
		if first == nil || alive.due.Before(first.due) {
			first = alive
		}
	}
	if first == nil {
		// There was only an initialisation.
		return &asked{due: now.Add(longestTime), interval: longestTime}
	}
	return first
}

// initialise sends the initialisation until all of it was answered; it is false
// when there is no port any more.
func (k *asker) initialise(ctx context.Context, p *port.Port) bool {
	for attempt := 1; ; attempt++ {
		err := k.initOnce(ctx, p)
		switch {
		case err == nil:
			if attempt > 1 {
				k.log.Info("the device is initialised", "count", attempt)
			}
			return true
		case ended(ctx, err):
			return false
		case attempt == missesBeforeStale:
			k.log.Warn("the device does not answer its initialisation, which is tried again", "err", err)
		}
		if sleep(ctx, initPause) != nil {
			return false
		}
	}
}

func (k *asker) initOnce(ctx context.Context, p *port.Port) error {
	for i, q := range k.init {
		if err := k.adapter.exchange(ctx, p, q); err != nil {
			return fmt.Errorf("init[%d]: %w", i, err)
		}
	}
	return nil
}

// note counts what was not answered, and tells of it once.
func (k *asker) note(r *asked, err error) {
	if err == nil {
		if r.misses >= missesBeforeStale {
			k.log.Info("a request is answered again", "count", r.misses)
		}
		r.misses = 0
		return
	}
	r.misses++
	if r.misses == missesBeforeStale {
		k.log.Warn("a request is not answered", "count", r.misses, "err", err)
		if r.parser != nil {
			k.adapter.listener.unanswered(r.question, err.Error())
		}
	}
}

// ended says whether there is nobody to ask any more.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, port.ErrGone)
}
