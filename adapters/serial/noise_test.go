package serial

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// Random bytes, with what begins messages strewn in, through each framing and its
// parser together: ten megabytes in all, or through each where HEADGATE_PROOF is set.
func TestNoFramingIsStoppedByNoiseOrKeepsIt(t *testing.T) {
	const size = 10 << 20
	telegram := "/x\r\n\r\n1-0:1.8.1(1*kWh)\r\n!"
	sum, err := newChecksum(Checksum{Kind: "crc16-arc", Hex: true, Order: "AB"})
	if err != nil {
		t.Fatal(err)
	}
	const digits = "0123456789ABCDEF"
	n := sum.of([]byte(telegram))
	telegram += string([]byte{digits[n>>12], digits[n>>8&15], digits[n>>4&15], digits[n&15]}) + "\r\n"
	cases := []struct {
		frame Frame
		parse Parse
		point Point
		begin string // of a message
		good  string
	}{
		{Frame{Kind: "p1"}, Parse{Kind: "p1"}, Point{From: "1-0:1.8.1"}, "/1-0:1.8.1(", telegram},
		{Frame{Checksum: Checksum{Kind: "nmea"}}, Parse{Kind: "nmea"}, Point{From: "GGA:1"}, "$GPGGA,", "$GPGGA,1*4B\r\n"},
		{Frame{}, Parse{Kind: "json"}, Point{From: "a[0]"}, "[[[[{\"a\":[", "{\"a\":[1]}\r\n"},
		{Frame{Kind: "delimiter", End: ";"}, Parse{Kind: "csv"}, Point{From: "2"}, "\"1,", "0,1;"},
		{Frame{Kind: "stx_etx"}, Parse{Regexp: `^(?P<x>\d+)$`}, Point{}, "\x02", "\x021\x03"},
		{Frame{Kind: "fixed", Length: 4, Start: "hex:aa", Checksum: Checksum{Kind: "sum"}}, Parse{Kind: "binary"}, Point{From: "2", Type: "u8"}, "\xaa", "\xaa\x00\x01\xab"},
		{Frame{Kind: "length", Start: "hex:aa 55", LengthAt: 2, LengthBytes: 2, LengthAdd: 4}, Parse{Kind: "binary"}, Point{From: "4", Type: "u8"}, "\xaa\x55\x0f", "\xaa\x55\x00\x01\x01"},
		{Frame{Kind: "slip"}, Parse{Kind: "raw"}, Point{From: "text"}, "\xdb", "\xc01\xc0"},
		{Frame{Kind: "idle", Max: 6000}, Parse{Kind: "raw"}, Point{From: "text"}, "1", "1"},
	}
	each := size / len(cases)
	if os.Getenv("HEADGATE_PROOF") != "" {
		each = size
	}
	for _, c := range cases {
		c.point.Name = "x"
		e := listen(t, Config{Frame: c.frame, Parse: c.parse, Points: []Point{c.point}})
		e.open(e.now)
		e.after(time.Second)
		noise := rand.New(rand.NewPCG(9, 10))
		chunk := make([]byte, 4096)
		start := liveHeap()
		for range each / len(chunk) {
			for i := 0; i < len(chunk); i += 8 {
				n := noise.Uint64()
				for j := range 8 {
					chunk[i+j] = byte(n >> (8 * j))
				}
			}
			for range 8 {
				copy(chunk[noise.IntN(len(chunk)):], c.begin)
			}
			e.take(e.now, chunk)
			if c.frame.Kind == "idle" {
				e.after(time.Second)
			}
			e.got = e.got[:0]
		}
		if heap := liveHeap(); heap > start+2<<20 {
			t.Errorf("%s: the heap grew from %d to %d bytes", c.frame.Kind, start, heap)
		}
		// A message that has begun in the noise may take the first ones with it.
		if c.frame.Kind == "idle" {
			e.after(time.Second).hear(c.good).after(time.Second)
		} else {
			e.hear(strings.Repeat(c.good, 70_000/len(c.good)))
		}
		if last := e.got[len(e.got)-1]; !strings.HasPrefix(last, "x=1") {
			t.Errorf("%s: %q at the end, want x=1", c.frame.Kind, last)
		}
		if n := strings.Count(e.logs.String(), "\n"); n > 1000 {
			t.Errorf("%s: %d lines of log", c.frame.Kind, n)
		}
	}
}
