package auth

import (
	"strings"
	"testing"

	"headgate/broker/topic"
)

// namesOf gives every topic name of these words, with at most depth levels.
func namesOf(words []string, depth int) []string {
	var names []string
	var grow func(prefix string, depth int)
	grow = func(prefix string, depth int) {
		for _, w := range words {
			if name := prefix + w; topic.CheckName(name) == nil {
				names = append(names, name)
			}
			if depth > 1 {
				grow(prefix+w+"/", depth-1)
			}
		}
	}
	grow("", depth)
	return names
}

// filtersOf gives every topic filter of these words and the wildcards.
func filtersOf(words []string, depth int) []string {
	var filters []string
	for _, f := range namesOf(append([]string{"P", "H"}, words...), depth) {
		if f = strings.NewReplacer("P", "+", "H", "#").Replace(f); topic.CheckFilter(f) == nil {
			filters = append(filters, f)
		}
	}
	return filters
}

// bruteForce judges two filters by every name of a small alphabet.
func bruteForce(a, b string, names []string) (overlaps, aCoversB bool) {
	aCoversB = true
	for _, n := range names {
		inA, inB := topic.Match(a, n), topic.Match(b, n)
		overlaps = overlaps || inA && inB
		aCoversB = aCoversB && (inA || !inB)
	}
	return overlaps, aCoversB
}

func TestOverlapAndCoverAreWhatEveryTopicSays(t *testing.T) {
	// "z" is a word that no filter has; names go a level deeper than filters.
	words := []string{"a", "", "$c"}
	filters, names := filtersOf(words, 3), namesOf(append(words, "z"), 4)
	if len(filters) < 100 || len(names) < 300 {
		t.Fatalf("only %d filters and %d names", len(filters), len(names))
	}
	matches := make([][]bool, len(filters))
	for i, f := range filters {
		matches[i] = make([]bool, len(names))
		for k, n := range names {
			matches[i][k] = topic.Match(f, n)
		}
	}
	for i, a := range filters {
		for k, b := range filters {
			overlaps, covered := false, true
			for n := range names {
				overlaps = overlaps || matches[i][n] && matches[k][n]
				covered = covered && (matches[i][n] || !matches[k][n])
			}
			if got := topic.Overlap(a, b); got != overlaps {
				t.Errorf("overlap(%q, %q) = %v, want %v", a, b, got, overlaps)
			}
			if got := topic.Covers(a, b); got != covered {
				t.Errorf("covers(%q, %q) = %v, want %v", a, b, got, covered)
			}
		}
	}
}

// FuzzOverlap: deeper filters than the test above tries, spelt with one letter a
// level.
func FuzzOverlap(f *testing.F) {
	f.Add("ab+#", "a+b")
	f.Add("+#", "#")
	f.Add("$#", "++")
	f.Add("a_b#", "a_b")
	f.Add("++++", "ab_$")
	// By depth: of all levels, only that a word is in the filters or is not.
	names := namesOf([]string{"a", "b", "", "$", "z"}, 5)
	spell := func(s string) string {
		var levels []string
		for _, r := range s {
			switch r {
			case '+', '#', '$', 'a', 'b':
				levels = append(levels, string(r))
			default:
				levels = append(levels, "")
			}
		}
		return strings.Join(levels, "/")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 4 || len(b) > 4 {
			return
		}
		a, b = spell(a), spell(b)
		if topic.CheckFilter(a) != nil || topic.CheckFilter(b) != nil {
			return
		}
		overlaps, covered := bruteForce(a, b, names)
		if got := topic.Overlap(a, b); got != overlaps {
			t.Errorf("overlap(%q, %q) = %v, want %v", a, b, got, overlaps)
		}
		if got := topic.Covers(a, b); got != covered {
			t.Errorf("covers(%q, %q) = %v, want %v", a, b, got, covered)
		}
	})
}
