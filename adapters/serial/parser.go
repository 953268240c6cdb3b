package serial

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"headgate/gateway/point"
)

// parser makes samples of messages by the named groups of a regular expression.
type parser struct {
	regexp *regexp.Regexp
	fields []field
}

// field is one point: the groups of its name, and what becomes of their text.
type field struct {
	groups []int // as FindSubmatchIndex counts them; the first that took part counts
	Point
}

// newParser makes the parser of cfg, whose defaults are filled in. The error is
// a regular expression that cannot be used.
func newParser(cfg Config) (*parser, error) {
	if cfg.Parse.Regexp == "" {
		return nil, errors.New(`is missing: want a regular expression with a named group for each point, like '^\s*(?P<weight>[-\d.]+)\s*kg'`)
	}
	re, err := regexp.Compile(cfg.Parse.Regexp)
	if err != nil {
		return nil, err
	}
	p := &parser{regexp: re}
	for group, name := range re.SubexpNames() {
		if name == "" {
			continue
		}
		if err := point.CheckPointName(name); err != nil {
			return nil, fmt.Errorf("the group name %q cannot be a point's: it %w", name, err)
		}
		if i := slices.IndexFunc(p.fields, func(f field) bool { return f.Name == name }); i >= 0 {
			p.fields[i].groups = append(p.fields[i].groups, group)
			continue
		}
		f := field{groups: []int{group}, Point: Point{Name: name, Type: "auto", Scale: 1}}
		if i := slices.IndexFunc(cfg.Points, func(c Point) bool { return c.Name == name }); i >= 0 {
			f.Point = cfg.Points[i]
		}
		p.fields = append(p.fields, f)
	}
	if len(p.fields) == 0 {
		return nil, errors.New(`has no named group: want one for each point, like (?P<weight>[-\d.]+)`)
	}
	return p, nil
}

// names lists the points.
func (p *parser) names() []string {
	var names []string
	for _, f := range p.fields {
		names = append(names, f.Name)
	}
	return names
}

// has says whether it makes the point.
func (p *parser) has(name string) bool {
	return slices.ContainsFunc(p.fields, func(f field) bool { return f.Name == name })
}

// parse appends the samples of one message, measured at the time at; ok is
// false when the message does not match.
func (p *parser) parse(dst []point.Sample, line []byte, at time.Time) (samples []point.Sample, ok bool) {
	m := p.regexp.FindSubmatchIndex(line)
	if m == nil {
		return dst, false
	}
	for i := range p.fields {
		f := &p.fields[i]
		for _, g := range f.groups {
			if from, to := m[2*g], m[2*g+1]; from >= 0 {
				dst = append(dst, f.sample(string(line[from:to]), at))
				break
			}
		}
	}
	return dst, true
}

// sample makes one sample of a group's text.
func (f *field) sample(text string, at time.Time) point.Sample {
	s := point.Sample{Point: f.Name, Unit: f.Unit, Time: at}
	v, err := f.number(text)
	switch {
	case f.Type == "text" || f.Type == "auto" && err != nil:
		s.Value = point.OfString(strings.ToValidUTF8(text, "\ufffd"))
	case err != nil:
		s.Quality, s.Reason = point.Bad, err.Error()
	default:
		s.Value = v
	}
	return s
}

// number reads a decimal number, as devices write them: with blanks around it
// and behind its sign, with zeros before it.
func (f *field) number(text string) (point.Value, error) {
	s := strings.TrimSpace(text)
	if s != "" && (s[0] == '-' || s[0] == '+') {
		s = s[:1] + strings.TrimLeft(s[1:], " ")
	}
	// strconv would take hexadecimal, "inf" and "nan" as well.
	if strings.Trim(s, "0123456789+-.eE") != "" {
		return point.Value{}, fmt.Errorf("%.40q is not a number", text)
	}
	v, err := point.ParseNumber(s)
	if err != nil || f.Scale == 1 && f.Offset == 0 {
		return v, err
	}
	n, _ := v.Float()
	n = scaled(n, f.Scale) + f.Offset
	if !finite(n) {
		return point.Value{}, fmt.Errorf("%.40q is too large once it is scaled", text)
	}
	return point.OfFloat(n), nil
}

// scaled multiplies by scale. Where that is one over a whole number it divides
// by that, which is exact where 0.1 is not: 3 becomes 0.3, not 0.30000000000000004.
func scaled(n, scale float64) float64 {
	if whole := math.Round(1 / scale); math.Abs(scale) < 1 && 1/whole == scale {
		return n / whole
	}
	return n * scale
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
