package serial

import "bytes"

// windowFramer finds messages whose own bytes say where they end. After damage
// it looks for the next one from the second byte of what it took for a message
// on, so that of the bytes that came nothing whole is lost.
type windowFramer struct {
	most  int // bytes of a message, with its start and its end
	start []byte
	shape shape
	sum   *checksum

	held  []byte
	tries int  // starts of which the checksum was wrong, with the same end
	lost  bool // the damage has been told; the next message is looked for
	skip  bool // nothing counts up to a silence
}

// shape says where messages end.
type shape interface {
	// length is how long the message at the beginning of b is, its start and end
	// counted; 0: that cannot be told yet; -1: it is none.
	length(b []byte) int

	// around is how many bytes before and after a message are not of it.
	around() (before, after int)

	// moved says that b will begin so many bytes later.
	moved(by int)
}

// maxTries bounds the starts that are tried with one end, where messages have
// one: few bytes of a message look like its start.
const maxTries = 8

func newWindowFramer(most int, start []byte, s shape, sum *checksum) *windowFramer {
	return &windowFramer{most: most, start: start, shape: s, sum: sum}
}

func (f *windowFramer) feed(b []byte, message func([]byte), bad func(damage)) {
	for len(b) > 0 && !f.skip {
		n := min(len(b), f.most-len(f.held))
		f.held = append(f.held, b[:n]...)
		b = b[n:]
		f.scan(message, bad)
	}
}

// scan gives on every message that is held. It leaves less than f.most bytes.
func (f *windowFramer) scan(message func([]byte), bad func(damage)) {
	rest := f.held
	drop := func(n int) {
		rest = rest[n:]
		f.shape.moved(n)
	}
	for {
		drop(f.before(rest))
		if len(rest) < max(1, len(f.start)) {
			break
		}
		n := f.shape.length(rest)
		switch {
		case n < 0:
			f.damaged(broken, bad)
			drop(1)
			continue
		case n > f.most || n == 0 && len(rest) == f.most:
			f.damaged(tooLong, bad)
			drop(1)
			continue
		}
		if n == 0 || n > len(rest) {
			break
		}
		if _, ends := f.shape.(*endShape); !f.take(rest[:n], message, bad) && (!ends || f.tries < maxTries) {
			drop(1)
			continue
		}
		f.tries = 0
		drop(n)
	}
	f.held = f.held[:copy(f.held, rest)]
}

// before is how many bytes of b are before the next start.
func (f *windowFramer) before(b []byte) int {
	if i := bytes.Index(b, f.start); i >= 0 {
		return i
	}
	for n := min(len(b), len(f.start)-1); n > 0; n-- {
		if bytes.HasPrefix(f.start, b[len(b)-n:]) {
			return len(b) - n
		}
	}
	return len(b)
}

// take gives on one message; it is false when its checksum is wrong.
func (f *windowFramer) take(b []byte, message func([]byte), bad func(damage)) bool {
	rest, ok := f.sum.cut(b)
	if !ok {
		f.tries++
		f.damaged(badChecksum, bad)
		return false
	}
	f.lost = false
	before, after := f.shape.around()
	// The checksum stands before the end, or behind it.
	if body := b[before:max(before, min(len(rest), len(b)-after))]; len(body) > 0 {
		message(body)
	}
	return true
}

func (f *windowFramer) damaged(d damage, bad func(damage)) {
	if !f.lost {
		f.lost = true
		bad(d)
	}
}

func (f *windowFramer) idle(message func([]byte), bad func(damage)) {
	f.skip = false
	for len(f.held) > 0 {
		f.damaged(broken, bad)
		f.held = f.held[:copy(f.held, f.held[1:])]
		f.shape.moved(1)
		f.scan(message, bad)
	}
}

func (f *windowFramer) pending() bool { return len(f.held) > 0 || f.skip }

// reset skips nothing where a start or a checksum tells what is a message.
func (f *windowFramer) reset(skip bool) {
	f.shape.moved(len(f.held))
	f.held, f.tries, f.lost = f.held[:0], 0, false
	f.skip = skip && len(f.start) == 0 && f.sum == nil
}
