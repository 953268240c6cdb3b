package main

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"
)

// numbers is what became of the numbers that were published to a topic.
type numbers struct {
	missing  []int
	repeated int
	disorder int // first arrivals after a greater number
	unknown  []string
}

func (n numbers) String() string {
	return fmt.Sprintf("%d missing %v, %d repeated, %d out of order, unknown %v", len(n.missing), few(n.missing), n.repeated, n.disorder, few(n.unknown))
}

func few[T any](s []T) []T { return s[:min(len(s), 10)] }

// inOrder says that all are there and in order; repeated ones may be among them.
func (n numbers) inOrder() bool { return len(n.missing)+n.disorder+len(n.unknown) == 0 }

// countNumbers looks through the payloads of a topic to which the numbers 0 to
// want-1 were published.
func countNumbers(payloads []string, want int) numbers {
	var r numbers
	seen := make([]bool, want)
	last := -1
	for _, p := range payloads {
		n, err := strconv.Atoi(p)
		switch {
		case err != nil || n < 0 || n >= want:
			r.unknown = append(r.unknown, p)
			continue
		case seen[n]:
			r.repeated++
			continue
		case n < last:
			r.disorder++
		}
		seen[n] = true
		last = max(n, last)
	}
	for n, ok := range seen {
		if !ok {
			r.missing = append(r.missing, n)
		}
	}
	return r
}

// wantNumbers wants the numbers that awaitNumbers waits for in order; with once, none
// twice.
func wantNumbers(t testing.TB, what string, get func() []string, want int, once bool) {
	t.Helper()
	got := awaitNumbers(t, what, get, want)
	if !got.inOrder() || once && got.repeated > 0 {
		t.Errorf("%s: of %d: %v", what, want, got)
		return
	}
	t.Logf("%s: all %d, in order, %d repeated", what, want, got.repeated)
}

// awaitNumbers waits until the numbers 0 to want-1 are all among the payloads that
// get gives, as long as more of them come.
func awaitNumbers(t testing.TB, what string, get func() []string, want int) (got numbers) {
	t.Helper()
	length := -1
	for end := time.Now().Add(hang); ; {
		payloads := get()
		switch {
		case len(payloads) != length:
			length = len(payloads)
			got = countNumbers(payloads, want)
			end = time.Now().Add(hang)
		case time.Now().After(end):
			t.Fatalf("nothing more of %s comes: of %d: %v", what, want, got)
		}
		if len(got.missing) == 0 {
			return got
		}
		time.Sleep(5*time.Millisecond + time.Duration(length)*time.Microsecond) // looking takes time too
	}
}

func TestTheCountOfNumbersFindsWhatIsWrong(t *testing.T) {
	got := countNumbers([]string{"0", "2", "1", "1", "x", "9", "4"}, 5)
	want := numbers{missing: []int{3}, repeated: 1, disorder: 1, unknown: []string{"x", "9"}}
	if got.String() != want.String() || !slices.Equal(got.missing, want.missing) {
		t.Errorf("got %v, want %v", got, want)
	}
}
