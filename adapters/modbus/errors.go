package modbus

import (
	"errors"
	"fmt"
	"time"

	"github.com/goburrow/modbus"

	"headgate/gateway/point"
)

// What an exchange with a unit can come to beside an answer. Each wraps the
// error of package point that a command gets for it.

// exception is a device's answer that it will not. [MB-APP 7]
type exception byte

var exceptionNames = map[exception]string{
	1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "server device failure",
	5: "acknowledge", 6: "server device busy", 8: "memory parity error",
	gatewayNoPath: "gateway path unavailable", gatewayNoAnswer: "gateway target device did not respond",
}

// Exceptions of a device that does not have what is asked for, all of it or now.
const (
	illegalFunction exception = 1
	deviceFailure   exception = 4 // 2 and 3 between them: of the address, and of the count
)

// Exceptions of a device that has something else to do for the moment.
const (
	acknowledged exception = 5
	deviceBusy   exception = 6
)

// Exceptions of a gateway that speaks for a unit which is not there.
const (
	gatewayNoPath   exception = 10
	gatewayNoAnswer exception = 11
)

func (e exception) Error() string {
	name, ok := exceptionNames[e]
	if !ok {
		name = "no code of the standard"
	}
	return fmt.Sprintf("exception %d (%s)", byte(e), name)
}

func (e exception) Unwrap() error { return point.ErrException }

// silence is that no answer came in time.
type silence struct {
	timeout   time.Duration
	heard     int  // bytes that came, of which none was the answer
	unasked   bool // they came before we could ask
	collision bool // they came where the echo of the request should
	broken    bool // they were an answer whose checksum is wrong
}

func (e *silence) Error() string {
	if e.collision {
		return "what was sent did not come back as it was: somebody else was sending, or the line has no echo and local_echo must go"
	}
	if e.unasked {
		return fmt.Sprintf("the line was not silent for %v: %d bytes came that nobody had asked for", e.timeout, e.heard)
	}
	if e.broken {
		return fmt.Sprintf("the answer came broken: the checksum of its %d bytes is wrong", e.heard)
	}
	if e.heard > 0 {
		return fmt.Sprintf("no answer within %v: the %d bytes that came are not a whole answer", e.timeout, e.heard)
	}
	return fmt.Sprintf("no answer within %v", e.timeout)
}

func (e *silence) Unwrap() error { return point.ErrTimeout }

// linkError is that the link itself failed, and must be opened again.
type linkError struct {
	sent  bool // some of the request may have gone out
	stale bool // it may just as well be fine: nothing has been heard for long
	err   error
}

func (e *linkError) Error() string { return e.err.Error() }

func (e *linkError) Unwrap() []error {
	if e.sent {
		return []error{e.err, point.ErrTimeout}
	}
	return []error{e.err, point.ErrOffline}
}

// wrongAnswer is an answer that came whole, and is not one to what was asked.
type wrongAnswer struct{ text string }

func (e *wrongAnswer) Error() string { return e.text }

// explain makes of an error of the library's client one of ours.
func explain(err error) error {
	var e *modbus.ModbusError
	if errors.As(err, &e) {
		return exception(e.ExceptionCode)
	}
	return err
}

// isSilence says whether err means that the unit is not there.
func isSilence(err error) bool {
	var s *silence
	var e exception
	return errors.As(err, &s) || errors.As(err, &e) && (e == gatewayNoPath || e == gatewayNoAnswer)
}

// isLink says whether err means that the link must be opened again.
func isLink(err error) bool {
	var l *linkError
	return errors.As(err, &l)
}
