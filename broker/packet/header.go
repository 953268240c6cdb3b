// Package packet is the wire codec of MQTT 3.1, 3.1.1 and 5.0: it turns bytes
// into packets and packets into bytes. It does no I/O and keeps no state; what
// depends on a session (is this packet identifier known, is this alias allowed)
// is its callers' to judge: the broker, which mostly decodes what clients send,
// and the bridge, which is a client.
//
// Decode checks all that a packet alone can be blamed for, and says so in an
// *Error with reason code and clause. Decoded byte slices alias the input; what
// a failed Decode leaves behind means nothing. Append checks nothing: fields of
// at most 65,535 bytes and packets of at most MaxRemaining are the caller's duty.
package packet

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// Version is the protocol version, the byte that a CONNECT carries.
type Version byte

const (
	V31  Version = 3 // MQIsdp
	V311 Version = 4
	V5   Version = 5
)

// String gives "3.1", "3.1.1" or "5.0".
func (v Version) String() string {
	switch v {
	case V31:
		return "3.1"
	case V311:
		return "3.1.1"
	case V5:
		return "5.0"
	}
	return "version " + strconv.Itoa(int(v))
}

// Type is the control packet type. [MQTT 2.1.2]
type Type byte

const (
	CONNECT Type = iota + 1
	CONNACK
	PUBLISH
	PUBACK
	PUBREC
	PUBREL
	PUBCOMP
	SUBSCRIBE
	SUBACK
	UNSUBSCRIBE
	UNSUBACK
	PINGREQ
	PINGRESP
	DISCONNECT
	AUTH
)

var typeNames = [...]string{"reserved type 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL",
	"PUBCOMP", "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"}

// String gives the name that the specification uses.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	if t == willProperties {
		return "will"
	}
	return "packet type " + strconv.Itoa(int(t))
}

// Header is a fixed header. [MQTT 2.1.1]
type Header struct {
	Type      Type
	Flags     byte // the low four bits of the first byte
	Remaining int  // bytes that follow the header
	Size      int  // bytes of the header itself, 2 to 5
}

// MaxRemaining is the largest Remaining Length. [MQTT 1.5.5]
const MaxRemaining = 268_435_455

// ErrIncomplete says that more bytes are needed.
var ErrIncomplete = errors.New("packet incomplete")

// ParseHeader reads the fixed header at the start of b. It gives ErrIncomplete
// when b does not hold all of it, and an *Error when it cannot be one.
func ParseHeader(b []byte) (Header, error) { return ParseHeaderOf(V5, b) }

// ParseHeaderOf is ParseHeader for a connection whose version is known. What
// differs is 3.1, where PUBREL, SUBSCRIBE and UNSUBSCRIBE have DUP set when they
// are sent again. [MQTT 3.1, 2.1]
func ParseHeaderOf(v Version, b []byte) (Header, error) {
	if len(b) < 1 {
		return Header{}, ErrIncomplete
	}
	h := Header{Type: Type(b[0] >> 4), Flags: b[0] & 0x0f}
	if h.Type == 0 {
		return h, malformed(v.clause("MQTT 2.1.2", "MQTT3 2.2.1"), h.Type, "not a packet type")
	}
	if want := fixedFlags(h.Type); h.Type != PUBLISH && h.Flags != want &&
		!(v == V31 && want != 0 && h.Flags == want|flagDup) {
		return h, malformed(v.clause("MQTT-2.1.3-1", "MQTT3-2.2.2-2"), h.Type, "fixed header flags are "+binary4(h.Flags)+", not "+binary4(want))
	}
	if len(b) < 2 {
		return h, ErrIncomplete
	}
	remaining, n := uvarint(b[1:])
	switch {
	case n == 0:
		return h, ErrIncomplete
	case n < 0:
		return h, malformed(v.clause("MQTT-1.5.5-1", "MQTT3 2.2.3"), h.Type, "remaining length is malformed")
	}
	h.Remaining, h.Size = int(remaining), 1+n
	return h, nil
}

const flagDup = 0b1000

// fixedFlags gives the flags of the packets in which they are fixed.
func fixedFlags(t Type) byte {
	switch t {
	case PUBREL, SUBSCRIBE, UNSUBSCRIBE:
		return 0b0010
	}
	return 0
}

func binary4(b byte) string {
	s := strconv.FormatUint(uint64(b), 2)
	return "0000"[:4-len(s)] + s
}

// uvarint reads a Variable Byte Integer: n is its length, 0 when b ends within
// it, -1 when it is longer than 4 bytes or than it need be. [MQTT-1.5.5-1]
func uvarint(b []byte) (v uint32, n int) {
	for i := 0; i < 4; i++ {
		if i == len(b) {
			return 0, 0
		}
		v |= uint32(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			if i > 0 && b[i] == 0 {
				return 0, -1
			}
			return v, i + 1
		}
	}
	return 0, -1
}

func uvarintLen(v int) int {
	switch {
	case v < 1<<7:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<21:
		return 3
	}
	return 4
}

// appendHeader appends a fixed header. A Variable Byte Integer is an unsigned
// LEB128, as binary's is.
func appendHeader(dst []byte, t Type, flags byte, remaining int) []byte {
	return binary.AppendUvarint(append(dst, byte(t)<<4|flags), uint64(remaining))
}

// appendFramed appends a packet whose body is short: body appends it, and the
// length is put before it.
func appendFramed(dst []byte, t Type, body func([]byte) []byte) []byte {
	start := len(dst)
	dst = append(dst, byte(t)<<4|fixedFlags(t), 0)
	dst = body(dst)
	n := len(dst) - start - 2
	if n < 0x80 {
		dst[start+1] = byte(n)
		return dst
	}
	extra := uvarintLen(n) - 1
	dst = append(dst, make([]byte, extra)...)
	copy(dst[start+2+extra:], dst[start+2:start+2+n])
	binary.PutUvarint(dst[start+1:], uint64(n))
	return dst
}

// AppendPingreq appends a PINGREQ.
func AppendPingreq(dst []byte) []byte { return append(dst, byte(PINGREQ)<<4, 0) }

// AppendPingresp appends a PINGRESP.
func AppendPingresp(dst []byte) []byte { return append(dst, byte(PINGRESP)<<4, 0) }

// DecodeEmpty checks the body of a PINGREQ or PINGRESP, which is empty.
func DecodeEmpty(t Type, body []byte) error {
	if len(body) != 0 {
		clause := "MQTT 3.12"
		if t == PINGRESP {
			clause = "MQTT 3.13"
		}
		return malformed(clause, t, "has a body")
	}
	return nil
}
