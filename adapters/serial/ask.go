package serial

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Ask is something that is sent, and what the device has to say to it.
type Ask struct {
	// Send is what is sent: a text, whose line end must be written, as in
	// "READ?\r\n"; or bytes in hexadecimal, as in "hex:05 01 FF".
	Send Bytes `toml:"send"`

	// Expect is a regular expression that a message must match to be the answer.
	// Default: of a request the next message that parse understands; of all
	// others no answer is waited for.
	Expect string `toml:"expect"`

	// Timeout is how long the answer may take, from the last byte sent. Default 1s.
	Timeout time.Duration `toml:"timeout"`
}

// Request is one [[serial.request]] table: a question that is asked again and
// again. While an answer is waited for nothing else is sent.
type Request struct {
	Ask

	// Interval is from one time that it is asked to the next. Default 1s.
	Interval time.Duration `toml:"interval"`

	// Parse says how points come out of its answer, for devices whose answer does
	// not say what was asked. Default: as that of the [[serial]] table.
	Parse Parse `toml:"parse"`
}

// KeepAlive is the keep_alive = { ... } of a [[serial]] table.
type KeepAlive struct {
	Ask

	// Interval: it is sent when nothing else was for so long.
	Interval time.Duration `toml:"interval"`
}

// Bytes is what goes to a line.
type Bytes []byte

const hexPrefix = "hex:"

// UnmarshalTOML reads bytes as the config has them.
func (b *Bytes) UnmarshalTOML(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("%v: want a text like \"READ?\\r\\n\", or \"hex:05 01 FF\"", v)
	}
	digits, isHex := strings.CutPrefix(text, hexPrefix)
	if !isHex {
		*b = Bytes(text)
		return nil
	}
	raw, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
	if err != nil {
		return fmt.Errorf("%.40q: want pairs of hexadecimal digits behind hex:, like \"hex:05 01 FF\"", text)
	}
	*b = raw
	return nil
}

const (
	defaultAnswer   = time.Second
	defaultInterval = time.Second
	leastInterval   = 10 * time.Millisecond
	longestTime     = 24 * time.Hour
	maxSend         = 4096
	// missesBeforeStale requests in a row without an answer make their points stale.
	missesBeforeStale = 3
)

func (a *Ask) setDefaults() {
	if a.Timeout == 0 {
		a.Timeout = defaultAnswer
	}
}

func (a *Ask) check(key string, fault func(key, format string, args ...any)) {
	switch {
	case len(a.Send) == 0:
		fault(key+".send", "is missing: want what is sent, like \"READ?\\r\\n\" or \"hex:05 01 FF\"")
	case len(a.Send) > maxSend:
		fault(key+".send", "is %d bytes long: want %d at most", len(a.Send), maxSend)
	}
	if _, err := regexp.Compile(a.Expect); err != nil {
		fault(key+".expect", "%v", err)
	}
	if a.Timeout < time.Millisecond || a.Timeout > longestTime {
		fault(key+".timeout", "%v: want a time from 1ms to %v, like \"500ms\"", a.Timeout, longestTime)
	}
}

// setAskDefaults fills what was left out of all that is sent.
func (c *Config) setAskDefaults() {
	for i := range c.Init {
		c.Init[i].setDefaults()
	}
	var slowest time.Duration
	for i := range c.Request {
		r := &c.Request[i]
		r.setDefaults()
		if r.Interval == 0 {
			r.Interval = defaultInterval
		}
		slowest = max(slowest, r.Interval+r.Timeout)
	}
	// Who is asked is not silent of his own will.
	if c.StaleAfter == 0 && slowest > 0 {
		c.StaleAfter = missesBeforeStale * slowest
	}
	if c.KeepAlive != nil {
		c.KeepAlive.setDefaults()
	}
	for i := range c.Points {
		if s := c.Points[i].Set; s != nil {
			s.setDefaults()
		}
	}
	if c.WriteInterval == 0 {
		c.WriteInterval = defaultWriteInterval
	}
}

func (c *Config) checkAsks(fault func(key, format string, args ...any)) {
	for i := range c.Init {
		c.Init[i].check(fmt.Sprintf("init[%d]", i), fault)
	}
	for i := range c.Request {
		key := fmt.Sprintf("request[%d]", i)
		r := &c.Request[i]
		r.check(key, fault)
		if r.Interval < leastInterval || r.Interval > longestTime {
			fault(key+".interval", "%v: want a time from %v to %v, like \"1s\"", r.Interval, leastInterval, longestTime)
		}
	}
	if k := c.KeepAlive; k != nil {
		k.check("keep_alive", fault)
		if k.Interval < leastInterval || k.Interval > longestTime {
			fault("keep_alive.interval", "%v: want a time from %v to %v, like \"30s\"", k.Interval, leastInterval, longestTime)
		}
	}
	for i, p := range c.Points {
		if p.Set == nil {
			continue
		}
		key := fmt.Sprintf("point[%d].set", i)
		p.Set.check(key, fault)
		if _, err := newTemplate(p); err != nil {
			fault(key+".send", "%v", err)
		}
	}
	if c.WriteInterval < 0 || c.WriteInterval > longestTime {
		fault("write_interval", "%v: want a time of at most %v, like \"100ms\"", c.WriteInterval, longestTime)
	}
}

// question is an Ask, ready to be sent.
type question struct {
	send    []byte
	expect  *regexp.Regexp // nil: see waits
	waits   bool           // for an answer
	timeout time.Duration
	parser  *parser // of the answer; nil: the device's
}

func (a Ask) question() (question, error) {
	q := question{send: a.Send, timeout: a.Timeout}
	if a.Expect == "" {
		return q, nil
	}
	var err error
	q.expect, err = regexp.Compile(a.Expect)
	q.waits = true
	return q, err
}

var errUnanswered = errors.New("no answer")
