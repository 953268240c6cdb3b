package serial

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"headgate/gateway/point"
)

// parser makes samples of messages.
type parser struct {
	fields []field
	format format
}

// format takes the values of fields out of messages of one kind.
type format interface {
	// samples appends those of one message, measured at the time at; ok is false
	// when the message is not of this kind. A value that is not in the message
	// gives no sample.
	samples(dst []point.Sample, message []byte, fields []field, at time.Time) (samples []point.Sample, ok bool)
}

// keyed is a fault in the config with the key that has it.
type keyed struct {
	key string
	error
}

func (k keyed) Unwrap() error { return k.error }

// placed is a point, and where in the config it stands.
type placed struct {
	Point
	index int
}

// wrong is a fault in a point's key.
func (p placed) wrong(key, format string, args ...any) error {
	return keyed{fmt.Sprintf("point[%d].%s", p.index, key), fmt.Errorf(format, args...)}
}

// newParser makes the parser of cfg, whose defaults are filled in. An error is
// keyed.
func newParser(cfg Config) (*parser, error) {
	if cfg.Parse.Kind == "regexp" {
		return newRegexpParser(cfg)
	}
	p := &parser{}
	var places []placed
	for i, c := range cfg.Points {
		in := placed{c, i}.wrong
		switch named := slices.Contains(cfg.Parse.Points, c.Name); {
		case c.Name == "":
			return nil, in("name", "is missing: want the point's name, as it stands in topics")
		case len(cfg.Parse.Points) > 0 && !named, !named && c.From == "" && c.Set != nil:
			continue
		case c.From == "":
			return nil, in("from", "is missing: want where in the message the value stands")
		}
		if err := point.CheckPointName(c.Name); err != nil {
			return nil, in("name", "%q cannot be a point's: it %w", c.Name, err)
		}
		p.fields = append(p.fields, newField(c))
		places = append(places, placed{c, i})
	}
	if len(places) == 0 {
		return nil, keyed{"point", errors.New("is missing: want a [[serial.point]] for each value")}
	}
	for _, name := range cfg.Parse.Points {
		if !slices.Contains(p.names(), name) {
			return nil, keyed{"parse.points", fmt.Errorf("%q: there is no such [[serial.point]]", name)}
		}
	}
	var err error
	switch cfg.Parse.Kind {
	case "csv":
		p.format, err = newCSVFormat(places, cfg.Parse.Separator[0])
	case "json":
		p.format, err = newJSONFormat(places)
	case "binary":
		p.format, err = newBinaryFormat(places)
	case "nmea":
		p.format, err = newNMEAFormat(places)
	case "p1":
		p.format, err = newP1Format(places)
	case "raw":
		p.format, err = newRawFormat(places)
	default:
		err = keyed{"parse.kind", fmt.Errorf("%q: want regexp, csv, json, binary, nmea, p1 or raw", cfg.Parse.Kind)}
	}
	return p, err
}

// names lists the points.
func (p *parser) names() []string {
	var names []string
	for _, f := range p.fields {
		if !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}

// has says whether it makes the point.
func (p *parser) has(name string) bool {
	return slices.ContainsFunc(p.fields, func(f field) bool { return f.Name == name })
}

// parse appends the samples of one message, measured at the time at; ok is
// false when the message does not match.
func (p *parser) parse(dst []point.Sample, message []byte, at time.Time) (samples []point.Sample, ok bool) {
	return p.format.samples(dst, message, p.fields, at)
}
