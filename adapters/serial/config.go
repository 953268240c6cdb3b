package serial

import (
	"time"

	"headgate/adapters/port"
	"headgate/gateway/point"
)

// Config is one [[serial]] table: one device on a serial line, that talks by itself
// or is asked.
type Config struct {
	// Name is the device's name, as it stands in topics.
	Name string `toml:"name"`

	// Manufacturer and Model say what the device is, where it is announced: in Home
	// Assistant's list of devices.
	Manufacturer string `toml:"manufacturer"`
	Model        string `toml:"model"`

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
	// understands: then it is offline. A value that is as old is published once more
	// as stale, with the time it was measured at, though the device may go on to say
	// others. Default 0: it may be silent for ever, and is online whenever its port
	// is open; with a request: three times the longest interval and timeout of one.
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
	// Kind is what a message is. "regexp": a text, of which Regexp takes values.
	// "csv": columns. "json": an object or an array. "binary": bytes, each value
	// at its place. "nmea": an NMEA 0183 sentence. "p1": a DSMR P1 telegram, or a
	// readout of IEC 62056-21: values by their OBIS codes. "raw": what comes is
	// the value. All but the first want a [[serial.point]] with a from for each
	// value. Default "regexp".
	Kind string `toml:"kind"`

	// Regexp is a regular expression in Go's syntax (RE2). Each of its named
	// groups, (?P<weight>...), is a point; one that took no part in a match
	// gives no value. Two groups may share a name, in alternatives.
	Regexp string `toml:"regexp"`

	// Separator stands between the columns of "csv": one character. Default ",".
	Separator string `toml:"separator"`

	// Points names the points that are in such a message, where the answers to
	// several requests are not of one kind. Default: all that have a from.
	Points []string `toml:"points"`
}

// empty says that nothing was said of it.
func (p *Parse) empty() bool { return p.Regexp == "" && (p.Kind == "" || p.Kind == "regexp") }

func (p *Parse) setDefaults() {
	if p.Kind == "" {
		p.Kind = "regexp"
	}
	if p.Separator == "" && p.Kind == "csv" {
		p.Separator = ","
	}
}

// rawPoint is where the bytes of a transparent line are published.
const rawPoint = "raw"

// SetDefaults fills what was left out.
func (c *Config) SetDefaults() {
	c.Frame.setDefaults()
	c.Parse.setDefaults()
	for i := range c.Request {
		c.Request[i].Parse.setDefaults()
	}
	for i := range c.Points {
		c.Points[i].setDefaults()
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
