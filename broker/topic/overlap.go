package topic

import "strings"

// Overlap says whether two valid filters could match one topic.
func Overlap(a, b string) bool {
	if dollarApart(a, b) || dollarApart(b, a) {
		return false
	}
	a, b = spellOut(a), spellOut(b)
	for {
		x, restOfA, moreOfA := strings.Cut(a, "/")
		y, restOfB, moreOfB := strings.Cut(b, "/")
		switch {
		case x == "#" || y == "#":
			return true
		case x != y && x != "+" && y != "+":
			return false
		case !moreOfA || !moreOfB:
			// "a/#" matches "a" as well. [MQTT 4.7.1.2]
			return moreOfA == moreOfB || restOfA == "#" || restOfB == "#"
		}
		a, b = restOfA, restOfB
	}
}

// Covers says whether wide matches every topic that narrow, a valid filter,
// matches.
func Covers(wide, narrow string) bool {
	if dollarApart(wide, narrow) {
		return false
	}
	narrow = spellOut(narrow)
	for {
		w, restOfWide, moreOfWide := strings.Cut(wide, "/")
		n, restOfNarrow, moreOfNarrow := strings.Cut(narrow, "/")
		switch {
		case w == "#":
			return true
		case n == "#" || w != n && w != "+":
			return false
		case !moreOfNarrow:
			return !moreOfWide || restOfWide == "#"
		case !moreOfWide:
			return false
		}
		wide, narrow = restOfWide, restOfNarrow
	}
}

// spellOut gives a filter that matches the same topics, but whose # may match no
// level at all: a topic is never empty, so the # of "#" and "/#" matches one at
// least.
func spellOut(filter string) string {
	switch filter {
	case "#":
		return "+/#"
	case "/#":
		return "/+/#"
	}
	return filter
}

// dollarApart says whether filter begins with a wildcard, and other with the $
// that no wildcard matches. [MQTT-4.7.2-1]
func dollarApart(filter, other string) bool {
	return strings.HasPrefix(other, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#"))
}
