// Package expression computes one value from others by a short text, such as
// "meter1.voltage * meter1.current": derived points and topic rules have one. Its
// syntax is a part of that of github.com/expr-lang/expr, which alone would make the
// binary larger by 0.9 MB. A Program cannot loop and has no variables, so its
// time is bounded by its length; every text that it makes is bounded too. Compile
// finds what is wrong before anything runs. The package knows no device and no
// topic: what a name means is up to who compiles.
package expression

import (
	"fmt"
	"math"
	"time"

	"headgate/gateway/point"
)

const (
	maxBytes  = 4096     // of an expression
	maxDepth  = 64       // parentheses within each other
	maxResult = 64 << 10 // bytes of a text that is computed
)

// Type is what is known of a value before it is computed.
type Type uint8

// The types. A value of type Any is a nil, a bool, a float64, a string, a
// map[string]any or an []any.
const (
	Any Type = iota
	Number
	Bool
	Text
)

// String gives it as a sentence has it: "a number".
func (t Type) String() string {
	return [...]string{"anything", "a number", "a bool", "a text"}[t]
}

// typeOf gives the type of a value, as a sentence has it.
func typeOf(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case float64:
		return Number.String()
	case bool:
		return Bool.String()
	case string:
		return Text.String()
	case []any:
		return "a list"
	}
	return "an object"
}

// Error is what is wrong with an expression, and where.
type Error struct {
	At   int // the byte in the text
	Text string
}

// Error says it with the place, counted from 1.
func (e *Error) Error() string { return fmt.Sprintf("%s (at character %d)", e.Text, e.At+1) }

// Offset is the byte in the text at which the fault is.
func (e *Error) Offset() int { return e.At }

// Names says what the names in an expression mean.
type Names struct {
	// Lookup gives the slot of the input that path, names with dots between them,
	// begins with, and how many of the names that takes: the others are members of
	// its value. The error continues no sentence.
	Lookup func(path []string) (slot, used int, err error)

	// TypeOf gives what is known of an input; nil: nothing of any.
	TypeOf func(slot int) Type

	// DidYouMean gives "; did you mean ...?", or "" where nothing is near.
	DidYouMean func(name string, known []string) string

	// Stateless: functions that remember something are refused.
	Stateless bool
}

// Input is one value from outside.
type Input struct {
	Name    string
	Value   any // nil when it is bad
	Quality point.Quality
	Reason  string
	Time    time.Time // when it was measured
}

// Result is what an expression has come to. Its quality is that of the worst
// input that its value needed, its time that of the newest.
type Result struct {
	Value   any // nil when it is bad
	Quality point.Quality
	Reason  string
	Time    time.Time
}

// Program is an expression that can be computed. It is for one goroutine at a time:
// its functions remember.
type Program struct {
	text  string
	typ   Type
	root  eval
	slots []int
	calls []*call
	runs  uint64
}

// eval computes a part of an expression. A nil is what could not be computed; the
// run knows why.
type eval func(r *run) any

// run is one computation.
type run struct {
	inputs  []Input
	now     time.Time
	quality point.Quality
	reason  string
	time    time.Time
}

// spoil lowers the quality of the result; the first reason of the worst stays.
func (r *run) spoil(q point.Quality, reason string) {
	if q > r.quality {
		r.quality, r.reason = q, reason
	}
}

// fail is spoil for what cannot be computed.
func (r *run) fail(format string, args ...any) any {
	r.spoil(point.Bad, fmt.Sprintf(format, args...))
	return nil
}

// Type is what the result will be, as far as that can be told.
func (p *Program) Type() Type { return p.typ }

// String gives the expression as it was written.
func (p *Program) String() string { return p.text }

// Slots are those of the inputs, each once.
func (p *Program) Slots() []int { return p.slots }

// Run computes it; inputs are by slot. now is the time for what waits (held).
func (p *Program) Run(inputs []Input, now time.Time) Result {
	r := run{inputs: inputs, now: now}
	p.runs++
	v := p.root(&r)
	p.rememberOthers(inputs, now)
	if v == nil {
		r.spoil(point.Bad, "it has no value")
	}
	if r.quality == point.Bad {
		v = nil
	}
	return Result{v, r.quality, r.reason, r.time}
}

// number computes a part that must be a number.
func (r *run) number(e eval, what string) (float64, bool) {
	switch v := e(r).(type) {
	case float64:
		return v, true
	case nil:
		return 0, false
	default:
		r.fail("%s is %s, want a number", what, typeOf(v))
		return 0, false
	}
}

// bool computes a part that must be a bool.
func (r *run) bool(e eval, what string) (on, ok bool) {
	switch v := e(r).(type) {
	case bool:
		return v, true
	case nil:
		return false, false
	default:
		r.fail("%s is %s, want a bool", what, typeOf(v))
		return false, false
	}
}

// finite gives f as a result.
func (r *run) finite(f float64, what string) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return r.fail("%s is not a finite number", what)
	}
	return f
}

// OfKind gives the type of the values of a point.
func OfKind(k point.Kind) Type {
	switch k {
	case point.None:
		return Any
	case point.Bool:
		return Bool
	case point.String:
		return Text
	}
	return Number
}

// Kind gives that of the point values of a type: None where it is not known.
func (t Type) Kind() point.Kind {
	return [...]point.Kind{point.None, point.Float, point.Bool, point.String}[t]
}

// OfValue gives a point's value as expressions have it: numbers as float64, exact up
// to 2^53.
func OfValue(v point.Value) any {
	switch v.Kind() {
	case point.None:
		return nil
	case point.Bool:
		on, _ := v.Bool()
		return on
	case point.String:
		return v.String()
	}
	f, _ := v.Float()
	return f
}

// ToValue gives a result as a point's value; ok is false for nil, objects and lists.
func ToValue(v any) (value point.Value, ok bool) {
	switch v := v.(type) {
	case bool:
		return point.OfBool(v), true
	case float64:
		return point.OfFloat(v), true
	case string:
		return point.OfString(v), true
	}
	return point.Value{}, false
}
