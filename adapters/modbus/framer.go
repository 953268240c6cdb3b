package modbus

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/goburrow/modbus"
)

// framer knows how frames stand on a link: it says what an answer to a request
// looks like, and finds it in what comes. It does no I/O.
type framer interface {
	// ask takes the ADU of the request that is sent next, which it may change,
	// and says how many characters its answer may take.
	ask(request []byte) (answer int, err error)

	// feed takes what has come since, and gives the answer's ADU once it is
	// whole. The error is a *wrongAnswer, or, of any other type, that what
	// comes will never make sense.
	feed(b []byte) (answer []byte, err error)

	// broken says whether an answer has come whose checksum is wrong.
	broken() bool

	// last is asked when nothing else will come in time.
	last() (answer []byte)

	// skip takes what has come while nothing was asked.
	skip(b []byte)

	// lateAnswers says whether an answer that comes after its time could be
	// taken for that to a later request.
	lateAnswers() bool
}

func newFramer(l link) framer {
	switch l.framing {
	case rtu:
		return &rtuFramer{}
	case ascii:
		return &asciiFramer{}
	}
	return &mbapFramer{datagrams: l.carrier == viaUDP}
}

// newPackager gives the library's packager for one unit. These handlers open
// nothing until they are asked to send, which they are not.
func newPackager(f framing, unit byte) modbus.Packager {
	switch f {
	case rtu:
		h := modbus.NewRTUClientHandler("")
		h.SlaveId = unit
		return h
	case ascii:
		h := modbus.NewASCIIClientHandler("")
		h.SlaveId = unit
		return h
	}
	h := modbus.NewTCPClientHandler("")
	h.SlaveId = unit
	return h
}

// errNotSent is for a request whose answer nobody could tell from another.
func errNotSent() error { return &wrongAnswer{"this version does not send that function"} }

// rtuFramer finds binary frames by their own length and checksum, for the time
// between bytes says nothing behind a USB adapter or a network.
type rtuFramer struct{ reader frameReader }

func (f *rtuFramer) ask(request []byte) (int, error) {
	want, ok := expect(request[0], request[1:len(request)-2])
	if !ok {
		return 0, errNotSent()
	}
	f.reader = frameReader{want: want, buf: f.reader.buf[:0]}
	return want.length, nil
}

func (f *rtuFramer) feed(b []byte) ([]byte, error) { return f.reader.feed(b), nil }
func (f *rtuFramer) broken() bool                  { return f.reader.broken }
func (f *rtuFramer) last() []byte                  { return f.reader.last() }
func (f *rtuFramer) skip([]byte)                   {}

// lateAnswers: nothing in an answer says which request it is to.
func (f *rtuFramer) lateAnswers() bool { return true }

// maxASCIIFrame is the longest ASCII frame. [MB-RTU 2.5.2.1]
const maxASCIIFrame = 513

// asciiFramer finds frames between a colon and the end of a line. [MB-RTU 2.5.2]
type asciiFramer struct {
	want expected
	line []byte // from the colon on; empty while none has come
	bad  bool   // one that began like the answer was none
}

func (f *asciiFramer) ask(request []byte) (int, error) {
	frame := asciiBytes(request)
	if frame == nil {
		return 0, errNotSent()
	}
	want, ok := expect(frame[0], frame[1:])
	if !ok {
		return 0, errNotSent()
	}
	f.want, f.line, f.bad = want, f.line[:0], false
	// A colon, two digits a byte with the LRC in place of the CRC, CR and LF.
	return 1 + 2*(want.length-1) + 2, nil
}

func (f *asciiFramer) feed(b []byte) ([]byte, error) {
	for _, c := range b {
		switch {
		case c == ':':
			f.line = append(f.line[:0], c)
			continue
		case len(f.line) == 0 || len(f.line) == maxASCIIFrame:
			f.line = f.line[:0]
			continue
		}
		if f.line = append(f.line, c); c != '\n' {
			continue
		}
		frame := asciiBytes(f.line)
		if frame != nil && f.want.fits(frame[0], frame[1:]) == nil {
			return f.line, nil
		}
		begin := fmt.Sprintf(":%02X%02X", f.want.unit, f.want.function)
		f.bad = f.bad || frame == nil && bytes.HasPrefix(f.line, []byte(begin))
		f.line = f.line[:0]
	}
	return nil, nil
}

func (f *asciiFramer) broken() bool      { return f.bad }
func (f *asciiFramer) last() []byte      { return nil }
func (f *asciiFramer) skip([]byte)       {}
func (f *asciiFramer) lateAnswers() bool { return true }

// asciiBytes gives unit id and PDU of a line that is a frame; nil if it is none.
func asciiBytes(line []byte) []byte {
	digits, end := bytes.CutSuffix(line, []byte("\r\n"))
	digits, begin := bytes.CutPrefix(digits, []byte(":"))
	if !end || !begin {
		return nil
	}
	frame := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(frame, digits); err != nil || len(frame) < 3 {
		return nil
	}
	// The LRC makes the sum of all bytes 0. [MB-RTU 2.5.2.2]
	var sum byte
	for _, b := range frame {
		sum += b
	}
	if sum != 0 {
		return nil
	}
	return frame[:len(frame)-1]
}

const (
	mbapSize  = 7   // transaction and protocol identifier, length, unit id [MB-TCP 3.1.3]
	maxLength = 254 // of unit id and PDU
)

// mbapFramer tells answers apart by their transaction identifier.
type mbapFramer struct {
	datagrams bool // each chunk is one frame: what does not make sense is only that one

	id   uint16 // the last transaction identifier of the link
	want expected
	ok   bool
	buf  []byte // what came and was not taken yet
}

func (f *mbapFramer) ask(request []byte) (int, error) {
	if f.want, f.ok = expect(request[6], request[mbapSize:]); !f.ok {
		return 0, errNotSent()
	}
	// Each unit has a packager of its own that counts for itself: the identifier
	// must be unique on the link. The packager compares with these bytes.
	f.id++
	binary.BigEndian.PutUint16(request, f.id)
	return 0, nil
}

func (f *mbapFramer) feed(b []byte) ([]byte, error) {
	if f.datagrams {
		f.buf = f.buf[:0]
	}
	f.buf = append(f.buf, b...)
	for {
		frame, err := f.cut()
		switch {
		case err != nil && f.datagrams:
			return nil, nil
		case frame == nil || err != nil:
			return nil, err
		case binary.BigEndian.Uint16(frame) == f.id && f.ok:
			return frame, f.want.fits(frame[6], frame[mbapSize:])
		}
		// The answer to a request that was given up.
	}
}

// cut takes the next whole frame.
func (f *mbapFramer) cut() ([]byte, error) {
	if len(f.buf) < mbapSize {
		return nil, nil
	}
	length := int(binary.BigEndian.Uint16(f.buf[4:]))
	if binary.BigEndian.Uint16(f.buf[2:]) != 0 || length < 2 || length > maxLength {
		return nil, fmt.Errorf("what came is not Modbus TCP: % x", f.buf[:mbapSize])
	}
	whole := 6 + length
	if len(f.buf) < whole {
		return nil, nil
	}
	frame := bytes.Clone(f.buf[:whole])
	f.buf = append(f.buf[:0], f.buf[whole:]...)
	return frame, nil
}

func (f *mbapFramer) broken() bool { return false }
func (f *mbapFramer) last() []byte { return nil }

// skip keeps count of where frames begin. What makes no sense is found out when
// something is asked.
func (f *mbapFramer) skip(b []byte) {
	f.ok = false
	f.feed(b)
}

// lateAnswers: their transaction identifiers tell them apart.
func (f *mbapFramer) lateAnswers() bool { return false }
