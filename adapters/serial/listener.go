package serial

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"headgate/gateway/point"
)

const (
	// cutWithin: what comes so soon after the port was opened may have begun
	// before it, and half a number looks like a whole one. It is dropped up to
	// its end. What comes later began with its first byte, for a line is sent
	// without pauses of that length.
	cutWithin = 100 * time.Millisecond

	// missesToWarn lines in a row that do not match are more than noise.
	missesToWarn = 20
)

// listener makes updates of what comes from the port, and of what does not
// come. It does no I/O and has no clock, and is used by one goroutine, but for
// stats.
type listener struct {
	name       string
	staleAfter time.Duration
	parser     *parser   // nil: nothing is parsed but answers
	every      []*parser // that, and those of answers
	fields     []field   // of all of them
	raw        bool      // what comes is published as it is
	framer     framer
	gap        time.Duration // of silence that ends a message; 0: none does
	max        int           // bytes of a message
	emit       func(point.Update)
	log        *slog.Logger

	opened   bool // the port is open
	openedAt time.Time
	first    bool           // nothing has come since then
	reason   string         // why the port is not open
	online   bool           // as last told
	silent   bool           // silence on the open port has been told
	heardAt  time.Time      // the last message that matched; the beginning if there was none
	bytesAt  time.Time      // the last byte
	tooLong  bool           // the points are bad since a message was too long
	misses   uint64         // messages in a row that did not match
	last     []point.Sample // by field; of zero Time while there was none

	mu      sync.Mutex // guards what follows
	stats   Stats
	waiting *pending // the question that waits for an answer
	deaf    bool     // messages are dropped: they are late answers
	missed  []missed // to be told
}

// newListener listens with p, which is nil where all that is parsed are the
// answers to questions; others are the parsers of those.
func newListener(cfg Config, p *parser, others []*parser, f framer, log *slog.Logger) *listener {
	l := &listener{
		name: cfg.Name, staleAfter: cfg.StaleAfter, parser: p, raw: cfg.Transparent, log: log,
		framer: f, gap: cfg.Frame.Gap, max: cfg.Frame.Max,
	}
	for _, p := range append([]*parser{p}, others...) {
		if p == nil {
			continue
		}
		l.every = append(l.every, p)
		for _, f := range p.fields {
			if !slices.ContainsFunc(l.fields, func(have field) bool { return have.Name == f.Name }) {
				l.fields = append(l.fields, f)
			}
		}
	}
	l.last = make([]point.Sample, len(l.fields))
	return l
}

// begin starts anew, at the beginning of a Run.
func (l *listener) begin(now time.Time, emit func(point.Update)) {
	l.emit, l.heardAt = emit, now
	l.opened, l.online, l.silent, l.reason = false, false, false, ""
}

// open notes that the port is open.
func (l *listener) open(now time.Time) {
	l.opened, l.openedAt, l.first = true, now, true
	l.silent, l.reason = false, ""
	l.count(func(s *Stats) { s.Opened++; s.Open = true })
	// A device that may be silent for ever is there when its port is.
	l.online = l.staleAfter == 0
	status := point.Status{Online: l.online, Time: now}
	if !l.online {
		status.Reason = "the port is open, nothing has come yet"
	}
	l.emit(point.Update{Device: l.name, Status: &status})
}

// lost notes that the port is not open, or not any more; reason says why.
func (l *listener) lost(now time.Time, reason string) {
	l.opened, l.online = false, false
	if reason != l.reason {
		l.reason = reason
		l.emit(point.Update{Device: l.name, Status: &point.Status{Reason: reason, Time: now}})
	}
}

// take takes what was read from the port, at least a byte, at the time now.
func (l *listener) take(now time.Time, b []byte) {
	l.silence(now)
	l.bytesAt = now
	l.count(func(s *Stats) { s.Bytes += uint64(len(b)) })
	if l.raw {
		l.emitRaw(now, b)
	}
	if l.first {
		l.first = false
		l.framer.reset(now.Sub(l.openedAt) < cutWithin)
	}
	l.framer.feed(b,
		func(message []byte) { l.message(now, message) },
		func(d damage) { l.damaged(now, d) })
}

// patient says that what comes need not be read at once: no silence has to be
// measured, and nobody waits for an answer.
func (l *listener) patient() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gap == 0 && l.waiting == nil
}

// silence tells the framer of a silence that may end a message. It gives how
// long until there is one, 0 when nothing waits for it.
func (l *listener) silence(now time.Time) time.Duration {
	if l.gap == 0 || !l.framer.pending() {
		return 0
	}
	if left := l.gap - now.Sub(l.bytesAt); left > 0 {
		return left
	}
	l.framer.idle(
		func(message []byte) { l.message(l.bytesAt, message) },
		func(d damage) { l.damaged(l.bytesAt, d) })
	return 0
}

// emitRaw gives on what was read as it is. On a line of bytes any byte is a sign
// of life.
func (l *listener) emitRaw(now time.Time, b []byte) {
	u := point.Update{Device: l.name, Samples: []point.Sample{{Point: rawPoint, Value: point.OfString(string(b)), Time: now}}}
	if l.parser == nil {
		l.heardAt, l.silent = now, false
		if !l.online {
			l.online = true
			u.Status = &point.Status{Online: true, Time: now}
		}
	}
	l.emit(u)
}

// message takes one whole message.
func (l *listener) message(now time.Time, line []byte) {
	samples, v, done := l.interpret(line, now)
	defer done()
	ok := v != unknown
	if !ok && l.raw && l.parser == nil {
		return // whoever reads the bytes may understand it
	}
	l.count(func(s *Stats) {
		s.Messages++
		if !ok {
			s.Unmatched++
		}
	})
	if !ok {
		l.log.Debug("a message does not match parse", "bytes", len(line))
		l.unusable()
		return
	}
	if l.misses >= missesToWarn {
		l.log.Info("messages match parse again", "count", l.misses)
	}
	l.misses = 0
	if v != parsed || len(samples) == 0 {
		return // it says that the device is there, but its values are no younger
	}
	l.heardAt = now
	l.silent, l.tooLong = false, false
	u := point.Update{Device: l.name, Samples: samples}
	if !l.online {
		l.online = true
		u.Status = &point.Status{Online: true, Time: now}
	}
	l.keep(samples)
	l.emit(u)
}

// unusable notes a message that gave no values.
func (l *listener) unusable() {
	l.misses++
	if l.misses == missesToWarn {
		l.log.Warn("message after message is damaged, or does not match parse", "count", l.misses)
	}
}

// damaged notes that a message was dropped.
func (l *listener) damaged(now time.Time, d damage) {
	if d == tooLong {
		l.overlong(now)
		return
	}
	l.count(func(s *Stats) {
		if d == badChecksum {
			s.BadChecksum++
		} else {
			s.Broken++
		}
	})
	l.unusable()
}

// overlong makes the points bad, once until they are good again.
func (l *listener) overlong(now time.Time) {
	l.count(func(s *Stats) { s.TooLong++ })
	if l.tooLong {
		return
	}
	l.tooLong = true
	l.log.Debug("a message is longer than frame.max, and is dropped", "bytes", l.max)
	reason := fmt.Sprintf("a message longer than %d bytes was dropped", l.max)
	var samples []point.Sample
	for _, f := range l.fields {
		samples = append(samples, point.Sample{Point: f.Name, Unit: f.Unit, Quality: point.Bad, Reason: reason, Time: now})
	}
	if len(samples) > 0 {
		l.keep(samples)
		l.emit(point.Update{Device: l.name, Samples: samples})
	}
}

func (l *listener) count(f func(s *Stats)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.stats)
}
