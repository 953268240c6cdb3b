package broker

import (
	"strings"
	"time"

	"headgate/broker/topic"
)

// Class says how what is published to some topics is kept. The first one that
// fits a topic counts.
type Class struct {
	// Filter says which topics, as the broker has them: with a listener's mount
	// point. "#" is every topic but those that begin with $.
	Filter string `toml:"filter"`

	// Window is how long a message may wait in memory for others, so that they go
	// to the disk together: "0s" to "10s". Who published it at QoS 1 or 2 has its
	// PUBACK or PUBREC after that; it goes to those who are connected at once, but
	// at QoS 2 not before. It saves writes to flash: each costs some kB however
	// short the message is. What goes at QoS 1 and is acknowledged within the window
	// by all sessions and bridges that it goes to is never written, and its publisher
	// has its PUBACK then: while the uplink is up, next to nothing is written. A
	// power cut loses what still waits, for which nobody has an acknowledgement.
	// Without a class nothing waits, but what the gateway itself publishes, which
	// waits 1 s.
	Window *time.Duration `toml:"window"`
}

// maxWindow is the longest window: publishers wait for it.
const maxWindow = 10 * time.Second

// clientWindow is the window of what a client inside the process publishes, where
// no class says another.
const clientWindow = time.Second

// Check reports each fault by its key, relative to the class's table.
func (c *Class) Check(fault func(key, format string, args ...any)) {
	switch {
	case c.Filter == "":
		fault("filter", `a class needs a topic filter, like "plant7/#"`)
	case strings.HasPrefix(c.Filter, "$share/"):
		fault("filter", "%q: a class is for what is published, not for a subscription: leave $share/GROUP/ out", c.Filter)
	default:
		if err := topic.CheckFilter(c.Filter); err != nil {
			fault("filter", "%q: %v", c.Filter, err)
		}
	}
	switch {
	case c.Window == nil:
		fault("window", `a class needs a window, like "20ms", or "0s" for none`)
	case *c.Window < 0 || *c.Window > maxWindow:
		fault("window", "%v is not within 0s to %v", *c.Window, maxWindow)
	}
}

// windowOf gives the window of a topic; other is for one in no class.
func windowOf(classes []Class, name string, other time.Duration) time.Duration {
	for i := range classes {
		if topic.Match(classes[i].Filter, name) {
			return *classes[i].Window
		}
	}
	return other
}
