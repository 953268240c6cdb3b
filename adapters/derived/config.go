package derived

import (
	"fmt"
	"strings"
	"time"

	"headgate/gateway/point"
)

// Config is one [[derived]] table: a device whose points are computed from those of
// others, and from what others publish.
type Config struct {
	// Name is the device's name, as it stands in topics.
	Name string `toml:"name"`

	// Inputs are topics of others, as names in the expressions of this table.
	Inputs []Input `toml:"input"`

	// Points are computed by an expression each.
	Points []Point `toml:"point"`

	// Alarms are points that are true while something is wrong.
	Alarms []Alarm `toml:"alarm"`
}

// Input is one [[derived.input]] table.
type Input struct {
	// Name is what the input is called in expressions: a word.
	Name string `toml:"name"`

	// Topic is where others publish it. The payload is JSON, and what is in an
	// object is its member: plug.power. What is no JSON is a text.
	Topic string `toml:"topic"`

	// StaleAfter is how old the value may grow: then what is computed from it is
	// stale. Default "15m".
	StaleAfter time.Duration `toml:"stale_after"`
}

// Point is one [[derived.point]] table.
type Point struct {
	// Name is the point's name, as it stands in topics.
	Name string `toml:"name"`

	// Expr is the expression, like "meter1.voltage * meter1.current". It is
	// computed each time one of its inputs has a new value.
	Expr string `toml:"expr"`

	// Unit is the unit of measure as published. Default none.
	Unit string `toml:"unit"`

	// Report says which values are published: deadband, min_interval and
	// heartbeat.
	point.Report
}

// Alarm is one [[derived.alarm]] table.
type Alarm struct {
	// Name is the alarm's name, as it stands in topics: its state is published as
	// that of a point, retained.
	Name string `toml:"name"`

	// When is the expression that is true when something is wrong:
	// "boiler.temp > 90".
	When string `toml:"when"`

	// Clear is the expression that is true when it is well again: "boiler.temp < 85".
	// Default: when that of "when" is not true any more.
	Clear string `toml:"clear"`

	// Delay is for how long the expression "when" must have been true before it is an
	// alarm. Default "0s".
	Delay time.Duration `toml:"delay"`

	// Message says in words what is wrong. Default: the expression.
	Message string `toml:"message"`
}

const (
	defaultStaleAfter = 15 * time.Minute
	maxMessageBytes   = 512
)

// SetDefaults fills what was left out.
func (c *Config) SetDefaults() {
	for i := range c.Inputs {
		if c.Inputs[i].StaleAfter == 0 {
			c.Inputs[i].StaleAfter = defaultStaleAfter
		}
	}
	for i := range c.Points {
		c.Points[i].Report.SetDefaults()
	}
	for i := range c.Alarms {
		if c.Alarms[i].Message == "" {
			c.Alarms[i].Message = c.Alarms[i].When
		}
	}
}

// Check reports each fault by its key, as it stands in the [[derived]] table. What
// is wrong with the expressions is found by the function Check, which knows the
// devices.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	if c.Name == "" {
		fault("name", "is missing: want the device's name, like \"house\"")
	} else if err := point.CheckDeviceName(c.Name); err != nil {
		fault("name", "%q: %v; want a name that can stand as one level of a topic, like \"house\"", c.Name, err)
	}
	if len(c.Points)+len(c.Alarms) == 0 {
		fault("", "has neither a [[derived.point]] nor a [[derived.alarm]]")
	}
	seen := map[string]bool{}
	for i := range c.Inputs {
		c.Inputs[i].check(seen, func(key, format string, args ...any) { fault(fmt.Sprintf("input[%d].%s", i, key), format, args...) })
	}
	names := map[string]bool{}
	for i := range c.Points {
		p := &c.Points[i]
		in := func(key, format string, args ...any) { fault(fmt.Sprintf("point[%d].%s", i, key), format, args...) }
		checkName(p.Name, names, in)
		if p.Expr == "" {
			in("expr", "is missing: want an expression, like \"meter1.voltage * meter1.current\"")
		}
		p.Report.Check(in)
	}
	for i := range c.Alarms {
		a := &c.Alarms[i]
		in := func(key, format string, args ...any) { fault(fmt.Sprintf("alarm[%d].%s", i, key), format, args...) }
		checkName(a.Name, names, in)
		if a.When == "" {
			in("when", "is missing: want an expression that is true or false, like \"boiler.temp > 90\"")
		}
		if a.Delay < 0 || a.Delay > 24*time.Hour {
			in("delay", "%v: want a time of at most 24h, like \"10s\"", a.Delay)
		}
		if len(a.Message) > maxMessageBytes {
			in("message", "is longer than %d bytes", maxMessageBytes)
		}
	}
}

func checkName(name string, names map[string]bool, fault func(key, format string, args ...any)) {
	switch err := point.CheckPointName(name); {
	case name == "":
		fault("name", "is missing: want the point's name, like \"power\"")
	case err != nil:
		fault("name", "%q %v; want a name that can stand as one level of a topic, like \"power\"", name, err)
	case names[name]:
		fault("name", "%q is the name of another point of the device", name)
	}
	names[name] = true
}

func (in *Input) check(seen map[string]bool, fault func(key, format string, args ...any)) {
	switch {
	case in.Name == "":
		fault("name", "is missing: want a word that stands for it in expressions, like \"plug\"")
	case strings.ContainsAny(in.Name, ". -+*/()[]{}\"'"):
		fault("name", "%q: want a word of letters, digits and _, like \"plug\"", in.Name)
	case seen[in.Name]:
		fault("name", "%q is the name of another input of the device", in.Name)
	}
	seen[in.Name] = true
	switch {
	case in.Topic == "":
		fault("topic", "is missing: want the topic that others publish to, like \"zigbee2mqtt/plug1\"")
	case strings.ContainsAny(in.Topic, "+#\x00"):
		fault("topic", "%q: want the name of one topic, without + and #", in.Topic)
	case len(in.Topic) > 1024:
		fault("topic", "is longer than 1024 bytes")
	}
	if in.StaleAfter < time.Second {
		fault("stale_after", "%v: want a time of at least 1s, like \"15m\"", in.StaleAfter)
	}
}
