package format

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"headgate/gateway/point"
)

// measured has more than milliseconds, and a zone that is not UTC.
func measured() time.Time {
	return time.Date(2026, 11, 23, 19, 4, 5, 123_456_789, time.FixedZone("CET", 3600))
}

func TestATimeOfAClockThatNobodyHasSetSaysSo(t *testing.T) {
	s := Sample{Sample: point.Sample{Value: point.OfInt(7), Time: measured()}, Unsynced: true}
	want := `{"value":7,"time":"2026-11-23T18:04:05.123Z","clock":"unsynced","quality":"good"}`
	if got := string(AppendJSON(nil, &s)); got != want {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
}

func TestALongReasonIsCutBetweenCharacters(t *testing.T) {
	got := AppendReason(nil, "x"+strings.Repeat("é", maxReasonBytes))
	var reason string
	if err := json.Unmarshal(got[len(`,"reason":`):], &reason); err != nil {
		t.Fatal(err)
	}
	if want := "x" + strings.Repeat("é", maxReasonBytes/2-1); reason != want {
		t.Errorf("got %d bytes, want %d whole ones", len(reason), len(want))
	}
}

func FuzzEveryTextBecomesAJSONString(f *testing.F) {
	for _, s := range []string{"", "kg", "\"\\\x00\x1f\x7f", "é\u2028\U0001f600", "\xff\xc3", "<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(AppendString(nil, s), &got); err != nil {
			t.Fatalf("%q became %s: %v", s, AppendString(nil, s), err)
		}
		if want := string([]rune(s)); got != want {
			t.Errorf("%q came back as %q", want, got)
		}
	})
}
