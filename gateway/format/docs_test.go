package format

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"headgate/gateway/point"
)

// What the page says of each format is what comes of it.
func TestThePageShowsWhatComesOfEachFormat(t *testing.T) {
	page, err := os.ReadFile("../../packaging/docs/payloads.md")
	if err != nil {
		t.Fatal(err)
	}
	good, power := sampleOf("voltage", point.OfFloat(231.4)), badOf("power", point.Bad, point.Value{}, "no answer")
	good.Time, power.Time, power.Unit = measured().Truncate(time.Millisecond), measured().Truncate(time.Millisecond), "W"
	bad := badOf("voltage", point.Bad, point.Value{}, "no answer")
	bad.Time = good.Time
	template := `{{if eq .Quality "good"}}{{.Device}};{{.Point}};{{.Value}};{{.Time.UnixMilli}}{{end}}`
	for _, want := range []string{
		encode(t, Config{}, good), encode(t, Config{}, bad),
		string(AppendDevice(nil, []Sample{good, power})),
		encode(t, Config{Format: Value}, good),
		encode(t, Config{Format: Influx}, good), encode(t, Config{Format: Influx}, bad),
		hex.EncodeToString([]byte(encode(t, Config{Format: CBOR}, good))),
		template, encode(t, Config{Format: Template, Template: template}, good),
	} {
		if !strings.Contains(string(page), "\n    "+want+"\n") {
			t.Errorf("the page does not show\n    %s", want)
		}
	}
}
