package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestTheBarOfAScanFills(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, 4)
	if p.step("unit 1", 0); out.Len() > 0 {
		t.Errorf("what is no terminal got %q", out.String())
	}
	p = newProgress(nil, 4)
	p.out = &out
	for i := range 4 {
		p.step("unit 7", i)
	}
	p.clear()
	got := strings.Split(out.String(), "\r\x1b[K")
	if len(got) != 6 || got[1] != "["+strings.Repeat(".", barWidth)+"] unit 7, 0 found" || got[5] != "" {
		t.Errorf("got %q", got)
	}
	if want := "[" + strings.Repeat("#", 3*barWidth/4) + strings.Repeat(".", barWidth-3*barWidth/4) + "] unit 7, 3 found, 0s left"; got[4] != want {
		t.Errorf("got %q, want %q", got[4], want)
	}
}

func TestALineThatIsDrawnAgainFitsTheTerminal(t *testing.T) {
	for line, want := range map[string]string{"short": "short", "nine cha.": "nine cha.", "ten chars.": "ten ch...", "größer als": "größer...", "": ""} {
		if got := fitted(line, 10); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}
