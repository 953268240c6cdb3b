// Package broker is the local MQTT broker: listeners, connections, sessions,
// routing, retained messages, wills and who may connect. What is acknowledged
// is in the store before the acknowledgement leaves. It does not know what the
// messages mean: the gateway publishes through a Client, a bridge drains an
// Uplink, both inside the process; cmd/headgate wires them.
//
// A message takes one way: a publisher's goroutine decodes it, finds who it
// goes to (router), gives it to the connections that are there and hands the
// rest to the store as one record with a reference for each session's queue.
// The store's committer then lets the acknowledgements go, and each persistent
// session reads its own queue (outgoing).
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"headgate/broker/auth"
	"headgate/broker/clock"
	"headgate/broker/store"
	"headgate/broker/topic"
)

// Broker owns everything of the package. Make it with New, start it with Run.
type Broker struct {
	cfg       Config // as at the start
	live      atomic.Pointer[settings]
	store     *store.Store
	log       *slog.Logger
	clock     *clock.Clock
	limiter   auth.Limiter
	index     *subscriptionIndex
	groups    groups
	retained  *retained
	listening listening
	stats     stats
	queued    atomic.Int64 // bytes charged for slow clients

	remembered atomic.Int64 // bytes of what all routers remember
	rooms      rooms        // see reader
	flusher    flusher

	clockFailing atomic.Bool // said already

	mu       sync.Mutex
	sessions map[string]*session   // by client identifier
	offline  map[*session]struct{} // those that outlive their connection, without one

	persistent int // of sessions, those that outlive their connection

	unsettled unsettled

	ages *ages // of the log's records

	bridgesMu sync.Mutex
	bridges   map[string]QueueLimits // by name; guarded by bridgesMu
}

// settings are what a reload replaces, as a whole.
type settings struct {
	Limits
	policy  *auth.Policy
	classes []Class
}

// New takes what the store kept: sessions, their subscriptions, retained
// messages. It opens no port. cfg has its defaults and has been checked.
func New(cfg Config, st *store.Store, log *slog.Logger) (*Broker, error) {
	policy, err := auth.New(cfg.Config, nil)
	if err != nil {
		return nil, err
	}
	b := &Broker{
		cfg: cfg, store: st, log: log,
		index:    topic.NewIndex[*session, subscription](),
		groups:   groups{byName: make(map[string]*group)},
		retained: newRetained(),
		sessions: make(map[string]*session),
		offline:  make(map[*session]struct{}),
		bridges:  make(map[string]QueueLimits),
	}
	b.live.Store(&settings{Limits: cfg.Limits, policy: policy, classes: cfg.Classes})
	if err := b.checkFormat(); err != nil {
		return nil, err
	}
	if b.clock, err = openClock(cfg.Clock, st, log); err != nil {
		return nil, fmt.Errorf("read the clock's record: %w", err)
	}
	if b.ages, err = loadAges(st); err != nil {
		return nil, fmt.Errorf("read the ages of the log: %w", err)
	}
	b.writeClock(time.Now())
	if err := b.restore(); err != nil {
		return nil, fmt.Errorf("read the sessions: %w", err)
	}
	if err := b.restoreRetained(time.Now()); err != nil {
		return nil, fmt.Errorf("read the retained messages: %w", err)
	}
	if err := b.restoreWills(time.Now()); err != nil {
		return nil, fmt.Errorf("read the wills: %w", err)
	}
	for _, s := range b.sessions {
		b.offline[s] = struct{}{}
	}
	for _, l := range cfg.Listener {
		ln, err := newListener(b, l)
		if err != nil {
			return nil, err
		}
		b.listening.list = append(b.listening.list, ln)
	}
	return b, nil
}

// Listen binds the listeners. Each that cannot be bound is in the error, by its
// address; Run goes on trying those.
func (b *Broker) Listen() error {
	var errs []error
	for _, l := range b.listening.all() {
		errs = append(errs, l.Listen())
	}
	return errors.Join(errs...)
}

// ListenerFault is why nobody can connect to a listener.
type ListenerFault struct {
	URL string // as configured
	Err error
}

// ListenerFaults gives the listeners whose address could not be bound when that was
// tried last, in the config's order.
func (b *Broker) ListenerFaults() (faults []ListenerFault) {
	for _, l := range b.listening.all() {
		if err := l.Fault(); err != nil {
			faults = append(faults, ListenerFault{l.cfg.URL, err})
		}
	}
	return faults
}

// Addresses gives where the bound listeners listen, in the config's order; ""
// for one that is not bound.
func (b *Broker) Addresses() []string {
	all := b.listening.all()
	as := make([]string, len(all))
	for i, l := range all {
		as[i] = l.boundAddress()
	}
	return as
}

// Unbound gives the URLs of the listeners that are not bound, as the configuration has them.
func (b *Broker) Unbound() (urls []string) {
	for _, l := range b.listening.all() {
		if l.boundAddress() == "" {
			urls = append(urls, l.cfg.URL)
		}
	}
	return urls
}

// Run serves clients until ctx ends; then it says so to each of them, keeps the
// sessions, and returns when nothing of it runs any more. The store is still
// open then: it is the caller's.
func (b *Broker) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { b.listening.run(ctx) })
	wg.Go(func() { every(ctx, time.Second, b.sweep) })
	wg.Go(func() { every(ctx, retainedInterval, b.keepRetained) })
	wg.Go(func() { every(ctx, clock.Interval, b.writeClock) })
	wg.Go(func() { newSys(b, time.Now()).run(ctx) })
	wg.Wait()
	// The connections have ended: what they and their wills retained is whole.
	b.writeRetained()
	b.writeClock(time.Now())
	return nil
}

// every calls f once an interval, until ctx ends.
func every(ctx context.Context, interval time.Duration, f func(now time.Time)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			f(now)
		}
	}
}
