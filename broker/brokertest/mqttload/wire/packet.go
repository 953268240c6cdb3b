package wire

import "encoding/binary"

// Packet types (the high four bits of the first byte).
const (
	CONNECT     = 1
	CONNACK     = 2
	PUBLISH     = 3
	PUBACK      = 4
	PUBREC      = 5
	PUBREL      = 6
	PUBCOMP     = 7
	SUBSCRIBE   = 8
	SUBACK      = 9
	UNSUBSCRIBE = 10
	UNSUBACK    = 11
	PINGREQ     = 12
	PINGRESP    = 13
	DISCONNECT  = 14
)

// AppendConnect appends a CONNECT packet.
func AppendConnect(dst []byte, o Options) []byte {
	b := appendString(nil, "MQTT")
	b = append(b, o.Ver)
	flags := byte(0)
	if o.Clean {
		flags = 2
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint16(b, o.KeepAlive)
	if o.Ver == 5 {
		if o.Clean {
			b = append(b, 0)
		} else {
			b = append(b, 5, 0x11, 0xff, 0xff, 0xff, 0xff)
		}
	}
	b = appendString(b, o.ClientID)
	dst = append(dst, CONNECT<<4)
	dst = appendVarint(dst, len(b))
	return append(dst, b...)
}

// ParseConnect reads the protocol level, the clean flag and the client id of a
// CONNECT body; the level's high bit, which some bridges set, is taken off.
func ParseConnect(b []byte) (o Options, ok bool) {
	if len(b) < 10 {
		return o, false
	}
	o.Ver, o.Clean = 4, b[7]&2 != 0
	b, v5 := b[10:], b[6]&0x7f == 5
	if v5 {
		o.Ver = 5
		n, l := varint(b)
		if l == 0 || len(b) < l+n {
			return o, false
		}
		b = b[l+n:]
	}
	if len(b) < 2 {
		return o, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return o, false
	}
	o.ClientID = string(b[2 : 2+n])
	return o, true
}

// AppendAck appends a two-byte-body acknowledgement (PUBACK, PUBREC, …).
func AppendAck(dst []byte, typ byte, pid uint16) []byte {
	f := typ << 4
	if typ == PUBREL {
		f |= 2
	}
	return append(dst, f, 2, byte(pid>>8), byte(pid))
}

// PID reads the packet identifier that starts an acknowledgement's body.
func PID(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// Msg is what a subscriber sees of a PUBLISH made from a Template.
type Msg struct {
	QoS     byte
	Dup     bool
	PID     uint16
	Payload []byte
	Topic   []byte
}

// ParsePublish splits a PUBLISH body.
func ParsePublish(h byte, b []byte, ver byte, m *Msg) bool {
	if len(b) < 2 {
		return false
	}
	m.QoS, m.Dup, m.PID = h>>1&3, h&8 != 0, 0
	o := 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < o {
		return false
	}
	m.Topic = b[2:o]
	if m.QoS > 0 {
		if len(b) < o+2 {
			return false
		}
		m.PID = binary.BigEndian.Uint16(b[o:])
		o += 2
	}
	if ver == 5 {
		if o >= len(b) {
			return false
		}
		n, l := varint(b[o:])
		if l == 0 || len(b) < o+l+n {
			return false
		}
		o += l + n
	}
	m.Payload = b[o:]
	return true
}

func appendString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

func appendVarint(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func varint(b []byte) (n, size int) {
	for i := 0; i < 4 && i < len(b); i++ {
		n |= int(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return n, i + 1
		}
	}
	return 0, 0
}
