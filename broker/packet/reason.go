package packet

import "fmt"

// ReasonCode is the outcome of an operation. [MQTT 2.4] In a 3.x CONNACK it
// holds the return code, in a 3.1.1 SUBACK the granted QoS or 0x80.
type ReasonCode byte

const (
	Success                             ReasonCode = 0x00
	NormalDisconnection                 ReasonCode = 0x00
	GrantedQoS0                         ReasonCode = 0x00
	GrantedQoS1                         ReasonCode = 0x01
	GrantedQoS2                         ReasonCode = 0x02
	DisconnectWithWillMessage           ReasonCode = 0x04
	NoMatchingSubscribers               ReasonCode = 0x10
	NoSubscriptionExisted               ReasonCode = 0x11
	ContinueAuthentication              ReasonCode = 0x18
	ReAuthenticate                      ReasonCode = 0x19
	UnspecifiedError                    ReasonCode = 0x80
	MalformedPacket                     ReasonCode = 0x81
	ProtocolError                       ReasonCode = 0x82
	ImplementationSpecificError         ReasonCode = 0x83
	UnsupportedProtocolVersion          ReasonCode = 0x84
	ClientIdentifierNotValid            ReasonCode = 0x85
	BadUserNameOrPassword               ReasonCode = 0x86
	NotAuthorized                       ReasonCode = 0x87
	ServerUnavailable                   ReasonCode = 0x88
	ServerBusy                          ReasonCode = 0x89
	Banned                              ReasonCode = 0x8A
	ServerShuttingDown                  ReasonCode = 0x8B
	BadAuthenticationMethod             ReasonCode = 0x8C
	KeepAliveTimeout                    ReasonCode = 0x8D
	SessionTakenOver                    ReasonCode = 0x8E
	TopicFilterInvalid                  ReasonCode = 0x8F
	TopicNameInvalid                    ReasonCode = 0x90
	PacketIdentifierInUse               ReasonCode = 0x91
	PacketIdentifierNotFound            ReasonCode = 0x92
	ReceiveMaximumExceeded              ReasonCode = 0x93
	TopicAliasInvalid                   ReasonCode = 0x94
	PacketTooLarge                      ReasonCode = 0x95
	MessageRateTooHigh                  ReasonCode = 0x96
	QuotaExceeded                       ReasonCode = 0x97
	AdministrativeAction                ReasonCode = 0x98
	PayloadFormatInvalid                ReasonCode = 0x99
	RetainNotSupported                  ReasonCode = 0x9A
	QoSNotSupported                     ReasonCode = 0x9B
	UseAnotherServer                    ReasonCode = 0x9C
	ServerMoved                         ReasonCode = 0x9D
	SharedSubscriptionsNotSupported     ReasonCode = 0x9E
	ConnectionRateExceeded              ReasonCode = 0x9F
	MaximumConnectTime                  ReasonCode = 0xA0
	SubscriptionIdentifiersNotSupported ReasonCode = 0xA1
	WildcardSubscriptionsNotSupported   ReasonCode = 0xA2
)

// The return codes of a 3.1 and 3.1.1 CONNACK. [MQTT3 3.2.2.3]
const (
	ConnectAccepted            ReasonCode = 0
	ConnectUnacceptableVersion ReasonCode = 1
	ConnectIdentifierRejected  ReasonCode = 2
	ConnectServerUnavailable   ReasonCode = 3
	ConnectBadUserNamePassword ReasonCode = 4
	ConnectNotAuthorized       ReasonCode = 5
	SubscribeFailure                      = UnspecifiedError // in a 3.1.1 SUBACK
)

// reasonTable says of each reason code its name, and in which packets it may
// stand. [MQTT 2.4, table 2-6]
var reasonTable = [...]struct {
	name string
	in   uint32
}{
	Success:                             {"success", in(CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH)},
	GrantedQoS1:                         {"granted QoS 1", in(SUBACK)},
	GrantedQoS2:                         {"granted QoS 2", in(SUBACK)},
	DisconnectWithWillMessage:           {"disconnect with will message", in(DISCONNECT)},
	NoMatchingSubscribers:               {"no matching subscribers", in(PUBACK, PUBREC)},
	NoSubscriptionExisted:               {"no subscription existed", in(UNSUBACK)},
	ContinueAuthentication:              {"continue authentication", in(AUTH)},
	ReAuthenticate:                      {"re-authenticate", in(AUTH)},
	UnspecifiedError:                    {"unspecified error", in(CONNACK, PUBACK, PUBREC, SUBACK, UNSUBACK, DISCONNECT)},
	MalformedPacket:                     {"malformed packet", in(CONNACK, DISCONNECT)},
	ProtocolError:                       {"protocol error", in(CONNACK, DISCONNECT)},
	ImplementationSpecificError:         {"implementation specific error", in(CONNACK, PUBACK, PUBREC, SUBACK, UNSUBACK, DISCONNECT)},
	UnsupportedProtocolVersion:          {"unsupported protocol version", in(CONNACK)},
	ClientIdentifierNotValid:            {"client identifier not valid", in(CONNACK)},
	BadUserNameOrPassword:               {"bad user name or password", in(CONNACK)},
	NotAuthorized:                       {"not authorized", in(CONNACK, PUBACK, PUBREC, SUBACK, UNSUBACK, DISCONNECT)},
	ServerUnavailable:                   {"server unavailable", in(CONNACK)},
	ServerBusy:                          {"server busy", in(CONNACK, DISCONNECT)},
	Banned:                              {"banned", in(CONNACK)},
	ServerShuttingDown:                  {"server shutting down", in(DISCONNECT)},
	BadAuthenticationMethod:             {"bad authentication method", in(CONNACK, DISCONNECT)},
	KeepAliveTimeout:                    {"keep alive timeout", in(DISCONNECT)},
	SessionTakenOver:                    {"session taken over", in(DISCONNECT)},
	TopicFilterInvalid:                  {"topic filter invalid", in(SUBACK, UNSUBACK, DISCONNECT)},
	TopicNameInvalid:                    {"topic name invalid", in(CONNACK, PUBACK, PUBREC, DISCONNECT)},
	PacketIdentifierInUse:               {"packet identifier in use", in(PUBACK, PUBREC, SUBACK, UNSUBACK)},
	PacketIdentifierNotFound:            {"packet identifier not found", in(PUBREL, PUBCOMP)},
	ReceiveMaximumExceeded:              {"receive maximum exceeded", in(DISCONNECT)},
	TopicAliasInvalid:                   {"topic alias invalid", in(DISCONNECT)},
	PacketTooLarge:                      {"packet too large", in(CONNACK, DISCONNECT)},
	MessageRateTooHigh:                  {"message rate too high", in(DISCONNECT)},
	QuotaExceeded:                       {"quota exceeded", in(CONNACK, PUBACK, PUBREC, SUBACK, DISCONNECT)},
	AdministrativeAction:                {"administrative action", in(DISCONNECT)},
	PayloadFormatInvalid:                {"payload format invalid", in(CONNACK, PUBACK, PUBREC, DISCONNECT)},
	RetainNotSupported:                  {"retain not supported", in(CONNACK, DISCONNECT)},
	QoSNotSupported:                     {"QoS not supported", in(CONNACK, DISCONNECT)},
	UseAnotherServer:                    {"use another server", in(CONNACK, DISCONNECT)},
	ServerMoved:                         {"server moved", in(CONNACK, DISCONNECT)},
	SharedSubscriptionsNotSupported:     {"shared subscriptions not supported", in(SUBACK, DISCONNECT)},
	ConnectionRateExceeded:              {"connection rate exceeded", in(CONNACK, DISCONNECT)},
	MaximumConnectTime:                  {"maximum connect time", in(DISCONNECT)},
	SubscriptionIdentifiersNotSupported: {"subscription identifiers not supported", in(SUBACK, DISCONNECT)},
	WildcardSubscriptionsNotSupported:   {"wildcard subscriptions not supported", in(SUBACK, DISCONNECT)},
}

// String gives the specification's words; an unknown code by its number.
func (r ReasonCode) String() string {
	if int(r) < len(reasonTable) && reasonTable[r].name != "" {
		return reasonTable[r].name
	}
	return fmt.Sprintf("reason code 0x%02x", byte(r))
}

// Failed says whether r is an error. [MQTT 2.4]
func (r ReasonCode) Failed() bool { return r >= 0x80 }

// V3 gives the 3.x CONNACK return code for a 5.0 reason to refuse a connection;
// 0 when 3.x has no word for it: then the connection is closed without one.
func (r ReasonCode) V3() ReasonCode {
	switch r {
	case UnsupportedProtocolVersion:
		return ConnectUnacceptableVersion
	case ClientIdentifierNotValid:
		return ConnectIdentifierRejected
	case ServerUnavailable, ServerBusy, ServerShuttingDown, UseAnotherServer, ServerMoved, ConnectionRateExceeded, QuotaExceeded:
		return ConnectServerUnavailable
	case BadUserNameOrPassword, BadAuthenticationMethod:
		return ConnectBadUserNamePassword
	case NotAuthorized, Banned:
		return ConnectNotAuthorized
	}
	return 0
}

// allowed says whether a reason code may stand in a packet of type t in 5.0.
func (r ReasonCode) allowed(t Type) bool {
	return int(r) < len(reasonTable) && reasonTable[r].in&(1<<t) != 0
}

// reasonFault is the error for a reason code that may not stand in the packet.
func reasonFault(v Version, t Type, r ReasonCode) *Error {
	clause := ""
	switch t {
	case CONNACK:
		clause = v.clause("MQTT-3.2.2-8", "MQTT3 3.2.2.3")
	case PUBACK:
		clause = "MQTT-3.4.2-1"
	case PUBREC:
		clause = "MQTT-3.5.2-1"
	case PUBREL:
		clause = "MQTT-3.6.2-1"
	case PUBCOMP:
		clause = "MQTT-3.7.2-1"
	case SUBACK:
		clause = v.clause("MQTT-3.9.3-2", "MQTT3-3.9.3-2")
	case UNSUBACK:
		clause = "MQTT-3.11.3-2"
	case DISCONNECT:
		clause = "MQTT-3.14.2-1"
	case AUTH:
		clause = "MQTT-3.15.2-1"
	}
	return malformed(clause, t, fmt.Sprintf("reason code 0x%02x", byte(r)))
}
