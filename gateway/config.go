package gateway

import (
	"os"
	"time"

	"headgate/gateway/format"
	"headgate/gateway/point"
)

// Config is the [gateway] table.
type Config struct {
	// ID is this gateway's name, the first level of its topics by default: one
	// topic level, so without "/", "+" and "#". Default: the host's name.
	ID string `toml:"id"`

	// DataDir is the directory that holds what must outlive a restart. A relative
	// one is in the directory that headgate is started in. Default
	// "/var/lib/headgate".
	DataDir string `toml:"data_dir"`

	// Topic is the template of the topics that values are published to. It must
	// have {device} and {point}, each as a whole level, and may have {gateway}
	// anywhere. The others follow from it: a device's status is where a point
	// of the name "status" would be, a point's commands come to its topic with
	// "/set" behind it, their results go to the same with "/set/result".
	// Default "{gateway}/{device}/{point}".
	Topic string `toml:"topic"`

	// ProfileDir is the directory of the device profiles that a [[modbus.device]]
	// may name, NAME.toml each; one there goes before the one of that name that is
	// built in. Default "/etc/headgate/profiles".
	ProfileDir string `toml:"profile_dir"`

	// Config says how the payloads of the values are made: format, template and measurement. Bridges and Home Assistant
	// read "json": with another one, what they do of their own with values is left out.
	format.Config

	// QoS is that of the values, 0, 1 or 2. At 0, what is measured while an
	// uplink is away is kept only where its [[bridge]] says so. Status messages
	// and results always go at 1. Default 1.
	QoS *int `toml:"qos"`

	// Retain publishes values as retained, so that a client that subscribes
	// later has the last one of each point at once. Default false, for three
	// reasons: a retained value is written to disk each time, also when nobody
	// has asked for it to be kept, which wears flash; a backlog that an
	// uplink catches up with would overwrite newer values in the cloud; and a
	// gateway that is gone leaves values behind that look live to whoever does
	// not read their time. Without it a client has to wait for the next
	// reading. Status messages are always retained.
	Retain bool `toml:"retain"`

	// MaxAge is how old a command may be when it is carried out; an older one
	// is refused. Its age is counted from its "time", or from its arrival when
	// it has none. Default 30s.
	MaxAge time.Duration `toml:"max_age"`

	// CommandTimeout is how long the writing of one command may take, all its
	// repetitions and its reading back included. Default 10s.
	CommandTimeout time.Duration `toml:"command_timeout"`
}

// SetDefaults fills what was left out.
func (c *Config) SetDefaults() {
	if c.ID == "" {
		// Without a host name ID stays empty, and Check asks for one.
		c.ID, _ = os.Hostname()
	}
	if c.DataDir == "" {
		c.DataDir = "/var/lib/headgate"
	}
	if c.ProfileDir == "" {
		c.ProfileDir = "/etc/headgate/profiles"
	}
	if c.Topic == "" {
		c.Topic = "{gateway}/{device}/{point}"
	}
	c.Config.SetDefaults()
	if c.QoS == nil {
		c.QoS = new(int)
		*c.QoS = 1
	}
	if c.MaxAge == 0 {
		c.MaxAge = 30 * time.Second
	}
	if c.CommandTimeout == 0 {
		c.CommandTimeout = 10 * time.Second
	}
}

// Check reports each fault by its key, as it stands in the [gateway] table.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	if err := point.CheckDeviceName(c.ID); err != nil {
		fault("id", "%q: %v; want a name that can stand as one level of a topic, like \"boiler-house\"", c.ID, err)
	}
	if _, err := parseTemplate(c.Topic, "x"); err != nil {
		fault("topic", "%q: %v; the default is \"{gateway}/{device}/{point}\"", c.Topic, err)
	}
	c.Config.Check(fault)
	if q := *c.QoS; q < 0 || q > 2 {
		fault("qos", "%d: want 0, 1 or 2", q)
	}
	if c.MaxAge < 0 {
		fault("max_age", "%v: want a duration above 0, like \"30s\"", c.MaxAge)
	}
	if c.CommandTimeout < 0 {
		fault("command_timeout", "%v: want a duration above 0, like \"10s\"", c.CommandTimeout)
	}
}
