package rule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"headgate/broker/topic"
	"headgate/gateway/expression"
)

// Config is one [[rule]] table: what is published to some topics is published to
// another one too, changed on the way.
type Config struct {
	// Name names the rule in logs and in /metrics.
	Name string `toml:"name"`

	// From is the topic filter of the messages that it takes: "zigbee2mqtt/+/#". It
	// never takes what a rule has published.
	From string `toml:"from"`

	// To is the topic that it publishes to. {1} is what the first + or # of "from"
	// stands for, {2} the second, {topic} the whole name: "boiler-house/{1}/power".
	To string `toml:"to"`

	// When is an expression that must be true: "payload.power > 10". It may have
	// payload, the JSON or text of the message; topic; levels, a list of the topic's
	// levels; and retain. Default: every message.
	When string `toml:"when"`

	// Payload is an expression for what is published: "payload.power", or
	// "{value: payload.power, unit: 'W'}". A text is published as it is, all else as
	// JSON. Default: the payload as it came.
	Payload string `toml:"payload"`

	// Throttle is the least time between two messages that the rule publishes to the
	// same topic. Default "0s": no limit.
	Throttle time.Duration `toml:"throttle"`

	// Keep says what becomes of the messages that come sooner than "throttle" lets
	// them: "last" publishes the newest of them when the time is over, "first" drops
	// them all, for the first message has gone already. Default "last".
	Keep string `toml:"keep"`

	// QoS is the QoS to publish at. Default: that of the message.
	QoS *int `toml:"qos"`

	// Retain says whether to publish as retained. Default: as the message was.
	Retain *bool `toml:"retain"`
}

const maxThrottle = 24 * time.Hour

// SetDefaults fills what was left out.
func (c *Config) SetDefaults() {
	if c.Keep == "" {
		c.Keep = "last"
	}
}

// Check reports each fault by its key, as it stands in the [[rule]] table.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	if c.Name == "" {
		fault("name", "is missing: want a name for logs and metrics, like \"plug-power\"")
	}
	if c.From == "" {
		fault("from", "is missing: want a topic filter, like \"zigbee2mqtt/+\"")
	} else if err := checkFrom(c.From); err != nil {
		fault("from", "%q: %v", c.From, err)
	} else if c.To != "" {
		if err := checkTo(c.To, wildcards(c.From)); err != nil {
			fault("to", "%q: %v", c.To, err)
		}
	}
	if c.To == "" {
		fault("to", "is missing: want a topic, like \"boiler-house/{1}/power\"")
	}
	if c.When != "" {
		if p, err := compile(c.When); err != nil {
			fault("when", "%v", err)
		} else if p.Type() != expression.Bool && p.Type() != expression.Any {
			fault("when", "%v", &expression.Error{Text: fmt.Sprintf("is %v; want what is true or false, like \"payload.power > 10\"", p.Type())})
		}
	}
	if c.Payload != "" {
		if _, err := compile(c.Payload); err != nil {
			fault("payload", "%v", err)
		}
	}
	if c.Throttle < 0 || c.Throttle > maxThrottle {
		fault("throttle", "%v: want a time of at most %v, like \"10s\"", c.Throttle, maxThrottle)
	}
	if c.Keep != "first" && c.Keep != "last" {
		fault("keep", "%q: want \"first\" or \"last\"", c.Keep)
	}
	if c.QoS != nil && (*c.QoS < 0 || *c.QoS > 2) {
		fault("qos", "%d: want 0, 1 or 2", *c.QoS)
	}
}

// TakesItsOwn says whether what it publishes matches what it takes.
func (c *Config) TakesItsOwn() bool {
	places := make([]string, wildcards(c.From))
	for i := range places {
		places[i] = "+"
	}
	filter, err := fill(c.To, c.From, places)
	return err == nil && topic.CheckFilter(filter) == nil && topic.CheckFilter(c.From) == nil && topic.Overlap(filter, c.From)
}

func checkFrom(filter string) error {
	if strings.HasPrefix(filter, "$share/") {
		return errors.New("a rule takes no part in a shared subscription")
	}
	return topic.CheckFilter(filter)
}

// wildcards counts the levels of a filter that stand for others.
func wildcards(filter string) (n int) {
	for level := range strings.SplitSeq(filter, "/") {
		if level == "+" || level == "#" {
			n++
		}
	}
	return n
}

// checkTo tries the template with a word in each place.
func checkTo(to string, places int) error {
	name, err := fill(to, "topic", make([]string, places))
	if err != nil {
		return err
	}
	if err := topic.CheckName(name + "x"); err != nil {
		return err
	}
	if strings.HasPrefix(name, "$") {
		return errors.New("what begins with $ is the broker's own")
	}
	return nil
}

// fill puts the places into a template; one that there is not is an error.
func fill(to, name string, places []string) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(to, "{")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		word, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", errors.New("a } is missing")
		}
		n, err := strconv.Atoi(word)
		switch {
		case word == "topic":
			b.WriteString(name)
		case err != nil:
			return "", fmt.Errorf("{%s}: want {topic}, or {1} for what the first + or # of from stands for", word)
		case n < 1 || n > len(places):
			return "", fmt.Errorf("{%d}: from has %d of + and #", n, len(places))
		default:
			b.WriteString(places[n-1])
		}
		to = after
	}
}

// placesOf gives what the wildcards of a filter stand for in a name that matches it.
func placesOf(filter, name string) []string {
	var places []string
	levels := strings.Split(name, "/")
	for i, level := range strings.Split(filter, "/") {
		switch {
		case level == "#":
			return append(places, strings.Join(levels[min(i, len(levels)):], "/"))
		case level == "+" && i < len(levels):
			places = append(places, levels[i])
		}
	}
	return places
}

// inputNames are those of the inputs of a rule's expressions, by slot.
var inputNames = [...]string{"payload", "topic", "levels", "retain"}

func compile(text string) (*expression.Program, error) {
	return expression.Compile(text, expression.Names{
		Stateless: true,
		Lookup: func(path []string) (int, int, error) {
			for slot, name := range inputNames {
				if path[0] == name {
					return slot, 1, nil
				}
			}
			return 0, 0, fmt.Errorf("there is no %q here; there are %s", path[0], strings.Join(inputNames[:], ", "))
		},
		TypeOf: func(slot int) expression.Type {
			return [...]expression.Type{expression.Any, expression.Text, expression.Any, expression.Bool}[slot]
		},
	})
}
