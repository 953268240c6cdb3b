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
	"time"
)

// stableAfter is how long a connection must stand to count as a good one: the
// waits between attempts begin anew, and trouble from before is over.
const stableAfter = time.Minute

// Bridge is one uplink. Make it with New, run it with Run.
type Bridge struct {
	cfg      Config
	endpoint endpoint
	src      Source
	log      *slog.Logger
	counters *counters
	repeats  *repeats

	// Owned by Run, and lent to the session that it runs.
	dialect  dialect
	backoff  backoff
	trouble  trouble
	upstream upstreamSession
}

// New checks the configuration and makes a bridge. It opens and connects
// nothing: what is missing shows in Run, which tries again.
func New(cfg Config, src Source, log *slog.Logger) (*Bridge, error) {
	cfg.SetDefaults()
	var faults []error
	cfg.Check(func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %w", key, fmt.Errorf(format, args...)))
	})
	if cfg.ClientID == "" {
		faults = append(faults, errors.New("client_id: neither a client identifier nor a gateway id is given"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("bridge %q: %w", cfg.Name, err)
	}
	ep, err := parseURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("bridge %q: url: %w", cfg.Name, err)
	}
	b := &Bridge{
		cfg:      cfg,
		endpoint: ep,
		src:      src,
		log:      log.With("bridge", cfg.Name, "remote", ep.address),
		counters: newCounters(),
		repeats:  newRepeats(),
		dialect:  newDialect(cfg.Version),
		backoff:  backoff{max: cfg.MaxBackoff},
	}
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
	for ctx.Err() == nil {
		b.counters.setState(Connecting)
		wait, err := b.attempt(ctx)
		if ctx.Err() != nil {
			break
		}
		b.counters.fail(err)
		b.counters.setState(Waiting)
		if !sleep(ctx, wait) {
			break
		}
	}
	b.log.Info("bridge stopped")
	return nil
}

// attempt makes one connection and stays with it to its end. It gives the wait
// before the next one, and why this one is needed.
func (b *Bridge) attempt(ctx context.Context) (wait time.Duration, why error) {
	version := b.dialect.version()
	l, err := b.connect(ctx, version)
	if ctx.Err() != nil {
		if err == nil {
			l.conn.Close()
		}
		return 0, ctx.Err()
	}
	if err != nil {
		if b.dialect.failed(version, err) {
			b.log.Info("upstream speaks an older MQTT", "err", err)
			return 0, err
		}
		b.report("upstream unreachable", err)
		return b.backoff.next(isRefusal(err)), err
	}
	b.dialect.connected(version)
	s := newSession(b, l)
	b.announce(l)
	b.counters.connected(version)
	err = s.run(ctx)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if time.Since(s.began) >= stableAfter {
		b.backoff.reset()
		b.trouble.clear()
	}
	b.counters.disconnected()
	b.report("upstream connection lost", err)
	return b.backoff.next(isRefusal(err)), err
}

// announce logs a new connection, unless the link flaps and its losses are
// already not logged any more.
func (b *Bridge) announce(l *link) {
	level := slog.LevelInfo
	if b.trouble.quiet {
		level = slog.LevelDebug
	}
	session := "new session"
	if l.present {
		session = "session resumed"
	}
	messages, bytes := b.src.Backlog()
	b.log.Log(context.Background(), level, "connected to the upstream", "took", l.took.Round(time.Millisecond),
		"reason", "MQTT "+versionName(l.version)+", "+session, "count", messages, "bytes", bytes)
}

// report logs why there is no connection: once when the cause is new, then at
// growing intervals.
func (b *Bridge) report(phrase string, err error) {
	if times, ok := b.trouble.note(err.Error(), time.Now()); ok {
		b.log.Warn(phrase, "err", err, "count", times)
	}
}

// sleep waits for d; false if ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
