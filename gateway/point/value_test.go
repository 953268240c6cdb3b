package point

import (
	"errors"
	"fmt"
	"math"
	"testing"
)

func TestJSONKeepsWholeNumbersExact(t *testing.T) {
	for _, in := range []string{"18446744073709551615", "-9223372036854775808", "0", "1.5", "true", `"on \"x\""`, "1e-9"} {
		v, err := ParseJSON([]byte(in))
		if err != nil {
			t.Fatalf("ParseJSON(%s): %v", in, err)
		}
		want := in
		if in == "1e-9" {
			want = "1e-09"
		}
		if got := string(v.AppendJSON(nil)); got != want {
			t.Errorf("%s came back as %s", in, got)
		}
	}
}

func TestJSONThatIsNotOneScalarIsRefused(t *testing.T) {
	for _, in := range []string{"", "null", "{}", "[1]", "1 2", "yes", "1e999", "1]", "1,"} {
		if v, err := ParseJSON([]byte(in)); err == nil {
			t.Errorf("ParseJSON(%q) = %v, want an error", in, v)
		}
	}
}

func TestNumbersThatDoNotFitAreSaid(t *testing.T) {
	if _, ok := OfFloat(1.5).Int(); ok {
		t.Error("1.5 passed for a whole number")
	}
	if _, ok := OfInt(-1).Uint(); ok {
		t.Error("-1 passed for unsigned")
	}
	if _, ok := OfUint(math.MaxUint64).Int(); ok {
		t.Error("2^64-1 passed for int64")
	}
	if i, ok := OfFloat(-3).Int(); !ok || i != -3 {
		t.Errorf("-3.0 as Int = %d, %v", i, ok)
	}
	if _, ok := OfFloat(1 << 63).Int(); ok {
		t.Error("2^63 passed for int64")
	}
}

func TestAFloatWithoutAJSONNumberIsNull(t *testing.T) {
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got := string(OfFloat(f).AppendJSON(nil)); got != "null" {
			t.Errorf("%v became %s", f, got)
		}
	}
}

func TestSwitchWords(t *testing.T) {
	for in, want := range map[string]bool{"on": true, "OFF": false, "1": true, "False": false} {
		if got, ok := OfString(in).Bool(); !ok || got != want {
			t.Errorf("%q is %v, %v; want %v", in, got, ok, want)
		}
	}
	if _, ok := OfString("maybe").Bool(); ok {
		t.Error(`"maybe" passed for a switch`)
	}
}

func TestOutcomeNamesTheWrappedCause(t *testing.T) {
	if got := Outcome(fmt.Errorf("write coil 3 of unit 7: %w", ErrTimeout)); got != "timeout" {
		t.Errorf("got %q, want timeout", got)
	}
	if got := Outcome(errors.New("other")); got != "error" {
		t.Errorf("got %q, want error", got)
	}
	if got := Outcome(nil); got != "ok" {
		t.Errorf("got %q, want ok", got)
	}
}
