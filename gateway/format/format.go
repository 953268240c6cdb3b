// Package format makes payloads of samples: the gateway's own JSON, and what else
// consumers of a point's values like to read. The gateway encodes what it publishes
// with it, a bridge what it sends up, for which it reads the gateway's JSON back. It
// owns no topic and no I/O.
package format

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"headgate/gateway/point"
)

// The formats.
const (
	JSON       = "json"        // {"value":231.4,"unit":"V","time":"...","quality":"good"}
	JSONDevice = "json_device" // {"time":"...","values":{"voltage":231.4,"current":5.2}, ...}
	Value      = "value"       // 231.4
	Influx     = "influx"      // meter1,device=meter1,gateway=plant voltage=231.4 1795867445123000000
	CBOR       = "cbor"        // the map of JSON, in CBOR
	Template   = "template"    // what Config.Template makes of it
)

// Sample is a sample with all that a payload may say of it.
type Sample struct {
	Origin
	point.Sample
	Unsynced bool // nobody had set the machine's clock

	// Where nobody had: in which boot, 0 where that is not known, and how long that had
	// run. See Restamp.
	Boot   uint32
	Uptime time.Duration
}

// Origin is where a sample is from.
type Origin struct {
	Gateway, Device string
	Topic           string // to which its JSON is published
	DeviceTopic     string // to which that of its device and read would be
}

// Config says how payloads are made. It is a part of the table that has the
// topics.
type Config struct {
	// Format is that of the payloads: "json" (value, unit, time and quality of one point), "json_device" (one object for
	// all points of a device that were read together), "value" (the bare value; empty where there is no good one), "influx"
	// (InfluxDB line protocol), "cbor" (as "json", RFC 8949) or "template". packaging/docs/payloads.md shows each.
	// Default "json".
	Format string `toml:"format"`

	// Template is the text for format = "template", in the language of Go's text/template: "{{.Point}}={{.Value}}". The
	// fields are Gateway, Device, Point, Topic, Value, Unit, Time, Quality, Reason and Synced; {{json .Value}} writes JSON.
	// What comes out empty is not published.
	Template string `toml:"template"`

	// Measurement is that of the lines of format = "influx". Default: the name of the device.
	Measurement string `toml:"measurement"`
}

// SetDefaults fills what was left out.
func (c *Config) SetDefaults() {
	if c.Format == "" {
		c.Format = JSON
	}
}

// Check reports each fault by its key.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	switch c.Format {
	case JSON, JSONDevice, Value, Influx, CBOR:
		if c.Template != "" {
			fault("template", "the format is %q: want format = %q with it", c.Format, Template)
		}
	case Template:
		if c.Template == "" {
			fault("template", "missing: format = %q needs one, such as \"{{.Point}}={{.Value}}\"", Template)
		} else if _, err := parseTemplate(c.Template); err != nil {
			fault("template", "%v", err)
		}
	default:
		fault("format", `%q: want "json", "json_device", "value", "influx", "cbor" or "template"`, c.Format)
	}
	switch {
	case c.Measurement == "":
	case c.Format != Influx:
		fault("measurement", "the format is %q: it is for format = %q", c.Format, Influx)
	case strings.HasPrefix(c.Measurement, "_"):
		fault("measurement", "%q: names that begin with \"_\" are InfluxDB's own", c.Measurement)
	}
}

// Encoder makes payloads of one format. It may be used by several goroutines.
type Encoder struct {
	cfg      Config
	template *textTemplate // of Template
}

// New makes the encoder of a configuration in which Check has found no fault.
func New(cfg Config) (*Encoder, error) {
	cfg.SetDefaults()
	e := &Encoder{cfg: cfg}
	if cfg.Format == Template {
		var err error
		if e.template, err = parseTemplate(cfg.Template); err != nil {
			return nil, fmt.Errorf("template: %w", err)
		}
	}
	return e, nil
}

// Format is the name of the format.
func (e *Encoder) Format() string { return e.cfg.Format }

// ErrNothing is of Append: the template makes nothing of this sample.
var ErrNothing = errors.New("the template makes nothing of it")

// Append appends the payload of a sample to dst. Only a template can fail; then
// dst is as it was.
func (e *Encoder) Append(dst []byte, s *Sample) ([]byte, error) {
	switch e.cfg.Format {
	case JSONDevice:
		return append(dst, AppendDevice(nil, []Sample{*s})...), nil // not into dst, which would have to be on the heap
	case Value:
		return appendBare(dst, s), nil
	case Influx:
		return appendLine(dst, s, e.cfg.Measurement), nil
	case CBOR:
		return appendCBOR(dst, s), nil
	case Template:
		return e.template.append(dst, s)
	}
	return AppendJSON(dst, s), nil
}

// ContentType is the payloads' MIME type, for the property of MQTT 5; "" where
// nobody knows.
func (e *Encoder) ContentType() string {
	switch e.cfg.Format {
	case JSON, JSONDevice:
		return "application/json"
	case CBOR:
		return "application/cbor"
	case Value, Influx:
		return "text/plain"
	}
	return ""
}

// appendBare appends the value alone, and nothing where it is not good: without its
// quality and its time an old value would look like one that was measured now.
func appendBare(dst []byte, s *Sample) []byte {
	if s.Quality != point.Good {
		return dst
	}
	return append(dst, s.Value.String()...)
}
