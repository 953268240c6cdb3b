package format

import (
	"strings"
	"testing"
	"time"

	"headgate/gateway/point"
)

func TestALineSaysThatNobodyHadSetTheClock(t *testing.T) {
	t.Parallel()
	e, err := New(Config{Format: Influx})
	if err != nil {
		t.Fatal(err)
	}
	s := Sample{Origin: Origin{Gateway: "gw", Device: "m"}, Sample: point.Sample{Point: "u", Value: point.OfFloat(5), Time: time.Unix(12, 0)}, Unsynced: true}
	for quality, want := range map[point.Quality]string{
		point.Good: `m,device=m,gateway=gw u=5,u_clock="unsynced" 12000000000`,
		point.Bad:  `m,device=m,gateway=gw u_quality="bad",u_clock="unsynced" 12000000000`,
	} {
		s.Quality = quality
		if got, err := e.Append(nil, &s); err != nil || string(got) != want {
			t.Errorf("got %s, %v\nwant %s", got, err, want)
		}
	}
	s.Unsynced = false
	if got, err := e.Append(nil, &s); err != nil || strings.Contains(string(got), "clock") {
		t.Errorf("got %s, %v", got, err)
	}
}
