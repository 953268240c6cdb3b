package expression

import (
	"fmt"
	"slices"
	"time"

	"headgate/gateway/point"
)

// memory is what a call of a function keeps from one computation to the next.
type memory interface {
	// step takes the argument's value as it is at a time, nil when it is not good,
	// and gives the function's: nil while there is none. now is the time of the
	// computation.
	step(v any, at, now time.Time) any
}

// keeper is a memory that outlives a restart.
type keeper interface {
	memory
	keep() []float64
	restore(kept []float64)
}

// function is one that remembers. Its arguments behind the first are constants.
type function struct {
	arg, result Type
	want        string // the arguments, as they are written
	least, most int
	begin       func(args []node) (memory, error)
}

// remembering are the functions that remember, by name.
var remembering = map[string]function{
	"integrate":  {Number, Number, `integrate(x, "1h") or integrate(x, "1h", LONGEST GAP)`, 2, 3, newIntegral},
	"total":      {Number, Number, `total(counter) or total(counter, 65536)`, 1, 2, newTotal},
	"rate":       {Number, Number, `rate(x, "1h") or, of a counter, rate(counter, "1h", 65536)`, 2, 3, newRate},
	"mean_over":  {Number, Number, `mean_over(x, "15m")`, 2, 2, newWindow(windowMean)},
	"min_over":   {Number, Number, `min_over(x, "15m")`, 2, 2, newWindow(windowMin)},
	"max_over":   {Number, Number, `max_over(x, "15m")`, 2, 2, newWindow(windowMax)},
	"held":       {Bool, Bool, `held(x > 5, "10s")`, 2, 2, newHeld},
	"hysteresis": {Number, Bool, `hysteresis(x, 85, 90): true from 90 on, until below 85`, 3, 3, newHysteresis},
}

// call is a function that remembers, at one place of a program.
type call struct {
	name   string
	memory memory
	eval   eval
	run    uint64 // the last one in which it was computed
}

// remember makes the node of a function that remembers.
func (p *parser) remember(f token, spec function, args []node) (node, error) {
	if len(args) < spec.least || len(args) > spec.most {
		return node{}, &Error{f.at, fmt.Sprintf("%s() has %d arguments; want %s", f.word, len(args), spec.want)}
	}
	if err := want(args[0], spec.arg, "in "+f.word+"()"); err != nil {
		return node{}, err
	}
	m, err := spec.begin(args)
	if err != nil {
		return node{}, err
	}
	x, prog, c := args[0], p.prog, &call{name: f.word, memory: m}
	c.eval = func(r *run) any {
		c.run = prog.runs
		return r.remembered(x, spec.arg, m)
	}
	prog.calls = append(prog.calls, c)
	return p.finish(node{typ: spec.result, eval: c.eval}, f.at), nil
}

// rememberOthers computes the calls that a run did not need, behind an "and" or a "?":
// what they would not hear of, they could not remember. One within another one stands
// before it.
func (p *Program) rememberOthers(inputs []Input, now time.Time) {
	for _, c := range slices.Backward(p.calls) {
		if c.run != p.runs {
			c.eval(&run{inputs: inputs, now: now})
		}
	}
}

// remembered steps a memory. Only what is good goes in. While the argument is not, the
// value from before stands as stale.
func (r *run) remembered(x node, typ Type, m memory) any {
	inner := run{inputs: r.inputs, now: r.now}
	v := x.eval(&inner)
	switch v.(type) {
	case float64:
		if typ != Number {
			v = inner.fail("%s is a number, want a bool", x.what)
		}
	case bool:
		if typ != Bool {
			v = inner.fail("%s is a bool, want a number", x.what)
		}
	case nil:
	default:
		v = inner.fail("%s is %s, want %v", x.what, typeOf(v), typ)
	}
	if f, ok := v.(float64); ok {
		v = inner.finite(f, x.what)
	}
	if inner.quality != point.Good {
		v = nil
	}
	out := m.step(v, inner.time, r.now)
	if inner.time.After(r.time) {
		r.time = inner.time
	}
	if f, ok := out.(float64); ok && r.finite(f, "what is remembered of "+x.what) == nil {
		return nil
	}
	switch {
	case out == nil && inner.quality == point.Good:
		return r.fail("there is no earlier value yet")
	case out == nil:
		r.spoil(inner.quality, inner.reason)
	case inner.quality != point.Good:
		r.spoil(point.Stale, inner.reason)
	}
	return out
}

// Kept gives what the program's functions must have after a restart, and whether there
// is any: a list of numbers for each call, with its name.
func (p *Program) Kept() (names []string, kept [][]float64) {
	for _, c := range p.calls {
		if k, ok := c.memory.(keeper); ok {
			names, kept = append(names, c.name), append(kept, k.keep())
		}
	}
	return names, kept
}

// Restore gives it back; i counts the calls that keep something.
func (p *Program) Restore(i int, name string, kept []float64) {
	for _, c := range p.calls {
		k, ok := c.memory.(keeper)
		if !ok {
			continue
		}
		if i == 0 && c.name == name {
			k.restore(kept)
			return
		}
		i--
	}
}

// timeArg reads an argument that is a time.
func timeArg(n node) (time.Duration, error) {
	s, ok := n.constant.(string)
	d, err := time.ParseDuration(s)
	if !ok || err != nil || d <= 0 {
		return 0, &Error{n.at, n.what + `: want a time in quotes with its unit, like "15m"`}
	}
	return d, nil
}

// numberArg reads an argument that is a number.
func numberArg(n node) (float64, error) {
	f, ok := n.constant.(float64)
	if !ok {
		return 0, &Error{n.at, n.what + ": want a number that is written there"}
	}
	return f, nil
}

// Waits says whether the result can change while no input does.
func (p *Program) Waits() bool {
	return slices.ContainsFunc(p.calls, func(c *call) bool { return c.name == "held" })
}
