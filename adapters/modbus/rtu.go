package modbus

import (
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

// rtuLink is Modbus RTU over a serial port.
type rtuLink struct {
	address port.Address
	gap     time.Duration // least silence before a request
	counts  *counts

	port   *port.Port
	last   time.Time // when the line last was busy, as far as we know
	buffer [maxRTUFrame]byte

	ctx     context.Context // of the Sends since begin
	timeout time.Duration
}

func newRTULink(a port.Address, delay time.Duration, c *counts) *rtuLink {
	return &rtuLink{address: a, gap: max(frameGap(a.Mode), delay), counts: c}
}

// frameGap is t3.5.
func frameGap(m port.Mode) time.Duration {
	if m.Baud > fastBaud {
		return fastGap
	}
	return m.WireTime(7) / 2
}

func (l *rtuLink) open(context.Context) error {
	p, err := port.Open(l.address.Path, l.address.Mode)
	if err != nil {
		return err
	}
	l.port, l.last = p, time.Now()
	return nil
}

func (l *rtuLink) close() {
	if l.port != nil {
		l.port.Close()
		l.port = nil
	}
}

func (l *rtuLink) begin(ctx context.Context, timeout time.Duration) {
	l.ctx, l.timeout = ctx, timeout
}

// lateAnswers: nothing in an answer says which request it is to.
func (l *rtuLink) lateAnswers() bool { return true }

// check drains what came unasked.
func (l *rtuLink) check() error {
	_, err := l.drain()
	return err
}

// drain discards what has come already, one buffer of it at most.
func (l *rtuLink) drain() (int, error) {
	if l.port == nil {
		return 0, &linkError{err: fmt.Errorf("serial port %s is not open", l.address.Path)}
	}
	n, err := l.port.TryRead(l.buffer[:])
	if err != nil {
		return n, &linkError{err: err}
	}
	l.heard(n)
	l.counts.discarded.Add(uint64(n))
	return n, nil
}

// heard notes that n bytes have come.
func (l *rtuLink) heard(n int) {
	if n == 0 {
		return
	}
	if now := time.Now(); now.After(l.last) {
		l.last = now
	}
	l.counts.bytesIn.Add(uint64(n))
}

// Send waits until the line is silent, sends the request and reads its answer.
// It takes at most the time that both need on the wire, and the timeout; and
// that once more when it must wait for silence first.
func (l *rtuLink) Send(request []byte) ([]byte, error) {
	want, ok := expect(request[0], request[1:len(request)-2])
	if !ok {
		return nil, &wrongAnswer{"this version does not send that function"}
	}
	if err := l.quiet(); err != nil {
		return nil, err
	}
	mode := l.address.Mode
	onWire := mode.WireTime(len(request))
	ctx, cancel := context.WithTimeout(l.ctx, onWire+l.timeout+mode.WireTime(want.length))
	defer cancel()
	sent := time.Now()
	if _, err := l.port.Write(ctx, request); err != nil {
		return nil, l.failed(err, true)
	}
	l.counts.requests.Add(1)
	l.counts.bytesOut.Add(uint64(len(request)))
	l.last = sent.Add(onWire)
	reader := frameReader{want: want}
	for {
		n, err := l.port.Read(ctx, l.buffer[:])
		l.heard(n)
		var frame []byte
		switch {
		case err == nil:
			frame = reader.feed(l.buffer[:n])
		case errors.Is(err, context.DeadlineExceeded) && l.ctx.Err() == nil:
			if frame = reader.last(); frame == nil {
				l.counts.timeouts.Add(1)
				l.counts.discarded.Add(uint64(reader.seen))
				return nil, &silence{timeout: l.timeout, heard: reader.seen}
			}
		default:
			return nil, l.failed(err, true)
		}
		if frame != nil {
			l.counts.answers.Add(1)
			l.counts.discarded.Add(uint64(reader.seen - len(frame)))
			return frame, nil
		}
	}
}

// quiet waits until the line has been silent for the gap, and discards what
// came before: late answers, noise. A line that is never silent is given up
// after the timeout.
func (l *rtuLink) quiet() error {
	giveUp := time.Now().Add(l.gap + l.timeout)
	unasked := 0
	for {
		if err := wait(l.ctx, time.Until(l.last.Add(l.gap))); err != nil {
			return err
		}
		n, err := l.drain()
		switch {
		case err != nil:
			return err
		case n == 0:
			return nil
		case time.Now().After(giveUp):
			l.counts.timeouts.Add(1)
			return &silence{timeout: l.timeout, heard: unasked + n, unasked: true}
		}
		unasked += n
	}
}

// failed is what an error of the port means: the end of our context, or of the
// link.
func (l *rtuLink) failed(err error, sent bool) error {
	if l.ctx.Err() != nil {
		return l.ctx.Err()
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
