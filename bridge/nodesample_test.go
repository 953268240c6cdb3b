package bridge

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"headgate/bridge/sparkplug"
)

func TestASampleIsReadOfTheGatewaysJSONOrOfABareValue(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]FieldSample{
		reading(231.4, 1): {Value: 231.4, Quality: QualityGood, Time: began.Add(time.Second)},
		`{"value":18446744073709551615,"quality":"good"}`:                             {Value: uint64(math.MaxUint64), Quality: QualityGood, Time: began},
		`{"value":-9223372036854775808}`:                                              {Value: int64(math.MinInt64), Quality: QualityGood, Time: began},
		`{"value":"a\"b","quality":"stale","reason":"old"}`:                           {Value: `a"b`, Quality: QualityStale, Reason: "old", Time: began},
		`{"value":null,"time":"2026-11-28T12:00:05Z","quality":"bad","reason":"why"}`: {Quality: QualityBad, Reason: "why", Time: began.Add(5 * time.Second)},
		`{"value":null,"quality":"good"}`:                                             {Quality: QualityBad, Time: began}, // no value is never good
		" true\n":                                                                     {Value: true, Quality: QualityGood, Time: began},
		"1e3":                                                                         {Value: 1000.0, Quality: QualityGood, Time: began},
		`"x"`:                                                                         {Value: "x", Quality: QualityGood, Time: began},
	} {
		if got, ok := parseSample([]byte(payload), began); !ok || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", payload, got, ok, want)
		}
	}
}

func FuzzParseSample(f *testing.F) {
	for _, seed := range []string{reading(231.4, 1), "true", "1e309", `{"value":"\ud800"}`, `{"value":[1]}`, "-", "nan", `{"value":1,"time":"x"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		s, ok := parseSample(payload, began)
		if !ok || s.Value == nil {
			return
		}
		v, err := sparkplug.Of(typeOf(s.Value), s.Value)
		if err != nil {
			t.Fatalf("%q is read as %v, of which no value can be made: %v", payload, s.Value, err)
		}
		if _, err := v.As(typeOf(s.Value)); err != nil {
			t.Fatalf("%q: %v", payload, err)
		}
	})
}

func TestAReasonThatIsCutIsStillUTF8(t *testing.T) {
	m := nodeMetric{typ: sparkplug.Double}
	for before := range 4 {
		var out sparkplug.Metric
		m.put(&out, FieldSample{Quality: QualityBad, Reason: strings.Repeat("x", before) + strings.Repeat("°", maxReason), Time: began})
		reason, err := out.Properties[1].Value.As(sparkplug.String)
		if s, ok := reason.(string); err != nil || !ok || !utf8.ValidString(s) || len(s) > maxReason || len(s) < maxReason-3 {
			t.Errorf("after %d bytes: %q, %v", before, reason, err)
		}
	}
}
