package bridge

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	replayInOrder = "in_order"

	// ReplayLiveFirst is the Replay that sends what comes before what has waited.
	ReplayLiveFirst = "live_first"

	// AgeProperty is the user property of a message of the backlog that says how
	// long it has waited, in milliseconds, as well as the Source knows that.
	AgeProperty = "headgate-age-ms"
)

// Rate bounds a flow, in each second: the table max_rate = { messages = 100,
// bytes = "64kB" }.
type Rate struct {
	// Messages is how many. Default "unlimited".
	Messages PerSecond `toml:"messages"`
	// Bytes are those of the packets. Default "unlimited". One that is larger goes all the same, and what follows waits
	// for longer.
	Bytes PerSecond `toml:"bytes"`
}

func (r *Rate) setDefaults() {
	fill(&r.Messages, unlimitedRate)
	fill(&r.Bytes, unlimitedRate)
}

// PerSecond is how much may pass in a second.
type PerSecond int64

const unlimitedRate PerSecond = math.MaxInt64

// UnmarshalTOML takes a whole number, a text such as "64kB", or "unlimited".
func (p *PerSecond) UnmarshalTOML(v any) error {
	text := fmt.Sprint(v)
	if text == "unlimited" {
		*p = unlimitedRate
		return nil
	}
	n, ok := parseAmount(text)
	if !ok {
		return fmt.Errorf(`%v: want at least 1 a second, such as 100 or "64kB", or "unlimited"`, v)
	}
	*p = PerSecond(n)
	return nil
}

// parseAmount reads a whole number of at least 1, or one of bytes such as "64kB" or
// "64KiB".
func parseAmount(text string) (n int64, ok bool) {
	number, unit := strings.TrimSuffix(text, "B"), int64(1)
	for i, prefix := range []string{"k", "M", "G"} {
		if rest, ok := strings.CutSuffix(number, prefix); ok && strings.HasSuffix(text, "B") {
			number = rest
			for range i + 1 {
				unit *= 1000
			}
			break
		}
		if rest, ok := strings.CutSuffix(number, strings.ToUpper(prefix)+"i"); ok && strings.HasSuffix(text, "B") {
			number, unit = rest, 1<<(10*(i+1))
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 1 || n > 1<<50/unit {
		return 0, false
	}
	return n * unit, true
}

// Window is a time of each day, from its begin to before its end; one whose end
// is not after its begin ends the next day. The zero Window is the whole day.
type Window struct{ Begin, End int } // minutes from midnight

// UnmarshalText takes a text such as "01:00-05:00".
func (w *Window) UnmarshalText(text []byte) error {
	begin, end, ok := strings.Cut(string(text), "-")
	b, err1 := time.Parse("15:04", strings.TrimSpace(begin))
	e, err2 := time.Parse("15:04", strings.TrimSpace(end))
	if !ok || err1 != nil || err2 != nil || b.Equal(e) {
		return fmt.Errorf(`%q: want two times of the day, such as "01:00-05:00"`, text)
	}
	*w = Window{b.Hour()*60 + b.Minute(), e.Hour()*60 + e.Minute()}
	return nil
}

// String gives it as the configuration has it.
func (w Window) String() string {
	return fmt.Sprintf("%02d:%02d-%02d:%02d", w.Begin/60, w.Begin%60, w.End/60, w.End%60)
}

// whole says that it is the whole day.
func (w Window) whole() bool { return w == Window{} }

// open says whether a time, in the zone that it has, is in it.
func (w Window) open(t time.Time) bool {
	minute := t.Hour()*60 + t.Minute()
	if w.Begin < w.End {
		return w.Begin <= minute && minute < w.End
	}
	return w.whole() || w.Begin <= minute || minute < w.End
}

func (c *Config) setReplayDefaults() {
	fill(&c.Replay, replayInOrder)
	c.MaxRate.setDefaults()
	c.ReplayMaxRate.setDefaults()
}

func (c *Config) checkReplay(fault func(key, format string, args ...any)) {
	if c.Replay != replayInOrder && c.Replay != ReplayLiveFirst {
		fault("replay", "%q: want %q or %q", c.Replay, replayInOrder, ReplayLiveFirst)
	}
	if !c.ReplayWindow.whole() && c.Replay == replayInOrder {
		fault("replay_window", "%v: with replay = %q all else would wait behind the backlog: want replay = %q", c.ReplayWindow, replayInOrder, ReplayLiveFirst)
	}
	check := func(key string, r Rate) {
		if r.Messages < 1 {
			fault(key+".messages", "%d: want at least 1 a second", r.Messages)
		}
		if r.Bytes < 1 {
			fault(key+".bytes", "%d: want at least 1 a second", r.Bytes)
		}
	}
	check("max_rate", c.MaxRate)
	check("replay_max_rate", c.ReplayMaxRate)
}
