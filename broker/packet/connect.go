package packet

import (
	"encoding/binary"
	"fmt"
)

// Connect is a CONNECT. [MQTT 3.1]
type Connect struct {
	Version    Version
	Bridge     bool // bit 0x80 of the version byte: a bridge, as mosquitto marks one in 3.x
	CleanStart bool // Clean Session in 3.x
	KeepAlive  uint16
	ClientID   []byte
	HasWill    bool
	Will       Will

	HasUsername, HasPassword bool
	Username, Password       []byte

	Properties Properties
}

// Will is the message of a CONNECT that is published when the connection ends
// badly. [MQTT 3.1.2.5]
type Will struct {
	QoS            byte
	Retain         bool
	Topic, Payload []byte
	Properties     Properties
}

const (
	flagCleanStart = 1 << 1
	flagWill       = 1 << 2
	flagWillRetain = 1 << 5
	flagPassword   = 1 << 6
	flagUsername   = 1 << 7
)

// Decode reads the body of a CONNECT. With the error UnsupportedProtocolVersion
// p.Version is what the client asked for.
func (p *Connect) Decode(b []byte) error {
	*p = Connect{}
	d := body{CONNECT, V5, b}
	if err := p.decodeVersion(&d); err != nil {
		return err
	}
	d.v = p.Version
	flags, err := d.byte("flags")
	if err != nil {
		return err
	}
	if err := p.decodeFlags(flags); err != nil {
		return err
	}
	if p.KeepAlive, err = d.uint16("keep alive"); err != nil {
		return err
	}
	if err = d.properties(&p.Properties, p.Version, CONNECT); err != nil {
		return err
	}
	if p.Properties.Has(PropAuthData) && !p.Properties.Has(PropAuthMethod) {
		return protocolError("MQTT 3.1.2.11.10", CONNECT, "authentication data without a method")
	}
	if p.ClientID, err = d.string("client identifier"); err != nil { // [MQTT-3.1.3-4]
		return err
	}
	if p.HasWill {
		if err := p.decodeWill(&d); err != nil {
			return err
		}
	}
	p.dropMissing(&d)
	if p.HasUsername {
		if p.Username, err = d.string("user name"); err != nil { // [MQTT-3.1.3-12]
			return err
		}
	}
	p.dropMissing(&d)
	if p.HasPassword {
		if p.Password, err = d.binary("password"); err != nil {
			return err
		}
	}
	return d.end()
}

// dropMissing lets 3.1's remaining length win over its flags: a user name or
// password that is announced but not there was not sent. [MQTT 3.1, 3.1]
func (p *Connect) dropMissing(d *body) {
	if p.Version == V31 && len(d.b) == 0 {
		p.HasUsername, p.HasPassword = p.Username != nil, false
	}
}

// decodeVersion reads protocol name and level. [MQTT-3.1.2-1] [MQTT-3.1.2-2] [MQTT3-3.1.2-2]
func (p *Connect) decodeVersion(d *body) error {
	name, err := d.string("protocol name")
	if err != nil {
		return err
	}
	level, err := d.byte("protocol version")
	if err != nil {
		return err
	}
	p.Version = Version(level)
	if p.Version&0x80 != 0 {
		p.Version, p.Bridge = p.Version&0x7f, true
	}
	switch {
	case string(name) == "MQIsdp" && p.Version == V31:
	case string(name) == "MQTT" && (p.Version == V311 || p.Version == V5 && !p.Bridge):
	case string(name) == "MQTT" || string(name) == "MQIsdp":
		return &Error{Reason: UnsupportedProtocolVersion, Clause: "MQTT-3.1.2-2", Text: fmt.Sprintf("CONNECT: %s of protocol version %d", name, level)}
	default:
		return &Error{Reason: UnsupportedProtocolVersion, Clause: "MQTT-3.1.2-1", Text: fmt.Sprintf("CONNECT: protocol name %.20q", name)}
	}
	return nil
}

func (p *Connect) decodeFlags(flags byte) error {
	if flags&1 != 0 && p.Version != V31 { // 3.1 does not use the bit
		return malformed(p.Version.clause("MQTT-3.1.2-3", "MQTT3-3.1.2-3"), CONNECT, "the reserved flag is set")
	}
	p.CleanStart = flags&flagCleanStart != 0
	p.HasWill = flags&flagWill != 0
	if p.HasWill || p.Version != V31 { // 3.1 disregards them without a will
		p.Will.QoS, p.Will.Retain = flags>>3&3, flags&flagWillRetain != 0
	}
	p.HasUsername, p.HasPassword = flags&flagUsername != 0, flags&flagPassword != 0
	v := p.Version
	switch {
	case !p.HasWill && p.Will.QoS != 0:
		return malformed(v.clause("MQTT-3.1.2-11", "MQTT3-3.1.2-13"), CONNECT, "will QoS without a will")
	case !p.HasWill && p.Will.Retain:
		return malformed(v.clause("MQTT-3.1.2-13", "MQTT3-3.1.2-15"), CONNECT, "will retain without a will")
	case p.Will.QoS == 3:
		return malformed(v.clause("MQTT-3.1.2-12", "MQTT3-3.1.2-14"), CONNECT, "will QoS 3")
	case p.HasPassword && !p.HasUsername && v != V5:
		return malformed("MQTT3-3.1.2-22", CONNECT, "a password without a user name")
	}
	return nil
}

func (p *Connect) decodeWill(d *body) (err error) {
	if err = d.properties(&p.Will.Properties, p.Version, willProperties); err != nil {
		return err
	}
	if p.Will.Topic, err = d.string("will topic"); err != nil { // [MQTT-3.1.3-11]
		return err
	}
	if len(p.Will.Topic) == 0 {
		return &Error{Reason: TopicNameInvalid, Clause: d.v.clause("MQTT-4.7.3-1", "MQTT3-4.7.3-1"), Text: "CONNECT: will topic is empty"}
	}
	if hasWildcard(p.Will.Topic) {
		return &Error{Reason: TopicNameInvalid, Clause: d.v.clause("MQTT-4.7.0-1", "MQTT3-4.7.1-1"),
			Text: fmt.Sprintf("CONNECT: will topic %.100q has a wildcard", p.Will.Topic)}
	}
	p.Will.Payload, err = d.binary("will payload")
	return err
}

// Append appends the packet.
func (p *Connect) Append(dst []byte) []byte {
	return appendFramed(dst, CONNECT, func(dst []byte) []byte {
		name := "MQTT"
		if p.Version == V31 {
			name = "MQIsdp"
		}
		level := byte(p.Version)
		if p.Bridge {
			level |= 0x80
		}
		dst = append(appendField(dst, []byte(name)), level, p.flags())
		dst = binary.BigEndian.AppendUint16(dst, p.KeepAlive)
		if p.Version == V5 {
			dst = p.Properties.Append(dst)
		}
		dst = appendField(dst, p.ClientID)
		if p.HasWill {
			if p.Version == V5 {
				dst = p.Will.Properties.Append(dst)
			}
			dst = appendField(appendField(dst, p.Will.Topic), p.Will.Payload)
		}
		if p.HasUsername {
			dst = appendField(dst, p.Username)
		}
		if p.HasPassword {
			dst = appendField(dst, p.Password)
		}
		return dst
	})
}

func (p *Connect) flags() (f byte) {
	if p.CleanStart {
		f |= flagCleanStart
	}
	if p.HasWill {
		f |= flagWill | p.Will.QoS<<3
		if p.Will.Retain {
			f |= flagWillRetain
		}
	}
	if p.HasUsername {
		f |= flagUsername
	}
	if p.HasPassword {
		f |= flagPassword
	}
	return f
}

// Connack is a CONNACK. [MQTT 3.2]
type Connack struct {
	SessionPresent bool
	Reason         ReasonCode // the return code in 3.x
	Properties     Properties
}

// Decode reads the body of a CONNACK.
func (p *Connack) Decode(v Version, b []byte) error {
	d := body{CONNACK, v, b}
	flags, err := d.byte("flags")
	if err != nil {
		return err
	}
	reason, err := d.byte("reason code")
	if err != nil {
		return err
	}
	if v == V31 {
		flags = 0 // 3.1 does not use the byte
	}
	p.SessionPresent, p.Reason = flags&1 != 0, ReasonCode(reason)
	switch {
	case flags&^1 != 0:
		return malformed(v.clause("MQTT-3.2.2-1", "MQTT3 3.2.2.1"), CONNACK, "reserved flags are set")
	case p.SessionPresent && p.Reason != Success:
		return protocolError(v.clause("MQTT-3.2.2-6", "MQTT3-3.2.2-4"), CONNACK, "session present with a refusal")
	// A server without 5.0 may refuse it with 5.0's code in 3.1.1's format.
	case v == V5 && !p.Reason.allowed(CONNACK), v != V5 && p.Reason > ConnectNotAuthorized && p.Reason != UnsupportedProtocolVersion:
		return reasonFault(v, CONNACK, p.Reason)
	}
	if err := d.properties(&p.Properties, v, CONNACK); err != nil {
		return err
	}
	return d.end()
}

// Append appends the packet.
func (p *Connack) Append(dst []byte, v Version) []byte {
	return appendFramed(dst, CONNACK, func(dst []byte) []byte {
		flags := byte(0)
		if p.SessionPresent && v != V31 {
			flags = 1
		}
		dst = append(dst, flags, byte(p.Reason))
		if v == V5 {
			dst = p.Properties.Append(dst)
		}
		return dst
	})
}
