package modbus

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const (
	maxRTUFrame    = 256 // [MB-RTU 2.5.1]
	exceptionFrame = 5   // unit id, function code | 0x80, exception code, CRC
	writeFrame     = 8   // unit id, function code, address, value or quantity, CRC
	maskWriteFrame = 10  // unit id, function code, address, two masks, CRC
	exceptionBit   = 0x80
)

// expected is the answer that a request wants.
type expected struct {
	unit     byte
	function byte
	length   int    // of the whole RTU frame
	head     []byte // what follows the function code: a byte count, or the echo of a write
}

// expect reads from a request's PDU which answer it wants; ok is false for a
// function that this package does not send. [MB-APP 6]
func expect(unit byte, pdu []byte) (e expected, ok bool) {
	if len(pdu) < 5 {
		return e, false
	}
	e = expected{unit: unit, function: pdu[0]}
	count := int(binary.BigEndian.Uint16(pdu[3:]))
	switch e.function {
	case 1, 2:
		e.head = []byte{byte((count + 7) / 8)}
	case 3, 4, 23:
		e.head = []byte{byte(2 * count)}
	case 22:
		if len(pdu) < 7 {
			return e, false
		}
		e.head, e.length = pdu[1:7], maskWriteFrame
		return e, true
	case 5, 6, 15, 16:
		e.head, e.length = pdu[1:5], writeFrame
		return e, true
	default:
		return e, false
	}
	e.length = 5 + int(e.head[0])
	return e, true
}

// fits says what keeps an answer from being the one.
func (e expected) fits(unit byte, pdu []byte) error {
	switch {
	case unit != e.unit:
		return &wrongAnswer{fmt.Sprintf("the answer is from unit %d", unit)}
	case pdu[0] == e.function|exceptionBit && len(pdu) == 2:
		return nil
	case pdu[0] != e.function:
		return &wrongAnswer{fmt.Sprintf("the answer is to function %d, not %d", pdu[0], e.function)}
	case len(e.head) == 1 && len(pdu) >= 2 && len(pdu) == 2+int(pdu[1]) && pdu[1] != e.head[0]:
		return &wrongAnswer{fmt.Sprintf("the answer has %d bytes of data, not %d", pdu[1], e.head[0])}
	case !bytes.HasPrefix(pdu[1:], e.head), 3+len(pdu) != e.length:
		return &wrongAnswer{fmt.Sprintf("the answer is not to what was asked: % x", pdu[:min(len(pdu), 5)])}
	}
	return nil
}

// frameReader finds the answer in what a serial line gives: it slides over
// noise and over the frames of other units until unit id, function code, head
// and CRC are right together. The bytes may come in pieces of any size, and the
// time between them says nothing, for behind a USB adapter it means nothing. It
// holds no more than one frame.
type frameReader struct {
	want expected
	buf  []byte // what may still be the answer or its beginning

	// broken says that there was an answer but for its checksum. The right one may
	// still come, for what looked like one may have been something else.
	broken bool
	seen   int // bytes fed
}

// feed takes what was read, and gives the answer when it is whole. The frame
// belongs to the reader.
func (r *frameReader) feed(b []byte) []byte {
	r.seen += len(b)
	r.buf = append(r.buf, b...)
	for len(r.buf) > 0 {
		frame, more := r.at(r.buf)
		if frame != nil {
			return frame
		}
		if more {
			return nil
		}
		r.buf = r.buf[1:]
	}
	return nil
}

// last looks once more when nothing else will come: then what looked like the
// beginning of a longer answer was none, and the answer may stand behind it.
func (r *frameReader) last() []byte {
	for ; len(r.buf) > 0; r.buf = r.buf[1:] {
		if frame, _ := r.at(r.buf); frame != nil {
			return frame
		}
	}
	return nil
}

// at gives the answer that b begins with; more is true while b may be the
// beginning of one.
func (r *frameReader) at(b []byte) (frame []byte, more bool) {
	if b[0] != r.want.unit {
		return nil, false
	}
	if len(b) < 2 {
		return nil, true
	}
	length := r.want.length
	switch b[1] {
	case r.want.function:
		for i, c := range r.want.head {
			if 2+i >= len(b) {
				return nil, true
			}
			if b[2+i] != c {
				return nil, false
			}
		}
	case r.want.function | exceptionBit:
		length = exceptionFrame
	default:
		return nil, false
	}
	if len(b) < length {
		return nil, true
	}
	if binary.LittleEndian.Uint16(b[length-2:]) != crc(b[:length-2]) {
		r.broken = true
		return nil, false
	}
	return b[:length], false
}

// crc is the checksum of an RTU frame, whose low byte is sent first.
// [MB-RTU 2.5.1.2]
func crc(b []byte) uint16 {
	sum := uint16(0xffff)
	for _, c := range b {
		sum ^= uint16(c)
		for range 8 {
			if sum&1 != 0 {
				sum = sum>>1 ^ 0xa001
			} else {
				sum >>= 1
			}
		}
	}
	return sum
}
