package format

import (
	"testing"
	"time"
)

func TestATimeOfAnUnsyncedClockIsCorrectedWhenItIsKnown(t *testing.T) {
	set := time.Date(2026, time.November, 23, 18, 0, 0, 0, time.UTC)
	wall := func(boot uint32, uptime time.Duration) (time.Time, bool) { return set.Add(uptime), boot == 17 }
	for name, c := range map[string]struct{ payload, want string }{
		"a value": {
			`{"value":7,"time":"1970-01-01T00:00:12.345Z","clock":"unsynced","boot":17,"uptime_ms":12345,"quality":"good"}`,
			`{"value":7,"time":"2026-11-23T18:00:12.345Z","clock":"corrected","quality":"good"}`,
		},
		"of a boot that is not known": {`{"value":7,"time":"1970-01-01T00:00:12.345Z","clock":"unsynced","boot":16,"uptime_ms":12345,"quality":"good"}`, ""},
		"two, one of them not known": {
			`[{"time":"1970-01-01T00:00:12.345Z","clock":"unsynced","boot":16,"uptime_ms":1},{"time":"1970-01-01T00:00:12.345Z","clock":"unsynced","boot":17,"uptime_ms":1}]`,
			`[{"time":"1970-01-01T00:00:12.345Z","clock":"unsynced","boot":16,"uptime_ms":1},{"time":"2026-11-23T18:00:00.001Z","clock":"corrected"}]`,
		},
		"a clock that was set":         {`{"value":7,"time":"2026-11-23T18:04:05.123Z","quality":"good"}`, ""},
		"an older release's":           {`{"value":7,"time":"1970-01-01T00:00:12.345Z","clock":"unsynced","quality":"good"}`, ""},
		"no time":                      {`{"clock":"unsynced","boot":17,"uptime_ms":1}`, ""},
		"nothing but the mark":         {`{","clock":"unsynced","boot":17,"uptime_ms":1}`, ""},
		"a number that is too long":    {`{"time":"1970-01-01T00:00:12.345Z","clock":"unsynced","boot":17,"uptime_ms":99999999999999999999}`, ""},
		"no number":                    {`{"time":"1970-01-01T00:00:12.345Z","clock":"unsynced","boot":,"uptime_ms":1}`, ""},
		"a text that looks like it":    {`hello","clock":"unsynced","boot":17,"uptime_ms":1`, ""},
		"a text in a value, as escape": {`{"value":"\",\"clock\":\"unsynced\",\"boot\":17","time":"2026-11-23T18:04:05.123Z","quality":"good"}`, ""},
	} {
		if c.want == "" {
			c.want = c.payload
		}
		was := c.payload
		got := Restamp([]byte(c.payload), wall)
		if string(got) != c.want || was != c.payload {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.want)
		}
	}
}
