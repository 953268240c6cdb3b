package gateway

import (
	"math"
	"testing"
	"time"

	"headgate/gateway/format"
	"headgate/gateway/point"
)

// measured has more than milliseconds, and a zone that is not UTC.
func measured() time.Time {
	return time.Date(2026, 11, 23, 19, 4, 5, 123_456_789, time.FixedZone("CET", 3600))
}

func TestAValuesPayloadHasExactlyTheDocumentedShape(t *testing.T) {
	for name, c := range map[string]struct {
		sample point.Sample
		unit   string
		want   string
	}{
		"good": {
			point.Sample{Value: point.OfFloat(231.4), Time: measured()}, "V",
			`{"value":231.4,"unit":"V","time":"2026-11-23T18:04:05.123Z","quality":"good"}`,
		},
		"without a unit": {
			point.Sample{Value: point.OfBool(true), Time: measured()}, "",
			`{"value":true,"time":"2026-11-23T18:04:05.123Z","quality":"good"}`,
		},
		"bad": {
			point.Sample{Quality: point.Bad, Reason: "no answer", Time: measured()}, "V",
			`{"value":null,"unit":"V","time":"2026-11-23T18:04:05.123Z","quality":"bad","reason":"no answer"}`,
		},
		"bad with a value all the same": {
			point.Sample{Value: point.OfInt(7), Quality: point.Bad, Reason: "no answer", Time: measured()}, "",
			`{"value":null,"time":"2026-11-23T18:04:05.123Z","quality":"bad","reason":"no answer"}`,
		},
		"stale": {
			point.Sample{Value: point.OfInt(7), Quality: point.Stale, Reason: "silent for 30s", Time: measured()}, "kg",
			`{"value":7,"unit":"kg","time":"2026-11-23T18:04:05.123Z","quality":"stale","reason":"silent for 30s"}`,
		},
		"not a number": {
			point.Sample{Value: point.OfFloat(math.NaN()), Time: measured()}, "",
			`{"value":null,"time":"2026-11-23T18:04:05.123Z","quality":"bad","reason":"the value is not a finite number"}`,
		},
		"good without a value": {
			point.Sample{Time: measured()}, "",
			`{"value":null,"time":"2026-11-23T18:04:05.123Z","quality":"bad","reason":"no value"}`,
		},
		"bad without a reason": {
			point.Sample{Quality: point.Bad, Time: measured()}, "",
			`{"value":null,"time":"2026-11-23T18:04:05.123Z","quality":"bad","reason":"not said"}`,
		},
		"text": {
			point.Sample{Value: point.OfString("a\"b\\\n\x01<é>\xff"), Time: measured()}, "°C",
			`{"value":"a\"b\\\n\u0001<é>` + "\ufffd" + `","unit":"°C","time":"2026-11-23T18:04:05.123Z","quality":"good"}`,
		},
		"64 bits": {
			point.Sample{Value: point.OfUint(math.MaxUint64), Time: measured()}, "",
			`{"value":18446744073709551615,"time":"2026-11-23T18:04:05.123Z","quality":"good"}`,
		},
	} {
		s := honest(c.sample)
		s.Unit = c.unit
		if got := string(format.AppendJSON(nil, &format.Sample{Sample: s})); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.want)
		}
	}
}

func TestAStatusPayloadHasExactlyTheDocumentedShape(t *testing.T) {
	for want, s := range map[string]point.Status{
		`{"status":"online","time":"2026-11-23T18:04:05.123Z"}`:                      {Online: true, Time: measured()},
		`{"status":"offline","reason":"starting","time":"2026-11-23T18:04:05.123Z"}`: {Reason: "starting", Time: measured()},
	} {
		if got := string(appendStatus(nil, s)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestAResultPayloadHasExactlyTheDocumentedShape(t *testing.T) {
	at := measured()
	for _, c := range []struct{ got, want string }{
		{string(appendResult(nil, "ok", point.OfInt(1), "", []byte(`"a1"`), at)), `{"status":"ok","value":1,"id":"a1","time":"2026-11-23T18:04:05.123Z"}`},
		{string(appendResult(nil, "ok", point.Value{}, "", nil, at)), `{"status":"ok","value":null,"time":"2026-11-23T18:04:05.123Z"}`},
		{string(appendResult(nil, "timeout", point.Value{}, "no answer", []byte("7"), at)), `{"status":"timeout","reason":"no answer","id":7,"time":"2026-11-23T18:04:05.123Z"}`},
	} {
		if c.got != c.want {
			t.Errorf("got  %s\nwant %s", c.got, c.want)
		}
	}
}

func TestASampleCostsOneAllocation(t *testing.T) {
	pub := &dropper{}
	cfg := Config{ID: "gw"}
	cfg.SetDefaults()
	g, err := New(cfg, []Adapter{&fakeAdapter{name: "a", devices: meter()}}, pub, always, quietLog())
	if err != nil {
		t.Fatal(err)
	}
	u := point.Update{Device: "meter1", Samples: []point.Sample{
		{Point: "voltage", Unit: "V", Value: point.OfFloat(231.4), Time: measured()},
		{Point: "relay", Value: point.OfBool(true), Time: measured()},
		{Point: "label", Value: point.OfString("on the left"), Time: measured()},
		{Point: "voltage", Unit: "V", Quality: point.Bad, Reason: "no answer", Time: measured()},
	}}
	a := &attempt{started: time.Now()}
	emit := func() { g.field.Load().runners[0].emit(a, u) }
	emit()
	if got := testing.AllocsPerRun(100, emit); got != float64(len(u.Samples)) {
		t.Errorf("%v allocations for %d samples", got, len(u.Samples))
	}
}
