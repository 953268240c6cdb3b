package modbus

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// sealed appends the CRC.
func sealed(b ...byte) []byte { return binary.LittleEndian.AppendUint16(b, crc(b)) }

// ask is a request's PDU.
func ask(function byte, address, second uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{function}, address), second)
}

// readFrame feeds in in pieces of that size, and looks a last time.
func readFrame(want expected, in []byte, size int) []byte {
	r := frameReader{want: want}
	for len(in) > 0 {
		n := min(max(1, size), len(in))
		if f := r.feed(in[:n]); f != nil {
			return f
		}
		in = in[n:]
	}
	return r.last()
}

func TestTheAnswerIsFoundInWhateverSurroundsIt(t *testing.T) {
	want, _ := expect(7, ask(3, 100, 2))
	answer := sealed(7, 3, 4, 1, 2, 3, 4)
	refusal := sealed(7, 0x83, 2)
	for name, c := range map[string]struct{ before, answer []byte }{
		"nothing before":                       {nil, answer},
		"noise":                                {[]byte{0, 0xff, 7, 7, 3, 9}, answer},
		"another unit's answer":                {sealed(8, 3, 4, 1, 2, 3, 4), answer},
		"the same unit, other length":          {sealed(7, 3, 2, 1, 2), answer},
		"the same unit, other request":         {sealed(7, 4, 4, 1, 2, 3, 4), answer},
		"a broken answer":                      {[]byte{7, 3, 4, 1, 2, 3, 4, 0, 0}, answer},
		"the echo of the request":              {sealed(append([]byte{7}, ask(3, 100, 2)...)...), answer},
		"an exception":                         {nil, refusal},
		"an exception after a false beginning": {[]byte{7, 3, 4}, refusal},
	} {
		in := append(bytes.Clone(c.before), c.answer...)
		for size := 1; size <= len(in); size++ {
			if got := readFrame(want, in, size); !bytes.Equal(got, c.answer) {
				t.Errorf("%s, in pieces of %d: got % x, want % x", name, size, got, c.answer)
			}
		}
	}
}

func TestWhatIsNotTheAnswerIsNotTaken(t *testing.T) {
	want, _ := expect(7, ask(6, 100, 0x1234))
	for name, in := range map[string][]byte{
		"another unit":    sealed(8, 6, 0, 100, 0x12, 0x34),
		"another address": sealed(7, 6, 0, 101, 0x12, 0x34),
		"another value":   sealed(7, 6, 0, 100, 0x12, 0x35),
		"a wrong CRC":     {7, 6, 0, 100, 0x12, 0x34, 0, 0},
		"half of it":      sealed(7, 6, 0, 100, 0x12, 0x34)[:5],
	} {
		if got := readFrame(want, in, 3); got != nil {
			t.Errorf("%s: took % x", name, got)
		}
	}
}

func TestTheChecksumIsThatOfTheStandard(t *testing.T) {
	// The example of the serial line guide, appendix B: unit 2, function 7.
	if got := crc([]byte{2, 7}); got != 0x1241 {
		t.Errorf("got %#x, want 0x1241", got)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte{7, 3, 4, 1, 2, 3, 4, 0, 0}, byte(7), byte(3), uint16(2), uint8(1))
	f.Add(sealed(7, 3, 4, 1, 2, 3, 4), byte(7), byte(3), uint16(2), uint8(2))
	f.Add(append([]byte{7, 3}, sealed(7, 0x83, 2)...), byte(7), byte(3), uint16(125), uint8(3))
	f.Add(sealed(7, 16, 0, 0, 0, 9), byte(7), byte(16), uint16(9), uint8(200))
	f.Fuzz(func(t *testing.T, in []byte, unit, function byte, count uint16, size uint8) {
		want, ok := expect(unit, ask(function, 0, count%126))
		if !ok {
			return
		}
		got := readFrame(want, in, int(size))
		if whole := readFrame(want, in, len(in)+1); !bytes.Equal(got, whole) {
			t.Fatalf("in pieces % x, whole % x", got, whole)
		}
		if got == nil {
			return
		}
		n := len(got)
		exception := got[1] == function|exceptionBit && n == exceptionFrame
		if got[0] != unit || !exception && (got[1] != function || n != want.length || !bytes.HasPrefix(got[2:], want.head)) ||
			binary.LittleEndian.Uint16(got[n-2:]) != crc(got[:n-2]) || !bytes.Contains(in, got) {
			t.Fatalf("took % x for the answer of unit %d to function %d", got, unit, function)
		}
	})
}
