package format

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"testing"

	"headgate/gateway/point"
)

func sampleOf(name string, v point.Value) Sample {
	return Sample{
		Origin: Origin{Gateway: "plant", Device: "meter1", Topic: "plant/meter1/" + name, DeviceTopic: "plant/meter1"},
		Sample: point.Sample{Point: name, Value: v, Unit: "V", Time: measured()},
	}
}

func badOf(name string, q point.Quality, v point.Value, reason string) Sample {
	s := sampleOf(name, v)
	s.Quality, s.Reason = q, reason
	return s
}

func encode(t testing.TB, cfg Config, s Sample) string {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Append([]byte("before "), &s)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(string(got), "before ")
}

func TestEachFormatSaysWhatTheSampleSays(t *testing.T) {
	good := sampleOf("voltage", point.OfFloat(231.4))
	bad := badOf("voltage", point.Bad, point.Value{}, "no answer")
	stale := badOf("voltage", point.Stale, point.OfFloat(231.4), "silent for 30s")
	for _, c := range []struct {
		cfg    Config
		sample Sample
		want   string
	}{
		{Config{}, good, `{"value":231.4,"unit":"V","time":"2026-11-23T18:04:05.123Z","quality":"good"}`},
		{Config{Format: JSONDevice}, good, `{"time":"2026-11-23T18:04:05.123Z","values":{"voltage":231.4},"units":{"voltage":"V"},"quality":"good"}`},
		{Config{Format: JSONDevice}, bad, `{"time":"2026-11-23T18:04:05.123Z","values":{"voltage":null},"units":{"voltage":"V"},"quality":"bad","reasons":{"voltage":"no answer"}}`},
		{Config{Format: JSONDevice}, stale, `{"time":"2026-11-23T18:04:05.123Z","values":{"voltage":231.4},"units":{"voltage":"V"},"quality":"stale","stale":["voltage"],"reasons":{"voltage":"silent for 30s"}}`},
		{Config{Format: Value}, good, `231.4`},
		{Config{Format: Value}, bad, ``},
		{Config{Format: Value}, stale, ``},
		{Config{Format: Value}, sampleOf("label", point.OfString("on \"it\"")), `on "it"`},
		{Config{Format: Influx}, good, `meter1,device=meter1,gateway=plant,unit=V voltage=231.4 1795457045123456789`},
		{Config{Format: Influx, Measurement: "power meters"}, good, `power\ meters,device=meter1,gateway=plant,unit=V voltage=231.4 1795457045123456789`},
		{Config{Format: Influx}, bad, `meter1,device=meter1,gateway=plant,unit=V voltage_quality="bad",voltage_reason="no answer" 1795457045123456789`},
		{Config{Format: Influx}, stale, `meter1,device=meter1,gateway=plant,unit=V voltage=231.4,voltage_quality="stale",voltage_reason="silent for 30s" 1795457045123456789`},
		{Config{Format: Template, Template: `{{.Gateway}} {{.Device}} {{.Point}}={{.Value}}{{.Unit}} {{.Time.UnixMilli}} {{.Quality}} {{.Reason}} {{.Synced}}`}, good, `plant meter1 voltage=231.4V 1795457045123 good  true`},
		{Config{Format: Template, Template: `{"v":{{json .Value}},"r":{{json .Reason}},"t":{{json .Time}}}`}, bad, `{"v":null,"r":"no answer","t":"2026-11-23T18:04:05.123Z"}`},
		{Config{Format: Template, Template: `{{if gt .Value 230.0}}high{{else}}low{{end}}`}, sampleOf("voltage", point.OfInt(240)), `high`},
		{Config{Format: Template, Template: `{{.Value}}`}, sampleOf("energy", point.OfUint(math.MaxUint64)), `18446744073709551615`},
		{Config{Format: Template, Template: `{{.Value}}`}, sampleOf("energy", point.OfFloat(12345678)), `12345678`},
	} {
		if c.cfg.Template == `{{if gt .Value 230.0}}high{{else}}low{{end}}` {
			c.cfg.Template = `{{if eq .Quality "good"}}` + c.cfg.Template + `{{end}}`
		}
		if got := encode(t, c.cfg, c.sample); got != c.want {
			t.Errorf("%+v\ngot  %s\nwant %s", c.cfg, got, c.want)
		}
	}
}

func TestADevicesPayloadHasAllPointsOfARead(t *testing.T) {
	voltage, power, relay := sampleOf("voltage", point.OfFloat(231.4)), badOf("power", point.Bad, point.Value{}, "exception 2"), sampleOf("relay", point.OfBool(true))
	relay.Unit = ""
	old := sampleOf("voltage", point.OfFloat(1))
	got := string(AppendDevice(nil, []Sample{old, voltage, power, relay}))
	want := `{"time":"2026-11-23T18:04:05.123Z","values":{"voltage":231.4,"power":null,"relay":true},"units":{"voltage":"V","power":"V"},"quality":"bad","reasons":{"power":"exception 2"}}`
	if got != want {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
}

func TestANameInALineIsEscapedAndALineStaysALine(t *testing.T) {
	s := sampleOf("a=b,c d", point.OfString("say \"hi\"\\\nthere"))
	s.Device, s.Unit = "meter, 1\\", "a b"
	want := `meter\,\ 1,device=meter\,\ 1,gateway=plant,unit=a\ b a\=b\,c\ d="say \"hi\"\\ there" 1795457045123456789`
	if got := encode(t, Config{Format: Influx}, s); got != want {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
}

// Of the examples in RFC 8949, appendix A.
func TestCBORIsThatOfTheStandard(t *testing.T) {
	for _, c := range []struct {
		value point.Value
		want  string
	}{
		{point.OfInt(0), "00"}, {point.OfInt(23), "17"}, {point.OfInt(24), "1818"}, {point.OfInt(1000), "1903e8"},
		{point.OfInt(1000000), "1a000f4240"}, {point.OfInt(1000000000000), "1b000000e8d4a51000"}, {point.OfUint(math.MaxUint64), "1bffffffffffffffff"},
		{point.OfInt(-1), "20"}, {point.OfInt(-100), "3863"}, {point.OfInt(-1000), "3903e7"}, {point.OfInt(math.MinInt64), "3b7fffffffffffffff"},
		{point.OfFloat(1.1), "fb3ff199999999999a"}, {point.OfFloat(100000), "fa47c35000"}, {point.OfFloat(1e300), "fb7e37e43c8800759c"},
		{point.OfBool(false), "f4"}, {point.OfBool(true), "f5"}, {point.Value{}, "f6"}, {point.OfString("ü"), "62c3bc"}, {point.OfString(""), "60"},
	} {
		if got := hex.EncodeToString(appendCBORValue(nil, c.value)); got != c.want {
			t.Errorf("%v: got %s, want %s", c.value, got, c.want)
		}
	}
}

func TestWhatTheGatewayWroteIsReadBack(t *testing.T) {
	unsynced := sampleOf("voltage", point.OfFloat(231.4))
	unsynced.Unsynced = true
	for _, want := range []Sample{
		sampleOf("voltage", point.OfFloat(231.4)), sampleOf("n", point.OfInt(-7)), sampleOf("n", point.OfUint(math.MaxUint64)), sampleOf("on", point.OfBool(true)),
		sampleOf("label", point.OfString("a\"\\\n\x01<é>")), badOf("voltage", point.Bad, point.Value{}, "no answer"), badOf("voltage", point.Stale, point.OfInt(7), "old"), unsynced,
	} {
		got := Sample{Origin: want.Origin, Sample: point.Sample{Point: want.Point}}
		payload := AppendJSON(nil, &want)
		if !Parse(payload, &got) {
			t.Errorf("%s is not read", payload)
			continue
		}
		if again := AppendJSON(nil, &got); !bytes.Equal(again, payload) || got.Point != want.Point || got.Value != want.Value {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestAnotherPayloadIsNoSample(t *testing.T) {
	for _, payload := range []string{
		"", "231.4", "null", "[]", "{}", `{"status":"online","time":"2026-11-23T18:04:05.123Z"}`, `{"value":1,"quality":"good"}`,
		`{"value":1,"time":"2026-11-23T18:04:05.123Z","quality":"fine"}`, `{"time":"2026-11-23T18:04:05.123Z","quality":"good"}`,
		`{"value":null,"time":"2026-11-23T18:04:05.123Z","quality":"good"}`, `{"value":1,"time":"2026-11-23T18:04:05.123Z","quality":"bad"}`,
		`{"value":[1],"time":"2026-11-23T18:04:05.123Z","quality":"good"}`, `{"value":1,"time":"yesterday","quality":"good"}`, `{"value":1`,
	} {
		var s Sample
		if Parse([]byte(payload), &s) {
			t.Errorf("%s is read as %+v", payload, s)
		}
	}
}

func TestWhatIsWrongWithAFormatIsNamed(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string // "" for nothing
	}{
		{Config{}, ""},
		{Config{Format: "xml"}, `format: "xml": want "json", "json_device"`},
		{Config{Format: Template}, "template: missing"},
		{Config{Format: JSON, Template: "x"}, `template: the format is "json"`},
		{Config{Format: Value, Measurement: "m"}, `measurement: the format is "value"`},
		{Config{Format: Influx, Measurement: "_m"}, `measurement: "_m": names that begin with`},
		{Config{Format: Template, Template: "{{.Value"}, "template: template: template:1: unclosed action"},
		{Config{Format: Template, Template: "{{.Valeu}}"}, "can't evaluate field Valeu"},
		{Config{Format: Template, Template: "{{gt .Value 1.0}}"}, "of a sample of quality bad"},
		{Config{Format: Template, Template: "{{range 10}}x{{end}}"}, "{{range}}: a sample has nothing to go through"},
		{Config{Format: Template, Template: `{{if .Synced}}{{else}}{{with .Unit}}{{range 10}}x{{end}}{{end}}{{end}}`}, "{{range}}"},
		{Config{Format: Template, Template: `{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`}, `{{template "a"}}: want one template only`},
		{Config{Format: Template, Template: `{{printf "%70000d" 1}}`}, "more than 65536 bytes come of it"},
	} {
		var got []string
		c.cfg.SetDefaults()
		c.cfg.Check(func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if c.want == "" && got != nil || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("%+v\ngot  %q\nwant %q", c.cfg, got, c.want)
		}
	}
}

func TestATemplateThatMakesNothingAndOneThatFailsLeaveThePayloadAsItWas(t *testing.T) {
	e, err := New(Config{Format: Template, Template: `{{if eq .Quality "good"}}{{if eq .Unit "?"}}{{index .Unit 7}}{{end}}{{.Value}}{{end}}`})
	if err != nil {
		t.Fatal(err)
	}
	bad := badOf("voltage", point.Bad, point.Value{}, "no answer")
	if got, err := e.Append([]byte("x"), &bad); err != ErrNothing || string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
	odd := sampleOf("voltage", point.OfInt(1))
	odd.Unit = "?"
	if got, err := e.Append([]byte("x"), &odd); err == nil || err == ErrNothing || string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
}

// BenchmarkEncode is what a sample costs in each format.
func BenchmarkEncode(b *testing.B) {
	s := sampleOf("voltage", point.OfFloat(231.4))
	for _, cfg := range []Config{{Format: JSON}, {Format: JSONDevice}, {Format: Value}, {Format: Influx}, {Format: CBOR}, {Format: Template, Template: "{{.Point}}={{.Value}}"}} {
		b.Run(cfg.Format, func(b *testing.B) {
			e, err := New(cfg)
			if err != nil {
				b.Fatal(err)
			}
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				if out, err = e.Append(out[:0], &s); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(out)), "bytes")
		})
	}
}
