package serial

import (
	"slices"
	"strings"
	"time"
)

// Frame is the frame = { ... } of a [[serial]] table.
type Frame struct {
	// Kind is how messages are told apart. "line": each ends with a line feed, a
	// carriage return, or both. "delimiter": each ends with End. "fixed": each has
	// Length bytes. "length": each says itself how long it is. "stx_etx": each is
	// between Start and End. "slip": RFC 1055. "idle": between two there is a
	// silence of Gap. "p1": a DSMR P1 telegram, which is "stx_etx" from / to ! with
	// a checksum of four digits behind it. Default "line".
	Kind string `toml:"kind"`

	// Max is the longest message in bytes, its start and end not counted. A longer
	// one is dropped and counted, and the points are bad until the next good one.
	// Default 4096.
	Max int `toml:"max"`

	// Start is what every message begins with, for "stx_etx", "fixed" and
	// "length": a text, or bytes like "hex:aa 55". What comes before it is
	// dropped. Default none, for "stx_etx" "hex:02".
	Start string `toml:"start"`

	// End is what ends a message of "delimiter" and "stx_etx", as Start. For the
	// latter the default is "hex:03".
	End string `toml:"end"`

	// Trailer is how many bytes come behind End that are of the message, such as
	// a checksum, for "stx_etx". Default 0.
	Trailer int `toml:"trailer"`

	// Length is how many bytes a message of "fixed" has, its start counted.
	Length int `toml:"length"`

	// LengthAt, LengthBytes and LengthOrder say where a message of "length" says
	// how long it is: from which byte on (0 is the first, that of Start), in how
	// many bytes (1, 2 or 4), in which order ("AB": the high byte first, or "BA").
	// LengthAdd is what makes of that the length of the whole message: how many
	// bytes it does not count. Defaults 0, 1, "AB" and 0.
	LengthAt    int    `toml:"length_at"`
	LengthBytes int    `toml:"length_bytes"`
	LengthOrder string `toml:"length_order"`
	LengthAdd   int    `toml:"length_add"`

	// Gap is how long the line is silent between two messages. It ends one of
	// "idle"; with another kind one that has not ended then is dropped. An adapter
	// on USB may itself pause for 16 ms. Default none, for "idle" "50ms".
	Gap time.Duration `toml:"gap"`

	// Checksum says how a message is checked.
	Checksum Checksum `toml:"checksum"`
}

const (
	defaultMaxFrame = 4096
	largestMaxFrame = 1 << 20
	defaultGap      = 50 * time.Millisecond
	maxGap          = time.Minute
)

func (f *Frame) setDefaults() {
	if f.Kind == "" {
		f.Kind = "line"
	}
	if f.Max == 0 {
		f.Max = defaultMaxFrame
	}
	fill := func(s *string, by string) {
		if *s == "" {
			*s = by
		}
	}
	switch f.Kind {
	case "stx_etx":
		fill(&f.Start, "hex:02")
		fill(&f.End, "hex:03")
	case "p1":
		f.Start, f.End, f.Trailer = "/", "!", 4
		if f.Checksum.Kind == "" {
			f.Checksum = Checksum{Kind: "crc16-arc", Hex: true}
		}
	case "length":
		if f.LengthBytes == 0 {
			f.LengthBytes = 1
		}
		fill(&f.LengthOrder, "AB")
	case "idle":
		if f.Gap == 0 {
			f.Gap = defaultGap
		}
	}
	f.Checksum.setDefaults()
}

func (f *Frame) check(fault func(key, format string, args ...any)) {
	kinds := []string{"line", "delimiter", "fixed", "length", "stx_etx", "slip", "idle", "p1"}
	if !slices.Contains(kinds, f.Kind) {
		fault("kind", "%q: want one of %s", f.Kind, strings.Join(kinds, ", "))
		return
	}
	if f.Max < 1 || f.Max > largestMaxFrame {
		fault("max", "%d: want 1 to %d bytes", f.Max, largestMaxFrame)
	}
	if f.Gap != 0 && (f.Gap < time.Millisecond || f.Gap > maxGap) {
		fault("gap", "%v: want a time from 1ms to %v, like \"50ms\"", f.Gap, maxGap)
	}
	start, err := parseBytes(f.Start)
	if err != nil {
		fault("start", "%v", err)
	}
	end, err := parseBytes(f.End)
	if err != nil {
		fault("end", "%v", err)
	}
	if len(start) > 16 || len(end) > 16 {
		fault("start", "start and end have 16 bytes at most")
	}
	f.checkUse(fault)
	f.checkLength(fault)
	f.Checksum.check(func(key, format string, args ...any) { fault("checksum."+key, format, args...) })
}

// checkUse checks what is for some kinds only.
func (f *Frame) checkUse(fault func(key, format string, args ...any)) {
	for _, k := range []struct {
		key   string
		given bool
		kinds []string
	}{
		{"start", f.Start != "", []string{"stx_etx", "p1", "fixed", "length"}},
		{"end", f.End != "", []string{"stx_etx", "p1", "delimiter"}},
		{"trailer", f.Trailer != 0, []string{"stx_etx", "p1"}},
		{"length", f.Length != 0, []string{"fixed"}},
		{"length_at", f.LengthAt != 0, []string{"length"}},
		{"length_bytes", f.LengthBytes != 0, []string{"length"}},
		{"length_order", f.LengthOrder != "", []string{"length"}},
		{"length_add", f.LengthAdd != 0, []string{"length"}},
	} {
		if k.given && !slices.Contains(k.kinds, f.Kind) {
			fault(k.key, "is for kind %s, not for %q", strings.Join(k.kinds, ", "), f.Kind)
		}
	}
	if f.Kind == "delimiter" && f.End == "" {
		fault("end", "is missing: want what ends a message, like \";\" or \"hex:0d\"")
	}
	if f.Trailer < 0 || f.Trailer > 16 {
		fault("trailer", "%d: want 0 to 16 bytes", f.Trailer)
	}
}

func (f *Frame) checkLength(fault func(key, format string, args ...any)) {
	switch {
	case f.Kind == "fixed" && (f.Length < 1 || f.Length > f.Max):
		fault("length", "%d: want how many bytes a message has, 1 to max (%d)", f.Length, f.Max)
	case f.Kind == "length" && f.LengthBytes != 1 && f.LengthBytes != 2 && f.LengthBytes != 4:
		fault("length_bytes", "%d: want 1, 2 or 4", f.LengthBytes)
	case f.Kind == "length" && f.LengthOrder != "AB" && f.LengthOrder != "BA":
		fault("length_order", "%q: want \"AB\" (the high byte first) or \"BA\"", f.LengthOrder)
	case f.Kind == "length" && (f.LengthAt < 0 || f.LengthAt+f.LengthBytes > f.Max):
		fault("length_at", "%d: want 0 to max (%d)", f.LengthAt, f.Max)
	case f.Kind == "length" && (f.LengthAdd < -f.Max || f.LengthAdd > f.Max):
		fault("length_add", "%d: want a number of bytes within max (%d)", f.LengthAdd, f.Max)
	}
	if (f.Kind == "fixed" || f.Kind == "length") && f.Start == "" {
		if f.Checksum.Kind == "" && f.Gap == 0 {
			fault("start", "is missing: without a start, a checksum or a gap nothing tells where a message begins")
		} else if f.Max > defaultMaxFrame {
			fault("max", "%d: without a start to look for want %d bytes at most", f.Max, defaultMaxFrame)
		}
	}
}
