package datatype

import (
	"fmt"
	"strings"
)

// DidYouMean is "; did you mean ...?" with the name among known that s was most
// likely meant for; "" when none is near.
func DidYouMean(s string, known []string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	best, least := "", 1+len(s)/3
	for _, k := range known {
		d := distance(s, strings.ToLower(k))
		if len(s) > 1 && strings.HasPrefix(strings.ToLower(k), s) {
			d = min(d, 1)
		}
		if d < least || d == least && best == "" && d < len(k) {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance counts the letters to insert, drop or change to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
