package modbussim

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"headgate/adapters/port"
)

// Wire is a half-duplex serial line with its time: bytes take what they take at
// its speed, and what two say at once nobody understands. It stands between the
// far end of a link that is as fast as the machine (port.Pair, net.Pipe) and the
// server that it is given to. Its fields are set before that, but for Echo.
type Wire struct {
	Far  io.ReadWriteCloser
	Mode port.Mode

	// Simulated has the wire keep the time of timers, which testing/synctest can
	// simulate, and which in the machine's time are up to a millisecond late;
	// without it the wire is exact to 100 microseconds or so.
	Simulated bool

	// Turnaround is how long a unit thinks: from the silence that ends a request
	// to the first bit of its answer.
	Turnaround time.Duration

	// Echo sends back all that is sent. It may be switched while the wire is served.
	Echo atomic.Bool

	mu         sync.Mutex // guards what follows
	started    bool
	heard      time.Time // when the last byte of what is being sent to us has come
	said       time.Time // when the last byte of what we send will have gone
	garbled    bool      // what is being sent to us is
	collisions uint64

	sending turn // one at a time
	ctx     context.Context
	stop    context.CancelFunc
}

// piece is about how long one piece of what is sent takes on the line.
const piece = 4 * time.Millisecond

// Gap is t3.5 of the mode: the silence between two frames. [MB-RTU 2.5.1.1]
func (w *Wire) Gap() time.Duration {
	if w.Mode.Baud > 19200 {
		return 1750 * time.Microsecond
	}
	return w.Mode.WireTime(7) / 2
}

// Read gives what was sent to us once it has come.
func (w *Wire) Read(b []byte) (int, error) {
	n, err := w.Far.Read(b)
	if n == 0 {
		return n, err
	}
	w.mu.Lock()
	now := time.Now()
	w.garbled = now.Before(w.said)
	if w.garbled {
		w.collisions++
	}
	if w.heard.Before(now) {
		w.heard = now
	}
	w.heard = w.heard.Add(w.Mode.WireTime(n))
	until := w.heard
	w.mu.Unlock()
	if !w.waitUntil(until) {
		return 0, io.ErrClosedPipe
	}
	if w.Echo.Load() {
		if _, err := w.Far.Write(b[:n]); err != nil {
			return 0, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.garbled {
		flip(b[:n], 3)
	}
	return n, err
}

// Write sends an answer, each byte at its time. It may block while nobody reads,
// until Close.
func (w *Wire) Write(b []byte) (int, error) {
	w.context()
	w.sending.take()
	defer w.sending.pass()
	w.mu.Lock()
	begin := w.heard.Add(w.Gap() + w.Turnaround)
	w.mu.Unlock()
	return w.send(b, begin)
}

// Say sends what nobody has asked for, as soon as nothing else of us is on the
// line.
func (w *Wire) Say(b []byte) (int, error) {
	w.context()
	w.sending.take()
	defer w.sending.pass()
	return w.send(b, time.Time{})
}

func (w *Wire) send(b []byte, begin time.Time) (int, error) {
	// The times are counted from the beginning, so that late wake-ups do not add up.
	if !w.waitUntil(begin) {
		return 0, io.ErrClosedPipe
	}
	if now := time.Now(); begin.IsZero() || now.Sub(begin) > piece {
		begin = now
	}
	w.mu.Lock()
	w.said = begin.Add(w.Mode.WireTime(len(b)))
	collision := begin.Before(w.heard)
	if collision {
		w.garbled = true
		w.collisions++
	}
	w.mu.Unlock()
	if collision {
		b = append([]byte(nil), b...)
		flip(b, 3)
	}
	step := len(b)
	if one := w.Mode.WireTime(1); one > 0 {
		step = max(1, int(piece/one))
	}
	for sent := 0; sent < len(b); {
		n := min(step, len(b)-sent)
		if !w.waitUntil(begin.Add(w.Mode.WireTime(sent + n))) {
			return sent, io.ErrClosedPipe
		}
		n, err := w.Far.Write(b[sent : sent+n])
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return len(b), nil
}

// Collisions is how often two have spoken at once.
func (w *Wire) Collisions() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.collisions
}

// Close pulls the plug. It may be called more than once.
func (w *Wire) Close() error {
	w.context()
	w.stop()
	return w.Far.Close()
}

// context is what Close ends. What the wire needs is made the first time.
func (w *Wire) context() context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.started {
		w.started = true
		w.sending = newTurn()
		w.ctx, w.stop = context.WithCancel(context.Background())
	}
	return w.ctx
}

// waitUntil is false when the wire was closed meanwhile.
func (w *Wire) waitUntil(t time.Time) bool {
	ctx, d := w.context(), time.Until(t)
	if !w.Simulated {
		return port.Pause(ctx, d) == nil
	}
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
