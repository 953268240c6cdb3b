package broker

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	"headgate/broker/listen"
)

// listening has the listeners, and runs them. A reload changes single ones: the
// connections of the others go on.
type listening struct {
	running sync.WaitGroup

	mu   sync.Mutex // guards what follows
	list []*listener
	ctx  context.Context // while Run runs; nil otherwise
}

// listenerEnd is how long a listener that is gone may take to end its connections,
// before another one is bound to its address.
const listenerEnd = 5 * time.Second

func (g *listening) all() []*listener {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.list)
}

// run runs them until ctx ends.
func (g *listening) run(ctx context.Context) {
	g.mu.Lock()
	g.ctx = ctx
	for _, l := range g.list {
		g.start(l)
	}
	g.mu.Unlock()
	<-ctx.Done()
	g.mu.Lock()
	g.ctx = nil
	g.mu.Unlock()
	g.running.Wait()
}

// start has a listener run, if they do. The caller holds mu.
func (g *listening) start(l *listener) {
	if g.ctx == nil {
		return
	}
	ctx, cancel := context.WithCancel(g.ctx)
	ended := make(chan struct{})
	l.end = func() {
		cancel()
		late := time.NewTimer(listenerEnd)
		defer late.Stop()
		select {
		case <-ended:
		case <-late.C:
		}
	}
	g.running.Go(func() {
		defer close(ended)
		defer cancel()
		l.run(ctx)
	})
}

// reload has those listeners run that a configuration has: those that it has no more
// end, with their connections, then new ones begin. One whose files have a fault is in
// the error, and not begun.
func (b *Broker) reloadListeners(configs []listen.Config) error {
	g := &b.listening
	g.mu.Lock()
	defer g.mu.Unlock()
	was := slices.Clone(g.list)
	list := make([]*listener, len(configs))
	for i, c := range configs {
		if j := slices.IndexFunc(was, func(l *listener) bool { return reflect.DeepEqual(l.cfg, c) }); j >= 0 {
			list[i] = was[j]
			was = slices.Delete(was, j, j+1)
		}
	}
	for _, l := range was {
		if l.end != nil {
			l.end()
		}
		b.log.Info("no longer listening", "listener", l.cfg.URL)
	}
	var errs []error
	for i, c := range configs {
		if list[i] != nil {
			errs = append(errs, list[i].Reload())
			continue
		}
		l, err := newListener(b, c)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := l.Listen(); err != nil {
			b.log.Debug("a new listener could not be bound at once", "err", err)
		}
		g.start(l)
		list[i] = l
	}
	g.list = slices.DeleteFunc(list, func(l *listener) bool { return l == nil })
	return errors.Join(errs...)
}
