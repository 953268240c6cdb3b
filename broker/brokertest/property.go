package brokertest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"headgate/broker/packet"
)

// propertyField is a property of MQTT 5.0 in a script's notation.
type propertyField struct {
	name string
	id   packet.PropertyID
	kind kind
	at   func(*packet.Properties) any // its field
}

// propertyFields are all of them but user properties and subscription
// identifiers, in the order of their identifiers.
var propertyFields = []propertyField{
	{"payload-format", packet.PropPayloadFormat, asNumber, func(p *packet.Properties) any { return &p.PayloadFormat }},
	{"expiry", packet.PropMessageExpiry, asNumber, func(p *packet.Properties) any { return &p.MessageExpiry }},
	{"content-type", packet.PropContentType, asText, func(p *packet.Properties) any { return &p.ContentType }},
	{"response-topic", packet.PropResponseTopic, asText, func(p *packet.Properties) any { return &p.ResponseTopic }},
	{"correlation-data", packet.PropCorrelationData, asText, func(p *packet.Properties) any { return &p.CorrelationData }},
	{"session-expiry", packet.PropSessionExpiry, asNumber, func(p *packet.Properties) any { return &p.SessionExpiry }},
	{"assigned-client-id", packet.PropAssignedClientID, asText, func(p *packet.Properties) any { return &p.AssignedClientID }},
	{"server-keep-alive", packet.PropServerKeepAlive, asNumber, func(p *packet.Properties) any { return &p.ServerKeepAlive }},
	{"auth-method", packet.PropAuthMethod, asText, func(p *packet.Properties) any { return &p.AuthMethod }},
	{"auth-data", packet.PropAuthData, asText, func(p *packet.Properties) any { return &p.AuthData }},
	{"request-problem-information", packet.PropRequestProblemInfo, asNumber, func(p *packet.Properties) any { return &p.RequestProblemInfo }},
	{"delay", packet.PropWillDelay, asNumber, func(p *packet.Properties) any { return &p.WillDelay }},
	{"request-response-information", packet.PropRequestResponseInfo, asNumber, func(p *packet.Properties) any { return &p.RequestResponseInfo }},
	{"response-information", packet.PropResponseInfo, asText, func(p *packet.Properties) any { return &p.ResponseInfo }},
	{"server-reference", packet.PropServerReference, asText, func(p *packet.Properties) any { return &p.ServerReference }},
	{"reason-string", packet.PropReasonString, asText, func(p *packet.Properties) any { return &p.ReasonString }},
	{"receive-maximum", packet.PropReceiveMaximum, asNumber, func(p *packet.Properties) any { return &p.ReceiveMaximum }},
	{"topic-alias-maximum", packet.PropTopicAliasMaximum, asNumber, func(p *packet.Properties) any { return &p.TopicAliasMaximum }},
	{"topic-alias", packet.PropTopicAlias, asNumber, func(p *packet.Properties) any { return &p.TopicAlias }},
	{"maximum-qos", packet.PropMaximumQoS, asNumber, func(p *packet.Properties) any { return &p.MaximumQoS }},
	{"retain-available", packet.PropRetainAvailable, asNumber, func(p *packet.Properties) any { return &p.RetainAvailable }},
	{"maximum-packet-size", packet.PropMaximumPacketSize, asNumber, func(p *packet.Properties) any { return &p.MaximumPacketSize }},
	{"wildcard-subscription-available", packet.PropWildcardSubAvailable, asNumber, func(p *packet.Properties) any { return &p.WildcardSubAvailable }},
	{"subscription-ids-available", packet.PropSubIDAvailable, asNumber, func(p *packet.Properties) any { return &p.SubIDAvailable }},
	{"shared-subscription-available", packet.PropSharedSubAvailable, asNumber, func(p *packet.Properties) any { return &p.SharedSubAvailable }},
	{"subscription-id", packet.PropSubscriptionID, asNumbers, nil},
	{"user", packet.PropUser, asPair, nil},
}

func propertyNamed(name string) *propertyField {
	i := slices.IndexFunc(propertyFields, func(f propertyField) bool { return f.name == name })
	if i < 0 {
		return nil
	}
	return &propertyFields[i]
}

// setProperty sets a property from its text.
func setProperty(p *packet.Properties, f *propertyField, value string) error {
	switch f.kind {
	case asPair:
		key, v, _ := strings.Cut(value, pairSeparator)
		p.User = append(p.User, packet.UserProperty{Key: []byte(key), Value: []byte(v)})
		return nil
	case asNumbers:
		for part := range strings.SplitSeq(value, ",") {
			n, err := strconv.ParseUint(part, 10, 32)
			if err != nil {
				return err
			}
			p.SubscriptionIDs = append(p.SubscriptionIDs, uint32(n))
		}
		return nil
	}
	p.Set(f.id)
	if at, ok := f.at(p).(*[]byte); ok {
		*at = []byte(value)
		return nil
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return err
	}
	switch at := f.at(p).(type) {
	case *byte:
		*at = byte(n)
	case *uint16:
		*at = uint16(n)
	case *uint32:
		*at = uint32(n)
	}
	return nil
}

// addProperties adds the properties that are there.
func (f *fields) addProperties(p *packet.Properties) {
	for i := range propertyFields {
		pf := &propertyFields[i]
		if !p.Has(pf.id) {
			continue
		}
		switch pf.kind {
		case asPair:
			for _, u := range p.User {
				f.add(pf.name, string(u.Key)+pairSeparator+string(u.Value))
			}
		case asNumbers:
			var list []string
			for _, id := range p.SubscriptionIDs {
				list = append(list, strconv.Itoa(int(id)))
			}
			slices.Sort(list)
			f.add(pf.name, strings.Join(list, ","))
		case asText:
			f.add(pf.name, string(*pf.at(p).(*[]byte)))
		default:
			switch at := pf.at(p).(type) {
			case *byte:
				f.add(pf.name, fmt.Sprint(*at))
			case *uint16:
				f.add(pf.name, fmt.Sprint(*at))
			case *uint32:
				f.add(pf.name, fmt.Sprint(*at))
			}
		}
	}
}
