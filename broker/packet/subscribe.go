package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Subscribe is a SUBSCRIBE. [MQTT 3.8]
type Subscribe struct {
	PacketID      uint16
	Properties    Properties
	Subscriptions []Subscription
}

// Subscription is one topic filter of it with its options. [MQTT 3.8.3.1]
type Subscription struct {
	Filter            []byte // not checked but for UTF-8: what is wrong with one is answered, in SUBACK
	QoS               byte   // the most that is asked for
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte // 0: send retained messages, 1: if the subscription is new, 2: do not
}

const (
	optionNoLocal           = 1 << 2
	optionRetainAsPublished = 1 << 3
)

// Decode reads the body of a SUBSCRIBE.
func (p *Subscribe) Decode(v Version, b []byte) (err error) {
	d := body{SUBSCRIBE, v, b}
	p.Subscriptions = p.Subscriptions[:0]
	if p.PacketID, err = d.packetID(); err != nil {
		return err
	}
	if err := d.properties(&p.Properties, v, SUBSCRIBE); err != nil {
		return err
	}
	for len(d.b) > 0 {
		var s Subscription
		if s.Filter, err = d.string("topic filter"); err != nil { // [MQTT-3.8.3-1]
			return err
		}
		options, err := d.byte("subscription options")
		if err != nil {
			return err
		}
		if err := s.options(v, options); err != nil {
			return err
		}
		p.Subscriptions = append(p.Subscriptions, s)
	}
	if len(p.Subscriptions) == 0 {
		return protocolError(v.clause("MQTT-3.8.3-2", "MQTT3-3.8.3-3"), SUBSCRIBE, "no topic filter")
	}
	return nil
}

func (s *Subscription) options(v Version, o byte) error {
	s.QoS = o & 3
	reserved := o &^ 3
	switch v {
	case V31:
		reserved = 0 // 3.1 does not use them
	case V5:
		s.NoLocal, s.RetainAsPublished, s.RetainHandling = o&optionNoLocal != 0, o&optionRetainAsPublished != 0, o>>4&3
		reserved = o >> 6
	}
	switch {
	case reserved != 0:
		return malformed(v.clause("MQTT-3.8.3-5", "MQTT3-3.8.3-4"), SUBSCRIBE, fmt.Sprintf("reserved bits in the options 0x%02x", o))
	case s.QoS == 3 && v != V5:
		return malformed("MQTT3-3.8.3-4", SUBSCRIBE, "QoS 3")
	case s.QoS == 3:
		return protocolError("MQTT 3.8.3.1", SUBSCRIBE, "QoS 3")
	case s.RetainHandling == 3:
		return protocolError("MQTT 3.8.3.1", SUBSCRIBE, "retain handling 3")
	case s.NoLocal && bytes.HasPrefix(s.Filter, []byte("$share/")):
		return protocolError("MQTT-3.8.3-4", SUBSCRIBE, "no local on a shared subscription")
	}
	return nil
}

// Append appends the packet.
func (p *Subscribe) Append(dst []byte, v Version) []byte {
	return appendFramed(dst, SUBSCRIBE, func(dst []byte) []byte {
		dst = appendHead(dst, v, p.PacketID, &p.Properties)
		for _, s := range p.Subscriptions {
			o := s.QoS
			if v == V5 {
				o |= s.RetainHandling << 4
				if s.NoLocal {
					o |= optionNoLocal
				}
				if s.RetainAsPublished {
					o |= optionRetainAsPublished
				}
			}
			dst = append(appendField(dst, s.Filter), o)
		}
		return dst
	})
}

// appendHead appends what stands before the payload of the four.
func appendHead(dst []byte, v Version, id uint16, props *Properties) []byte {
	dst = binary.BigEndian.AppendUint16(dst, id)
	if v == V5 {
		dst = props.Append(dst)
	}
	return dst
}

// Suback is a SUBACK: a reason code for each topic filter. [MQTT 3.9]
type Suback struct {
	PacketID   uint16
	Properties Properties
	Reasons    []ReasonCode // in 3.1.1 the granted QoS, or SubscribeFailure
}

// Decode reads the body of a SUBACK.
func (p *Suback) Decode(v Version, b []byte) error {
	return decodeReasons(v, SUBACK, b, &p.PacketID, &p.Properties, &p.Reasons)
}

// Append appends the packet.
func (p *Suback) Append(dst []byte, v Version) []byte {
	return appendFramed(dst, SUBACK, func(dst []byte) []byte {
		return appendReasons(appendHead(dst, v, p.PacketID, &p.Properties), p.Reasons)
	})
}

// Unsubscribe is an UNSUBSCRIBE. [MQTT 3.10]
type Unsubscribe struct {
	PacketID   uint16
	Properties Properties
	Filters    [][]byte
}

// Decode reads the body of an UNSUBSCRIBE.
func (p *Unsubscribe) Decode(v Version, b []byte) (err error) {
	d := body{UNSUBSCRIBE, v, b}
	p.Filters = p.Filters[:0]
	if p.PacketID, err = d.packetID(); err != nil {
		return err
	}
	if err := d.properties(&p.Properties, v, UNSUBSCRIBE); err != nil {
		return err
	}
	for len(d.b) > 0 {
		f, err := d.string("topic filter") // [MQTT-3.10.3-1]
		if err != nil {
			return err
		}
		p.Filters = append(p.Filters, f)
	}
	if len(p.Filters) == 0 {
		return protocolError(v.clause("MQTT-3.10.3-2", "MQTT3-3.10.3-2"), UNSUBSCRIBE, "no topic filter")
	}
	return nil
}

// Append appends the packet.
func (p *Unsubscribe) Append(dst []byte, v Version) []byte {
	return appendFramed(dst, UNSUBSCRIBE, func(dst []byte) []byte {
		dst = appendHead(dst, v, p.PacketID, &p.Properties)
		for _, f := range p.Filters {
			dst = appendField(dst, f)
		}
		return dst
	})
}

// Unsuback is an UNSUBACK. In 3.x it has no reason codes. [MQTT 3.11]
type Unsuback struct {
	PacketID   uint16
	Properties Properties
	Reasons    []ReasonCode
}

// Decode reads the body of an UNSUBACK.
func (p *Unsuback) Decode(v Version, b []byte) error {
	return decodeReasons(v, UNSUBACK, b, &p.PacketID, &p.Properties, &p.Reasons)
}

// Append appends the packet.
func (p *Unsuback) Append(dst []byte, v Version) []byte {
	return appendFramed(dst, UNSUBACK, func(dst []byte) []byte {
		dst = appendHead(dst, v, p.PacketID, &p.Properties)
		if v == V5 {
			dst = appendReasons(dst, p.Reasons)
		}
		return dst
	})
}

func appendReasons(dst []byte, rs []ReasonCode) []byte {
	for _, r := range rs {
		dst = append(dst, byte(r))
	}
	return dst
}

// decodeReasons reads the body of a SUBACK or UNSUBACK.
func decodeReasons(v Version, t Type, b []byte, id *uint16, props *Properties, reasons *[]ReasonCode) (err error) {
	d := body{t, v, b}
	*reasons = (*reasons)[:0]
	if *id, err = d.packetID(); err != nil {
		return err
	}
	if err := d.properties(props, v, t); err != nil {
		return err
	}
	if v != V5 && t == UNSUBACK {
		return d.end()
	}
	for _, c := range d.b {
		r := ReasonCode(c)
		if v == V5 && !r.allowed(t) || v != V5 && r > GrantedQoS2 && r != SubscribeFailure {
			return reasonFault(v, t, r)
		}
		*reasons = append(*reasons, r)
	}
	if len(*reasons) == 0 {
		clause := v.clause("MQTT-3.8.4-6", "MQTT3-3.8.4-5")
		if t == UNSUBACK {
			clause = "MQTT-3.11.3-2"
		}
		return protocolError(clause, t, "no reason code")
	}
	return nil
}
