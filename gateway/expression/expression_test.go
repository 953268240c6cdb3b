package expression

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/gateway/point"
)

var inputNames = []string{"u", "i", "plug", "label", "dead", "old", "on"}

func names() Names {
	return Names{Lookup: func(path []string) (int, int, error) {
		if slot := slices.Index(inputNames, path[0]); slot >= 0 {
			return slot, 1, nil
		}
		return 0, 0, fmt.Errorf("there is no input %q", path[0])
	}}
}

func noon() time.Time { return time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC) }

func inputs() []Input {
	at := noon()
	return []Input{
		{Name: "u", Value: 230.0, Time: at},
		{Name: "i", Value: 2.0, Time: at.Add(time.Second)},
		{Name: "plug", Value: map[string]any{"power": 12.5, "state": "ON", "l": []any{1.0, 2.0}, "a-b": 3.0}, Time: at},
		{Name: "label", Value: "x7", Time: at},
		{Name: "dead", Quality: point.Bad, Reason: "no answer", Time: at},
		{Name: "old", Value: 5.0, Quality: point.Stale, Reason: "offline", Time: at},
		{Name: "on", Value: true, Time: at},
	}
}

func TestAnExpressionIsComputed(t *testing.T) {
	for source, want := range map[string]any{
		"u * i":                          460.0,
		"1 + 2 * 3 ** 2":                 19.0,
		"2 ** 3 ** 2":                    512.0,
		"-2 ** 2":                        -4.0,
		"(1 + 2) * 3 % 5":                4.0,
		"1 - 2 - 3":                      -4.0,
		"0x10 + 1_000":                   1016.0,
		"u > 200 and i < 3":              true,
		"not on or u == 230":             true,
		"!on":                            false,
		"u > 200 ? 'high' : 'low'":       "high",
		"plug.power * 2":                 25.0,
		`plug["a-b"] + plug.l[-1]`:       5.0,
		"plug.nothing ?? 7":              7.0,
		"plug.nothing == nil":            true,
		"plug.power != nil":              true,
		"dead ?? u":                      230.0,
		"(u / 0) ?? -1":                  -1.0,
		"plug.state in ['ON', 'on']":     true,
		"'power' in plug":                true,
		"label startsWith 'x'":           true,
		"number('12.5') + 1":             13.5,
		"text(u) + ' V'":                 "230 V",
		"round(12.345, 1)":               12.3,
		"max(u, i, 3) - min(u, i)":       228.0,
		"mean(1, 2, 6) + sum(1, 2)":      6.0,
		"on or dead > 1":                 true,
		"len('äö')":                      2.0,
		"{value: plug.power, unit: 'W'}": map[string]any{"value": 12.5, "unit": "W"},
		`value("u")`:                     230.0,
	} {
		p, err := Compile(source, names())
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		got := p.Run(inputs(), noon())
		if !reflect.DeepEqual(got.Value, want) || got.Quality != point.Good || got.Reason != "" {
			t.Errorf("%s: got %+v, want %v", source, got, want)
		}
	}
}

func TestAResultIsAsGoodAsWhatItNeeded(t *testing.T) {
	for source, want := range map[string]string{
		"u + dead":              "bad: dead is bad: no answer",
		"u + old":               "stale: old is stale: offline",
		"old + dead":            "bad: dead is bad: no answer",
		"u / 0":                 "bad: u / 0 is not a finite number",
		"sqrt(-u)":              "bad: sqrt() is not a finite number",
		"label * 2":             "bad: label is a text, want a number",
		"plug + 1":              "bad: plug is an object and 1 is a number: they cannot be added",
		"plug.nothing":          `bad: plug has no "nothing"`,
		"u.x":                   `bad: u is a number and has no "x"`,
		"dead ?? old":           "stale: old is stale: offline",
		"on ? u : dead":         "good: ",
		"integrate(dead, '1h')": "stale: dead is bad: no answer",
		"mean_over(dead, '1m')": "bad: dead is bad: no answer",
	} {
		p, err := Compile(source, names())
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		got := p.Run(inputs(), noon())
		if s := got.Quality.String() + ": " + got.Reason; s != want {
			t.Errorf("%s: got %q, want %q", source, s, want)
		}
		if (got.Value == nil) != (got.Quality == point.Bad) {
			t.Errorf("%s: got %v of quality %v", source, got.Value, got.Quality)
		}
	}
}

func TestAResultHasTheTimeOfItsNewestInput(t *testing.T) {
	p, err := Compile("u * i", names())
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Run(inputs(), noon()).Time; !got.Equal(noon().Add(time.Second)) {
		t.Errorf("got %v", got)
	}
	if got := p.Slots(); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("got slots %v", got)
	}
}

func TestWhatIsWrongIsSaidWithItsPlace(t *testing.T) {
	for source, want := range map[string]string{
		"":                     "0: the expression is empty",
		"u +":                  "3: the expression ends where a value",
		"u + volts":            `4: there is no input "volts"`,
		"u * 'x'":              "4: 'x' is a text; want a number beside *",
		"1 + 'x'":              "4: 1 is a number and 'x' is a text: text('x')",
		"(u > 1) + 2":          "0: (u > 1) is a bool",
		"u > 1 and 5":          "10: 5 is a number; want a bool beside and",
		"5 ? 1 : 2":            "0: 5 is a number; want a bool before the ?",
		"u = 5":                "2: there is no operator '=': equal is ==",
		"u & i":                "2: there is no operator '&': write and, or",
		"avg(u)":               "0: there is no function avg(); there are abs",
		"abs()":                "0: abs() has 0 arguments; want 1",
		"integrate(u)":         `0: integrate() has 1 arguments; want integrate(x, "1h")`,
		"integrate(u, 'soon')": "13: 'soon': want a time in quotes with its unit",
		"hysteresis(u, 9, 5)":  "17: the value to switch on",
		"'never":               "0: the text has no end",
		"(u":                   `2: the expression ends where ")"`,
		"u i":                  `2: there is "i" where the expression should end`,
		"2nd.x":                `0: "2nd.x" is no number; names with a -`,
		"1 == 'x'":             "2: 1 is a number and 'x' is a text: they are never equal",
		"integrate(u, 5m)":     `13: "5m" is no number: a time stands in quotes, '5m'`,
		"u < true":             "4: true is a bool",
		"5.x":                  `0: "5.x" is no number`,
		"value(u)":             "6: u: want names in quotes",
		strings.Repeat("(", 100) + "1" + strings.Repeat(")", 100): "64: the expression is nested too deep",
		strings.Repeat("-", 100) + "1":                            "64: the expression is nested too deep",
		strings.Repeat("1", 5000):                                 "4096: the expression is longer",
	} {
		_, err := Compile(source, names())
		e := (*Error)(nil)
		if !errors.As(err, &e) {
			t.Errorf("%s: got %v", source, err)
			continue
		}
		if got := fmt.Sprintf("%d: %s", e.At, e.Text); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}

func TestATextThatIsComputedIsBounded(t *testing.T) {
	p, err := Compile(strings.Repeat("label + ", 100)+"label", names())
	if err != nil {
		t.Fatal(err)
	}
	in := inputs()
	in[3].Value = strings.Repeat("x", 1000)
	if got := p.Run(in, noon()); got.Quality != point.Bad || !strings.Contains(got.Reason, "longer than 64 kB") {
		t.Errorf("got %v %q", got.Quality, got.Reason)
	}
}

// steps runs a program over values of u that come some seconds apart; nil is a failed read.
func steps(t *testing.T, p *Program, apart time.Duration, values ...any) (got []any) {
	t.Helper()
	for i, v := range values {
		in, at := inputs(), noon().Add(time.Duration(i)*apart)
		in[0].Value, in[0].Time = v, at
		if v == nil {
			in[0].Quality, in[0].Reason = point.Bad, "no answer"
		}
		got = append(got, p.Run(in, at).Value)
	}
	return got
}

func TestAFunctionRemembersWhatWasBefore(t *testing.T) {
	for source, c := range map[string]struct {
		apart time.Duration
		in    []any
		want  []any
	}{
		"integrate(u / 1000, '1h')":               {time.Minute, []any{1000.0, 1000.0, 4000.0}, []any{0.0, 1.0 / 60, 1.0/60 + 2.5/60}},
		"integrate(u, '1m')":                      {time.Minute, []any{6.0, nil, 6.0, 6.0}, []any{0.0, 0.0, 0.0, 6.0}},
		"integrate(u, '1m', '30s')":               {time.Minute, []any{6.0, 6.0}, []any{0.0, 0.0}},
		"total(u, 65536)":                         {time.Second, []any{65530.0, 65535.0, 4.0, 10.0}, []any{0.0, 5.0, 10.0, 16.0}},
		"total(u)":                                {time.Second, []any{50.0, 60.0, 3.0}, []any{0.0, 10.0, 13.0}},
		"total(u, 65536) ":                        {time.Second, []any{300.0, 310.0, 5.0}, []any{0.0, 10.0, 15.0}},
		"rate(u, '1m')":                           {time.Second, []any{1.0, 2.0, 1.0}, []any{nil, 60.0, -60.0}},
		"rate(u, '1s', 256)":                      {time.Second, []any{250.0, 4.0, 6.0}, []any{nil, 10.0, 2.0}},
		"rate(u, '1s')":                           {time.Second, []any{1.0, nil, 6.0, 7.0}, []any{nil, nil, nil, 1.0}},
		"max_over(u, '4m')":                       {time.Minute, []any{9.0, 1.0, 2.0, 3.0, 1.0, 1.0}, []any{9.0, 9.0, 9.0, 9.0, 3.0, 3.0}},
		"min_over(u, '4m')":                       {time.Minute, []any{1.0, 5.0, nil, 6.0}, []any{1.0, 1.0, 1.0, 1.0}},
		"mean_over(u, '2m')":                      {time.Minute, []any{1.0, 3.0, 5.0, 7.0}, []any{1.0, 2.0, 4.0, 6.0}},
		"held(u > 5, '2s')":                       {time.Second, []any{6.0, 6.0, 6.0, 1.0, 6.0}, []any{false, false, true, false, false}},
		"hysteresis(u, 85, 90)":                   {time.Second, []any{86.0, 90.0, 86.0, 84.9, 89.0}, []any{false, true, true, false, false}},
		"u != 1 and held(u > 5, '2s')":            {time.Second, []any{6.0, 1.0, 6.0, 6.0, 6.0}, []any{false, false, false, false, true}},
		"u < 100 ? 0 : total(u)":                  {time.Second, []any{90.0, 95.0, 105.0}, []any{0.0, 0.0, 15.0}},
		"u == 1 and hysteresis(total(u), 10, 20)": {time.Second, []any{5.0, 30.0, 1.0}, []any{false, false, true}},
		"hysteresis(u, 85, 90) ? 1 : u*0":         {time.Second, []any{90.0, nil}, []any{1.0, 1.0}},
	} {
		p, err := Compile(source, names())
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		got := steps(t, p, c.apart, c.in...)
		for i := range got {
			a, isA := got[i].(float64)
			b, isB := c.want[i].(float64)
			if isA && isB && a-b < 1e-9 && b-a < 1e-9 {
				continue
			}
			if got[i] != c.want[i] {
				t.Errorf("%s: got %v, want %v", source, got, c.want)
				break
			}
		}
	}
}

func TestATotalGoesOnAfterARestart(t *testing.T) {
	before, err := Compile("integrate(u, '1m') + total(i)", names())
	if err != nil {
		t.Fatal(err)
	}
	steps(t, before, time.Minute, 6.0, 6.0)
	calls, kept := before.Kept()
	after, err := Compile("integrate(u, '1m') + total(i)", names())
	if err != nil {
		t.Fatal(err)
	}
	for i := range calls {
		after.Restore(i, calls[i], kept[i])
	}
	if got := steps(t, after, time.Minute, 6.0); got[0] != 6.0 {
		t.Errorf("got %v, want the 6 from before", got)
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"u * i", "plug.l[0] ?? {a: 1}", "integrate(u, '1h')", "u > 1 ? 'a' : \"b\"", "-!not(+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		p, err := Compile(source, names())
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) || e.At < 0 || e.At > max(len(source), maxBytes) {
				t.Errorf("%q: got %v", source, err)
			}
			return
		}
		for at := range 3 {
			if got := p.Run(inputs(), noon().AddDate(100*(at%2), 0, 0)); (got.Value == nil) != (got.Quality == point.Bad) {
				t.Errorf("%q: got %+v", source, got)
			}
		}
	})
}
