package serial

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"headgate/gateway/point"
)

// regexpFormat takes values by the named groups of a regular expression.
type regexpFormat struct {
	regexp *regexp.Regexp
	groups [][]int // of each field, as FindSubmatchIndex counts them; the first that took part counts
}

func newRegexpParser(cfg Config) (*parser, error) {
	wrong := func(format string, args ...any) (*parser, error) {
		return nil, keyed{"parse.regexp", fmt.Errorf(format, args...)}
	}
	if cfg.Parse.Regexp == "" {
		return nil, keyed{"parse.regexp", errors.New(`is missing: want a regular expression with a named group for each point, like '^\s*(?P<weight>[-\d.]+)\s*kg'`)}
	}
	re, err := regexp.Compile(cfg.Parse.Regexp)
	if err != nil {
		return nil, keyed{"parse.regexp", err}
	}
	p, r := &parser{}, &regexpFormat{regexp: re}
	for group, name := range re.SubexpNames() {
		if name == "" {
			continue
		}
		if err := point.CheckPointName(name); err != nil {
			return wrong("the group name %q cannot be a point's: it %w", name, err)
		}
		if i := slices.IndexFunc(p.fields, func(f field) bool { return f.Name == name }); i >= 0 {
			r.groups[i] = append(r.groups[i], group)
			continue
		}
		c := Point{Name: name}
		c.setDefaults()
		if i := slices.IndexFunc(cfg.Points, func(c Point) bool { return c.Name == name }); i >= 0 {
			c = cfg.Points[i]
		}
		p.fields = append(p.fields, newField(c))
		r.groups = append(r.groups, []int{group})
	}
	if len(p.fields) == 0 {
		return wrong(`has no named group: want one for each point, like (?P<weight>[-\d.]+)`)
	}
	p.format = r
	return p, nil
}

func (r *regexpFormat) samples(dst []point.Sample, message []byte, fields []field, at time.Time) ([]point.Sample, bool) {
	m := r.regexp.FindSubmatchIndex(message)
	if m == nil {
		return dst, false
	}
	for i := range fields {
		for _, g := range r.groups[i] {
			if from, to := m[2*g], m[2*g+1]; from >= 0 {
				dst = append(dst, fields[i].sample(string(message[from:to]), at))
				break
			}
		}
	}
	return dst, true
}
