package bridge

import (
	"sync/atomic"
	"time"
)

// pace says what may go up when. Its limits belong to the drain goroutine; the
// rest may be called at any time.
type pace struct {
	all, replay limiter
	window      Window // of the backlog

	paused  atomic.Bool
	hurried atomic.Bool   // the backlog goes whatever the window says
	changed chan struct{} // one of these did
}

func newPace(c *Config) *pace {
	return &pace{all: newLimiter(c.MaxRate), replay: newLimiter(c.ReplayMaxRate), window: c.ReplayWindow, changed: make(chan struct{}, 1)}
}

// Pause has nothing more go up, until Resume or the end of the process: what comes
// waits. What is on its way is still acknowledged, and commands come down. It may
// be called at any time, as the next ones.
func (b *Bridge) Pause() { b.pace.turn(&b.pace.paused, true) }

// Paused says that Pause was called, and no Resume after it.
func (b *Bridge) Paused() bool { return b.pace.paused.Load() }

// Resume is the end of Pause.
func (b *Bridge) Resume() { b.pace.turn(&b.pace.paused, false) }

// Hurry sends the backlog that there is whatever Config.ReplayWindow says.
func (b *Bridge) Hurry() { b.pace.turn(&b.pace.hurried, true) }

// hurryEnds ends Hurry when the upstream has the whole backlog: what is on its way
// may have to go again in the next connection. The mutex is held.
func (s *session) hurryEnds() {
	if s.emptied && s.flight.replays == 0 {
		s.b.pace.hurried.Store(false)
	}
}

func (p *pace) turn(which *atomic.Bool, on bool) {
	which.Store(on)
	wake(p.changed)
}

// held says in words why nothing goes up, or nothing of the backlog; "" where it
// does.
func (p *pace) held() string {
	switch {
	case p.paused.Load():
		return "paused"
	case !p.mayReplay():
		return "the backlog waits for " + p.window.String()
	}
	return ""
}

func (p *pace) mayReplay() bool { return p.hurried.Load() || p.window.open(time.Now()) }

// look says whether the backlog may go now, and after how long that may be another
// answer; 0: until something else changes.
func (p *pace) look() (backlog bool, again time.Duration) {
	if wait := p.replay.wait(); wait > 0 {
		return false, wait
	}
	if p.window.whole() {
		return true, 0
	}
	// Minute by minute, so that a clock that is set does not matter.
	now := time.Now()
	return p.mayReplay(), now.Truncate(time.Minute).Add(time.Minute).Sub(now)
}

// sent counts a message that went up, of so many bytes.
func (p *pace) sent(bytes int, replay bool) {
	p.all.take(bytes)
	if replay {
		p.replay.take(bytes)
	}
}

// limiter is a Rate in force.
type limiter struct{ messages, bytes bucket }

func newLimiter(r Rate) limiter { return limiter{bucket{rate: r.Messages}, bucket{rate: r.Bytes}} }

// wait says how long until something may go; 0: it may.
func (l *limiter) wait() time.Duration { return max(l.messages.wait(), l.bytes.wait()) }

func (l *limiter) take(bytes int) {
	l.messages.take(1)
	l.bytes.take(bytes)
}

// bucket lets rate units a second through. It holds those of a tenth of a second
// at most; what is taken beyond that has to come in before more may go.
type bucket struct {
	rate PerSecond
	left float64
	at   time.Time // of left
}

const bucketTime = 100 * time.Millisecond

func (b *bucket) wait() time.Duration {
	if b.rate == unlimitedRate {
		return 0
	}
	if b.fill(); b.left > 0 {
		return 0
	}
	return time.Duration(-b.left/float64(b.rate)*1e9) + time.Microsecond
}

func (b *bucket) take(n int) {
	if b.rate != unlimitedRate {
		b.fill()
		b.left -= float64(n)
	}
}

func (b *bucket) fill() {
	now, full := time.Now(), float64(b.rate)*bucketTime.Seconds()
	if b.at.IsZero() {
		b.left = full
	} else {
		b.left = min(full, b.left+float64(b.rate)*now.Sub(b.at).Seconds())
	}
	b.at = now
}
