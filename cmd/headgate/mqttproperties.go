package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"headgate/broker/packet"
	"headgate/cmd/headgate/config"
)

const userProperty = "user-property"

// willPacket stands for the will in -D.
const willPacket packet.Type = 0

// propertyPackets are the packets of which -D can say something, and what. Of
// those with nothing mosquitto knows the name and never sends a property.
var propertyPackets = []struct {
	name string
	kind packet.Type
	may  []packet.PropertyID
}{
	{"connect", packet.CONNECT, []packet.PropertyID{packet.PropAuthMethod, packet.PropAuthData, packet.PropMaximumPacketSize,
		packet.PropReceiveMaximum, packet.PropRequestProblemInfo, packet.PropRequestResponseInfo, packet.PropSessionExpiry,
		packet.PropTopicAliasMaximum, packet.PropUser}},
	{"publish", packet.PUBLISH, []packet.PropertyID{packet.PropContentType, packet.PropCorrelationData, packet.PropMessageExpiry,
		packet.PropPayloadFormat, packet.PropResponseTopic, packet.PropTopicAlias, packet.PropUser}},
	{"subscribe", packet.SUBSCRIBE, []packet.PropertyID{packet.PropSubscriptionID, packet.PropUser}},
	{"unsubscribe", packet.UNSUBSCRIBE, []packet.PropertyID{packet.PropUser}},
	{"disconnect", packet.DISCONNECT, []packet.PropertyID{packet.PropSessionExpiry, packet.PropUser}},
	{"will", willPacket, []packet.PropertyID{packet.PropContentType, packet.PropCorrelationData, packet.PropMessageExpiry,
		packet.PropPayloadFormat, packet.PropResponseTopic, packet.PropWillDelay, packet.PropUser}},
}

// propertyName gives a property's name with hyphens, as mosquitto has it.
func propertyName(id packet.PropertyID) string { return strings.ReplaceAll(id.String(), " ", "-") }

// setProperty is -D PACKET NAME VALUE.
func (o *mqttOptions) setProperty(a []string) error {
	var packets []string
	for _, p := range propertyPackets {
		packets = append(packets, p.name)
		if !strings.EqualFold(p.name, a[0]) {
			continue
		}
		var names []string
		for _, id := range p.may {
			names = append(names, propertyName(id))
		}
		i := slices.Index(names, strings.ToLower(a[1]))
		if i < 0 {
			return unknownWord(fmt.Sprintf("%s has no property %s", p.name, a[1]), a[1], names)
		}
		o.hasProperties = true
		return setPropertyOf(o.propertyBlock(p.kind), p.may[i], a[2:])
	}
	return unknownWord(fmt.Sprintf("no packet %q has properties", a[0]), a[0], packets)
}

// unknownWord suggests the nearest of the known, or lists them.
func unknownWord(what, word string, known []string) error {
	if near := config.Nearest(word, known); near != "" {
		return fmt.Errorf("%s, did you mean %s?", what, near)
	}
	return fmt.Errorf("%s; there are %s", what, strings.Join(known, ", "))
}

func (o *mqttOptions) propertyBlock(t packet.Type) *packet.Properties {
	if t == willPacket {
		return &o.willProperties
	}
	if o.properties[t] == nil {
		o.properties[t] = &packet.Properties{}
	}
	return o.properties[t]
}

// setPropertyOf sets one property from its words.
func setPropertyOf(p *packet.Properties, id packet.PropertyID, words []string) error {
	value := words[0]
	for _, w := range words {
		if len(w) > maxField {
			return fmt.Errorf("%d bytes are too many: %d at most", len(w), maxField)
		}
	}
	if id == packet.PropUser {
		p.User = append(p.User, packet.UserProperty{Key: []byte(words[0]), Value: []byte(words[1])})
		return nil
	}
	if p.Has(id) {
		return fmt.Errorf("%s may stand once", propertyName(id))
	}
	if err := parseProperty(p, id, value); err != nil {
		return err
	}
	p.Set(id)
	return nil
}

func parseProperty(p *packet.Properties, id packet.PropertyID, value string) (err error) {
	switch id {
	case packet.PropContentType:
		p.ContentType = []byte(value)
	case packet.PropResponseTopic:
		p.ResponseTopic = []byte(value)
	case packet.PropCorrelationData:
		p.CorrelationData = []byte(value)
	case packet.PropAuthMethod:
		p.AuthMethod = []byte(value)
	case packet.PropAuthData:
		p.AuthData = []byte(value)
	case packet.PropMessageExpiry:
		p.MessageExpiry, err = propertyNumber[uint32](value, 0, 1<<32-1)
	case packet.PropSessionExpiry:
		p.SessionExpiry, err = propertyNumber[uint32](value, 0, 1<<32-1)
	case packet.PropWillDelay:
		p.WillDelay, err = propertyNumber[uint32](value, 0, 1<<32-1)
	case packet.PropMaximumPacketSize:
		p.MaximumPacketSize, err = propertyNumber[uint32](value, 1, 1<<32-1)
	case packet.PropReceiveMaximum:
		p.ReceiveMaximum, err = propertyNumber[uint16](value, 1, 65535)
	case packet.PropTopicAliasMaximum:
		p.TopicAliasMaximum, err = propertyNumber[uint16](value, 0, 65535)
	case packet.PropTopicAlias:
		p.TopicAlias, err = propertyNumber[uint16](value, 1, 65535)
	case packet.PropPayloadFormat:
		p.PayloadFormat, err = propertyNumber[byte](value, 0, 1)
	case packet.PropRequestProblemInfo:
		p.RequestProblemInfo, err = propertyNumber[byte](value, 0, 1)
	case packet.PropRequestResponseInfo:
		p.RequestResponseInfo, err = propertyNumber[byte](value, 0, 1)
	case packet.PropSubscriptionID:
		var n uint32
		if n, err = propertyNumber[uint32](value, 1, packet.MaxRemaining); err == nil {
			p.SubscriptionIDs = []uint32{n}
		}
	default:
		return fmt.Errorf("%v cannot be set", id)
	}
	return err
}

func propertyNumber[T byte | uint16 | uint32](s string, least, most uint64) (T, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("must be a number from %d to %d", least, most)
	}
	return T(n), nil
}
