package packet

import (
	"encoding/binary"
	"strconv"
)

// PropertyID is a property's identifier. [MQTT 2.2.2.2]
type PropertyID byte

const (
	PropPayloadFormat        PropertyID = 0x01
	PropMessageExpiry        PropertyID = 0x02
	PropContentType          PropertyID = 0x03
	PropResponseTopic        PropertyID = 0x08
	PropCorrelationData      PropertyID = 0x09
	PropSubscriptionID       PropertyID = 0x0B
	PropSessionExpiry        PropertyID = 0x11
	PropAssignedClientID     PropertyID = 0x12
	PropServerKeepAlive      PropertyID = 0x13
	PropAuthMethod           PropertyID = 0x15
	PropAuthData             PropertyID = 0x16
	PropRequestProblemInfo   PropertyID = 0x17
	PropWillDelay            PropertyID = 0x18
	PropRequestResponseInfo  PropertyID = 0x19
	PropResponseInfo         PropertyID = 0x1A
	PropServerReference      PropertyID = 0x1C
	PropReasonString         PropertyID = 0x1F
	PropReceiveMaximum       PropertyID = 0x21
	PropTopicAliasMaximum    PropertyID = 0x22
	PropTopicAlias           PropertyID = 0x23
	PropMaximumQoS           PropertyID = 0x24
	PropRetainAvailable      PropertyID = 0x25
	PropUser                 PropertyID = 0x26
	PropMaximumPacketSize    PropertyID = 0x27
	PropWildcardSubAvailable PropertyID = 0x28
	PropSubIDAvailable       PropertyID = 0x29
	PropSharedSubAvailable   PropertyID = 0x2A
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

// Has says whether the property is there.
func (p *Properties) Has(id PropertyID) bool {
	switch id {
	case PropUser:
		return len(p.User) > 0
	case PropSubscriptionID:
		return len(p.SubscriptionIDs) > 0
	}
	return p.set&(1<<id) != 0
}

// Set marks a property as there; its field is set by the caller.
func (p *Properties) Set(id PropertyID) { p.set |= 1 << id }

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

// Reset takes all of them away, and keeps the slices' room.
func (p *Properties) Reset() {
	if p.set == 0 && len(p.User) == 0 && len(p.SubscriptionIDs) == 0 {
		return
	}
	*p = Properties{SubscriptionIDs: p.SubscriptionIDs[:0], User: p.User[:0]}
}

// encoding is how a property's value stands on the wire. [MQTT 1.5]
type encoding byte

const (
	asByte encoding = iota + 1
	asUint16
	asUint32
	asVarint
	asString
	asBinary
	asPair
)

// willProperties stands for the property block of a will, inside a CONNECT.
const willProperties Type = 16

// in says in which packets a property may stand.
func in(types ...Type) (mask uint32) {
	for _, t := range types {
		mask |= 1 << t
	}
	return mask
}

// propertyTable says of each property how it is encoded and where it may stand.
// [MQTT 2.2.2.2, table 2-4]
var propertyTable = [...]struct {
	encoding encoding
	in       uint32
}{
	PropPayloadFormat:        {asByte, in(PUBLISH, willProperties)},
	PropMessageExpiry:        {asUint32, in(PUBLISH, willProperties)},
	PropContentType:          {asString, in(PUBLISH, willProperties)},
	PropResponseTopic:        {asString, in(PUBLISH, willProperties)},
	PropCorrelationData:      {asBinary, in(PUBLISH, willProperties)},
	PropSubscriptionID:       {asVarint, in(PUBLISH, SUBSCRIBE)},
	PropSessionExpiry:        {asUint32, in(CONNECT, CONNACK, DISCONNECT)},
	PropAssignedClientID:     {asString, in(CONNACK)},
	PropServerKeepAlive:      {asUint16, in(CONNACK)},
	PropAuthMethod:           {asString, in(CONNECT, CONNACK, AUTH)},
	PropAuthData:             {asBinary, in(CONNECT, CONNACK, AUTH)},
	PropRequestProblemInfo:   {asByte, in(CONNECT)},
	PropWillDelay:            {asUint32, in(willProperties)},
	PropRequestResponseInfo:  {asByte, in(CONNECT)},
	PropResponseInfo:         {asString, in(CONNACK)},
	PropServerReference:      {asString, in(CONNACK, DISCONNECT)},
	PropReasonString:         {asString, in(CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH)},
	PropReceiveMaximum:       {asUint16, in(CONNECT, CONNACK)},
	PropTopicAliasMaximum:    {asUint16, in(CONNECT, CONNACK)},
	PropTopicAlias:           {asUint16, in(PUBLISH)},
	PropMaximumQoS:           {asByte, in(CONNACK)},
	PropRetainAvailable:      {asByte, in(CONNACK)},
	PropUser:                 {asPair, in(CONNECT, CONNACK, PUBLISH, willProperties, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT, AUTH)},
	PropMaximumPacketSize:    {asUint32, in(CONNECT, CONNACK)},
	PropWildcardSubAvailable: {asByte, in(CONNACK)},
	PropSubIDAvailable:       {asByte, in(CONNACK)},
	PropSharedSubAvailable:   {asByte, in(CONNACK)},
}

// Decode reads the property block at the start of b, length first, of a packet
// of type t. n is the length of the whole block.
func (p *Properties) Decode(b []byte, t Type) (n int, err error) {
	p.Reset()
	size, n := uvarint(b)
	if n <= 0 || int(size) > len(b)-n {
		return 0, malformed("MQTT-2.2.2-1", t, "property length is malformed")
	}
	b = b[n : n+int(size)]
	for len(b) > 0 {
		id := PropertyID(b[0]) // an identifier is a varint, but all are below 0x80
		if int(id) >= len(propertyTable) || propertyTable[id].encoding == 0 {
			return 0, malformed("MQTT-2.2.2-2", t, "property 0x"+strconv.FormatUint(uint64(id), 16)+" is unknown")
		}
		e := propertyTable[id]
		if e.in&(1<<t) == 0 {
			return 0, protocolError("MQTT-2.2.2-2", t, "property 0x"+strconv.FormatUint(uint64(id), 16)+" has no place here")
		}
		used, err := p.decodeOne(id, e.encoding, b[1:], t)
		if err != nil {
			return 0, err
		}
		b = b[1+used:]
	}
	return n + int(size), nil
}

func (p *Properties) decodeOne(id PropertyID, e encoding, b []byte, t Type) (n int, err error) {
	if e != asPair && e != asVarint {
		if p.set&(1<<id) != 0 {
			return 0, protocolError("MQTT-2.2.2-2", t, "property 0x"+strconv.FormatUint(uint64(id), 16)+" stands twice")
		}
	}
	p.set |= 1 << id
	short := func() error {
		return malformed("MQTT-2.2.2-2", t, "property 0x"+strconv.FormatUint(uint64(id), 16)+" is cut off")
	}
	switch e {
	case asByte:
		if len(b) < 1 {
			return 0, short()
		}
		if b[0] > 1 {
			return 0, protocolError("MQTT-3.1.2-28", t, "property 0x"+strconv.FormatUint(uint64(id), 16)+" is neither 0 nor 1")
		}
		*p.byteOf(id) = b[0]
		return 1, nil
	case asUint16:
		if len(b) < 2 {
			return 0, short()
		}
		v := binary.BigEndian.Uint16(b)
		if v == 0 && id == PropReceiveMaximum {
			return 0, protocolError("MQTT-3.1.2.11.3", t, "receive maximum is 0")
		}
		if v == 0 && id == PropTopicAlias {
			return 0, &Error{Reason: TopicAliasInvalid, Clause: "MQTT-3.3.2-8", Text: t.String() + ": topic alias is 0"}
		}
		*p.uint16Of(id) = v
		return 2, nil
	case asUint32:
		if len(b) < 4 {
			return 0, short()
		}
		v := binary.BigEndian.Uint32(b)
		if v == 0 && id == PropMaximumPacketSize {
			return 0, protocolError("MQTT-3.1.2.11.4", t, "maximum packet size is 0")
		}
		*p.uint32Of(id) = v
		return 4, nil
	case asVarint:
		v, n := uvarint(b)
		if n <= 0 {
			return 0, short()
		}
		if v == 0 {
			return 0, protocolError("MQTT-3.8.2.1.2", t, "subscription identifier is 0")
		}
		if t == SUBSCRIBE && len(p.SubscriptionIDs) > 0 {
			return 0, protocolError("MQTT-3.8.2.1.2", t, "two subscription identifiers")
		}
		p.SubscriptionIDs = append(p.SubscriptionIDs, v)
		return n, nil
	case asPair:
		key, k := field(b)
		if k == 0 {
			return 0, short()
		}
		value, v := field(b[k:])
		if v == 0 {
			return 0, short()
		}
		if !validString(key) || !validString(value) {
			return 0, malformed("MQTT-1.5.7-1", t, "user property is not UTF-8")
		}
		p.User = append(p.User, UserProperty{key, value})
		return k + v, nil
	}
	v, n := field(b)
	if n == 0 {
		return 0, short()
	}
	if e == asString && !validString(v) {
		return 0, malformed("MQTT-1.5.4-1", t, "property 0x"+strconv.FormatUint(uint64(id), 16)+" is not UTF-8")
	}
	if id == PropResponseTopic && hasWildcard(v) {
		return 0, protocolError("MQTT-3.3.2-14", t, "response topic has a wildcard")
	}
	*p.bytesOf(id) = v
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
	for id := range propertyTable {
		id := PropertyID(id)
		if !p.Has(id) {
			continue
		}
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
	if p.set == 0 && len(p.User) == 0 && len(p.SubscriptionIDs) == 0 {
		return 0
	}
	for id := range propertyTable {
		id := PropertyID(id)
		if !p.Has(id) {
			continue
		}
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
