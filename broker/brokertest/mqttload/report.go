package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// table gathers one scenario's runs and prints them as a Markdown table.
type table struct {
	s       scenario
	targets []*Target
	base    string
	runs    map[string][]metrics // by target name, in order of the rounds
	errs    map[string]string    // the last one of each target
}

func newTable(s scenario, targets []*Target, base string) *table {
	return &table{s: s, targets: targets, base: base, runs: map[string][]metrics{}, errs: map[string]string{}}
}

func (t *table) add(target string, m metrics)    { t.runs[target] = append(t.runs[target], m) }
func (t *table) fail(target string, text string) { t.errs[target] = text }

// print writes medians; of loss counts it writes the worst of the rounds.
func (t *table) print(w io.Writer) {
	cols := t.columns()
	fmt.Fprintf(w, "\n### %s — %s\n\n| target |", t.s.name, t.s.desc)
	for i, c := range cols {
		fmt.Fprintf(w, " %s |", c.head)
		if i == 0 {
			fmt.Fprint(w, " ratio | spread |")
		}
	}
	fmt.Fprint(w, "\n|---|")
	for range len(cols) + 2 {
		fmt.Fprint(w, "---:|")
	}
	fmt.Fprintln(w)
	for _, target := range t.targets {
		fmt.Fprintf(w, "| %s |", target.Name)
		if len(t.runs[target.Name]) == 0 {
			fate := "interrupted"
			if text, failed := t.errs[target.Name]; failed {
				fate = "failed: " + strings.ReplaceAll(text, "\n", " ")
			}
			fmt.Fprintf(w, " %s |\n", fate)
			continue
		}
		for i, c := range cols {
			t.cell(w, target.Name, c, i == 0)
		}
		fmt.Fprintln(w)
	}
	for _, name := range slices.Sorted(maps.Keys(t.errs)) {
		fmt.Fprintf(w, "\nfailed run: %s: %s\n", name, t.errs[name])
	}
}

// columns are the scenario's, without those that no run has a figure for.
func (t *table) columns() []col {
	var cols []col
	for i, c := range t.s.cols {
		has := i == 0
		for _, ms := range t.runs {
			has = has || slices.ContainsFunc(ms, func(m metrics) bool { _, ok := m[c.key]; return ok })
		}
		if has {
			cols = append(cols, c)
		}
	}
	return cols
}

func (t *table) cell(w io.Writer, target string, c col, first bool) {
	var v []float64
	for _, m := range t.runs[target] {
		if x, ok := m[c.key]; ok {
			v = append(v, x)
		}
	}
	switch {
	case len(v) == 0:
		fmt.Fprint(w, " - |")
	case worstCounts(c.key):
		fmt.Fprintf(w, " %.*f |", c.prec, slices.Max(v))
	default:
		fmt.Fprintf(w, " %.*f |", c.prec, median(v))
	}
	if !first {
		return
	}
	if len(v) == 0 {
		fmt.Fprint(w, " - | - |")
		return
	}
	if r := t.ratios(target, c.key); len(r) > 0 {
		fmt.Fprintf(w, " %.2f |", median(r))
	} else {
		fmt.Fprint(w, " - |")
	}
	fmt.Fprintf(w, " %.0f%% |", 100*(slices.Max(v)-slices.Min(v))/math.Max(median(v), 1e-9))
}

// ratios compares each round with the base's in the same round.
func (t *table) ratios(target, key string) []float64 {
	var r []float64
	mine, base := t.runs[target], t.runs[t.base]
	for k := range min(len(mine), len(base)) {
		if b := base[k][key]; b != 0 {
			r = append(r, mine[k][key]/b)
		}
	}
	return r
}

// worstCounts says whether one bad round is what the reader must see.
func worstCounts(key string) bool {
	switch key {
	case "lost", "dup", "ooo", "stalls", "undrained":
		return true
	}
	return false
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// line is one run's figures, for the progress output.
func line(s scenario, m metrics) string {
	var b strings.Builder
	for _, c := range s.cols {
		if v, ok := m[c.key]; ok {
			fmt.Fprintf(&b, "%s=%.*f ", c.key, c.prec, v)
		}
	}
	if v, ok := m["others"]; ok {
		fmt.Fprintf(&b, "others=%.2f", v)
	}
	return b.String()
}
