package modbus

import (
	"testing"
	"time"
)

// FuzzSniff has a sniffer hear anything, in pieces of any size: whatever comes is
// given once, as a frame or as noise, and nothing is kept when the line is idle.
func FuzzSniff(f *testing.F) {
	f.Add([]byte(framed("\x07\x03\x00\x64\x00\x02")+framed("\x07\x03\x04\x12\x34\x56\x78")), uint8(1), byte(rtu))
	f.Add([]byte("x"+framed("\x07\x10\x00\x05\x00\x02\x04\x00\x01\x00\x02")), uint8(3), byte(rtu))
	f.Add([]byte(":07030064000290\r\n:0703041234567"+"8DE\r\n"), uint8(9), byte(ascii))
	f.Add([]byte("\x00\x01\x00\x00\x00\x06\x07\x03\x00\x64\x00\x02"), uint8(5), byte(mbap))
	f.Fuzz(func(t *testing.T, line []byte, size uint8, kind byte) {
		s := sniffer{framing: framing(kind) % (mbap + 1)}
		noise, frames := 0, 0
		around := map[framing]int{rtu: 2, mbap: 6}[s.framing] // of unit id and PDU
		hear := func(all []Heard) {
			for _, h := range all {
				if (h.Frame == nil) == (h.Noise == nil) || h.Text == "" {
					t.Fatalf("heard %+v", h)
				}
				noise += len(h.Noise)
				if h.Frame != nil {
					frames += len(h.Frame) + around
				}
			}
		}
		step := int(size)%16 + 1
		for from := 0; from < len(line); from += step {
			hear(s.feed(line[from:min(from+step, len(line))], time.Time{}, false))
		}
		hear(s.feed(nil, time.Time{}, true))
		if len(s.buf)+len(s.noise) > 0 {
			t.Fatalf("it keeps % x and % x", s.buf, s.noise)
		}
		if s.framing != ascii && noise+frames != len(line) {
			t.Fatalf("%d bytes were said, %d heard in frames and %d as noise", len(line), frames, noise)
		}
	})
}
