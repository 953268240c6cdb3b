package serial

import (
	"bytes"
	"fmt"
)

// framer cuts a stream of bytes into messages. What it gives does not depend on
// how the stream was cut into reads, but for silence. It holds a message at
// most.
type framer interface {
	// feed takes what was read. It calls message with each message that has
	// ended, which is only lent, and not with empty ones; and bad for what was
	// dropped: once for a message, and once where it looks for the next one.
	feed(b []byte, message func(b []byte), bad func(damage))

	// idle says that the line has been silent for frame.gap.
	idle(message func(b []byte), bad func(damage))

	// pending says whether a message has begun and not ended.
	pending() bool

	// reset forgets what has come. With skip, what comes up to the next end is
	// dropped: it may be the rest of a message that began unheard.
	reset(skip bool)
}

// damage is why a message was dropped.
type damage uint8

const (
	tooLong     damage = iota // it is longer than frame.max
	badChecksum               // its checksum is wrong
	broken                    // it was cut off, or is not as its framing wants
)

// newFramer makes the framer of a config in which check has found no fault.
func newFramer(cfg Frame) (framer, error) {
	sum, err := newChecksum(cfg.Checksum)
	if err != nil {
		return nil, fmt.Errorf("frame.checksum: %w", err)
	}
	start, err := parseBytes(cfg.Start)
	if err != nil {
		return nil, fmt.Errorf("frame.start: %w", err)
	}
	end, err := parseBytes(cfg.End)
	if err != nil {
		return nil, fmt.Errorf("frame.end: %w", err)
	}
	switch cfg.Kind {
	case "line":
		return newLineFramer(cfg.Max, sum), nil
	case "delimiter":
		return newDelimiterFramer(cfg.Max, end, sum), nil
	case "slip":
		return newSLIPFramer(cfg.Max, sum), nil
	case "idle":
		return newIdleFramer(cfg.Max, sum), nil
	case "fixed":
		return newWindowFramer(cfg.Length, start, fixedShape(cfg.Length), sum), nil
	case "length":
		return newWindowFramer(cfg.Max, start, lengthShape(cfg), sum), nil
	case "stx_etx", "p1":
		most := cfg.Max + len(start) + len(end) + cfg.Trailer
		return newWindowFramer(most, start, &endShape{start: start, end: end, trailer: cfg.Trailer, again: sum == nil}, sum), nil
	}
	return nil, fmt.Errorf("frame.kind %q is not known", cfg.Kind)
}

// parseBytes reads bytes of a config: a text, or "hex:02 aa 55".
func parseBytes(s string) ([]byte, error) {
	var b Bytes
	err := b.UnmarshalTOML(s)
	return b, err
}

// checked gives a message on, or says what is wrong with it.
func checked(sum *checksum, b []byte, message func([]byte), bad func(damage)) {
	if rest, ok := sum.cut(b); !ok {
		bad(badChecksum)
	} else if len(rest) > 0 {
		message(rest)
	}
}

// lineFramer cuts a stream of bytes into lines, each ended by a line feed, a
// carriage return, or both.
type lineFramer struct {
	max     int
	sum     *checksum
	line    []byte // of the line that has not ended yet
	skip    bool   // the rest of this line is dropped
	afterCR bool   // a line feed that comes now belongs to the end before it
}

func newLineFramer(max int, sum *checksum) *lineFramer {
	return &lineFramer{max: max, sum: sum, line: make([]byte, 0, min(max, defaultMaxFrame))}
}

func (f *lineFramer) feed(b []byte, message func([]byte), bad func(damage)) {
	for len(b) > 0 {
		if f.afterCR {
			f.afterCR = false
			if b[0] == '\n' {
				b = b[1:]
				continue
			}
		}
		end := lineEnd(b)
		if f.add(b[:end]) {
			bad(tooLong)
		}
		if end == len(b) {
			return
		}
		f.afterCR = b[end] == '\r'
		if len(f.line) > 0 {
			checked(f.sum, f.line, message, bad)
		}
		f.line, f.skip = f.line[:0], false
		b = b[end+1:]
	}
}

// add is true when the line becomes longer than it may.
func (f *lineFramer) add(b []byte) (tooLong bool) {
	if f.skip {
		return false
	}
	if len(f.line)+len(b) > f.max {
		f.line, f.skip = f.line[:0], true
		return true
	}
	f.line = append(f.line, b...)
	return false
}

func (f *lineFramer) idle(_ func([]byte), bad func(damage)) {
	if f.pending() {
		f.line = f.line[:0]
		bad(broken)
	}
	f.skip = false
}

func (f *lineFramer) pending() bool { return len(f.line) > 0 || f.skip }

func (f *lineFramer) reset(skip bool) {
	f.line, f.skip, f.afterCR = f.line[:0], skip, false
}

// lineEnd gives where the first line feed or carriage return in b is, or len(b).
func lineEnd(b []byte) int {
	for i, c := range b {
		if c == '\n' || c == '\r' {
			return i
		}
	}
	return len(b)
}

// delimiterFramer cuts a stream of bytes at each place where end stands.
type delimiterFramer struct {
	max     int
	end     []byte
	sum     *checksum
	message []byte // that has not ended yet, with what has come of its end
	skip    bool   // the message is dropped; of it only what may be of its end is kept
}

func newDelimiterFramer(max int, end []byte, sum *checksum) *delimiterFramer {
	return &delimiterFramer{max: max, end: end, sum: sum}
}

func (f *delimiterFramer) feed(b []byte, message func([]byte), bad func(damage)) {
	for _, c := range b {
		f.message = append(f.message, c)
		if !bytes.HasSuffix(f.message, f.end) {
			f.tooLong(bad)
			continue
		}
		if m := f.message[:len(f.message)-len(f.end)]; !f.skip && len(m) > 0 {
			checked(f.sum, m, message, bad)
		}
		f.message, f.skip = f.message[:0], false
	}
}

// tooLong drops what is longer than a message and its end.
func (f *delimiterFramer) tooLong(bad func(damage)) {
	if !f.skip && len(f.message) < f.max+len(f.end) {
		return
	}
	if keep := len(f.end) - 1; len(f.message) > keep {
		f.message = f.message[:copy(f.message, f.message[len(f.message)-keep:])]
	}
	if !f.skip {
		f.skip = true
		bad(tooLong)
	}
}

func (f *delimiterFramer) idle(_ func([]byte), bad func(damage)) {
	if f.pending() {
		bad(broken)
	}
	f.reset(false)
}

func (f *delimiterFramer) pending() bool { return len(f.message) > 0 || f.skip }

func (f *delimiterFramer) reset(skip bool) { f.message, f.skip = f.message[:0], skip }

// idleFramer takes for a message what comes between two silences.
type idleFramer struct {
	max  int
	sum  *checksum
	held []byte
	skip bool
}

func newIdleFramer(max int, sum *checksum) *idleFramer { return &idleFramer{max: max, sum: sum} }

func (f *idleFramer) feed(b []byte, _ func([]byte), bad func(damage)) {
	switch {
	case f.skip:
	case len(f.held)+len(b) > f.max:
		f.reset(true)
		bad(tooLong)
	default:
		f.held = append(f.held, b...)
	}
}

func (f *idleFramer) idle(message func([]byte), bad func(damage)) {
	if len(f.held) > 0 {
		checked(f.sum, f.held, message, bad)
	}
	f.reset(false)
}

func (f *idleFramer) pending() bool { return len(f.held) > 0 || f.skip }

func (f *idleFramer) reset(skip bool) { f.held, f.skip = f.held[:0], skip }
