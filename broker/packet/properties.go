package packet

import (
	"encoding/binary"
	"math/bits"
)

// Properties is a property block. A field counts only when Has says so, but
// User and SubscriptionIDs, which are there when they are not empty.
type Properties struct {
	set uint64 // bit id is set when the property is there

	MessageExpiry     uint32 // seconds
	SessionExpiry     uint32 // seconds; 0xFFFFFFFF: never
	WillDelay         uint32 // seconds
	MaximumPacketSize uint32 // bytes

	ServerKeepAlive   uint16 // seconds
	ReceiveMaximum    uint16
	TopicAliasMaximum uint16
	TopicAlias        uint16

	PayloadFormat        byte // 1: UTF-8
	RequestProblemInfo   byte
	RequestResponseInfo  byte
	MaximumQoS           byte
	RetainAvailable      byte
	WildcardSubAvailable byte
	SubIDAvailable       byte
	SharedSubAvailable   byte

	ContentType      []byte
	ResponseTopic    []byte
	CorrelationData  []byte
	AssignedClientID []byte
	AuthMethod       []byte
	AuthData         []byte
	ResponseInfo     []byte
	ServerReference  []byte
	ReasonString     []byte

	SubscriptionIDs []uint32
	User            []UserProperty // in the order of the packet
}

// UserProperty is one name and value; names may repeat.
type UserProperty struct{ Key, Value []byte }

// present has bit id set for each property that is there.
func (p *Properties) present() uint64 {
	set := p.set &^ (1<<PropUser | 1<<PropSubscriptionID)
	if len(p.User) > 0 {
		set |= 1 << PropUser
	}
	if len(p.SubscriptionIDs) > 0 {
		set |= 1 << PropSubscriptionID
	}
	return set
}

// Has says whether the property is there.
func (p *Properties) Has(id PropertyID) bool { return p.present()&(1<<id) != 0 }

// Set marks a property as there; its field is set by the caller. Those that are
// there when they are not empty it leaves alone, and what is no property.
func (p *Properties) Set(id PropertyID) {
	if id.property() != nil {
		p.set |= 1 << id
	}
}

// Unset takes a property away.
func (p *Properties) Unset(id PropertyID) {
	p.set &^= 1 << id
	switch id {
	case PropUser:
		p.User = nil
	case PropSubscriptionID:
		p.SubscriptionIDs = nil
	}
}

// mostKept is the most elements that Reset keeps room for: one packet with a
// million user properties must not cost their memory until the connection ends.
const mostKept = 64

// Reset takes all of them away, and keeps the slices' room.
func (p *Properties) Reset() {
	if p.set == 0 && len(p.User) == 0 && len(p.SubscriptionIDs) == 0 {
		return
	}
	kept := Properties{SubscriptionIDs: p.SubscriptionIDs[:0], User: p.User[:0]}
	if cap(kept.SubscriptionIDs) > mostKept {
		kept.SubscriptionIDs = nil
	}
	if cap(kept.User) > mostKept {
		kept.User = nil
	}
	*p = kept
}

// Decode reads the property block at the start of b, length first, of a packet
// of type t. n is the length of the whole block.
func (p *Properties) Decode(b []byte, t Type) (n int, err error) {
	p.Reset()
	size, n := uvarint(b)
	switch {
	case n == 0:
		return 0, malformed("MQTT-2.2.2-1", t, "property length is cut off")
	case n < 0:
		return 0, malformed("MQTT-1.5.5-1", t, "property length is malformed")
	case int(size) > len(b)-n:
		return 0, malformed("", t, "properties are cut off")
	}
	b = b[n : n+int(size)]
	for len(b) > 0 {
		id := PropertyID(b[0]) // an identifier is a varint, but all are below 0x80
		e := id.property()
		if e == nil {
			return 0, malformed("MQTT 2.2.2.2", t, id.String()+" is unknown")
		}
		if e.in&(1<<t) == 0 {
			return 0, malformed("MQTT 2.2.2.2", t, e.name+" has no place here")
		}
		if e.encoding != asPair && e.encoding != asVarint && p.Has(id) {
			return 0, protocolError("MQTT "+e.section, t, e.name+" stands twice")
		}
		p.set |= 1 << id
		used, err := p.decodeOne(id, e, b[1:], t)
		if err != nil {
			return 0, err
		}
		if used == 0 {
			return 0, malformed("", t, e.name+" is cut off")
		}
		b = b[1+used:]
	}
	return n + int(size), nil
}

// decodeOne reads the value at the start of b; n is 0 when it is cut off.
func (p *Properties) decodeOne(id PropertyID, e *property, b []byte, t Type) (n int, err error) {
	switch e.encoding {
	case asByte:
		if len(b) < 1 {
			return 0, nil
		}
		if b[0] > 1 {
			return 0, protocolError("MQTT "+e.section, t, e.name+" is neither 0 nor 1")
		}
		*p.byteOf(id) = b[0]
		return 1, nil
	case asUint16:
		if len(b) < 2 {
			return 0, nil
		}
		v := binary.BigEndian.Uint16(b)
		if v == 0 && id == PropReceiveMaximum {
			return 0, protocolError("MQTT "+e.section, t, "receive maximum is 0")
		}
		if v == 0 && id == PropTopicAlias {
			return 0, &Error{Reason: TopicAliasInvalid, Clause: "MQTT-3.3.2-8", Text: t.String() + ": topic alias is 0"}
		}
		*p.uint16Of(id) = v
		return 2, nil
	case asUint32:
		if len(b) < 4 {
			return 0, nil
		}
		v := binary.BigEndian.Uint32(b)
		if v == 0 && id == PropMaximumPacketSize {
			return 0, protocolError("MQTT "+e.section, t, "maximum packet size is 0")
		}
		*p.uint32Of(id) = v
		return 4, nil
	case asVarint:
		return p.decodeSubscriptionID(e, b, t)
	case asPair:
		key, k := field(b)
		value, v := field(b[k:])
		if k == 0 || v == 0 {
			return 0, nil
		}
		if !validString(key) || !validString(value) {
			return 0, malformed("MQTT-1.5.7-1", t, "user property is not UTF-8 or has U+0000 in it")
		}
		p.User = append(p.User, UserProperty{key, value})
		return k + v, nil
	}
	v, n := field(b)
	if n == 0 {
		return 0, nil
	}
	if e.encoding == asString && !validString(v) {
		return 0, stringFault(V5, t, e.name, v)
	}
	if id == PropResponseTopic {
		switch {
		case len(v) == 0:
			return 0, protocolError("MQTT-4.7.3-1", t, "response topic is empty")
		case hasWildcard(v):
			return 0, protocolError("MQTT-3.3.2-14", t, "response topic has a wildcard")
		}
	}
	*p.bytesOf(id) = v
	return n, nil
}

// decodeSubscriptionID reads the only property that is a varint. A PUBLISH may
// have several. [MQTT-3.3.4-4]
func (p *Properties) decodeSubscriptionID(e *property, b []byte, t Type) (n int, err error) {
	v, n := uvarint(b)
	switch {
	case n == 0:
		return 0, nil
	case n < 0:
		return 0, malformed("MQTT-1.5.5-1", t, e.name+" is malformed")
	case v == 0:
		return 0, protocolError("MQTT "+e.section, t, e.name+" is 0")
	case t == SUBSCRIBE && len(p.SubscriptionIDs) > 0:
		return 0, protocolError("MQTT "+e.section, t, e.name+" stands twice")
	}
	p.SubscriptionIDs = append(p.SubscriptionIDs, v)
	return n, nil
}

func (p *Properties) byteOf(id PropertyID) *byte {
	switch id {
	case PropPayloadFormat:
		return &p.PayloadFormat
	case PropRequestProblemInfo:
		return &p.RequestProblemInfo
	case PropRequestResponseInfo:
		return &p.RequestResponseInfo
	case PropMaximumQoS:
		return &p.MaximumQoS
	case PropRetainAvailable:
		return &p.RetainAvailable
	case PropWildcardSubAvailable:
		return &p.WildcardSubAvailable
	case PropSubIDAvailable:
		return &p.SubIDAvailable
	}
	return &p.SharedSubAvailable
}

func (p *Properties) uint16Of(id PropertyID) *uint16 {
	switch id {
	case PropServerKeepAlive:
		return &p.ServerKeepAlive
	case PropReceiveMaximum:
		return &p.ReceiveMaximum
	case PropTopicAliasMaximum:
		return &p.TopicAliasMaximum
	}
	return &p.TopicAlias
}

func (p *Properties) uint32Of(id PropertyID) *uint32 {
	switch id {
	case PropMessageExpiry:
		return &p.MessageExpiry
	case PropSessionExpiry:
		return &p.SessionExpiry
	case PropWillDelay:
		return &p.WillDelay
	}
	return &p.MaximumPacketSize
}

func (p *Properties) bytesOf(id PropertyID) *[]byte {
	switch id {
	case PropContentType:
		return &p.ContentType
	case PropResponseTopic:
		return &p.ResponseTopic
	case PropCorrelationData:
		return &p.CorrelationData
	case PropAssignedClientID:
		return &p.AssignedClientID
	case PropAuthMethod:
		return &p.AuthMethod
	case PropAuthData:
		return &p.AuthData
	case PropResponseInfo:
		return &p.ResponseInfo
	case PropServerReference:
		return &p.ServerReference
	}
	return &p.ReasonString
}

// Append appends the property block, length first.
func (p *Properties) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(p.size()))
	for set := p.present(); set != 0; set &= set - 1 {
		id := PropertyID(bits.TrailingZeros64(set))
		switch propertyTable[id].encoding {
		case asByte:
			dst = append(dst, byte(id), *p.byteOf(id))
		case asUint16:
			dst = binary.BigEndian.AppendUint16(append(dst, byte(id)), *p.uint16Of(id))
		case asUint32:
			dst = binary.BigEndian.AppendUint32(append(dst, byte(id)), *p.uint32Of(id))
		case asVarint:
			for _, v := range p.SubscriptionIDs {
				dst = binary.AppendUvarint(append(dst, byte(id)), uint64(v))
			}
		case asPair:
			for _, u := range p.User {
				dst = appendField(appendField(append(dst, byte(id)), u.Key), u.Value)
			}
		default:
			dst = appendField(append(dst, byte(id)), *p.bytesOf(id))
		}
	}
	return dst
}

// size is the length of the block without the length itself.
func (p *Properties) size() (n int) {
	for set := p.present(); set != 0; set &= set - 1 {
		id := PropertyID(bits.TrailingZeros64(set))
		switch propertyTable[id].encoding {
		case asByte:
			n += 2
		case asUint16:
			n += 3
		case asUint32:
			n += 5
		case asVarint:
			for _, v := range p.SubscriptionIDs {
				n += 1 + uvarintLen(int(v))
			}
		case asPair:
			for _, u := range p.User {
				n += 5 + len(u.Key) + len(u.Value)
			}
		default:
			n += 3 + len(*p.bytesOf(id))
		}
	}
	return n
}
