package serial

import (
	"context"
	"errors"
	"fmt"
	"time"

	"headgate/adapters/port"
	"headgate/gateway/point"
)

// pending is a question that waits for its answer.
type pending struct {
	question
	answered chan struct{} // has room for one
}

// exchange sends a question and waits for its answer. There is one at a time on
// the line, whoever asks. The error is that of ctx, or wraps port.ErrGone or
// errUnanswered.
func (a *Adapter) exchange(ctx context.Context, p *port.Port, q question) error {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := a.settle(ctx, q); err != nil {
		return err
	}
	w := &pending{question: q, answered: make(chan struct{}, 1)}
	a.listener.await(w)
	defer a.listener.await(nil)
	_, err := p.Write(ctx, q.send)
	a.sentAt.Store(time.Now().UnixNano())
	if err != nil {
		return err
	}
	a.listener.count(func(s *Stats) { s.Sent++ })
	if !q.waits {
		return nil
	}
	timer := time.NewTimer(p.Mode().WireTime(len(q.send)) + q.timeout)
	defer timer.Stop()
	select {
	case <-w.answered:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		a.late = time.Now().Add(q.timeout)
		a.listener.count(func(s *Stats) { s.Timeouts++ })
		return fmt.Errorf("%w within %v", errUnanswered, q.timeout)
	}
}

// settle lets an answer that is late go by, where it would be taken for that to
// the next question: it is dropped. The turn is held.
func (a *Adapter) settle(ctx context.Context, q question) error {
	left := time.Until(a.late)
	if left <= 0 || !q.waits {
		return nil
	}
	a.listener.deafen(true)
	defer a.listener.deafen(false)
	return sleep(ctx, left)
}

// sleep waits; the error is that of ctx, when it ended first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await says which question waits for its answer; nil for none.
func (l *listener) await(w *pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = w
}

// deafen has messages dropped, or not any more.
func (l *listener) deafen(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = on
}

// asked gives the question that waits, and whether messages are dropped.
func (l *listener) asked() (*pending, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf {
		l.stats.Late++
	}
	return l.waiting, l.deaf
}

// answer wakes who waits.
func (w *pending) answer() {
	select {
	case w.answered <- struct{}{}:
	default: // it has one
	}
}

// verdict is what a message was.
type verdict uint8

const (
	unknown  verdict = iota // nobody understands it
	dropped                 // an answer that comes too late
	accepted                // an answer without values
	parsed                  // parse understands it
)

// interpret makes samples of a message. done is what has to be called once they
// are out.
func (l *listener) interpret(line []byte, now time.Time) (samples []point.Sample, v verdict, done func()) {
	done = func() {}
	w, deaf := l.asked()
	if deaf {
		return nil, dropped, done
	}
	for _, p := range l.parsers(w, line) {
		var ok bool
		if samples, ok = p.parse(make([]point.Sample, 0, len(p.fields)), line, now); ok {
			v = parsed
			break
		}
	}
	switch {
	case w == nil || !w.waits || !w.may(line):
	case w.expect != nil && v == unknown:
		v, done = accepted, w.answer
	case v == parsed:
		done = w.answer
	}
	return samples, v, done
}

// may says whether the message can be the answer.
func (w *pending) may(line []byte) bool { return w.expect == nil || w.expect.Match(line) }

// parsers gives what may understand a message, first that of the question.
func (l *listener) parsers(w *pending, line []byte) []*parser {
	var list []*parser
	if w != nil && w.parser != nil && w.may(line) {
		list = append(list, w.parser)
	}
	if l.parser != nil {
		list = append(list, l.parser)
	}
	return list
}

// outcome says of an exchange what a command's result says.
func outcome(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errUnanswered), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", point.ErrTimeout, err)
	case errors.Is(err, port.ErrGone):
		return fmt.Errorf("%w: %w", point.ErrOffline, err)
	}
	return err
}
