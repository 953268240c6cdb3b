package serial

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"headgate/adapters/datatype"
	"headgate/gateway/point"
)

// Point is one [[serial.point]] table.
type Point struct {
	// Name is the point's name, as it stands in topics; with "regexp" it is that
	// of a group.
	Name string `toml:"name"`

	// From is where the value stands in a message. "csv": its column, 1 is the
	// first. "json": its path, "sensors[0].temperature". "binary": its first
	// byte, 0 is the first of the message, the start counted. "nmea": the
	// sentence and its field, "GGA:9"; of three letters it is of any talker.
	// "p1": the OBIS code, "1-0:1.8.1"; of several values the last, or that of a
	// number, "0-1:24.2.1[1]". "raw": how the message is written, "text", "hex"
	// or "base64".
	From From `toml:"from"`

	// Unit is the unit of measure as published. Default none; with "p1" that of
	// the telegram.
	Unit string `toml:"unit"`

	// Type is "number", "text" or "auto": a number if it reads as a decimal
	// one, text if not. A code with leading zeros wants "text". With "nmea" also
	// "degrees": a latitude or longitude, of which N, S, E or W is the next field.
	// Default "auto". With "binary" it is a type as of a Modbus point (u16, f32,
	// bcd32, epoch32, string ...), or u8, i8 or bcd8, and must be given.
	Type string `toml:"type"`

	// Length, Order and Bits are for "binary", as of a Modbus point: how many
	// bytes a string has, the order of bytes ("ABCD"), the part of a whole number
	// that is meant ("4:3").
	Length int    `toml:"length"`
	Order  string `toml:"order"`
	Bits   string `toml:"bits"`

	// Number says what becomes of a number: scale, offset, decimals, min, max and
	// out_of_range.
	datatype.Number

	// Invalid lists what the device says when it has no value, as it stands in
	// the message: numbers, or texts like "----". The quality is bad then.
	Invalid []any `toml:"invalid"`

	// Enum gives texts to what stands in the message: { ST = "stable" }. What is
	// not in it is published as it is.
	Enum map[string]string `toml:"enum"`

	// StaleAfter is how old a value may grow before it is published once more as
	// stale. Default: the stale_after of the device. Longer for what is seldom said.
	StaleAfter time.Duration `toml:"stale_after"`

	// Set is what is sent to set the point: {value} in its send stands for the
	// value, {value:.2f} or {value:04d} for it in that form. Scale and offset are
	// undone before. With an expect, that is how the device says yes. Default: the
	// point cannot be written.
	Set *Ask `toml:"set"`

	// Report says which values are published: deadband, min_interval and
	// heartbeat.
	point.Report
}

// From is a place in a message: a text, or a number.
type From string

// UnmarshalTOML reads it as the config has it.
func (f *From) UnmarshalTOML(v any) error {
	switch v := v.(type) {
	case string:
		*f = From(v)
	case int64:
		*f = From(fmt.Sprint(v))
	default:
		return fmt.Errorf("%v: want a text or a whole number", v)
	}
	return nil
}

func (p *Point) setDefaults() {
	if p.Type == "" {
		p.Type = "auto"
	}
	p.Number.SetDefaults()
	p.Report.SetDefaults()
}

// checkParsers checks how messages are parsed, and gives the points that come of
// it with the kind of their message; nil when that is at fault.
func (c *Config) checkParsers(fault func(key, format string, args ...any)) map[string]string {
	kinds, wrong := map[string]string{}, false
	sane := *c
	sane.Points = slices.Clone(c.Points)
	for i := range sane.Points {
		if n := &sane.Points[i].Number; !finite(n.Scale) || !finite(n.Offset) { // checkPoints says so
			*n = datatype.Number{Scale: 1}
		}
	}
	one := func(at string, cfg Config) {
		if !cfg.Parse.check(func(key, format string, args ...any) { fault(at+"parse."+key, format, args...) }) {
			wrong = true
			return
		}
		p, err := newParser(cfg)
		if err != nil {
			key := "parse"
			if k := (keyed{}); errors.As(err, &k) {
				key, err = k.key, k.error
			}
			if !strings.HasPrefix(key, "point[") {
				key = at + key
			}
			fault(key, "%v", err)
			wrong = true
			return
		}
		for _, name := range p.names() {
			kinds[name] = cfg.Parse.Kind
		}
	}
	// There is something else to do than to make points of what comes.
	alone := !c.Transparent && !c.Set && !slices.ContainsFunc(c.Points, func(p Point) bool { return p.Set != nil })
	for i := range c.Request {
		if r := &c.Request[i]; !r.Parse.empty() {
			one(fmt.Sprintf("request[%d].", i), sane.parsing(r))
			alone = false
		} else if c.Parse.empty() && r.Expect == "" {
			fault(fmt.Sprintf("request[%d].expect", i), "is missing, and so is parse: nothing says what the answer is")
		}
	}
	if alone || !c.Parse.empty() {
		one("", sane)
	}
	if wrong {
		return nil
	}
	if _, taken := kinds[rawPoint]; taken && c.Transparent {
		fault("transparent", "is true, and a point is called %q: that is where the bytes go", rawPoint)
	}
	return kinds
}

// check is false where there is a fault.
func (p *Parse) check(fault func(key, format string, args ...any)) (good bool) {
	good = true
	say := func(key, format string, args ...any) {
		good = false
		fault(key, format, args...)
	}
	switch {
	case p.Regexp != "" && p.Kind != "regexp":
		say("regexp", "is for kind \"regexp\", not for %q", p.Kind)
	case p.Separator != "" && p.Kind != "csv":
		say("separator", "is for kind \"csv\", not for %q", p.Kind)
	case p.Kind == "csv" && len(p.Separator) != 1:
		say("separator", "%q: want one character, like \";\"", p.Separator)
	case len(p.Points) > 0 && p.Kind == "regexp":
		say("points", "is for other kinds: with \"regexp\" the points are its groups")
	}
	return good
}

// checkPoints checks the [[serial.point]] tables; kinds has the points that come
// out of messages, nil when parse is at fault itself.
func (c *Config) checkPoints(kinds map[string]string, fault func(key, format string, args ...any)) {
	seen := map[string]int{}
	for i := range c.Points {
		p := &c.Points[i]
		inPoint := func(key, format string, args ...any) { fault(fmt.Sprintf("point[%d].%s", i, key), format, args...) }
		kind, heard := kinds[p.Name]
		if !heard {
			kind = c.Parse.Kind
			if c.Parse.empty() && slices.ContainsFunc(c.Request, func(r Request) bool { return !r.Parse.empty() }) {
				kind = "" // of which request it was meant for nothing is known
			}
		}
		first, again := seen[p.Name]
		switch {
		case p.Name == "" && kind == "regexp":
			inPoint("name", "is missing: want the name of a group of parse.regexp")
		case p.Name == "": // newParser says so
		case again:
			inPoint("name", "%q is point[%d] already", p.Name, first)
		case p.Set == nil && kinds != nil && !heard && kind != "regexp":
			inPoint("name", "%q is in no message: no parse.points names it", p.Name)
		case p.Set == nil && kinds != nil && !heard:
			inPoint("name", "%q is no named group of parse.regexp, which has %s", p.Name, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
		}
		if !again {
			seen[p.Name] = i
		}
		if kind == "regexp" && p.From != "" {
			inPoint("from", "is for other kinds of parse: with \"regexp\" a point is the group of its name")
		}
		switch t, _, err := binaryType(*p); {
		case kind == "" && p.Set == nil:
			p.Number.Check(inPoint, "", false)
		case kind != "binary" || p.Set != nil && !heard:
			p.checkText(kind, inPoint)
		case err == nil:
			p.Number.Check(inPoint, t.Name, t.IsNumber())
		}
		if p.StaleAfter < 0 {
			inPoint("stale_after", "%v: want a duration like \"1h\"", p.StaleAfter)
		}
		p.Report.Check(inPoint)
	}
}

// checkText checks a point whose value is text in the message.
func (p *Point) checkText(kind string, fault func(key, format string, args ...any)) {
	switch {
	case p.Type == "number", p.Type == "auto", p.Type == "text", p.Type == "degrees" && kind == "nmea":
	default:
		fault("type", "%q: want \"number\", \"text\" or \"auto\"", p.Type)
		return
	}
	p.Number.Check(fault, p.Type, p.Type != "text")
	if p.Length != 0 || p.Order != "" || p.Bits != "" {
		fault("type", "length, order and bits are for parse.kind \"binary\"")
	}
	for _, v := range p.Invalid {
		switch v.(type) {
		case string, int64, float64:
		default:
			fault("invalid", "%v: want texts or numbers as they stand in the message", v)
		}
	}
}
