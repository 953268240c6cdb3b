package wire

import "encoding/binary"

// PayloadMin is the least payload a Template makes: publisher, sequence, time.
const PayloadMin = 16

// Template is a pre-encoded PUBLISH whose packet id and payload head are
// patched for each message.
type Template struct {
	b           []byte
	pid, payOff int
}

// NewTemplate makes a PUBLISH of the given quality, topic and payload size.
func NewTemplate(ver, qos byte, topic string, payload int) *Template {
	if payload < PayloadMin {
		payload = PayloadMin
	}
	body := appendString(nil, topic)
	t := &Template{pid: -1}
	if qos > 0 {
		t.pid = len(body)
		body = append(body, 0, 0)
	}
	if ver == 5 {
		body = append(body, 0)
	}
	t.payOff = len(body)
	for i := 0; i < payload; i++ {
		body = append(body, 'a'+byte(i%26))
	}
	t.b = appendVarint([]byte{PUBLISH<<4 | qos<<1}, len(body))
	hl := len(t.b)
	t.b = append(t.b, body...)
	t.payOff += hl
	if t.pid >= 0 {
		t.pid += hl
	}
	return t
}

// Len is the size of the encoded packet.
func (t *Template) Len() int { return len(t.b) }

// Append appends one message.
func (t *Template) Append(dst []byte, pid uint16, pub, seq uint32, ts int64) []byte {
	n := len(dst)
	dst = append(dst, t.b...)
	p := dst[n:]
	if t.pid >= 0 {
		binary.BigEndian.PutUint16(p[t.pid:], pid)
	}
	p = p[t.payOff : t.payOff+PayloadMin]
	binary.BigEndian.PutUint32(p, pub)
	binary.BigEndian.PutUint32(p[4:], seq)
	binary.BigEndian.PutUint64(p[8:], uint64(ts))
	return dst
}

// Head reads back what Append put at the payload's start.
func Head(payload []byte) (pub, seq uint32, ts int64, ok bool) {
	if len(payload) < PayloadMin {
		return 0, 0, 0, false
	}
	return binary.BigEndian.Uint32(payload), binary.BigEndian.Uint32(payload[4:]),
		int64(binary.BigEndian.Uint64(payload[8:])), true
}
