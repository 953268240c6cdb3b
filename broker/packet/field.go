package packet

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// field cuts what has a two-byte length before it: a UTF-8 Encoded String or
// Binary Data. n is 0 when b does not hold all of it. [MQTT 1.5.4] [MQTT 1.5.6]
func field(b []byte) (v []byte, n int) {
	if len(b) < 2 {
		return nil, 0
	}
	size := int(binary.BigEndian.Uint16(b))
	if size > len(b)-2 {
		return nil, 0
	}
	return b[2 : 2+size : 2+size], 2 + size
}

// appendField appends v with its length. That v is not longer than 65,535 bytes
// is the caller's to see to. [MQTT-4.7.3-3]
func appendField(dst, v []byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(v))), v...)
}

// validString says whether b is a UTF-8 Encoded String: well-formed, without
// surrogates, without U+0000. [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT3-1.5.3-1] [MQTT3-1.5.3-2]
func validString(b []byte) bool {
	for _, c := range b {
		if c == 0 || c >= utf8.RuneSelf {
			return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0
		}
	}
	return true
}

// stringFault is the error for what validString refused.
func stringFault(v Version, t Type, what string, b []byte) *Error {
	if utf8.Valid(b) {
		return malformed(v.clause("MQTT-1.5.4-2", "MQTT3-1.5.3-2"), t, what+" has U+0000 in it")
	}
	return malformed(v.clause("MQTT-1.5.4-1", "MQTT3-1.5.3-1"), t, what+" is not UTF-8")
}

// hasWildcard says whether a topic name has a wildcard in it. [MQTT-3.3.2-2]
func hasWildcard(b []byte) bool {
	return bytes.IndexByte(b, '+') >= 0 || bytes.IndexByte(b, '#') >= 0
}

// body reads a packet's body from front to end.
type body struct {
	t Type
	v Version // of the connection
	b []byte
}

func (d *body) byte(what string) (byte, error) {
	if len(d.b) < 1 {
		return 0, malformed("", d.t, what+" is cut off")
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v, nil
}

func (d *body) uint16(what string) (uint16, error) {
	if len(d.b) < 2 {
		return 0, malformed("", d.t, what+" is cut off")
	}
	v := binary.BigEndian.Uint16(d.b)
	d.b = d.b[2:]
	return v, nil
}

// packetID reads a packet identifier, which is never 0. [MQTT-2.2.1-3] [MQTT3-2.3.1-1]
func (d *body) packetID() (uint16, error) {
	id, err := d.uint16("packet identifier")
	if err == nil && id == 0 {
		return 0, protocolError(d.v.clause("MQTT-2.2.1-3", "MQTT3-2.3.1-1"), d.t, "packet identifier is 0")
	}
	return id, err
}

func (d *body) binary(what string) ([]byte, error) {
	v, n := field(d.b)
	if n == 0 {
		return nil, malformed("", d.t, what+" is cut off")
	}
	d.b = d.b[n:]
	return v, nil
}

func (d *body) string(what string) ([]byte, error) {
	v, err := d.binary(what)
	if err == nil && !validString(v) {
		return nil, stringFault(d.v, d.t, what, v)
	}
	return v, err
}

func (d *body) properties(p *Properties, v Version, t Type) error {
	if v != V5 {
		p.Reset()
		return nil
	}
	n, err := p.Decode(d.b, t)
	d.b = d.b[n:]
	return err
}

func (d *body) end() error {
	if len(d.b) > 0 {
		return malformed("", d.t, "bytes follow its end")
	}
	return nil
}
