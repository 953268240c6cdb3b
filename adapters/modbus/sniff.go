package modbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"headgate/adapters/port"
)

// Heard is a frame that somebody has sent on a serial line, or what was no frame.
type Heard struct {
	Time  time.Time // when its last bytes came
	Frame []byte    // unit id and PDU, without checksum
	Noise []byte    // in place of Frame: bytes that belong to none
	Text  string    // what it says
}

// idleLine is the silence after which what has come is no beginning of more. It
// is longer than a USB adapter holds bytes back.
const idleLine = 50 * time.Millisecond

// Sniff listens on a serial line, on which it says nothing, until ctx ends or the
// port fails, and calls heard with each frame that others send.
func Sniff(ctx context.Context, cfg Config, heard func(Heard)) error {
	l, err := parseURL(cfg.URL)
	switch {
	case err != nil:
		return fmt.Errorf("url %w", err)
	case l.carrier != serialLine:
		return fmt.Errorf("%s: only a serial line has others to listen to, where no gateway runs", cfg.URL)
	}
	stream, err := l.dial(ctx, cfg.TLS)
	if err != nil {
		return port.WithHolder(err, l.path)
	}
	w := newWire(stream, &taps{})
	defer w.close()
	s := sniffer{framing: l.framing}
	idle := time.NewTimer(idleLine)
	defer idle.Stop()
	for {
		var all []Heard
		chunk, at, _, err := w.take()
		switch {
		case err != nil:
			return err
		case chunk != nil:
			all = s.feed(chunk, at, false)
			idle.Reset(idleLine)
		default:
			select {
			case <-w.news:
			case <-idle.C:
				all = s.feed(nil, at, true)
			case <-ctx.Done():
				return nil
			}
		}
		for _, h := range all {
			heard(h)
		}
	}
}

// sniffer finds frames in what a serial line says between others: requests and
// answers, of any units.
type sniffer struct {
	framing framing
	buf     []byte
	noise   []byte
	asked   []byte // the last request, while no answer has come
}

// feed takes what came at a time; idle says that nothing has come since, so that
// what is there is no beginning of more.
func (s *sniffer) feed(b []byte, at time.Time, idle bool) (all []Heard) {
	s.buf = append(s.buf, b...)
	for len(s.buf) > 0 {
		frame, size, more := s.cut()
		switch {
		case frame != nil:
			all = s.flush(all, at)
			all = append(all, Heard{Time: at, Frame: frame, Text: s.describe(frame)})
			s.buf = s.buf[size:]
		case more && !idle:
			return all
		default:
			s.noise = append(s.noise, s.buf[0])
			s.buf = s.buf[1:]
		}
	}
	if idle || len(s.noise) > maxRTUFrame {
		all = s.flush(all, at)
	}
	return all
}

// flush says what was no frame.
func (s *sniffer) flush(all []Heard, at time.Time) []Heard {
	if len(s.noise) > 0 {
		all = append(all, Heard{Time: at, Noise: s.noise, Text: fmt.Sprintf("no frame: % x", s.noise)})
		s.noise = nil
	}
	return all
}

// cut gives the frame that the buffer begins with, and how much of the buffer it
// takes; more is true while it may still become one.
func (s *sniffer) cut() (frame []byte, size int, more bool) {
	switch s.framing {
	case mbap:
		return s.cutMBAP()
	case ascii:
		if s.buf[0] != ':' {
			return nil, 0, false
		}
		end := bytes.IndexByte(s.buf, '\n')
		if end < 0 {
			return nil, 0, len(s.buf) < maxASCIIFrame
		}
		return asciiBytes(s.buf[:end+1]), end + 1, false
	}
	lengths, more := rtuLengths(s.buf)
	for _, n := range lengths {
		if n > len(s.buf) {
			more = true
		} else if binary.LittleEndian.Uint16(s.buf[n-2:]) == crc(s.buf[:n-2]) {
			return bytes.Clone(s.buf[:n-2]), n, false
		}
	}
	return nil, 0, more
}

// cutMBAP is cut for the frames of Modbus TCP.
func (s *sniffer) cutMBAP() (frame []byte, size int, more bool) {
	if len(s.buf) < mbapSize {
		return nil, 0, true
	}
	length := int(binary.BigEndian.Uint16(s.buf[4:]))
	if binary.BigEndian.Uint16(s.buf[2:]) != 0 || length < 2 || length > maxLength {
		return nil, 0, false
	}
	if len(s.buf) < 6+length {
		return nil, 0, true
	}
	return bytes.Clone(s.buf[6 : 6+length]), 6 + length, false
}

// rtuLengths gives how long the frame that b begins with may be, as a request and
// as an answer; more is true where more of it must come to tell.
func rtuLengths(b []byte) (lengths []int, more bool) {
	counted := func(at, around int) {
		if at >= len(b) {
			more = true
		} else if n := around + int(b[at]); n <= maxRTUFrame {
			lengths = append(lengths, n)
		}
	}
	if len(b) < 2 {
		return nil, true
	}
	switch b[1] {
	case 1, 2, 3, 4:
		counted(2, 5)
		lengths = append(lengths, 8)
	case writeSingleCoil, writeSingleRegister:
		lengths = append(lengths, 8)
	case writeMultipleCoils, writeMultipleRegisters:
		lengths = append(lengths, 8)
		counted(6, 9)
	case maskWriteRegister:
		lengths = append(lengths, maskWriteFrame)
	case readWriteRegisters:
		counted(2, 5)
		counted(10, 13)
	default:
		if b[1]&exceptionBit != 0 {
			lengths = append(lengths, exceptionFrame)
		}
	}
	return lengths, more
}

// describe says what a frame means, which is either a request or the answer to the
// last one.
func (s *sniffer) describe(frame []byte) string {
	if text, ok := s.answer(frame); ok {
		s.asked = nil
		return text
	}
	s.asked = frame
	unit, pdu := frame[0], frame[1:]
	if len(pdu) < 5 {
		return fmt.Sprintf("unit %d: function %d: %s", unit, pdu[0], hex.EncodeToString(pdu[1:]))
	}
	address, value := binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:])
	tables := map[byte]table{1: coils, 2: discreteInputs, 3: holdingRegisters, 4: inputRegisters, writeSingleCoil: coils, writeSingleRegister: holdingRegisters,
		writeMultipleCoils: coils, writeMultipleRegisters: holdingRegisters, maskWriteRegister: holdingRegisters, readWriteRegisters: holdingRegisters}
	t := tables[pdu[0]]
	switch pdu[0] {
	case 1, 2, 3, 4:
		return fmt.Sprintf("unit %d: read %s?", unit, t.span(address, int(value)))
	case writeSingleCoil, writeSingleRegister:
		return fmt.Sprintf("unit %d: write %s = 0x%04x", unit, t.span(address, 1), value)
	case writeMultipleCoils, writeMultipleRegisters:
		return fmt.Sprintf("unit %d: write %s = %s", unit, t.span(address, int(value)), words(pdu[min(6, len(pdu)):]))
	}
	return fmt.Sprintf("unit %d: function %d at %s: %s", unit, pdu[0], t.span(address, 1), hex.EncodeToString(pdu[3:]))
}

// answer says what a frame means as the answer to the last request.
func (s *sniffer) answer(frame []byte) (text string, ok bool) {
	if s.asked == nil || frame[0] != s.asked[0] || frame[1]&^exceptionBit != s.asked[1] {
		return "", false
	}
	unit := frame[0]
	if frame[1]&exceptionBit != 0 && len(frame) == 3 {
		return fmt.Sprintf("unit %d: %v", unit, exception(frame[2])), true
	}
	want, known := expect(s.asked[0], s.asked[1:])
	if !known || want.fits(frame[0], frame[1:]) != nil {
		return "", false
	}
	switch frame[1] {
	case 1, 2, 3, 4, readWriteRegisters:
		return fmt.Sprintf("unit %d: %s", unit, words(frame[3:])), true
	}
	return fmt.Sprintf("unit %d: done", unit), true
}

// words is data as hexadecimal registers.
func words(data []byte) string {
	var b strings.Builder
	for i, c := range data {
		if i > 0 && i%2 == 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%02x", c)
	}
	return b.String()
}
