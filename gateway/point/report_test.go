package point

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// band reads a deadband as the config does.
func band(t *testing.T, v any) *Deadband {
	t.Helper()
	var d Deadband
	if err := d.UnmarshalTOML(v); err != nil {
		t.Fatal(err)
	}
	return &d
}

func TestAReadingIsPublishedWhenItSaysSomethingNew(t *testing.T) {
	began := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	good := func(v Value, after time.Duration) Sample { return Sample{Value: v, Time: began.Add(after)} }
	bad := func(reason string, after time.Duration) Sample {
		return Sample{Quality: Bad, Reason: reason, Time: began.Add(after)}
	}
	last := good(OfFloat(100), 0)
	text := good(OfString("a"), 0)
	whole := good(OfUint(1<<63), 0)
	for name, c := range map[string]struct {
		report      Report
		before, now Sample
		want        bool
	}{
		"every reading":                 {Report{}, last, good(OfFloat(100), time.Second), true},
		"the first":                     {Report{Deadband: band(t, int64(5))}, Sample{}, good(OfFloat(0), 0), true},
		"the same":                      {Report{Deadband: band(t, int64(0))}, last, good(OfFloat(100), time.Second), false},
		"any change":                    {Report{Deadband: band(t, int64(0))}, last, good(OfFloat(100.01), time.Second), true},
		"at the edge of the band":       {Report{Deadband: band(t, 0.5)}, last, good(OfFloat(99.5), time.Second), false},
		"below the band":                {Report{Deadband: band(t, 0.5)}, last, good(OfFloat(99.4), time.Second), true},
		"within the percentage":         {Report{Deadband: band(t, "2%")}, last, good(OfFloat(102), time.Second), false},
		"beyond the percentage":         {Report{Deadband: band(t, "2%")}, last, good(OfFloat(102.1), time.Second), true},
		"a text, however wide the band": {Report{Deadband: band(t, int64(9))}, text, good(OfString("b"), time.Second), true},
		"the same text":                 {Report{Deadband: band(t, int64(9))}, text, good(OfString("a"), time.Second), false},
		"a bool, however wide the band": {Report{Deadband: band(t, int64(9))}, good(OfBool(false), 0), good(OfBool(true), time.Second), true},
		"text after number":             {Report{Deadband: band(t, int64(9))}, last, good(OfString("fault"), time.Second), true},
		"a great number":                {Report{Deadband: band(t, int64(0))}, whole, good(OfUint(1<<63), time.Second), false},
		"the heartbeat":                 {Report{Deadband: band(t, int64(5)), Heartbeat: time.Minute}, last, good(OfFloat(100), time.Minute), true},
		"before the heartbeat":          {Report{Deadband: band(t, int64(5)), Heartbeat: time.Minute}, last, good(OfFloat(100), time.Minute-1), false},
		"too soon":                      {Report{MinInterval: time.Minute}, last, good(OfFloat(500), time.Second), false},
		"soon enough":                   {Report{MinInterval: time.Minute}, last, good(OfFloat(500), time.Minute), true},
		"bad, however soon":             {Report{MinInterval: time.Minute}, last, bad("exception 2", 1), true},
		"good again, however soon":      {Report{MinInterval: time.Minute}, bad("exception 2", 0), good(OfFloat(1), 1), true},
		"bad for another reason":        {Report{Deadband: band(t, int64(0)), Heartbeat: time.Hour}, bad("exception 2", 0), bad("no answer", 1), true},
		"bad for the same reason":       {Report{Deadband: band(t, int64(0)), Heartbeat: time.Hour}, bad("exception 2", 0), bad("exception 2", 1), false},
		"after the clock was set back":  {Report{Deadband: band(t, int64(5)), MinInterval: time.Hour}, last, good(OfFloat(100), -time.Hour), true},
	} {
		c.report.SetDefaults()
		if got := c.report.Due(&c.before, &c.now); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestADeadbandIsANumberOrAPercentage(t *testing.T) {
	for _, v := range []any{"2", "x%", -1.0, int64(-1), "-1%", true, "nan%"} {
		var d Deadband
		if err := d.UnmarshalTOML(v); err == nil || !strings.Contains(err.Error(), "percentage like") {
			t.Errorf("%v: got %v and %+v", v, err, d)
		}
	}
}

func TestFaultsOfAReport(t *testing.T) {
	for want, r := range map[string]Report{
		"":                               {Deadband: NewDeadband(1, true), MinInterval: time.Second},
		"heartbeat: 1m0s: it is for":     {Heartbeat: time.Minute},
		"heartbeat: 1ms: want":           {Deadband: NewDeadband(1, false), Heartbeat: time.Millisecond},
		"heartbeat: 1m0s is less than":   {Deadband: NewDeadband(1, false), Heartbeat: time.Minute, MinInterval: time.Hour},
		"min_interval: -1s: want a time": {MinInterval: -time.Second},
	} {
		got := ""
		r.SetDefaults()
		r.Check(func(key, format string, args ...any) { got += key + ": " + fmt.Sprintf(format, args...) })
		if !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
