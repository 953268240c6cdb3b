package serial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"headgate/adapters/datatype"
	"headgate/gateway/point"
)

// defaultWriteInterval is the least time between two commands.
const defaultWriteInterval = 50 * time.Millisecond

// template makes what is sent of the value of a command.
type template struct {
	Ask
	before, after []byte
	format        string         // of package fmt, for the value; "" where it has no place
	number        datatype.Field // of which scale, offset, min and max are meant
}

// newTemplate reads the set = { ... } of a point.
func newTemplate(p Point) (template, error) {
	t := template{Ask: *p.Set}
	if finite(p.Scale) && finite(p.Offset) {
		t.number.SetNumber(p.Number)
	}
	place := regexp.MustCompile(`\{value(?::([-+ 0]?\d*(?:\.\d{1,2})?[dfxXs]))?\}`)
	found := place.FindAllSubmatchIndex(p.Set.Send, -1)
	// A word in braces was meant to be one.
	for _, word := range regexp.MustCompile(`\{\w+(?::[^{}"]*)?\}`).FindAll(p.Set.Send, -1) {
		if !place.Match(word) {
			return t, fmt.Errorf("has %.40s: want {value}, or with a format like {value:.2f}, {value:05d}, {value:X} or {value:s}; \"hex:7b\" is a brace that is sent", word)
		}
	}
	switch {
	case len(found) > 1:
		return t, errors.New("has {value} twice")
	case len(found) == 0:
		t.before = p.Set.Send
		return t, nil
	}
	at := found[0]
	t.before, t.after, t.format = p.Set.Send[:at[0]], p.Set.Send[at[1]:], "%v"
	if at[2] >= 0 {
		t.format = "%" + string(p.Set.Send[at[2]:at[3]])
	}
	return t, nil
}

// render gives what is sent for a value.
func (t template) render(v point.Value) ([]byte, error) {
	if t.format == "" {
		return t.before, nil
	}
	if n, isNumber := v.Float(); isNumber && v.Kind() != point.Bool {
		low, high := t.number.Min, t.number.Max
		switch {
		case !finite(n):
			return nil, fmt.Errorf("%v is not a finite number", n)
		case low != nil && n < *low || high != nil && n > *high:
			return nil, fmt.Errorf("%v is out of range: want %s", v, t.number.RangeText())
		}
		v = datatype.OfRat(t.number.Scaling.Inverse(v))
	}
	var text string
	switch t.format[len(t.format)-1] {
	case 'd', 'x', 'X':
		i, ok := v.Int()
		if !ok {
			return nil, fmt.Errorf("%.40q is not a whole number", v)
		}
		text = fmt.Sprintf(t.format, i)
	case 'f':
		f, ok := v.Float()
		if !ok {
			return nil, fmt.Errorf("%.40q is not a number", v)
		}
		text = fmt.Sprintf(t.format, f)
	default:
		text = fmt.Sprintf(t.format, v.String())
	}
	// A line end in it would make a second command of the rest.
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, fmt.Errorf("%.40q has a control character in it", text)
	}
	return append(append(bytes.Clone(t.before), text...), t.after...), nil
}

// Write sends what a command asks for: the bytes themselves where it has no
// point, what the point's template makes of the value where it has one. It gives
// no value back: what the device says of it is heard like everything else.
func (a *Adapter) Write(ctx context.Context, cmd point.Command) (point.Value, error) {
	q, err := a.command(cmd)
	if err != nil {
		return point.Value{}, fmt.Errorf("%w: %w", point.ErrRefused, err)
	}
	p := a.port.Load()
	if p == nil {
		return point.Value{}, fmt.Errorf("%w: the port is not open", point.ErrOffline)
	}
	if err := sleep(ctx, time.Until(a.wroteAt.Add(a.writeInterval))); err != nil {
		return point.Value{}, fmt.Errorf("%w: it waited for write_interval, %v: %w", point.ErrRefused, a.writeInterval, err)
	}
	err = a.exchange(ctx, p, q)
	a.wroteAt = time.Now()
	return point.Value{}, outcome(err)
}

// command gives what is sent for a command.
func (a *Adapter) command(cmd point.Command) (question, error) {
	if cmd.Point == "" {
		if !a.raw {
			return question{}, fmt.Errorf("%s takes no bytes as they are: set or transparent must be true for that", cmd.Device)
		}
		return question{send: []byte(cmd.Value.String())}, nil
	}
	t, ok := a.templates[cmd.Point]
	if !ok {
		return question{}, fmt.Errorf("%s has no set = { send = ... }", cmd.Point)
	}
	q, err := t.question()
	if err != nil {
		return question{}, err
	}
	q.send, err = t.render(cmd.Value)
	return q, err
}
