// Package point is the vocabulary between the adapters and the gateway: what a
// device says (Update, Sample, Value, Quality, Status) and what it is told
// (Command). It owns no goroutine and no I/O, and imports nothing of ours; the
// adapters fill these types, the gateway's pump turns them into topics and
// payloads.
package point

import (
	"errors"
	"time"
)

// Device is one field device as its configuration describes it.
type Device struct {
	Name   string
	Points []Info

	// What it is, as its maker calls it; "" where that is not said.
	Manufacturer, Model string

	// Raw: what is published to the device's own set topic, the one without a
	// point, is for its line as it stands: a Command without a Point, whose Value
	// is the payload as a String of any bytes.
	Raw bool
}

// Info is what the configuration says of one point.
type Info struct {
	Name     string
	Unit     string // the unit of measure as published, "" for none
	Writable bool
	Report   Report // which readings are published

	// WriteOnly: it is never read, and has no value.
	WriteOnly bool

	// Kind is that of its good values; None where only they tell. Time says that a
	// String is a time, RFC 3339; Texts are all that it may be, of an enum, in the
	// order of what they stand for; Length is the most bytes that it may have, 0 for
	// not known.
	Kind   Kind
	Time   bool
	Texts  []string
	Length int

	// Min and Max are the least and the greatest number that a command may set: by
	// the config, which Bounded says, or by what the type can hold; nil for not known.
	// Step is between two of its numbers, 0 for not known.
	Min, Max *float64
	Bounded  bool
	Step     float64

	// Interval is how long it may be silent while all is well, Report not counted; 0
	// for not known.
	Interval time.Duration

	// Raw: a value is a String of any bytes, and is published as these bytes, not
	// as JSON, and never retained. What is not good is not published.
	Raw bool

	// Source is how the value is computed from others; "" when it is measured.
	Source string

	// Alarm: the value is a Bool, true while something is wrong, of which Message
	// says what. It is published when it changes, retained.
	Alarm   bool
	Message string
}

// Quality says how far a sample's value may be trusted.
type Quality uint8

const (
	Good  Quality = iota // measured just now
	Stale                // the last value, older than the point allows
	Bad                  // not measured: Sample.Reason says why
)

// String gives the word that the payload carries: "good", "stale" or "bad".
func (q Quality) String() string {
	switch q {
	case Good:
		return "good"
	case Stale:
		return "stale"
	}
	return "bad"
}

// Sample is one point's value at one time. A failed read is a Sample of
// quality Bad with the zero Value and a Reason: never a zero, never the value
// before it.
type Sample struct {
	Point   string
	Unit    string
	Value   Value
	Quality Quality
	Reason  string    // why Quality is not Good; "" when it is
	Time    time.Time // when it was measured: at the end of the frame that carried it
}

// Status is whether a device answers.
type Status struct {
	Online bool
	Reason string // why it is offline; "" when it is online
	Time   time.Time
}

// Update is what an adapter says of one device at one time.
type Update struct {
	Device  string
	Status  *Status // nil when it has not changed
	Samples []Sample
}

// Command asks a device to set one point.
type Command struct {
	Device string
	Point  string // "" for what goes to a Device that is Raw
	Value  Value
}

// What a command can come to beside success; a Write wraps one of them, so that
// the answer to the command can say which it was (see Outcome).
var (
	ErrRefused   = errors.New("refused")   // by us, before anything was sent
	ErrException = errors.New("exception") // by the device, in its answer
	ErrTimeout   = errors.New("timeout")   // no answer in time; it may have been done
	ErrOffline   = errors.New("offline")   // the link is down; nothing was sent
)

// Outcome is the word for err in the answer to a command: "ok" for nil,
// "refused", "exception", "timeout", "offline", or "error" for anything else.
func Outcome(err error) string {
	if err == nil {
		return "ok"
	}
	for _, e := range []error{ErrRefused, ErrException, ErrTimeout, ErrOffline} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	return "error"
}
