package point

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Report says which of a point's readings are published; the zero Report: all of
// them. It is a part of the table of a point, whichever adapter reads it. A
// change of quality is always published at once, and so is what a command has
// read back.
type Report struct {
	// Deadband is by how much the value must change to be published again: a
	// number, in the unit of the point, or a part of the value that was published
	// last, like "2%". With 0 every change is. Texts and bools are published when
	// they change, whatever it is. Default: every reading is published.
	Deadband *Deadband `toml:"deadband"`

	// MinInterval is the least time between two values. Default 0.
	MinInterval time.Duration `toml:"min_interval"`

	// Heartbeat is how long a value that does not leave its deadband may go
	// unpublished: then it is said again, so that its silence does not look like
	// that of a dead device. Default "15m".
	Heartbeat time.Duration `toml:"heartbeat"`
}

// Deadband is the deadband of a Report: a number or a percentage.
type Deadband struct {
	width   float64
	percent bool
}

const (
	defaultHeartbeat = 15 * time.Minute
	maxHeartbeat     = 24 * time.Hour
)

// NewDeadband is a deadband of that width, or of that percentage of the value.
func NewDeadband(width float64, percent bool) *Deadband { return &Deadband{width, percent} }

// UnmarshalTOML reads a deadband as the config has it.
func (d *Deadband) UnmarshalTOML(v any) error {
	const want = "want a number of at least 0, or a percentage like \"2%\""
	var read Deadband
	switch v := v.(type) {
	case int64:
		read.width = float64(v)
	case float64:
		read.width = v
	case string:
		number, percent := strings.CutSuffix(strings.TrimSpace(v), "%")
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || !percent {
			return fmt.Errorf("%q: %s", v, want)
		}
		read.width, read.percent = n, true
	default:
		return fmt.Errorf("%v: %s", v, want)
	}
	if !(read.width >= 0) || math.IsInf(read.width, 0) {
		return fmt.Errorf("%v: %s", v, want)
	}
	*d = read
	return nil
}

// left says whether a value has left the deadband around the one before.
func (d *Deadband) left(before, now Value) bool {
	a, isA := before.Float()
	b, isB := now.Float()
	if !isA || !isB || now.Kind() == Bool {
		return before != now
	}
	width := d.width
	if d.percent {
		width *= math.Abs(a) / 100
	}
	return math.Abs(b-a) > width
}

// SetDefaults fills what was left out.
func (r *Report) SetDefaults() {
	if r.Deadband != nil && r.Heartbeat == 0 {
		r.Heartbeat = defaultHeartbeat
	}
}

// Check reports each fault by its key, as it stands in the table of the point.
func (r *Report) Check(fault func(key, format string, args ...any)) {
	if r.MinInterval < 0 || r.MinInterval > maxHeartbeat {
		fault("min_interval", "%v: want a time of at most %v, like \"5s\"", r.MinInterval, maxHeartbeat)
	}
	switch {
	case r.Heartbeat == 0:
	case r.Deadband == nil:
		fault("heartbeat", "%v: it is for a point with a deadband: without one every reading is published", r.Heartbeat)
	case r.Heartbeat < time.Second || r.Heartbeat > maxHeartbeat:
		fault("heartbeat", "%v: want a time from 1s to %v, like \"15m\"", r.Heartbeat, maxHeartbeat)
	case r.Heartbeat < r.MinInterval:
		fault("heartbeat", "%v is less than min_interval, %v", r.Heartbeat, r.MinInterval)
	}
}

// Due says whether now is to be published when before was published last: that
// of zero Time: nothing was.
func (r *Report) Due(before, now *Sample) bool {
	age := now.Time.Sub(before.Time)
	switch {
	case before.Time.IsZero(), now.Quality != before.Quality, now.Reason != before.Reason:
		return true
	case age < 0: // the clock was set back: nothing can be told from it
		return true
	case age < r.MinInterval:
		return false
	}
	return r.Deadband == nil || age >= r.Heartbeat || r.Deadband.left(before.Value, now.Value)
}
