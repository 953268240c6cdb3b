package homeassistant

import (
	"path"
	"slices"
	"strings"
)

// DefaultPrefix is where Home Assistant looks unless it is told otherwise.
const DefaultPrefix = "homeassistant"

// Config is the [homeassistant] table.
type Config struct {
	// Enabled announces every device to Home Assistant, by one retained message each
	// (MQTT discovery): its points become sensors, and those that can be written
	// switches, numbers, selects, texts and buttons. Without it, what was announced
	// before is taken back. Default false.
	Enabled bool `toml:"enabled"`

	// Prefix is the discovery prefix of Home Assistant's MQTT integration: announced
	// is at PREFIX/device/GATEWAY/DEVICE/config, and again whenever "online" comes to
	// PREFIX/status. Default "homeassistant".
	Prefix string `toml:"prefix"`

	// Include lists the devices that are announced, as patterns: "meter*". Default:
	// all of them.
	Include []string `toml:"include"`

	// Exclude lists devices that are not. Default none.
	Exclude []string `toml:"exclude"`

	// Area is suggested to Home Assistant as the place of the devices, like "Boiler
	// house". Default none.
	Area string `toml:"area"`

	// Point lists what is to be otherwise with single points. Of several that match a
	// point the later one goes before, key by key.
	Point []Point `toml:"point"`
}

// Point is one [[homeassistant.point]] table.
type Point struct {
	// Point is the device and the point that it is about, as a pattern:
	// "meter1/voltage", "*/relay_*".
	Point string `toml:"point"`

	// Hide leaves the point out. Default false.
	Hide bool `toml:"hide"`

	// Name is what it is called there. Default: the point's name, "voltage_l1" as
	// "Voltage l1".
	Name string `toml:"name"`

	// Component is what it becomes: "sensor", "binary_sensor", "switch", "number",
	// "select", "text" or "button". Default: what fits its type; "sensor" makes one
	// that can be written one that cannot, "button" is for a coil that falls back by
	// itself.
	Component string `toml:"component"`

	// DeviceClass is its device class, like "battery", "door" or "water"; "none" for
	// none. Default: that of its unit.
	DeviceClass string `toml:"device_class"`

	// StateClass is "measurement", "total", "total_increasing" or "none": whether and
	// how Home Assistant keeps statistics of it. Default: that of its unit; an energy
	// is total_increasing.
	StateClass string `toml:"state_class"`

	// Category is "diagnostic" or "config" for what does not belong on a dashboard.
	// Default: neither.
	Category string `toml:"category"`

	// Icon is its icon, like "mdi:pump".
	Icon string `toml:"icon"`

	// Disabled has it switched off there until somebody switches it on. Default
	// false.
	Disabled bool `toml:"disabled"`
}

// none takes away what a point would have by itself.
const none = "none"

var (
	components   = []string{"sensor", "binary_sensor", "switch", "number", "select", "text", "button"}
	stateClasses = []string{"measurement", "total", "total_increasing", none}
	categories   = []string{"diagnostic", "config"}
)

// SetDefaults fills what was left out.
func (c *Config) SetDefaults() {
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
}

// Check reports each fault by its key, as it stands in the [homeassistant] table.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	switch {
	case len(c.Prefix) > 255:
		fault("prefix", "is longer than 255 bytes")
	case strings.ContainsAny(c.Prefix, "+#\x00") || strings.HasPrefix(c.Prefix, "$") || slices.Contains(strings.Split(c.Prefix, "/"), ""):
		fault("prefix", "%q: want levels of a topic without wildcards, like %q", c.Prefix, DefaultPrefix)
	}
	for key, patterns := range map[string][]string{"include": c.Include, "exclude": c.Exclude} {
		for _, p := range patterns {
			if _, err := path.Match(p, "x"); err != nil || strings.Contains(p, "/") || p == "" {
				fault(key, "%q: want the name of a device, or a pattern like \"meter*\"", p)
			}
		}
	}
	for i := range c.Point {
		p := &c.Point[i]
		p.check(func(key, format string, args ...any) { fault(joinIndex("point", i)+"."+key, format, args...) })
	}
}

func (p *Point) check(fault func(key, format string, args ...any)) {
	device, name, both := strings.Cut(p.Point, "/")
	_, badDevice := path.Match(device, "x")
	_, badPoint := path.Match(name, "x")
	if !both || device == "" || name == "" || strings.Contains(name, "/") || badDevice != nil || badPoint != nil {
		fault("point", "%q: want a device and a point of it, like \"meter1/voltage\" or \"*/relay_*\"", p.Point)
	}
	oneOf := func(key, value string, known []string) {
		if value != "" && !slices.Contains(known, value) {
			fault(key, "%q: want %s", value, quoted(known))
		}
	}
	oneOf("component", p.Component, components)
	oneOf("state_class", p.StateClass, stateClasses)
	oneOf("category", p.Category, categories)
	if p.Icon != "" && !strings.Contains(p.Icon, ":") {
		fault("icon", "%q: want a set and a name, like \"mdi:pump\"", p.Icon)
	}
	if strings.ContainsFunc(p.DeviceClass, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' }) {
		fault("device_class", "%q: want a device class as Home Assistant writes it, like \"battery\"", p.DeviceClass)
	}
}

// wants says whether the device is to be announced.
func (c *Config) wants(device string) bool {
	return c.Enabled && (len(c.Include) == 0 || matchesAny(c.Include, device)) && !matchesAny(c.Exclude, device)
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// matches is path.Match of a pattern that Check has found good.
func matches(pattern, name string) bool {
	ok, _ := path.Match(pattern, name)
	return ok
}

// matches says whether the table is about that point.
func (p *Point) matches(device, name string) bool {
	d, n, _ := strings.Cut(p.Point, "/")
	return matches(d, device) && matches(n, name)
}

// of gives what is said of a point, all that matches it together.
func (c *Config) of(device, name string) Point {
	var all Point
	set := func(to *string, from string) {
		if from != "" {
			*to = from
		}
	}
	for _, p := range c.Point {
		if !p.matches(device, name) {
			continue
		}
		all.Hide, all.Disabled = all.Hide || p.Hide, all.Disabled || p.Disabled
		set(&all.Name, p.Name)
		set(&all.Component, p.Component)
		set(&all.DeviceClass, p.DeviceClass)
		set(&all.StateClass, p.StateClass)
		set(&all.Category, p.Category)
		set(&all.Icon, p.Icon)
	}
	return all
}
