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
