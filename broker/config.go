package broker

import (
	"slices"

	"headgate/broker/auth"
	"headgate/broker/clock"
	"headgate/broker/listen"
)

// Config is the [broker] table.
type Config struct {
	// Listener says where clients connect. None at all is allowed: then only
	// the gateway and the bridges use the broker, inside the process.
	Listener []listen.Config `toml:"listener"`

	auth.Config
	Limits

	// Classes says how what is published is kept, by topic.
	Classes []Class `toml:"-"`

	// GatewayID is told to the bridges of other gateways; "" is not told.
	GatewayID string `toml:"-"`

	// Version is headgate's own, for $SYS.
	Version string `toml:"-"`

	// Clock is where expiries take the time from; nil: the machine's clocks.
	Clock clock.Source `toml:"-"`
}

// SetDefaults fills what was left out.
func (c *Config) SetDefaults() {
	for i := range c.Listener {
		c.Listener[i].SetDefaults()
	}
	c.OtherUsers = slices.ContainsFunc(c.Listener, func(l listen.Config) bool { return l.UsernameFrom != "" })
	c.Limits.SetDefaults()
}

// Check reports each fault by its key, relative to the [broker] table.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	for i := range c.Listener {
		table := "listener[" + itoa(i) + "]"
		c.Listener[i].Check(func(key, format string, args ...any) {
			if key != "" {
				key = "." + key
			}
			fault(table+key, format, args...)
		})
	}
	c.Config.Check(fault)
	c.Limits.Check(fault)
}
