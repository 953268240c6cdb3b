package serial

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"headgate/adapters/datatype"
	"headgate/gateway/point"
)

// ready gives the parser of a config in which there must be no fault.
func ready(t testing.TB, parse Parse, points ...Point) *parser {
	t.Helper()
	cfg := Config{Name: "x", URL: "serial:///dev/ttyS0", Parse: parse, Points: points}
	cfg.SetDefaults()
	cfg.Check(func(key, format string, args ...any) { t.Fatalf("%s: "+format, append([]any{key}, args...)...) })
	p, err := newParser(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func scaled(scale, offset float64) datatype.Number {
	return datatype.Number{Scale: scale, Offset: offset}
}

const telegram = "ISk5\\2MT382-1000\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(101209113020W)\r\n1-0:1.8.1(123456.789*kWh)\r\n" +
	"1-0:99.97.0(2)(0-0:96.7.19)(101208152415W)(0000000240*s)(101208151004W)(0000000301*s)\r\n0-0:96.13.0()\r\n" +
	"0-1:24.3.0(090212160000)(00)\r\n(00010.25)\r\n0-1:24.2.1(101209112500W)(12785.123*m3)\r\n"

func TestValuesAreTakenOutOfMessagesOfEachKind(t *testing.T) {
	for _, c := range []struct {
		parse   Parse
		points  []Point
		message string
		want    string // "no": it is none
	}{
		{Parse{Kind: "csv"}, []Point{{Name: "a", From: "1"}, {Name: "c", From: "3", Unit: "V", Number: scaled(0.1, 0)}}, "x, 2 ,231", `a="x" c=23.1V`},
		{Parse{Kind: "csv"}, []Point{{Name: "a", From: "1"}, {Name: "c", From: "3"}}, "1,2", "no"},
		{Parse{Kind: "csv", Separator: ";"}, []Point{{Name: "a", From: "2"}}, `1;"x;""y";3`, `a="x;\"y"`},
		{Parse{Kind: "csv", Separator: "\t"}, []Point{{Name: "a", From: "2"}}, "V\t12800", "a=12800"},
		{Parse{Kind: "csv"}, []Point{{Name: "a", From: "2"}}, "1,,3", "a=null(bad: the device gives no value)"},
		{Parse{Kind: "csv"}, []Point{{Name: "a", From: "2", Type: "text"}}, "1,,3", `a=""`},
		{Parse{Kind: "csv"}, []Point{{Name: "a", From: "1", Invalid: []any{"---", int64(9999)}}}, "9999,", `a=null(bad: the device says that it has no value: it gives "9999")`},
		{Parse{Kind: "csv"}, []Point{{Name: "a", From: "1", Enum: map[string]string{"ST": "stable"}}}, "ST", `a="stable"`},
		{Parse{Kind: "csv"}, []Point{{Name: "a", From: "1", Number: datatype.Number{Max: new(9.0), OutOfRange: "bad"}}}, "10", `a=null(bad: the value is 10, out of the range anything to 9)`},
		{Parse{Kind: "csv"}, []Point{{Name: "a", From: "1", Number: datatype.Number{Scale: 1, Decimals: new(1)}}}, "1.26", `a=1.3`},

		{Parse{Kind: "json"}, []Point{{Name: "t", From: "s[1].t"}, {Name: "ok", From: "ok"}, {Name: "n", From: "n"}}, `{"s":[{},{"t":21.50}],"ok":true,"n":null}`, `t=21.5 ok=true n=null(bad: the device gives no value)`},
		{Parse{Kind: "json"}, []Point{{Name: "t", From: "a.b"}, {Name: "u", From: "u"}}, `{"a":3,"u":"x"}`, `u="x"`},
		{Parse{Kind: "json"}, []Point{{Name: "big", From: "big"}}, `{"big":18446744073709551615}`, `big=18446744073709551615`},
		{Parse{Kind: "json"}, []Point{{Name: "o", From: "o"}}, `{"o":{}}`, `o=null(bad: o is an object or an array, not a value)`},
		{Parse{Kind: "json"}, []Point{{Name: "o", From: "[0]"}}, `[7]`, `o=7`},
		{Parse{Kind: "json"}, []Point{{Name: "o", From: "o"}}, `12`, `no`},
		{Parse{Kind: "json"}, []Point{{Name: "o", From: "o"}}, `{"o":1}}`, `no`},
		{Parse{Kind: "json"}, []Point{{Name: "o", From: "o"}}, `"o":1}`, `no`},

		{Parse{Kind: "binary"}, []Point{{Name: "a", From: "1", Type: "u8"}, {Name: "b", From: "2", Type: "i16"}, {Name: "c", From: "4", Type: "f32", Order: "CDAB"}}, "\x00\xff\xff\xfe\x00\x00\x41\xbc", "a=255 b=-2 c=23.5"},
		{Parse{Kind: "binary"}, []Point{{Name: "a", From: "0", Type: "i8"}, {Name: "b", From: "1", Type: "i24"}, {Name: "c", From: "1", Type: "u24", Order: "DCBA"}}, "\x80\xff\xff\xfe", "a=-128 b=-2 c=16711679"},
		{Parse{Kind: "binary"}, []Point{{Name: "a", From: "0", Type: "u16", Order: "BA", Number: scaled(0.1, -40)}}, "\x2c\x01", "a=-10"},
		{Parse{Kind: "binary"}, []Point{{Name: "a", From: "0", Type: "u16", Order: "BA"}}, "\x2c", "no"},
		{Parse{Kind: "binary"}, []Point{{Name: "a", From: "0", Type: "u8", Bits: "4:3"}, {Name: "b", From: "0", Type: "bool", Bits: "7"}, {Name: "c", From: "0", Type: "u8", Enum: map[string]string{"0xb0": "run"}}}, "\xb0", `a=3 b=true c="run"`},
		{Parse{Kind: "binary"}, []Point{{Name: "a", From: "0", Type: "bcd8"}, {Name: "b", From: "1", Type: "string", Length: 4}, {Name: "c", From: "0", Type: "bool"}}, "\x42AB\x00C", `a=42 b="AB" c=true`},
		{Parse{Kind: "binary"}, []Point{{Name: "a", From: "0", Type: "u48"}, {Name: "b", From: "0", Type: "u16", Invalid: []any{int64(1)}}}, "\x00\x01\x00\x00\x00\x00", `a=4294967296 b=null(bad: the device says that it has no value: it gives 0x1)`},

		{Parse{Kind: "nmea"}, []Point{{Name: "lat", From: "GGA:2", Type: "degrees"}, {Name: "lon", From: "GGA:4", Type: "degrees"}, {Name: "h", From: "GNGGA:9", Unit: "m"}, {Name: "v", From: "RMC:7"}},
			"$GNGGA,123519,4807.038,S,01131.000,E,1,08,0.9,545.4,M,46.9,M,,", "lat=-48.1173 lon=11.51666667 h=545.4m"},
		{Parse{Kind: "nmea"}, []Point{{Name: "lat", From: "GGA:2", Type: "degrees"}, {Name: "h", From: "GGA:9"}}, "$GPGGA,,,,,,0,,,,,,,,*66", "lat=null(bad: the device gives no value) h=null(bad: the device gives no value)"},
		{Parse{Kind: "nmea"}, []Point{{Name: "lat", From: "GGA:2", Type: "degrees"}}, "$GPGGA,1,4807.038,X", `lat=null(bad: "4807.038" "X" is no latitude or longitude)`},
		{Parse{Kind: "nmea"}, []Point{{Name: "lat", From: "GGA:2", Type: "degrees"}}, "$GPGGA,1,1e999999999,N", `lat=null(bad: "1e999999999" "N" is no latitude or longitude)`},
		{Parse{Kind: "nmea"}, []Point{{Name: "lon", From: "GGA:2", Type: "degrees"}}, "$GPGGA,1,18100.0,E", `lon=null(bad: "18100.0" "E" is no latitude or longitude)`},
		{Parse{Kind: "nmea"}, []Point{{Name: "x", From: "PGRME:1"}, {Name: "y", From: "GRM:1"}}, "$PGRME,15.0,M", "x=15"},
		{Parse{Kind: "nmea"}, []Point{{Name: "x", From: "MWV:9"}}, "$WIMWV,214.8,R", "x=null(bad: the sentence WIMWV has only 2 fields)"},
		{Parse{Kind: "nmea"}, []Point{{Name: "x", From: "MWV:1"}}, "$GPGSV,1", ""},
		{Parse{Kind: "nmea"}, []Point{{Name: "x", From: "MWV:1"}}, "garbage,1", "no"},

		{Parse{Kind: "p1"}, []Point{{Name: "e", From: "1-0:1.8.1"}, {Name: "gas", From: "0-1:24.2.1"}, {Name: "at", From: "0-1:24.2.1[1]"}, {Name: "old", From: "0-1:24.3.0", Unit: "m3"}, {Name: "cut", From: "1-0:99.97.0[4]"}},
			telegram, `e=123456.789kWh cut=240s old=10.25m3 gas=12785.123m3 at="101209112500W"`},
		{Parse{Kind: "p1"}, []Point{{Name: "e", From: "1-0:1.8.1", Unit: "Wh", Number: scaled(1000, 0)}, {Name: "text", From: "0-0:96.13.0"}}, telegram, "e=123456789Wh text=null(bad: the device gives no value)"},
		{Parse{Kind: "p1"}, []Point{{Name: "e", From: "1-0:1.8.1"}}, "ISk5\r\n\r\n1-0:1.8.1(12", "no"},

		{Parse{Kind: "raw"}, []Point{{Name: "h", From: "hex"}, {Name: "b", From: "base64"}, {Name: "t", From: "text"}}, "12", `h="3132" b="MTI=" t=12`},
	} {
		p := ready(t, c.parse, c.points...)
		samples, ok := p.parse(nil, []byte(c.message), time.Now())
		got := say(samples)
		if !ok {
			got = "no"
		}
		if got != c.want {
			t.Errorf("%s on %.60q: got %s, want %s", c.parse.Kind, c.message, got, c.want)
		}
	}
}

func TestAMistakeInAPlaceIsSaidByItsKey(t *testing.T) {
	for _, c := range []struct {
		parse Parse
		point Point
		want  string
	}{
		{Parse{Kind: "csw"}, Point{From: "1"}, "parse.kind: \"csw\": want regexp, csv"},
		{Parse{Kind: "csv"}, Point{}, "point[0].from: is missing"},
		{Parse{Kind: "csv"}, Point{From: "0"}, `point[0].from: "0": want the number of the column`},
		{Parse{Kind: "csv", Separator: "::"}, Point{From: "1"}, `parse.separator: "::": want one character`},
		{Parse{Kind: "csv", Points: []string{"y"}}, Point{From: "1"}, "point: is missing"},
		{Parse{Kind: "csv", Regexp: "x"}, Point{From: "1"}, `parse.regexp: is for kind "regexp"`},
		{Parse{Kind: "json"}, Point{From: "a..b"}, `point[0].from: "a..b": want a path`},
		{Parse{Kind: "json"}, Point{From: "a[x]"}, `point[0].from: "a[x]": "x" is no place`},
		{Parse{Kind: "binary"}, Point{From: "1"}, `point[0].type: "auto" is no type`},
		{Parse{Kind: "binary"}, Point{From: "1", Type: "u8l"}, `point[0].type: "u8l" is for registers`},
		{Parse{Kind: "binary"}, Point{From: "-1", Type: "u8"}, `point[0].from: "-1": want the byte`},
		{Parse{Kind: "binary"}, Point{From: "1", Type: "u32", Order: "AB"}, `point[0].order: "AB" is for 1 registers`},
		{Parse{Kind: "binary"}, Point{From: "1", Type: "u8", Bits: "4:5"}, `point[0].bits: "4:5": u8 has the bits 0 to 7`},
		{Parse{Kind: "binary"}, Point{From: "1", Type: "string"}, `point[0].type: "string" wants a length`},
		{Parse{Kind: "binary"}, Point{From: "1", Type: "string", Length: 2, Number: datatype.Number{Scale: 2}}, `point[0].scale: 2: a string has no scale`},
		{Parse{Kind: "nmea"}, Point{From: "GGA"}, `point[0].from: "GGA": want a sentence and its field`},
		{Parse{Kind: "p1"}, Point{From: "energy"}, `point[0].from: "energy": want an OBIS code`},
		{Parse{Kind: "p1"}, Point{From: "1.8.0[0]"}, `point[0].from: "1.8.0[0]": want the value's number`},
		{Parse{Kind: "raw"}, Point{From: "octal"}, `point[0].from: "octal": want how the message is written`},
		{Parse{Kind: "csv"}, Point{From: "1", Type: "degrees"}, `point[0].type: "degrees": want "number"`},
		{Parse{Kind: "csv"}, Point{From: "1", Order: "AB"}, `point[0].type: length, order and bits are for`},
		{Parse{Regexp: `(?P<x>.)`}, Point{From: "1"}, `point[0].from: is for other kinds`},
	} {
		c.point.Name = "x"
		cfg := Config{Name: "x", URL: "serial:///dev/ttyS0", Parse: c.parse, Points: []Point{c.point}}
		cfg.SetDefaults()
		var got []string
		cfg.Check(func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestAMistakeInAFrameIsSaidByItsKey(t *testing.T) {
	for _, c := range []struct {
		frame Frame
		want  string
	}{
		{Frame{Kind: "delimiter"}, "end: is missing"},
		{Frame{Kind: "line", End: ";"}, "end: is for kind stx_etx, p1, delimiter"},
		{Frame{Kind: "stx_etx", Start: "hex:2"}, "start: "},
		{Frame{Kind: "fixed", Start: "x"}, "length: 0: want how many bytes"},
		{Frame{Kind: "fixed", Length: 9}, "start: is missing: without a start, a checksum or a gap"},
		{Frame{Kind: "length", Start: "x", LengthBytes: 3}, "length_bytes: 3: want 1, 2 or 4"},
		{Frame{Kind: "length", Start: "x", LengthAt: -1}, "length_at: -1: want"},
		{Frame{Kind: "line", Gap: time.Hour}, "gap: 1h0m0s: want"},
		{Frame{Checksum: Checksum{Kind: "crc17"}}, "checksum.kind: \"crc17\" is no checksum; there are xor"},
		{Frame{Checksum: Checksum{From: 1}}, "checksum.kind: is missing"},
		{Frame{Checksum: Checksum{Kind: "xor", Tail: -1}}, "checksum.tail: -1: want"},
		{Frame{Checksum: Checksum{Kind: "xor", Order: "CD"}}, `checksum.order: "CD": want`},
	} {
		c.frame.setDefaults()
		var got []string
		c.frame.check(func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
			t.Errorf("%+v: got %q, want %q", c.frame, got, c.want)
		}
	}
}

// Answers that do not say what was asked have points of their own.
func TestEachRequestMayHaveItsOwnPoints(t *testing.T) {
	cfg := Config{
		Name: "x", URL: "serial:///dev/ttyS0",
		Request: []Request{
			{Ask: Ask{Send: Bytes("A?\n")}, Parse: Parse{Kind: "csv", Points: []string{"a", "b"}}},
			{Ask: Ask{Send: Bytes("C?\n")}, Parse: Parse{Kind: "csv", Points: []string{"c"}}},
		},
		Points: []Point{{Name: "a", From: "1"}, {Name: "b", From: "2"}, {Name: "c", From: "1"}},
	}
	check := func() (got []string) {
		cfg.SetDefaults()
		cfg.Check(func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		return got
	}
	if got := check(); len(got) > 0 {
		t.Errorf("got %q, want no fault", got)
	}
	for i, want := range []string{"a=1 b=2", "c=1"} {
		p, err := newParser(cfg.parsing(&cfg.Request[i]))
		if err != nil {
			t.Fatal(err)
		}
		if samples, _ := p.parse(nil, []byte("1,2"), time.Now()); say(samples) != want {
			t.Errorf("request %d: got %s, want %s", i, say(samples), want)
		}
	}
	cfg.Points = append(cfg.Points, Point{Name: "d", From: "1"})
	cfg.Request[1].Parse.Points = []string{"c", "e"}
	if got := check(); len(got) != 1 || !strings.HasPrefix(got[0], `request[1].parse.points: "e": there is no such`) {
		t.Errorf("got %q", got)
	}
	cfg.Request[1].Parse.Points = []string{"c"}
	if got := check(); len(got) != 1 || !strings.HasPrefix(got[0], `point[3].name: "d" is `) {
		t.Errorf("got %q", got)
	}
}

// FuzzFormats has every kind of parse take any message: what comes out is a value
// that a payload can carry, or a reason, never both.
func FuzzFormats(f *testing.F) {
	for _, s := range []string{telegram, `{"a":[1,{"b":"x"}],"c":1e999}`, "$GPGGA,1,4807.038,N,1", `1;"a""b";,3`, "\x01\x02\xff\xff\x7f\xc0\x00\x00\x00", "1(2", "((((", `"`} {
		f.Add([]byte(s))
	}
	points := func(places ...string) (all []Point) {
		for i, p := range places {
			all = append(all, Point{Name: fmt.Sprint(i), From: From(p), Number: scaled(0.1, 1)})
		}
		return all
	}
	typed := func(all []Point, types ...string) []Point {
		for i := range all {
			all[i].Type = types[i]
		}
		return all
	}
	var parsers []*parser
	for _, c := range []struct {
		kind   string
		points []Point
	}{
		{"csv", points("1", "2", "3")},
		{"json", points("a[1].b", "a[0]", "c", "[0]")},
		{"binary", typed(points("0", "1", "1", "0", "2", "4"), "u8", "i16", "f32", "bcd8", "i24", "f16")},
		{"nmea", typed(points("GGA:2", "GGA:1", "RMC:3"), "degrees", "number", "auto")},
		{"p1", points("1-0:1.8.1", "0-1:24.2.1[1]", "1.")},
		{"raw", typed(points("text", "text"), "number", "auto")},
	} {
		parsers = append(parsers, ready(f, Parse{Kind: c.kind}, c.points...))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		for _, p := range parsers {
			samples, _ := p.parse(nil, message, time.Now())
			if len(samples) > len(p.fields) && !strings.Contains(fmt.Sprintf("%T", p.format), "p1") {
				t.Errorf("%T of %q: %d samples", p.format, message, len(samples))
			}
			for _, s := range samples {
				v, isNumber := s.Value.Float()
				switch {
				case (s.Quality == point.Bad) != (s.Value.Kind() == point.None) || (s.Quality == point.Bad) != (s.Reason != ""):
					t.Errorf("%T of %q: %+v", p.format, message, s)
				case isNumber && !finite(v):
					t.Errorf("%T of %q: %s is %v", p.format, message, s.Point, v)
				case !utf8.ValidString(s.Value.String()) || !utf8.ValidString(s.Unit) || !utf8.ValidString(s.Reason):
					t.Errorf("%T of %q: %s is not UTF-8", p.format, message, s.Point)
				}
			}
		}
	})
}
