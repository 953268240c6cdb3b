// Package bridge is the uplink: an MQTT client that drains a session of the
// local broker (Source) to an upstream broker, and brings messages of the
// upstream into the local one.
//
// It owns the connection, its retries, the window of what is on its way, the
// topic mapping and its configuration. It owns no queue and no file: what waits
// is the Source's, and a message is let go there only when the upstream has
// acknowledged it. It knows nothing of the local broker but Source; the program
// in cmd puts the two together and runs Run.
//
// One connection is one session value with four goroutines: read (all that the
// upstream says), drain (Source to buffer), write (buffer to socket) and watch
// (keep alive and retries). Run waits for all of them.
package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"
)

// stableAfter is how long a connection must stand to count as a good one: the
// waits between attempts and the addresses begin anew, and trouble from before is
// over.
const stableAfter = time.Minute

// An upstream that closes briefLosses connections in a row, each within
// briefTime of its CONNACK and without a reason, most likely has another client
// of our identifier: 3.1.1 cannot say so. [MQTT3-3.1.4-2]
const (
	briefTime   = 10 * time.Second
	briefLosses = 3
)

// Bridge is one uplink. Make it with New, run it with Run.
type Bridge struct {
	cfg       Config
	endpoints []endpoint
	proxy     *proxy   // nil: none
	service   *service // of the preset; nil: none
	src       Source
	log       *slog.Logger
	counters  *counters
	repeats   *repeats
	echoes    bool          // what goes up may come down again
	settle    time.Duration // for what is on its way, when Run is to end
	pace      *pace
	edge      *edgeNode     // nil: a bridge of topics
	probe     time.Duration // for an answer after Retry
	retry     chan struct{} // of Retry: taken by whoever waits for the upstream
	renew     chan struct{} // of Renew: taken by a session, or by the next attempt

	// Owned by Run, and lent to the session that it runs.
	dialect  dialect
	backoff  backoff
	noBit    bool      // the upstream refuses the bridge bit of 3.1.1
	turn     int       // of the endpoints
	troubles []trouble // of each
	upstream upstreamSession
	lost     time.Time // the end of the last connection; before the first, the start
	brief    int       // connections in a row that the upstream closed soon
}

// New checks the configuration and makes a bridge. It opens and connects
// nothing: what is missing shows in Run, which tries again.
func New(cfg Config, src Source, log *slog.Logger) (*Bridge, error) {
	cfg.SetDefaults()
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %w", key, fmt.Errorf(format, args...)))
	}
	cfg.Check(fault)
	if cfg.ClientID == "" {
		faults = append(faults, errors.New("client_id: neither a client identifier nor a gateway id is given"))
	}
	err := errors.Join(faults...)
	if err != nil {
		return nil, fmt.Errorf("bridge %q: %w", cfg.Name, err)
	}
	if err := cfg.setEncoders(); err != nil {
		return nil, fmt.Errorf("bridge %q: %w", cfg.Name, err)
	}
	b := &Bridge{
		cfg:      cfg,
		src:      src,
		service:  cfg.service(),
		log:      log.With("bridge", cfg.Name),
		counters: newCounters(),
		repeats:  newRepeats(),
		echoes:   cfg.echoes(),
		settle:   settleTime,
		pace:     newPace(&cfg),
		probe:    probeTime,
		retry:    make(chan struct{}, 1),
		renew:    make(chan struct{}, 1),
		dialect:  newDialect(cfg.Version),
		backoff:  backoff{max: cfg.MaxBackoff},
	}
	if b.edge, err = newEdgeNode(&b.cfg); err != nil {
		return nil, fmt.Errorf("bridge %q: %w", cfg.Name, err)
	}
	if b.edge != nil {
		b.cfg.Down, b.cfg.SessionExpiry = b.edge.subscriptions(), 0
	}
	b.endpoints = cfg.checkAddresses(fault)
	b.troubles = make([]trouble, len(b.endpoints))
	if cfg.Proxy != "" {
		b.proxy, _ = parseProxy(cfg.Proxy) // Check has
	}
	b.backoff.local = b.proxy == nil && !slices.ContainsFunc(b.endpoints, func(e endpoint) bool { return !e.local() })
	b.counters.attempts(b.remote())
	return b, nil
}

// Run keeps the uplink up until ctx ends. Then it stops sending, waits up to a
// second for the acknowledgements of what is on its way, says DISCONNECT and
// returns nil, after everything that it started has ended.
func (b *Bridge) Run(ctx context.Context) error {
	if b.cfg.TLS.InsecureSkipVerify {
		b.log.Warn("the upstream's certificate is not verified", "reason", "tls.insecure_skip_verify = true")
	}
	defer b.counters.setState(Stopped)
	b.lost = time.Now()
	b.tell(false, "")
	for ctx.Err() == nil {
		b.counters.setState(Connecting)
		wait, err := b.attempt(ctx)
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			continue
		}
		b.counters.fail(err)
		b.counters.setState(Waiting)
		if !b.sleep(ctx, wait) {
			break
		}
	}
	b.log.Info("bridge stopped")
	return nil
}

// Retry is for a caller who knows that the network has changed, or that the way to
// the upstream is open again. It ends the wait for the next attempt, and a dial that
// has had no answer for a second; a connection that stands is probed, and given up
// if it is dead. It may be called at any time and does not wait.
func (b *Bridge) Retry() { wake(b.retry) }

// Renew is for a caller who knows that certificates, keys or the password have been
// exchanged in their files: a connection that stands is ended in order and made anew with
// them, and one that is waited for is tried at once. It may be called at any time and
// does not wait.
func (b *Bridge) Renew() {
	wake(b.renew)
	b.Retry()
}

// tell says to the wiring whether there is a connection.
func (b *Bridge) tell(connected bool, peer string) {
	if b.cfg.Connected != nil {
		b.cfg.Connected(connected, peer)
	}
}

// attempt makes one connection and stays with it to its end. It gives the wait
// before the next one, and why that is needed; nil where nothing went wrong.
func (b *Bridge) attempt(ctx context.Context) (wait time.Duration, why error) {
	version := b.dialect.version()
	b.counters.attempts(b.remote())
	select {
	case <-b.renew: // the files are read now
	default:
	}
	l, err := b.connect(ctx, version)
	if ctx.Err() != nil {
		if err == nil {
			l.raw.Close()
		}
		return 0, ctx.Err()
	}
	if err != nil {
		if b.withoutBit(version, err) {
			return 0, err
		}
		if b.dialect.failed(version, err) {
			b.log.Info("upstream speaks an older MQTT", "err", err)
			return 0, err
		}
		if errors.Is(err, errNetworkChanged) {
			return 0, err
		}
		b.report("upstream unreachable", err)
		return b.later(err), err
	}
	b.dialect.connected(version)
	s := newSession(b, l)
	b.announce(l)
	select {
	case <-b.retry: // is done
	default:
	}
	b.counters.connected(version)
	if b.edge != nil {
		l.peer = "" // to Sparkplug it is a broker like any other
	}
	b.tell(true, l.peer)
	err = s.run(ctx)
	b.tell(false, "")
	b.lost = time.Now()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if errors.Is(err, errRenew) {
		b.counters.disconnected()
		return 0, nil
	}
	if errors.Is(err, errHostOffline) && len(b.endpoints) == 1 {
		// [tck-id-operational-behavior-edge-node-termination-host-offline-reconnect]
		b.counters.disconnected()
		return 0, nil
	}
	if errors.Is(err, errHostOffline) || errors.Is(err, errHostElsewhere) {
		b.counters.disconnected()
		return b.later(err), err
	}
	return b.ended(err, time.Since(s.began))
}

// ended is after a connection that stood for so long. It gives the wait before
// the next attempt, and why there was an end.
func (b *Bridge) ended(err error, stood time.Duration) (wait time.Duration, why error) {
	err = b.suspect(err, stood)
	b.counters.disconnected()
	if stood < stableAfter {
		b.report("upstream connection lost", err)
		return b.later(err), err
	}
	b.backoff.reset()
	for i := range b.troubles {
		b.troubles[i].clear()
	}
	b.report("upstream connection lost", err)
	b.turn = 0
	return b.backoff.next(isRefusal(err)), err
}

// remote is the address whose turn it is, host:port.
func (b *Bridge) remote() string { return b.endpoints[b.turn].address }

// later makes it the next address's turn and gives the wait before: a short one,
// until all have failed.
func (b *Bridge) later(err error) time.Duration {
	if b.turn = (b.turn + 1) % len(b.endpoints); b.turn > 0 {
		return rand.N(min(firstWait, b.backoff.max))
	}
	return b.backoff.next(isRefusal(err))
}

// suspect says what an upstream most likely means that closes one connection
// after the other soon after it has accepted it.
func (b *Bridge) suspect(err error, stood time.Duration) error {
	if !errors.Is(err, errClosed) || stood >= briefTime {
		b.brief = 0
		return err
	}
	if b.brief++; b.brief < briefLosses {
		return err
	}
	return fmt.Errorf("%w soon after it had accepted it, again and again: does another client use the client_id %q?", err, b.cfg.ClientID)
}

// announce logs a new connection: always when the last line was of trouble, so
// that the log says how an outage ended; not when the link flaps and its losses
// are not logged any more either.
func (b *Bridge) announce(l *link) {
	level := slog.LevelDebug
	for i := range b.troubles {
		if b.troubles[i].over() {
			level = slog.LevelInfo
		}
	}
	session := "new session"
	if l.present {
		session = "session resumed"
	}
	backlog := b.src.Backlog()
	b.log.Log(context.Background(), level, "connected to the upstream", "remote", b.remote(), "took", l.took.Round(time.Millisecond),
		"away", time.Since(b.lost).Round(time.Millisecond), "backlog", backlog.Messages, "backlog_bytes", backlog.Bytes,
		"reason", "MQTT "+versionName(l.version)+", "+session)
	if l.limits.sessionExpiry < b.cfg.SessionExpiry {
		if times, ok := b.repeats.note("session expiry"); ok {
			b.log.Warn("the upstream keeps our session for less than session_expiry: commands that wait longer are lost, and QoS 2 may come twice",
				"remote", b.remote(), "reason", fmt.Sprintf("Session Expiry Interval %v", l.limits.sessionExpiry), "count", times)
		}
	}
}

// report logs why there is no connection: once when the cause is new, then at
// growing intervals.
func (b *Bridge) report(phrase string, err error) {
	if times, ok := b.troubles[b.turn].note(err.Error(), time.Now()); ok {
		b.log.Warn(phrase, "remote", b.remote(), "err", err, "count", times)
	}
}

// sleep waits for d, or for Retry; false if ctx ended before.
func (b *Bridge) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-b.retry:
		b.backoff.reset()
		return true
	case <-ctx.Done():
		return false
	}
}
