package serial

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"headgate/adapters/port"
	"headgate/gateway/point"
)

// Config is one [[serial]] table: one device on a serial line, that talks by itself
// or is asked.
type Config struct {
	// Name is the device's name, as it stands in topics.
	Name string `toml:"name"`

	// URL is the port, like "serial:///dev/ttyUSB1?baud=9600". After the ? may
	// stand baud (9600), data_bits (8), parity (N) and stop_bits (1), which have
	// these values otherwise.
	URL string `toml:"url"`

	// Frame says where one message of the device ends and the next begins.
	Frame Frame `toml:"frame"`

	// Parse says how points come out of a message.
	Parse Parse `toml:"parse"`

	// Points says more of single points. A group of the regular expression that
	// has no [[serial.point]] is a point without a unit, of type "auto".
	Points []Point `toml:"point"`

	// StaleAfter is how long the device may go without a message that parse
	// understands: then it is offline, and its last values are published once
	// more as stale, with the time they were measured at. Default 0: it may be
	// silent for ever, and is online whenever its port is open; with a request:
	// three times the longest interval and timeout of one.
	StaleAfter time.Duration `toml:"stale_after"`

	// Init is sent each time the port was opened, in this order, and again until
	// each has had the answer that it expects. Only then is anything asked.
	Init []Ask `toml:"init"`

	// Request says what the device is asked.
	Request []Request `toml:"request"`

	// KeepAlive is sent when nothing else is. Default: nothing.
	KeepAlive *KeepAlive `toml:"keep_alive"`

	// WriteInterval is the least time between two commands. Default 50ms.
	WriteInterval time.Duration `toml:"write_interval"`

	// Set: what is published to the device's topic with "set" in place of a point
	// is written to the line as it stands. Default false.
	Set bool `toml:"set"`

	// Transparent is Set, and what comes is published to the device's topic "raw"
	// as it was read, whether it is a message or not. Parse may be left out then.
	// Default false.
	Transparent bool `toml:"transparent"`
}

// Parse is the parse = { ... } of a [[serial]] table.
type Parse struct {
	// Regexp is a regular expression in Go's syntax (RE2). Each of its named
	// groups, (?P<weight>...), is a point; one that took no part in a match
	// gives no value. Two groups may share a name, in alternatives.
	Regexp string `toml:"regexp"`
}

// empty says that nothing was said of it.
func (p *Parse) empty() bool { return p.Regexp == "" }

// Point is one [[serial.point]] table.
type Point struct {
	// Name is the group of the regular expression that this is about.
	Name string `toml:"name"`

	// Unit is the unit of measure as published. Default none.
	Unit string `toml:"unit"`

	// Type is "number", "text" or "auto": a number if it reads as a decimal
	// one, text if not. A code with leading zeros wants "text". Default "auto".
	Type string `toml:"type"`

	// Scale and Offset make the published number from the one in the message:
	// number * scale + offset. Defaults 1 and 0.
	Scale  float64 `toml:"scale"`
	Offset float64 `toml:"offset"`

	// Set is what is sent to set the point: {value} in its send stands for the
	// value, {value:.2f} or {value:04d} for it in that form. Scale and offset are
	// undone before. With an expect, that is how the device says yes. Default: the
	// point cannot be written.
	Set *Ask `toml:"set"`

	// Report says which values are published: deadband, min_interval and
	// heartbeat.
	point.Report
}

// rawPoint is where the bytes of a transparent line are published.
const rawPoint = "raw"

// SetDefaults fills what was left out.
func (c *Config) SetDefaults() {
	c.Frame.setDefaults()
	for i := range c.Points {
		p := &c.Points[i]
		if p.Type == "" {
			p.Type = "auto"
		}
		if p.Scale == 0 {
			p.Scale = 1
		}
		p.Report.SetDefaults()
	}
	c.setAskDefaults()
}

// Check reports each fault by its key, as it stands in the [[serial]] table.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	if c.Name == "" {
		fault("name", "is missing: want the device's name, like \"scale\"")
	} else if err := point.CheckDeviceName(c.Name); err != nil {
		fault("name", "%q: %v; want a name that can stand as one level of a topic, like \"scale\"", c.Name, err)
	}
	if c.URL == "" {
		fault("url", "is missing: want a port, like \"serial:///dev/ttyUSB1?baud=9600\"")
	} else if _, err := port.ParseURL(c.URL, scheme); err != nil {
		fault("url", "%v", err)
	}
	c.Frame.check(func(key, format string, args ...any) { fault("frame."+key, format, args...) })
	if c.StaleAfter < 0 {
		fault("stale_after", "%v: want a duration like \"30s\", or 0 for never", c.StaleAfter)
	}
	c.checkAsks(fault)
	c.checkPoints(c.checkParsers(fault), fault)
}

// checkParsers checks how messages are parsed, and gives the names of the points
// that come of it; nil when that is at fault.
func (c *Config) checkParsers(fault func(key, format string, args ...any)) []string {
	names, wrong := []string{}, false
	one := func(key string, cfg Config) {
		p, err := newParser(cfg)
		if err != nil {
			fault(key, "%v", err)
			wrong = true
			return
		}
		names = append(names, p.names()...)
	}
	// There is something else to do than to make points of what comes.
	alone := !c.Transparent && !c.Set && !slices.ContainsFunc(c.Points, func(p Point) bool { return p.Set != nil })
	for i := range c.Request {
		if r := &c.Request[i]; !r.Parse.empty() {
			one(fmt.Sprintf("request[%d].parse.regexp", i), c.parsing(r))
			alone = false
		} else if c.Parse.empty() && r.Expect == "" {
			fault(fmt.Sprintf("request[%d].expect", i), "is missing, and so is parse: nothing says what the answer is")
		}
	}
	if alone || !c.Parse.empty() {
		one("parse.regexp", *c)
	}
	if wrong {
		return nil
	}
	if c.Transparent && slices.Contains(names, rawPoint) {
		fault("transparent", "is true, and a point is called %q: that is where the bytes go", rawPoint)
	}
	return names
}

// checkPoints checks the [[serial.point]] tables against the groups; groups is
// nil when the regular expression is at fault itself.
func (c *Config) checkPoints(groups []string, fault func(key, format string, args ...any)) {
	seen := map[string]int{}
	for i, p := range c.Points {
		key := func(s string) string { return fmt.Sprintf("point[%d].%s", i, s) }
		first, again := seen[p.Name]
		switch {
		case p.Name == "":
			fault(key("name"), "is missing: want the name of a group of parse.regexp")
		case again:
			fault(key("name"), "%q is point[%d] already", p.Name, first)
		case p.Set == nil && groups != nil && !slices.Contains(groups, p.Name):
			fault(key("name"), "%q is no named group of parse.regexp, which has %s", p.Name, strings.Join(groups, ", "))
		}
		if !again {
			seen[p.Name] = i
		}
		switch p.Type {
		case "number", "auto":
		case "text":
			if p.Scale != 1 || p.Offset != 0 {
				fault(key("type"), "\"text\" cannot have a scale or an offset")
			}
		default:
			fault(key("type"), "%q: want \"number\", \"text\" or \"auto\"", p.Type)
		}
		if !finite(p.Scale) {
			fault(key("scale"), "%v: want a finite number", p.Scale)
		}
		if !finite(p.Offset) {
			fault(key("offset"), "%v: want a finite number", p.Offset)
		}
		p.Report.Check(func(name, format string, args ...any) { fault(key(name), format, args...) })
	}
}
