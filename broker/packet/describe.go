package packet

import (
	"fmt"
	"strconv"
	"strings"
)

// Describe says in one line what a packet is, for a log: type, identifiers,
// options, topics and lengths; never a payload, a password or authentication
// data. body is the packet without its fixed header.
//
//	PUBLISH d0 q1 r0 m5 'boiler/temp' 12 bytes
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
		return fmt.Sprintf("m%d%s", p.PacketID, quoteAll(p.Filters)), err
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
		return fmt.Sprintf("%s, method %s", word(v, h.Type, p.Reason), quote(p.Properties.AuthMethod)), err
	}
	return "", DecodeEmpty(h.Type, body)
}

func (p *Connect) describe() string {
	s := fmt.Sprintf("%v %s clean %d keep alive %d", p.Version, quote(p.ClientID), bit(p.CleanStart), p.KeepAlive)
	if p.HasUsername {
		s += " user " + quote(p.Username)
	}
	if p.HasWill {
		s += fmt.Sprintf(" will q%d r%d %s %d bytes", p.Will.QoS, bit(p.Will.Retain), quote(p.Will.Topic), len(p.Will.Payload))
	}
	return s
}

func (p *Publish) describe() string {
	s := fmt.Sprintf("d%d q%d r%d", bit(p.Dup), p.QoS, bit(p.Retain))
	if p.QoS > 0 {
		s += fmt.Sprintf(" m%d", p.PacketID)
	}
	s += " " + quote(p.Topic)
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
		fmt.Fprintf(&b, " %s q%d", quote(s.Filter), s.QoS)
	}
	return b.String()
}

// quote gives a name as it is, but for what would break the line.
func quote(b []byte) string {
	q := strconv.Quote(string(b[:min(len(b), 200)]))
	return "'" + strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`) + "'"
}

func quoteAll(list [][]byte) string {
	var b strings.Builder
	for i, f := range list {
		if i == describeMost {
			fmt.Fprintf(&b, " and %d more", len(list)-i)
			break
		}
		b.WriteString(" " + quote(f))
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
