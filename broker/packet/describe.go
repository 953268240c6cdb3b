package packet

import (
	"fmt"
	"strings"
)

// Describe says in one line what a packet is, for a log: type, identifiers,
// options, topics and lengths; never a payload, a password or authentication
// data. body is the packet without its fixed header.
//
//	PUBLISH d0 q1 r0 m5 "boiler/temp" 12 bytes
func Describe(v Version, h Header, body []byte) string {
	s := h.Type.String()
	text, err := describe(v, h, body)
	switch {
	case err != nil:
		return s + " (" + err.Error() + ")"
	case text != "":
		return s + " " + text
	}
	return s
}

func describe(v Version, h Header, body []byte) (string, error) {
	switch h.Type {
	case CONNECT:
		var p Connect
		err := p.Decode(body)
		return p.describe(), err
	case CONNACK:
		var p Connack
		err := p.Decode(v, body)
		return fmt.Sprintf("present %d, %s", bit(p.SessionPresent), word(v, h.Type, p.Reason)), err
	case PUBLISH:
		var p Publish
		err := p.Decode(v, h.Flags, body)
		return p.describe(), err
	case PUBACK, PUBREC, PUBREL, PUBCOMP:
		var p Ack
		err := p.Decode(v, h.Type, body)
		return fmt.Sprintf("m%d%s", p.PacketID, failed(v, h.Type, p.Reason)), err
	case SUBSCRIBE:
		var p Subscribe
		err := p.Decode(v, body)
		return p.describe(), err
	case SUBACK:
		var p Suback
		err := p.Decode(v, body)
		return fmt.Sprintf("m%d %s", p.PacketID, words(v, h.Type, p.Reasons)), err
	case UNSUBSCRIBE:
		var p Unsubscribe
		err := p.Decode(v, body)
		return fmt.Sprintf("m%d %.200q", p.PacketID, p.Filters), err
	case UNSUBACK:
		var p Unsuback
		err := p.Decode(v, body)
		return strings.TrimSuffix(fmt.Sprintf("m%d %s", p.PacketID, words(v, h.Type, p.Reasons)), " "), err
	case DISCONNECT:
		var p Disconnect
		err := p.Decode(v, body)
		return word(v, h.Type, p.Reason), err
	case AUTH:
		var p Auth
		err := p.Decode(v, body)
		return fmt.Sprintf("%s, method %q", word(v, h.Type, p.Reason), p.Properties.AuthMethod), err
	}
	return "", DecodeEmpty(h.Type, body)
}

func (p *Connect) describe() string {
	s := fmt.Sprintf("%v %.100q clean %d keep alive %d", p.Version, p.ClientID, bit(p.CleanStart), p.KeepAlive)
	if p.HasUsername {
		s += fmt.Sprintf(" user %.100q", p.Username)
	}
	if p.HasWill {
		s += fmt.Sprintf(" will q%d r%d %.200q %d bytes", p.Will.QoS, bit(p.Will.Retain), p.Will.Topic, len(p.Will.Payload))
	}
	return s
}

func (p *Publish) describe() string {
	s := fmt.Sprintf("d%d q%d r%d", bit(p.Dup), p.QoS, bit(p.Retain))
	if p.QoS > 0 {
		s += fmt.Sprintf(" m%d", p.PacketID)
	}
	s += fmt.Sprintf(" %.200q", p.Topic)
	if p.Properties.Has(PropTopicAlias) {
		s += fmt.Sprintf(" alias %d", p.Properties.TopicAlias)
	}
	return s + fmt.Sprintf(" %d bytes", len(p.Payload))
}

func (p *Subscribe) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "m%d", p.PacketID)
	for i, s := range p.Subscriptions {
		if i == describeMost {
			fmt.Fprintf(&b, " and %d more", len(p.Subscriptions)-i)
			break
		}
		fmt.Fprintf(&b, " %.200q q%d", s.Filter, s.QoS)
	}
	return b.String()
}

// describeMost is how many of a list Describe gives.
const describeMost = 10

func words(v Version, t Type, rs []ReasonCode) string {
	list := make([]string, 0, describeMost+1)
	for i, r := range rs {
		if i == describeMost {
			list = append(list, fmt.Sprintf("and %d more", len(rs)-i))
			break
		}
		list = append(list, word(v, t, r))
	}
	return strings.Join(list, ", ")
}

func word(v Version, t Type, r ReasonCode) string {
	switch {
	case t == SUBACK && r <= GrantedQoS2:
		return fmt.Sprintf("q%d", r)
	case v != V5 && t == CONNACK:
		return fmt.Sprintf("return code %d", r)
	}
	return r.String()
}

func failed(v Version, t Type, r ReasonCode) string {
	if r == Success {
		return ""
	}
	return " " + word(v, t, r)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
