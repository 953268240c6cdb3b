package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"headgate/broker/packet"
	"headgate/cmd/headgate/mqttc"
)

// What pub and sub have in common: how they end, what they print, how they
// connect.

// The exit statuses, which are mosquitto's: a refused connection's is the reason
// code of the CONNACK.
const (
	exitLost        = 7
	exitQoS         = 24
	exitTooLarge    = 25
	exitTimedOut    = 27
	exitInterrupted = 130 // 128 and the signal's number, as a shell has it
)

// connectTimeout is how long a connection may take, the answer to CONNECT
// included.
const connectTimeout = 30 * time.Second

// ended is the end of a command with an exit status of its own.
type ended struct {
	status int
	err    error // nil: there is nothing to say
}

func (e *ended) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *ended) Unwrap() error { return e.err }

// usageError is a mistake in the command line of pub or sub.
func usageError(command string, err error) error {
	return &ended{exitFailed, fmt.Errorf("%s: %w\nTry: headgate %s --help", command, err, command)}
}

// streams are the standard ones.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

var errTimedOut = errors.New("timed out")

// untilSignal gives a context that ends with SIGTERM or SIGINT; a second one
// ends the process at once.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// screenWriter is the standard output and the standard error, for several
// goroutines.
type screenWriter struct {
	quiet bool

	mu  sync.Mutex // guards what follows
	out *bufio.Writer
	err io.Writer
	bad error // why out cannot be written
}

func newScreenWriter(s streams, quiet bool) *screenWriter {
	return &screenWriter{quiet: quiet, out: bufio.NewWriterSize(s.out, 64<<10), err: s.err}
}

// write buffers what is for the standard output.
func (w *screenWriter) write(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.out.Write(b); err != nil && w.bad == nil {
		w.bad = fmt.Errorf("write to the standard output: %w", err)
	}
}

func (w *screenWriter) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.out.Flush(); err != nil && w.bad == nil {
		w.bad = fmt.Errorf("write to the standard output: %w", err)
	}
	return w.bad
}

// debug prints a line of -d at once.
func (w *screenWriter) debug(line string) {
	w.write([]byte(line + "\n"))
	_ = w.flush() // it fails again where it counts
}

// warn prints a line to the standard error.
func (w *screenWriter) warn(format string, args ...any) {
	if w.quiet {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.err, format+"\n", args...)
}

// end gives a command's end; quiet says nothing.
func (w *screenWriter) end(status int, err error) error {
	if err = errors.Join(err, w.flush()); status == 0 && err == nil {
		return nil
	}
	if w.quiet {
		err = nil
	}
	return &ended{max(status, exitFailed), err}
}

// connect makes one attempt.
func connect(ctx context.Context, c *mqttc.Client) (*packet.Connack, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, fmt.Errorf("no answer within %v", connectTimeout))
	defer cancel()
	return c.Connect(ctx)
}

// statusOf gives the exit status for an error of the client.
func statusOf(err error) int {
	var no *mqttc.Refusal
	var dial *mqttc.DialError
	switch {
	case errors.As(err, &no):
		return int(no.Reason)
	case errors.As(err, &dial):
		return exitFailed
	}
	return exitLost
}

// explain adds to an error of the client what can be done about it.
func explain(err error, o *mqttOptions) error {
	var no *mqttc.Refusal
	var dial *mqttc.DialError
	hint := ""
	switch {
	case errors.As(err, &dial) && dial.Refused():
		hint = "is the broker running? -h and -p name another"
		if o.socket != "" {
			hint = "is the broker running, and is that its socket?"
		}
	case errors.As(err, &no) && no.Packet == packet.CONNACK:
		hint = refusalHint(no, o)
	}
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, hint)
}

func refusalHint(no *mqttc.Refusal, o *mqttOptions) string {
	reason := no.Reason
	is := func(codes ...packet.ReasonCode) bool {
		for _, c := range codes {
			if reason == c || no.Version != packet.V5 && c.V3() != 0 && reason == c.V3() {
				return true
			}
		}
		return false
	}
	switch {
	case is(packet.BadUserNameOrPassword, packet.NotAuthorized) && !o.hasUsername:
		return "give a user name and a password with -u and -P"
	case is(packet.BadUserNameOrPassword):
		return "check -u and -P"
	case is(packet.UnsupportedProtocolVersion):
		return "choose another version with -V"
	case is(packet.ClientIdentifierNotValid):
		return "choose a client identifier with -i"
	}
	return ""
}
