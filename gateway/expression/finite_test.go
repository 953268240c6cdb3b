package expression

import (
	"math"
	"testing"
	"time"

	"headgate/gateway/point"
)

func TestWhatIsTooLargeToBeAddedUpIsNoValueAndSpoilsNoTotal(t *testing.T) {
	for _, source := range []string{`integrate(u, "1h")`, `total(u)`} {
		p, err := Compile(source, names())
		if err != nil {
			t.Fatal(err)
		}
		in := inputs()
		var r Result
		for i, x := range []float64{1, 1, -1e308, 1.7e308, 1.7e308, 1, 2} {
			in[0].Value, in[0].Time = x, noon().Add(time.Duration(i)*time.Minute)
			r = p.Run(in, in[0].Time)
			if f, ok := r.Value.(float64); ok && (math.IsInf(f, 0) || math.IsNaN(f)) {
				t.Errorf("%s of %g is %v, %v", source, x, f, r.Quality)
			}
		}
		_, kept := p.Kept()
		for _, f := range kept[0] {
			if math.IsInf(f, 0) || math.IsNaN(f) {
				t.Errorf("%s keeps %v", source, f)
			}
		}
		if r.Quality != point.Good {
			t.Errorf("%s ends as %v: %s", source, r.Quality, r.Reason)
		}
	}
	p, err := Compile(`mean_over(u, "1m")`, names())
	if err != nil {
		t.Fatal(err)
	}
	in := inputs()
	for i := range 3 {
		in[0].Value, in[0].Time = 1.7e308, noon().Add(time.Duration(i)*time.Second)
		if r := p.Run(in, in[0].Time); i > 0 && (r.Value != nil || r.Quality != point.Bad) {
			t.Errorf("a mean of %v is %v", r.Value, r.Quality)
		}
	}
}
func TestAnInputThatIsNoFiniteNumberIsBad(t *testing.T) {
	for _, source := range []string{"u <= 5", "u >= 5", "u == 5", "u", "u != 5", "u in [1]", "hysteresis(u, 1, 2)", "held(u >= 5, '1s')", "max_over(u, '1m')", "text(u)", "u > 5 ? 1 : 2"} {
		for _, x := range []float64{math.NaN(), math.Inf(1)} {
			p, err := Compile(source, names())
			if err != nil {
				t.Fatal(err)
			}
			in := inputs()
			in[0].Value = x
			if r := p.Run(in, noon()); r.Value != nil || r.Quality != point.Bad {
				t.Errorf("%s of %v is %v, %v", source, x, r.Value, r.Quality)
			}
		}
	}
	p, err := Compile("u ?? 7", names())
	if err != nil {
		t.Fatal(err)
	}
	in := inputs()
	in[0].Value = math.NaN()
	if r := p.Run(in, noon()); r.Value != 7.0 || r.Quality != point.Good {
		t.Errorf("got %+v", r)
	}
}

func TestAHysteresisThatWasNeverKnownIsNotKnownAfterARestart(t *testing.T) {
	const source = "hysteresis(u, 1, 2)"
	old, err := Compile(source, names())
	if err != nil {
		t.Fatal(err)
	}
	in := inputs()
	in[0].Value, in[0].Quality = nil, point.Bad
	old.Run(in, noon())
	called, kept := old.Kept()
	for _, values := range [][]float64{kept[0], nil} {
		p, err := Compile(source, names())
		if err != nil {
			t.Fatal(err)
		}
		p.Restore(0, called[0], values)
		if r := p.Run(in, noon()); r.Value != nil || r.Quality != point.Bad {
			t.Errorf("of %v it is %v, %v", values, r.Value, r.Quality)
		}
	}
}
