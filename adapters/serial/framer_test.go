package serial

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// frames gives what a framer makes of b, fed in pieces of those sizes, over and
// over; "!" stands for a line that was too long.
func frames(f framer, b []byte, sizes ...int) (got []string) {
	for i := 0; len(b) > 0; i++ {
		n := len(b)
		if len(sizes) > 0 {
			n = min(n, max(1, sizes[i%len(sizes)]))
		}
		f.feed(b[:n], func(line []byte) { got = append(got, string(line)) }, func(d damage) { got = append(got, []string{"!", "!sum", "!broken"}[d]) })
		b = b[n:]
	}
	return got
}

func TestALineEndsWithAnyOfTheUsualEnds(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\n":                    "a|b",
		"a\r\nb\r\n":                "a|b",
		"a\rb\r":                    "a|b",
		"a\n\rb\n\r":                "a|b",
		"\n\r\n\n a \n":             " a ",
		"a":                         "",
		"12345678\n":                "12345678",
		"123456789\nb\n":            "!|b",
		"123456789012345678\rb\r\n": "!|b",
		"123456789":                 "!",
		"a\x00\xff\n":               "a\x00\xff",
	} {
		for size := 1; size <= len(in); size++ {
			if got := strings.Join(frames(newLineFramer(8, nil), []byte(in), size), "|"); got != want {
				t.Errorf("%q in pieces of %d: got %q, want %q", in, size, got, want)
			}
		}
	}
}

func TestTenMegabytesOfRandomBytesNeedNoMemory(t *testing.T) {
	f := newLineFramer(256, nil)
	noise := rand.New(rand.NewPCG(1, 2))
	chunk := make([]byte, 4096)
	lines, overlong := 0, 0
	frame := func(line []byte) {
		lines++
		if len(line) == 0 || len(line) > 256 || bytes.ContainsAny(line, "\r\n") {
			t.Fatalf("a line of %d bytes: %q", len(line), line)
		}
	}
	fill := func() {
		for i := range chunk {
			chunk[i] = byte(noise.Uint32())
		}
	}
	feed := func() { f.feed(chunk, frame, func(damage) { overlong++ }) }
	for range 10 << 20 / len(chunk) {
		fill()
		feed()
	}
	if lines < 10_000 || overlong < 100 {
		t.Errorf("%d lines and %d that were too long: too few for this noise", lines, overlong)
	}
	if c := cap(f.line); c != 256 {
		t.Errorf("the framer holds %d bytes, want 256", c)
	}
	if n := testing.AllocsPerRun(100, feed); n != 0 {
		t.Errorf("%v allocations for 4 kB of noise", n)
	}
	// And after all that, the next line is a line.
	if got := frames(f, []byte("\n12.5 kg\r\n")); !slices.Equal(got[len(got)-1:], []string{"12.5 kg"}) {
		t.Errorf("got %q at the end", got)
	}
}

func FuzzFramer(f *testing.F) {
	f.Add([]byte("12.5 kg\r\n13.0 kg\r\n"), uint8(3), uint8(1))
	f.Add([]byte("\r\n\r\r\n\n\r"), uint8(1), uint8(2))
	f.Add([]byte("123456789012345678901234567890\rabc\n"), uint8(7), uint8(5))
	f.Fuzz(func(t *testing.T, in []byte, a, b uint8) {
		const most = 16
		whole := frames(newLineFramer(most, nil), in)
		cut := frames(newLineFramer(most, nil), in, int(a), int(b))
		if !slices.Equal(whole, cut) {
			t.Fatalf("whole %q, in pieces %q", whole, cut)
		}
		// What an independent reading of the rule gives.
		var want []string
		rest := bytes.ReplaceAll(bytes.ReplaceAll(in, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
		parts := bytes.Split(rest, []byte("\n"))
		for i, part := range parts {
			switch {
			case len(part) > most:
				want = append(want, "!")
			case len(part) > 0 && i < len(parts)-1:
				want = append(want, string(part))
			}
		}
		if !slices.Equal(whole, want) {
			t.Fatalf("got %q, want %q", whole, want)
		}
	})
}
