package modbus

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// asciiOf is the ASCII frame of unit id and PDU.
func asciiOf(frame ...byte) []byte {
	var sum byte
	for _, b := range frame {
		sum -= b
	}
	return []byte(":" + strings.ToUpper(hex.EncodeToString(append(bytes.Clone(frame), sum))) + "\r\n")
}

// answerIn feeds what comes in pieces of that size to a framer that has been asked
// for request.
func answerIn(f framer, request, in []byte, size int) ([]byte, error) {
	if _, err := f.ask(bytes.Clone(request)); err != nil {
		return nil, err
	}
	for len(in) > 0 {
		n := min(max(1, size), len(in))
		if answer, err := f.feed(in[:n]); answer != nil || err != nil {
			return answer, err
		}
		in = in[n:]
	}
	return f.last(), nil
}

func TestAnASCIIAnswerIsFoundInWhateverSurroundsIt(t *testing.T) {
	request := asciiOf(append([]byte{7}, ask(3, 100, 2)...)...)
	answer := asciiOf(7, 3, 4, 1, 2, 0xab, 4)
	for name, before := range map[string]string{
		"nothing":               "",
		"noise":                 "\x00\xff\r\n3A",
		"a broken line":         ":07030401\r\n",
		"half a line":           ":070304",
		"another unit":          string(asciiOf(8, 3, 4, 1, 2, 3, 4)),
		"another length":        string(asciiOf(7, 3, 2, 1, 2)),
		"the echo":              string(request),
		"a wrong LRC":           ":07030401020304FF\r\n",
		"more than a frame has": ":" + strings.Repeat("00", 300),
	} {
		in := append([]byte(before), answer...)
		for size := 1; size <= len(in); size++ {
			if got, err := answerIn(&asciiFramer{}, request, in, size); err != nil || !bytes.Equal(got, answer) {
				t.Fatalf("%s, in pieces of %d: got %q, %v", name, size, got, err)
			}
		}
	}
}

// mbapOf is the Modbus TCP frame of unit id and PDU.
func mbapOf(id uint16, frame ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(append(b, 0, 0), uint16(len(frame)))
	return append(b, frame...)
}

func TestOnlyTheAnswerToTheLastRequestIsTaken(t *testing.T) {
	request := mbapOf(0, append([]byte{7}, ask(3, 100, 2)...)...)
	answer := mbapOf(1, 7, 3, 4, 1, 2, 3, 4)
	for name, before := range map[string][]byte{
		"nothing":       nil,
		"an earlier":    mbapOf(0xffff, 7, 3, 4, 9, 9, 9, 9),
		"two of others": append(mbapOf(5, 7, 0x83, 2), mbapOf(6, 8, 3, 2, 1, 1)...),
	} {
		in := append(bytes.Clone(before), answer...)
		for size := 1; size <= len(in); size++ {
			if got, err := answerIn(&mbapFramer{}, request, in, size); err != nil || !bytes.Equal(got, answer) {
				t.Fatalf("%s, in pieces of %d: got % x, %v", name, size, got, err)
			}
		}
	}
	var wrong *wrongAnswer
	if _, err := answerIn(&mbapFramer{}, request, mbapOf(1, 7, 4, 2, 1, 1), 100); !errors.As(err, &wrong) {
		t.Errorf("the answer to another function gave %v", err)
	}
	if _, err := answerIn(&mbapFramer{}, request, []byte("HTTP/1.1 400 Bad Request"), 100); err == nil || errors.As(err, &wrong) {
		t.Errorf("what is not Modbus gave %v", err)
	}
}

// FuzzFramers: whatever comes, an answer is one to what was asked, and does not
// depend on the pieces in which it came.
func FuzzFramers(f *testing.F) {
	f.Add(asciiOf(7, 3, 4, 1, 2, 3, 4), byte(3), uint16(2), uint8(1))
	f.Add(mbapOf(1, 7, 3, 4, 1, 2, 3, 4), byte(3), uint16(2), uint8(3))
	f.Add(append(mbapOf(9, 7, 0x83, 1), mbapOf(1, 7, 0x83, 2)...), byte(3), uint16(2), uint8(5))
	f.Add([]byte(":07\r\n:0783FF77\r\n"), byte(3), uint16(1), uint8(2))
	f.Fuzz(func(t *testing.T, in []byte, function byte, count uint16, size uint8) {
		pdu := ask(function, 0, count%126)
		want, ok := expect(7, pdu)
		if !ok {
			return
		}
		for name, c := range map[string]struct {
			make    func() framer
			request []byte
			unwrap  func([]byte) []byte
		}{
			"ascii": {func() framer { return &asciiFramer{} }, asciiOf(append([]byte{7}, pdu...)...), asciiBytes},
			"mbap":  {func() framer { return &mbapFramer{} }, mbapOf(0, append([]byte{7}, pdu...)...), func(b []byte) []byte { return b[6:] }},
		} {
			got, err := answerIn(c.make(), c.request, in, int(size))
			whole, wholeErr := answerIn(c.make(), c.request, in, len(in)+1)
			if !bytes.Equal(got, whole) || (err == nil) != (wholeErr == nil) {
				t.Fatalf("%s: in pieces % x, %v; whole % x, %v", name, got, err, whole, wholeErr)
			}
			if err != nil || got == nil {
				continue
			}
			if frame := c.unwrap(got); want.fits(frame[0], frame[1:]) != nil || !bytes.Contains(in, got) {
				t.Fatalf("%s: took % x for the answer of unit 7 to % x", name, got, pdu)
			}
		}
	})
}
