package serial

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"headgate/adapters/datatype"
	"headgate/gateway/point"
)

func mustParser(t testing.TB, re string, points ...Point) *parser {
	t.Helper()
	cfg := Config{Parse: Parse{Regexp: re}, Points: points}
	cfg.SetDefaults()
	p, err := newParser(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// say gives samples as "name=value unit", with the reason of those that are
// not good.
func say(samples []point.Sample) string {
	var words []string
	for _, s := range samples {
		w := s.Point + "=" + string(s.Value.AppendJSON(nil)) + s.Unit
		if s.Quality != point.Good {
			w += "(" + s.Quality.String() + ": " + s.Reason + ")"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

func TestNamedGroupsBecomePoints(t *testing.T) {
	for _, c := range []struct {
		regexp string
		points []Point
		line   string
		want   string // "no" for no match
	}{
		{`^\s*(?P<weight>[-\d.]+)\s*kg`, nil, "   12.5 kg", "weight=12.5"},
		{`^\s*(?P<weight>[-\d.]+)\s*kg`, nil, "   12.5 lb", "no"},
		{`(?P<t>\S+) (\S+) (?P<u>\S+)`, nil, "21 x ok", `t=21 u="ok"`},
		{`(?P<w>\d+)`, []Point{{Name: "w", Unit: "kg"}}, "7", "w=7kg"},
		{`(?P<w>\d+)`, []Point{{Name: "w", Number: datatype.Number{Scale: 0.1}}}, "3", "w=0.3"},
		{`(?P<w>\d+)`, []Point{{Name: "w", Number: datatype.Number{Scale: 0.001}}}, "12345", "w=12.345"},
		{`(?P<w>\d+)`, []Point{{Name: "w", Number: datatype.Number{Scale: 2.5, Offset: -40}}}, "10", "w=-15"},
		{`(?P<w>.*)`, []Point{{Name: "w", Type: "number"}}, "- 12.50 ", "w=-12.5"},
		{`(?P<w>.*)`, []Point{{Name: "w", Type: "number"}}, "+00012", "w=12"},
		{`(?P<w>.*)`, []Point{{Name: "w", Type: "number"}}, "1e3", "w=1000"},
		{`(?P<w>.*)`, []Point{{Name: "w", Type: "number", Unit: "kg"}}, "OVER", `w=nullkg(bad: "OVER" is not a number)`},
		{`(?P<w>.*)`, []Point{{Name: "w", Type: "number"}}, "12,5", `w=null(bad: "12,5" is not a number)`},
		{`(?P<w>.*)`, []Point{{Name: "w", Type: "number"}}, "nan", `w=null(bad: "nan" is not a number)`},
		{`(?P<w>.*)`, []Point{{Name: "w", Type: "number"}}, "0x10", `w=null(bad: "0x10" is not a number)`},
		{`(?P<w>.*)`, []Point{{Name: "w", Type: "number"}}, "1e999", `w=null(bad: "1e999" is not a number)`},
		{`(?P<w>.*)`, []Point{{Name: "w", Type: "number", Number: datatype.Number{Scale: 10}}}, "1e308", `w=null(bad: "1e308" is too large once it is scaled)`},
		{`(?P<w>.*)`, []Point{{Name: "w", Type: "number"}}, "18446744073709551615", "w=18446744073709551615"},
		{`(?P<w>.*)`, []Point{{Name: "w", Type: "text"}}, " 007 ", `w=" 007 "`},
		{`(?P<w>.*)`, nil, "inf", `w="inf"`},
		{`(?P<w>.*)`, nil, "1.2.3", `w="1.2.3"`},
		{`(?P<w>.*)`, nil, "", `w=""`},
		{`(?P<w>.*)`, nil, "caf\xe9", `w="caf` + "\ufffd" + `"`},
		{`T=(?P<t>\d+)|H=(?P<h>\d+)`, nil, "H=40", "h=40"},
		{`T=(?P<t>\d+)C|(?P<t>\d+) degrees`, nil, "21 degrees", "t=21"},
	} {
		p := mustParser(t, c.regexp, c.points...)
		at := time.Now()
		samples, ok := p.parse(nil, []byte(c.line), at)
		got := say(samples)
		if !ok {
			got = "no"
		}
		if got != c.want {
			t.Errorf("%s on %q: got %s, want %s", c.regexp, c.line, got, c.want)
		}
		for _, s := range samples {
			if !s.Time.Equal(at) {
				t.Errorf("%s on %q: its time is %v", c.regexp, c.line, s.Time)
			}
		}
	}
}

func TestAMistakeInTheConfigIsSaidByItsKey(t *testing.T) {
	good := func() Config {
		return Config{Name: "scale", URL: "serial:///dev/ttyUSB1?baud=9600", Parse: Parse{Regexp: `(?P<w>\d+)`}}
	}
	for _, c := range []struct {
		change func(*Config)
		want   string // what begins the one fault; "" for none
	}{
		{func(c *Config) {}, ""},
		{func(c *Config) { c.Points = []Point{{Name: "w", Unit: "kg", Number: datatype.Number{Scale: 0.1}}} }, ""},
		{func(c *Config) { c.Name = "" }, "name: is missing"},
		{func(c *Config) { c.Name = "a/b" }, `name: "a/b": has a '/' in it`},
		{func(c *Config) { c.URL = "" }, "url: is missing"},
		{func(c *Config) { c.URL = "/dev/ttyUSB1" }, "url: "},
		{func(c *Config) { c.URL = "rtu:///dev/ttyUSB1" }, "url: "},
		{func(c *Config) { c.URL = "serial:///dev/ttyUSB1?baut=9600" }, "url: "},
		{func(c *Config) { c.Frame.Kind = "slib" }, `frame.kind: "slib": want one of line, `},
		{func(c *Config) { c.Frame.Max = -1 }, "frame.max: -1: want 1 to 1048576 bytes"},
		{func(c *Config) { c.Frame.Max = 1<<20 + 1 }, "frame.max: 1048577: want"},
		{func(c *Config) { c.Points = []Point{{Name: "w", StaleAfter: -1}} }, "point[0].stale_after: -1ns: want"},
		{func(c *Config) { c.StaleAfter = -1 }, "stale_after: -1ns: want"},
		{func(c *Config) { c.Parse.Regexp = "" }, "parse.regexp: is missing"},
		{func(c *Config) { c.Parse.Regexp = `(?P<w>\d+` }, "parse.regexp: error parsing regexp: missing closing ): `(?P<w>\\d+`"},
		{func(c *Config) { c.Parse.Regexp = `(\d+)` }, "parse.regexp: has no named group"},
		{func(c *Config) { c.Parse.Regexp = `(?P<status>\d+)` }, `parse.regexp: the group name "status" cannot be a point's: it is reserved`},
		{func(c *Config) { c.Points = []Point{{Name: "v"}} }, `point[0].name: "v" is no named group of parse.regexp, which has w`},
		{func(c *Config) { c.Points = []Point{{}} }, "point[0].name: is missing"},
		{func(c *Config) { c.Points = []Point{{Name: "w"}, {Name: "w"}} }, `point[1].name: "w" is point[0] already`},
		{func(c *Config) { c.Points = []Point{{Name: "w", Type: "float"}} }, `point[0].type: "float": want "number", "text" or "auto"`},
		{func(c *Config) { c.Points = []Point{{Name: "w", Type: "text", Number: datatype.Number{Scale: 2}}} }, `point[0].scale: 2: a text has no scale`},
		{func(c *Config) { c.Points = []Point{{Name: "w", Number: datatype.Number{Scale: inf()}}} }, "point[0].scale: +Inf: want a finite number"},
		{func(c *Config) { c.Points = []Point{{Name: "w", Number: datatype.Number{Offset: inf()}}} }, "point[0].offset: +Inf: want a finite number"},
	} {
		cfg := good()
		c.change(&cfg)
		cfg.SetDefaults()
		var got []string
		cfg.Check(func(key, format string, args ...any) {
			got = append(got, key+": "+fmt.Sprintf(format, args...))
		})
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want)) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func inf() float64 { return math.Inf(1) }

func FuzzParser(f *testing.F) {
	for _, s := range []string{"ST,GS,+  12.50kg", "T=21 H=40", "OVER", "-0.0", "9999999999999999999999", "\xff\x00", "1e309 inf"} {
		f.Add([]byte(s))
	}
	p := mustParser(f, `(?P<any>[^ ]*)(?: +(?P<number>[^=]*))?(?:=(?P<text>.*))?`,
		Point{Name: "number", Type: "number", Number: datatype.Number{Scale: 0.1, Offset: 1}}, Point{Name: "text", Type: "text"})
	f.Fuzz(func(t *testing.T, line []byte) {
		samples, _ := p.parse(nil, line, time.Now())
		for _, s := range samples {
			v, isNumber := s.Value.Float()
			switch {
			case (s.Quality == point.Bad) != (s.Value.Kind() == point.None) || (s.Quality == point.Bad) != (s.Reason != ""):
				t.Errorf("%q: %+v", line, s)
			case isNumber && !finite(v):
				t.Errorf("%q: %s is %v", line, s.Point, v)
			case s.Point == "text" && s.Value.Kind() != point.String:
				t.Errorf("%q: text is %v", line, s.Value)
			case !utf8.ValidString(s.Value.String()):
				t.Errorf("%q: %s is not UTF-8", line, s.Point)
			}
		}
	})
}
