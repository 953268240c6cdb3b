package modbus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"headgate/adapters/port"
)

// fastGap is the silence that ends a frame above 19200 baud; below it is 3.5
// characters. [MB-RTU 2.5.1.1]
const (
	fastGap  = 1750 * time.Microsecond
	fastBaud = 19200
)

// unansweredToReopen requests in a row without a byte of answer may mean that a
// connection leads nowhere any more, which TCP itself would notice only after a
// quarter of an hour.
const unansweredToReopen = 3

// brokenGap is how long the right answer is waited for behind one whose checksum
// is wrong, in place of the whole timeout: more than a USB adapter keeps bytes for.
const brokenGap = 50 * time.Millisecond

// transport carries one request at a time over a link, and its answer back. It
// is used by one goroutine. It is ours because goburrow's own take a late answer
// for the next one's, sleep longer than the answer takes, and do not come back
// after an error.
type transport struct {
	link   link
	gap    time.Duration // least silence before a request
	change time.Duration // and before one to another unit than the last
	settle time.Duration // least silence after opening
	echo   bool          // what is sent comes back before the answer
	counts *counts
	taps   taps
	dial   func(ctx context.Context) (stream, error)
	pause  func(ctx context.Context, d time.Duration) error

	framer     framer
	wire       *wire
	last       time.Time // when the link last was busy, as far as we know
	unanswered int       // requests in a row without a byte of answer
	sent       time.Time // when the last request was

	// turnaround is how long the last answer took beyond what both need on the
	// wire. The silence that ends a request is part of it.
	turnaround time.Duration

	asked *client // by whom the last request was made; nil since the link was opened

	// Of the Sends since begin.
	ctx     context.Context
	timeout time.Duration
	client  *client
}

func newTransport(l link, cfg Config, c *counts) *transport {
	t := &transport{link: l, gap: max(l.frameGap(), cfg.Delay), change: cfg.SwitchDelay, settle: cfg.ConnectDelay, echo: cfg.LocalEcho, counts: c, framer: newFramer(l), pause: wait}
	t.dial = func(ctx context.Context) (stream, error) {
		s, err := l.dial(ctx, cfg.TLS)
		if err == nil && l.carrier == serialLine {
			// Pulled and put back it may have another name.
			l.path = port.Identity(l.path)
		}
		return s, err
	}
	if l.carrier == serialLine {
		t.pause = port.Pause
	}
	return t
}

// frameGap is t3.5 on a line that we send on ourselves. ASCII has none: its
// frames end with a line. [MB-RTU 2.5.2]
func (l link) frameGap() time.Duration {
	switch {
	case l.carrier != serialLine || l.framing != rtu:
		return 0
	case l.mode.Baud > fastBaud:
		return fastGap
	}
	return l.mode.WireTime(7) / 2
}

// open opens the link; it may take as long as dialTimeout.
func (t *transport) open(ctx context.Context) error {
	s, err := t.dial(ctx)
	if err != nil {
		return err
	}
	// As if something had been heard then.
	t.last = time.Now().Add(max(0, t.settle-t.gap))
	t.asked = nil
	t.wire, t.framer, t.unanswered = newWire(s, &t.taps), newFramer(t.link), 0
	return nil
}

// close closes it. It may be called when it is not open.
func (t *transport) close() {
	if t.wire != nil {
		t.wire.close()
		t.wire = nil
	}
}

// begin sets what holds for the Sends until the next begin: c makes them.
func (t *transport) begin(ctx context.Context, c *client, timeout time.Duration) {
	t.ctx, t.client, t.timeout = ctx, c, timeout
}

// leastSilence is what there must be before the next request.
func (t *transport) leastSilence() time.Duration {
	least := max(t.gap, t.client.delay)
	if t.asked != nil && t.asked.unit != t.client.unit {
		least = max(least, t.change)
	}
	return least
}

// lateAnswers says whether an answer that comes after its time could be taken
// for that to a later request.
func (t *transport) lateAnswers() bool { return t.framer.lateAnswers() }

// check notes, without waiting, whether the link has failed meanwhile.
func (t *transport) check() error {
	if t.link.carrier != serialLine && t.unanswered >= unansweredToReopen {
		return &linkError{stale: true, err: fmt.Errorf("connection to %s: no answer to %d requests in a row", t.link.host, t.unanswered)}
	}
	_, err := t.drain()
	return err
}

// drain takes what has come unasked.
func (t *transport) drain() (n int, err error) {
	if t.wire == nil {
		return 0, &linkError{err: errors.New("the link is not open")}
	}
	for {
		chunk, err := t.take()
		if err != nil {
			return n, &linkError{err: err}
		}
		if chunk == nil {
			return n, nil
		}
		n += len(chunk)
		t.counts.discarded.Add(uint64(len(chunk)))
		t.framer.skip(chunk)
	}
}

// take takes the next chunk and counts it.
func (t *transport) take() ([]byte, error) {
	chunk, heard, lost, err := t.wire.take()
	if heard.After(t.last) {
		t.last = heard
	}
	t.counts.bytesIn.Add(uint64(len(chunk) + lost))
	t.counts.discarded.Add(uint64(lost))
	return chunk, err
}

// Send waits until the link is silent, sends the request's ADU and gives that of
// its answer, and of nothing else. It takes at most the time that both need on
// the wire, and the timeout; and that once more when it must wait for silence
// first. The error is one of silence, linkError and wrongAnswer, or that of the
// context.
func (t *transport) Send(request []byte) ([]byte, error) {
	length, err := t.framer.ask(request)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	defer func() { t.counts.occupancy.add(began, time.Now()) }()
	if err := t.quiet(); err != nil {
		return nil, err
	}
	onWire := t.link.mode.WireTime(len(request))
	ctx, cancel := context.WithTimeout(t.ctx, onWire+t.timeout+t.link.mode.WireTime(length))
	defer cancel()
	t.sent = time.Now()
	if !t.echo { // that is heard
		t.taps.put(request, t.sent, true)
	}
	if _, err := t.wire.stream.Write(ctx, request); err != nil {
		return nil, t.failed(err, true)
	}
	t.asked = t.client
	t.counts.requests.Add(1)
	t.counts.bytesOut.Add(uint64(len(request)))
	t.last = t.sent.Add(onWire)
	var echo []byte
	if t.echo {
		echo = request
	}
	return t.await(ctx, len(request), echo)
}

// await reads until the answer has come to a request of that length.
func (t *transport) await(ctx context.Context, length int, echo []byte) ([]byte, error) {
	heard := 0
	for {
		chunk, err := t.nextOf(ctx)
		heard += len(chunk)
		n := min(len(echo), len(chunk))
		if !bytes.Equal(echo[:n], chunk[:n]) {
			return nil, t.silent(&silence{timeout: t.timeout, heard: heard, collision: true})
		}
		echo = echo[n:]
		var frame []byte
		switch {
		case err == nil:
			frame, err = t.framer.feed(chunk[n:])
		case errors.Is(err, context.DeadlineExceeded) && t.ctx.Err() == nil:
			if frame = t.framer.last(); frame == nil {
				return nil, t.silent(&silence{timeout: t.timeout, heard: heard, broken: t.framer.broken()})
			}
			err = nil
		}
		var wrong *wrongAnswer
		switch {
		case err != nil && !errors.As(err, &wrong):
			return nil, t.failed(err, true)
		case frame != nil || err != nil:
			t.unanswered = 0
			t.turnaround = max(0, time.Since(t.sent)-t.link.mode.WireTime(length+len(frame)))
			t.counts.answers.Add(1)
			t.counts.discarded.Add(uint64(heard - len(frame)))
			return frame, err
		}
	}
}

// nextOf waits for the next chunk of an answer.
func (t *transport) nextOf(ctx context.Context) ([]byte, error) {
	if !t.framer.broken() {
		return t.next(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, brokenGap)
	defer cancel()
	return t.next(ctx)
}

// next waits for the next chunk.
func (t *transport) next(ctx context.Context) ([]byte, error) {
	for {
		if chunk, err := t.take(); chunk != nil || err != nil {
			return chunk, err
		}
		select {
		case <-t.wire.news:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// silent counts that no answer came.
func (t *transport) silent(s *silence) error {
	t.counts.timeouts.Add(1)
	t.counts.discarded.Add(uint64(s.heard))
	if t.unanswered++; s.heard > 0 {
		t.unanswered = 0
	}
	return s
}

// quiet waits until the link has been silent for the gap, and discards what came
// before: late answers, noise. A line that is never silent is given up after the
// timeout.
func (t *transport) quiet() error {
	if err := t.check(); err != nil {
		return err
	}
	gap := t.leastSilence()
	giveUp := t.last.Add(gap + t.timeout)
	if now := time.Now(); giveUp.Before(now.Add(t.timeout)) {
		giveUp = now.Add(t.timeout)
	}
	unasked := 0
	for {
		if err := t.pause(t.ctx, time.Until(t.last.Add(gap))); err != nil {
			return err
		}
		n, err := t.drain()
		switch unasked += n; {
		case err != nil:
			return err
		case n == 0:
			return nil
		case time.Now().After(giveUp):
			t.counts.timeouts.Add(1)
			return &silence{timeout: t.timeout, heard: unasked, unasked: true}
		}
	}
}

// failed is what an error of a link in use means: the end of our context, or of
// the link.
func (t *transport) failed(err error, sent bool) error {
	if t.ctx.Err() != nil {
		return t.ctx.Err()
	}
	return &linkError{sent: sent, err: err}
}

// wait waits for d, or less when ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
