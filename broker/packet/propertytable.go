package packet

import "strconv"

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

// property is what the specification says of one property.
type property struct {
	name     string
	section  string // where it is described, of the first packet that has it
	encoding encoding
	in       uint32 // where it may stand, see in
}

// propertyTable has the properties by their identifiers. [MQTT 2.2.2.2]
var propertyTable = [...]property{
	PropPayloadFormat:        {"payload format indicator", "3.3.2.3.2", asByte, in(PUBLISH, willProperties)},
	PropMessageExpiry:        {"message expiry interval", "3.3.2.3.3", asUint32, in(PUBLISH, willProperties)},
	PropContentType:          {"content type", "3.3.2.3.9", asString, in(PUBLISH, willProperties)},
	PropResponseTopic:        {"response topic", "3.3.2.3.5", asString, in(PUBLISH, willProperties)},
	PropCorrelationData:      {"correlation data", "3.3.2.3.6", asBinary, in(PUBLISH, willProperties)},
	PropSubscriptionID:       {"subscription identifier", "3.8.2.1.2", asVarint, in(PUBLISH, SUBSCRIBE)},
	PropSessionExpiry:        {"session expiry interval", "3.1.2.11.2", asUint32, in(CONNECT, CONNACK, DISCONNECT)},
	PropAssignedClientID:     {"assigned client identifier", "3.2.2.3.7", asString, in(CONNACK)},
	PropServerKeepAlive:      {"server keep alive", "3.2.2.3.14", asUint16, in(CONNACK)},
	PropAuthMethod:           {"authentication method", "3.1.2.11.9", asString, in(CONNECT, CONNACK, AUTH)},
	PropAuthData:             {"authentication data", "3.1.2.11.10", asBinary, in(CONNECT, CONNACK, AUTH)},
	PropRequestProblemInfo:   {"request problem information", "3.1.2.11.7", asByte, in(CONNECT)},
	PropWillDelay:            {"will delay interval", "3.1.3.2.2", asUint32, in(willProperties)},
	PropRequestResponseInfo:  {"request response information", "3.1.2.11.6", asByte, in(CONNECT)},
	PropResponseInfo:         {"response information", "3.2.2.3.15", asString, in(CONNACK)},
	PropServerReference:      {"server reference", "3.2.2.3.16", asString, in(CONNACK, DISCONNECT)},
	PropReasonString:         {"reason string", "3.2.2.3.9", asString, in(CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH)},
	PropReceiveMaximum:       {"receive maximum", "3.1.2.11.3", asUint16, in(CONNECT, CONNACK)},
	PropTopicAliasMaximum:    {"topic alias maximum", "3.1.2.11.5", asUint16, in(CONNECT, CONNACK)},
	PropTopicAlias:           {"topic alias", "3.3.2.3.4", asUint16, in(PUBLISH)},
	PropMaximumQoS:           {"maximum QoS", "3.2.2.3.4", asByte, in(CONNACK)},
	PropRetainAvailable:      {"retain available", "3.2.2.3.5", asByte, in(CONNACK)},
	PropUser:                 {"user property", "3.3.2.3.7", asPair, in(CONNECT, CONNACK, PUBLISH, willProperties, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT, AUTH)},
	PropMaximumPacketSize:    {"maximum packet size", "3.1.2.11.4", asUint32, in(CONNECT, CONNACK)},
	PropWildcardSubAvailable: {"wildcard subscription available", "3.2.2.3.11", asByte, in(CONNACK)},
	PropSubIDAvailable:       {"subscription identifiers available", "3.2.2.3.12", asByte, in(CONNACK)},
	PropSharedSubAvailable:   {"shared subscription available", "3.2.2.3.13", asByte, in(CONNACK)},
}

// property gives the table's entry; nil for an unknown identifier.
func (id PropertyID) property() *property {
	if int(id) >= len(propertyTable) || propertyTable[id].encoding == 0 {
		return nil
	}
	return &propertyTable[id]
}

// String gives the specification's name.
func (id PropertyID) String() string {
	if e := id.property(); e != nil {
		return e.name
	}
	return "property 0x" + strconv.FormatUint(uint64(id), 16)
}
