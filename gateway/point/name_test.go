package point

import (
	"strings"
	"testing"
)

func TestANameIsOneLevelOfATopic(t *testing.T) {
	for _, s := range []string{"meter1", "Zähler 3", "a.b-c_d", strings.Repeat("x", MaxNameBytes)} {
		if err := CheckPointName(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for s, want := range map[string]string{
		"": "empty", "a/b": "'/'", "a+": "'+'", "#": "'#'", "$SYS": "'$'", "a\x00b": "control", "\xff": "UTF-8",
		strings.Repeat("x", MaxNameBytes+1): "255", "set": "reserved", "status": "reserved",
	} {
		if err := CheckPointName(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", s, err, want)
		}
	}
	if err := CheckDeviceName("status"); err != nil {
		t.Errorf("a device may be called status, got %v", err)
	}
}
