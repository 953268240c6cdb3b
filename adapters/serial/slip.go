package serial

// The bytes of SLIP. [RFC 1055]
const (
	slipEnd        = 0xc0
	slipEscape     = 0xdb
	slipEscapedEnd = 0xdc // behind slipEscape: a slipEnd of the message
	slipEscaped    = 0xdd // behind slipEscape: a slipEscape of the message
)

// slipFramer takes messages out of SLIP: each ended by a byte that does not
// occur in it, for it is escaped there. [RFC 1055]
type slipFramer struct {
	max     int
	sum     *checksum
	held    []byte
	escaped bool // the byte before was slipEscape
	skip    bool
}

func newSLIPFramer(max int, sum *checksum) *slipFramer { return &slipFramer{max: max, sum: sum} }

func (f *slipFramer) feed(b []byte, message func([]byte), bad func(damage)) {
	for _, c := range b {
		switch {
		case c == slipEnd:
			if f.escaped && !f.skip {
				bad(broken)
			} else if len(f.held) > 0 {
				checked(f.sum, f.held, message, bad)
			}
			f.reset(false)
			continue
		case f.skip:
			continue
		case f.escaped && c == slipEscapedEnd:
			c = slipEnd
		case f.escaped && c == slipEscaped:
			c = slipEscape
		case f.escaped: // RFC 1055 keeps such a byte; nobody sends it
			f.reset(true)
			bad(broken)
			continue
		case c == slipEscape:
			f.escaped = true
			continue
		}
		f.escaped = false
		if len(f.held) == f.max {
			f.reset(true)
			bad(tooLong)
			continue
		}
		f.held = append(f.held, c)
	}
}

func (f *slipFramer) idle(_ func([]byte), bad func(damage)) {
	if f.pending() {
		bad(broken)
	}
	f.reset(false)
}

func (f *slipFramer) pending() bool { return len(f.held) > 0 || f.skip || f.escaped }

func (f *slipFramer) reset(skip bool) { f.held, f.escaped, f.skip = f.held[:0], false, skip }
