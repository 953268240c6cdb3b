package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"headgate/broker/topic"
)

func matches(filter, name string) bool { return topic.Match(filter, name) }

func TestTheTemplateMakesAllTopics(t *testing.T) {
	for s, want := range map[string]string{
		"{gateway}/{device}/{point}":           "boiler/meter1/power boiler/meter1/status boiler/+/+/set boiler/+/set",
		"plant/{gateway}-3/{device}/v/{point}": "plant/boiler-3/meter1/v/power plant/boiler-3/meter1/v/status plant/boiler-3/+/v/+/set plant/boiler-3/+/v/set",
		"{point}/of/{device}":                  "power/of/meter1 status/of/meter1 +/of/+/set set/of/+",
	} {
		tm, err := parseTemplate(s, "boiler")
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if got := tm.value("meter1", "power") + " " + tm.status("meter1") + " " + strings.Join(tm.setFilters(), " "); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", s, got, want)
		}
	}
}

func TestAMistakeInTheConfigIsSaidByItsKey(t *testing.T) {
	two, three := 2, 3
	for _, c := range []struct {
		change func(*Config)
		want   string // the key, and a part of what is said; "" for no fault
	}{
		{func(c *Config) {}, ""},
		{func(c *Config) { c.QoS = &two }, ""},
		{func(c *Config) { c.ID = "a/b" }, "id: \"a/b\": has a '/' in it"},
		{func(c *Config) { c.ID = "$SYS" }, "id: \"$SYS\": begins with '$'"},
		{func(c *Config) { c.Topic = "{gateway}/{point}" }, "topic: \"{gateway}/{point}\": has no {device}"},
		{func(c *Config) { c.Topic = "{gateway}/{device}" }, "has no {point}"},
		{func(c *Config) { c.Topic = "{device}/{device}/{point}" }, "has {device} twice"},
		{func(c *Config) { c.Topic = "{device}/{point}/{point}" }, "has {point} twice"},
		{func(c *Config) { c.Topic = "{gateway}/{device}-{point}" }, "must each be a whole level"},
		{func(c *Config) { c.Topic = "{site}/{device}/{point}" }, "the placeholders are"},
		{func(c *Config) { c.Topic = "a+/{device}/{point}" }, "has a '+' in it"},
		{func(c *Config) { c.Topic = "/{device}/{point}" }, "is empty"},
		{func(c *Config) { c.Topic = "$a/{device}/{point}" }, "begins with '$'"},
		{func(c *Config) { c.Topic = strings.Repeat("x/", 600) + "{device}/{point}" }, "longer than 1024 bytes"},
		{func(c *Config) { c.QoS = &three }, "qos: 3: want 0, 1 or 2"},
		{func(c *Config) { c.MaxAge = -1 }, "max_age: -1ns: want"},
		{func(c *Config) { c.CommandTimeout = -time.Second }, "command_timeout: -1s: want"},
	} {
		cfg := Config{ID: "boiler"}
		c.change(&cfg)
		cfg.SetDefaults()
		var got []string
		cfg.Check(func(key, format string, args ...any) {
			got = append(got, key+": "+fmt.Sprintf(format, args...))
		})
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestTheDefaultsAreThoseOfTheDocument(t *testing.T) {
	var c Config
	c.SetDefaults()
	if c.ID == "" || c.DataDir != "/var/lib/headgate" || c.Topic != "{gateway}/{device}/{point}" || *c.QoS != 1 || c.Retain ||
		c.MaxAge != 30*time.Second || c.CommandTimeout != 10*time.Second {
		t.Errorf("got %+v with QoS %d", c, *c.QoS)
	}
}
