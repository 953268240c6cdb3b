package serial

// lineFramer cuts a stream of bytes into lines, each ended by a line feed, a
// carriage return, or both. What it gives does not depend on how the stream
// was cut into reads. It holds max bytes at most.
type lineFramer struct {
	max     int
	line    []byte // of the line that has not ended yet
	skip    bool   // the rest of this line is dropped
	afterCR bool   // a line feed that comes now belongs to the end before it
}

func newLineFramer(max int) *lineFramer {
	return &lineFramer{max: max, line: make([]byte, 0, min(max, defaultMaxFrame))}
}

// feed takes what was read. It calls frame with each line that has ended,
// which is only lent, and not with empty ones; and tooLong once for each line
// that is longer than max, as soon as it is.
func (f *lineFramer) feed(b []byte, frame func(line []byte), tooLong func()) {
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
			tooLong()
		}
		if end == len(b) {
			return
		}
		f.afterCR = b[end] == '\r'
		if len(f.line) > 0 {
			frame(f.line)
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

// reset forgets what has come. With skip, what comes up to the next end is
// dropped: it may be the rest of a line that began unheard.
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
