package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"headgate/broker/packet"
)

// format is the -F of sub, taken apart. [mosquitto_sub(1), OUTPUT FORMAT]
type format []piece

// piece is one part of a format: a fixed text, a letter after %, or one after @.
type piece struct {
	text   string
	letter byte // 0: the text
	isTime bool // after @

	left, zero bool // flags - and 0
	width      int
	precision  int // -1: none
}

// maxWidth is the widest a field can be asked for.
const maxWidth = 10000

// parseFormat reads a format.
func parseFormat(s string) (format, error) {
	f := format{}
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			f = append(f, piece{text: text.String()})
			text.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '%':
			p, n, err := parseField(s[i+1:])
			if err != nil {
				return nil, err
			}
			i += n
			if p.letter == '%' {
				text.WriteByte('%')
				continue
			}
			flush()
			f = append(f, p)
		case '@':
			if i++; i == len(s) {
				return nil, errors.New("the format ends with @: write @@ for one")
			}
			flush()
			f = append(f, piece{letter: s[i], isTime: true})
		case '\\':
			if i++; i == len(s) {
				return nil, errors.New(`the format ends with \: write \\ for one`)
			}
			at := strings.IndexByte(`\0aenrtv`, s[i])
			if at < 0 {
				return nil, fmt.Errorf(`the format has \%c: there are \\ \0 \a \e \n \r \t \v`, s[i])
			}
			text.WriteByte("\\\x00\a\x1b\n\r\t\v"[at])
		default:
			text.WriteByte(s[i])
		}
	}
	flush()
	return f, nil
}

// parseField reads what follows a %, of n bytes.
func parseField(s string) (p piece, n int, err error) {
	p.precision = -1
	for n < len(s) && (s[n] == '0' && !p.zero || s[n] == '-' && !p.left) {
		p.zero = p.zero || s[n] == '0'
		p.left = p.left || s[n] == '-'
		n++
	}
	number := func() (v int) {
		for ; n < len(s) && s[n] >= '0' && s[n] <= '9' && v <= maxWidth; n++ {
			v = 10*v + int(s[n]-'0')
		}
		return v
	}
	p.width = number()
	if n < len(s) && s[n] == '.' {
		n++
		p.precision = number()
	}
	switch {
	case p.width > maxWidth || p.precision > maxWidth:
		return p, n, fmt.Errorf("the format has a field of more than %d characters", maxWidth)
	case n == len(s):
		return p, n, errors.New("the format ends within a %: write %% for one")
	case !strings.Contains("%ACDEFIJPRSUXjlmpqrtx", s[n:n+1]):
		return p, n, fmt.Errorf("the format has %%%c: there are %%%% %%A %%C %%D %%E %%F %%I %%J %%P %%R %%S %%U %%X %%j %%l %%m %%p %%q %%r %%t %%x", s[n])
	}
	p.letter = s[n]
	return p, n + 1, nil
}

// append appends a message in the format, at the time now. It fails for %J when
// the payload is no JSON.
func (f format) append(dst []byte, m *packet.Publish, now time.Time, pretty bool) ([]byte, error) {
	for _, p := range f {
		var err error
		switch {
		case p.letter == 0:
			dst = append(dst, p.text...)
		case p.isTime:
			dst = appendTime(dst, p.letter, now)
		case p.letter == 'j' || p.letter == 'J':
			dst, err = appendJSON(dst, m, now, p.letter == 'J', pretty)
		default:
			dst = p.appendValue(dst, m, now)
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// appendValue appends one field. Which fields heed width, precision and zero the
// man page says; %x and %p here are padded and never cut, as it says, too.
func (p piece) appendValue(dst []byte, m *packet.Publish, now time.Time) []byte {
	props := &m.Properties
	switch p.letter {
	case 't':
		return p.pad(dst, string(m.Topic), true, false)
	case 'p':
		return p.pad(dst, string(m.Payload), false, true)
	case 'x':
		return p.pad(dst, hex.EncodeToString(m.Payload), false, true)
	case 'X':
		return p.pad(dst, strings.ToUpper(hex.EncodeToString(m.Payload)), false, true)
	case 'l':
		return p.pad(dst, strconv.Itoa(len(m.Payload)), false, true)
	case 'm':
		return p.pad(dst, strconv.Itoa(int(m.PacketID)), false, true)
	case 'q':
		return strconv.AppendInt(dst, int64(m.QoS), 10)
	case 'r':
		if m.Retain {
			return append(dst, '1')
		}
		return append(dst, '0')
	case 'I':
		return p.pad(dst, now.Format(isoTime), true, false)
	case 'U':
		return fmt.Appendf(dst, "%d.%09d", now.Unix(), now.Nanosecond())
	case 'A':
		return p.pad(dst, optional(props, packet.PropTopicAlias, props.TopicAlias), false, true)
	case 'E':
		return p.pad(dst, optional(props, packet.PropMessageExpiry, props.MessageExpiry), false, true)
	case 'F':
		return p.pad(dst, optional(props, packet.PropPayloadFormat, props.PayloadFormat), false, true)
	case 'S':
		return p.pad(dst, subscriptionIDs(props), false, true)
	case 'C':
		return p.pad(dst, string(props.ContentType), true, false)
	case 'R':
		return p.pad(dst, string(props.ResponseTopic), true, false)
	case 'D':
		return append(dst, props.CorrelationData...)
	case 'P':
		for i, u := range props.User {
			if i > 0 {
				dst = append(dst, ' ')
			}
			dst = append(append(append(dst, u.Key...), ':'), u.Value...)
		}
	}
	return dst
}

// isoTime is %I.
const isoTime = "2006-01-02T15:04:05-0700"

func optional[T byte | uint16 | uint32](p *packet.Properties, id packet.PropertyID, v T) string {
	if !p.Has(id) {
		return ""
	}
	return strconv.FormatUint(uint64(v), 10)
}

func subscriptionIDs(p *packet.Properties) string {
	words := make([]string, len(p.SubscriptionIDs))
	for i, id := range p.SubscriptionIDs {
		words[i] = strconv.FormatUint(uint64(id), 10)
	}
	return strings.Join(words, " ")
}

// pad appends s in its field, in bytes, as C's printf counts.
func (p piece) pad(dst []byte, s string, cut, zeros bool) []byte {
	if cut && p.precision >= 0 && len(s) > p.precision {
		s = s[:p.precision]
	}
	n := max(0, p.width-len(s))
	switch {
	case p.left:
		return append(append(dst, s...), strings.Repeat(" ", n)...)
	case p.zero && zeros:
		return append(append(dst, strings.Repeat("0", n)...), s...)
	}
	return append(append(dst, strings.Repeat(" ", n)...), s...)
}
