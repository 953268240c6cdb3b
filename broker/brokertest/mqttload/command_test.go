package main

import (
	"io"
	"slices"
	"strings"
	"testing"
)

func TestTheBuiltInTargetsAreReadAndTheBaseIsOneOfThem(t *testing.T) {
	file, err := loadTargets("")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(file.Targets, func(x Target) bool { return x.Name == file.Base }) {
		t.Errorf("base %q is no target", file.Base)
	}
	for _, want := range []string{"headgate", "limit"} {
		if !slices.ContainsFunc(file.Targets, func(x Target) bool { return x.Name == want }) {
			t.Errorf("no target %s", want)
		}
	}
}

func TestEveryScenarioHasItsOwnNameAndAMode(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range scenarios() {
		if s.name == "" || seen[s.name] || s.desc == "" || s.run == nil || len(s.cols) == 0 {
			t.Errorf("scenario %q is doubled or not whole", s.name)
		}
		if !slices.Contains([]string{"default", "persist", "bridge", "bridge-far", "bridge-wide", "bridge-live"}, s.mode) {
			t.Errorf("scenario %s: mode %q", s.name, s.mode)
		}
		seen[s.name] = true
	}
	if !seen[blastName] {
		t.Errorf("no scenario %s", blastName)
	}
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-seconds 0", "out of range"},
		{"-repeat 0", "out of range"},
		{"-window 40000", "out of range"},
		{"mosquitto", "unexpected argument"},
		{"-nonsense", "not defined"},
	} {
		if _, err := parseOptions(strings.Fields(c.args), io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.args, err, c.want)
		}
	}
}

func TestTheTableComparesRoundByRoundAndShowsTheWorstLoss(t *testing.T) {
	s := scenario{name: "n", desc: "d", cols: []col{{"rate", "msg/s", 0}, {"lost", "lost", 0}, {"sys_msg", "syscalls", 1}}}
	table := newTable(s, []*Target{{Name: "base"}, {Name: "x"}, {Name: "dead"}}, "base")
	for _, r := range []float64{100, 200, 400} {
		table.add("base", metrics{"rate": r, "lost": 0})
		table.add("x", metrics{"rate": 2 * r, "lost": r / 100})
	}
	table.fail("dead", "ended at start")
	var b strings.Builder
	table.print(&b)
	want := `
### n — d

| target | msg/s | ratio | spread | lost |
|---|---:|---:|---:|---:|
| base | 200 | 1.00 | 150% | 0 |
| x | 400 | 2.00 | 150% | 4 |
| dead | failed: ended at start |

failed run: dead: ended at start
`
	if b.String() != want {
		t.Errorf("got:%s\nwant:%s", b.String(), want)
	}
}
