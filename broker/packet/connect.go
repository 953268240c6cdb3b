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
	*p = Connect{Properties: p.Properties, Will: Will{Properties: p.Will.Properties}}
	d := body{CONNECT, b}
	if err := p.decodeVersion(&d); err != nil {
		return err
	}
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
		return protocolError("MQTT-3.1.2.11.10", CONNECT, "authentication data without a method")
	}
	if p.ClientID, err = d.string("client identifier"); err != nil { // [MQTT-3.1.3-4]
		return err
	}
	if p.HasWill {
		if err := p.decodeWill(&d); err != nil {
			return err
		}
	}
	if p.HasUsername {
		if p.Username, err = d.string("user name"); err != nil { // [MQTT-3.1.3-12]
			return err
		}
	}
	if p.HasPassword {
		if p.Password, err = d.binary("password"); err != nil {
			return err
		}
	}
	return d.end()
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
	if flags&1 != 0 {
		return malformed("MQTT-3.1.2-3", CONNECT, "the reserved flag is set")
	}
	p.CleanStart = flags&flagCleanStart != 0
	p.HasWill = flags&flagWill != 0
	p.Will.QoS, p.Will.Retain = flags>>3&3, flags&flagWillRetain != 0
	p.HasUsername, p.HasPassword = flags&flagUsername != 0, flags&flagPassword != 0
	switch {
	case !p.HasWill && (p.Will.QoS != 0 || p.Will.Retain):
		return malformed("MQTT-3.1.2-11", CONNECT, "will QoS or retain without a will")
	case p.Will.QoS == 3:
		return malformed("MQTT-3.1.2-12", CONNECT, "will QoS 3")
	case p.HasPassword && !p.HasUsername && p.Version != V5:
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
	if len(p.Will.Topic) == 0 || hasWildcard(p.Will.Topic) {
		return &Error{Reason: TopicNameInvalid, Clause: "MQTT-3.1.3-11", Text: fmt.Sprintf("CONNECT: will topic %.100q", p.Will.Topic)}
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
	d := body{CONNACK, b}
	flags, err := d.byte("flags")
	if err != nil {
		return err
	}
	reason, err := d.byte("reason code")
	if err != nil {
		return err
	}
	p.SessionPresent, p.Reason = flags&1 != 0, ReasonCode(reason)
	switch {
	case flags&^1 != 0:
		return malformed("MQTT-3.2.2-1", CONNACK, "reserved flags are set")
	case p.SessionPresent && p.Reason != Success:
		return protocolError("MQTT-3.2.2-6", CONNACK, "session present with a refusal")
	case v == V5 && !p.Reason.allowed(CONNACK), v != V5 && p.Reason > ConnectNotAuthorized && p.Reason != UnsupportedProtocolVersion:
		return malformed("MQTT-3.2.2-8", CONNACK, fmt.Sprintf("reason code 0x%02x", reason))
	}
	if v == V5 && len(d.b) == 0 && p.Reason.Failed() {
		p.Properties.Reset() // a refusal in the form of 3.1.1: lenient, so that its reason is seen
		return nil
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
