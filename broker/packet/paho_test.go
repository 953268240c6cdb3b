package packet_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/eclipse/paho.golang/packets"

	"headgate/broker/packet"
)

// Another codec of 5.0 must find in our bytes what we mean. Its known
// differences, which asPahoSees evens out or FuzzAgainstPaho leaves out:
//   - it wants a reason code in a DISCONNECT, which may be left out [MQTT 3.14.2.1]
//   - of several subscription identifiers it keeps the last
//   - it does not tell an empty string or binary property from none
//   - it checks hardly anything: that it takes what we refuse is not compared
func asPahoSees(p any) any {
	switch p := p.(type) {
	case *packet.Connect:
		dropEmpty(&p.Properties)
		dropEmpty(&p.Will.Properties)
		return p
	case ping:
		return p
	}
	dropEmpty(propertiesOf("", p))
	return p
}

func dropEmpty(p *packet.Properties) {
	for id := range meaning(*p) {
		if b, ok := value(p, id).([]byte); ok && len(b) == 0 {
			p.Unset(id)
		}
	}
	if n := len(p.SubscriptionIDs); n > 1 {
		p.SubscriptionIDs = p.SubscriptionIDs[n-1:]
	}
}

// fromPaho gives a packet of paho's as ours.
func fromPaho(cp *packets.ControlPacket) any {
	switch p := cp.Content.(type) {
	case *packets.Connect:
		return &packet.Connect{Version: packet.Version(p.ProtocolVersion), CleanStart: p.CleanStart, KeepAlive: p.KeepAlive,
			ClientID: []byte(p.ClientID), HasUsername: p.UsernameFlag, Username: []byte(p.Username), HasPassword: p.PasswordFlag,
			Password: p.Password, Properties: fromPahoProperties(p.Properties), HasWill: p.WillFlag,
			Will: packet.Will{QoS: p.WillQOS, Retain: p.WillRetain, Topic: []byte(p.WillTopic), Payload: p.WillMessage,
				Properties: fromPahoProperties(p.WillProperties)}}
	case *packets.Connack:
		return &packet.Connack{SessionPresent: p.SessionPresent, Reason: packet.ReasonCode(p.ReasonCode), Properties: fromPahoProperties(p.Properties)}
	case *packets.Publish:
		return &packet.Publish{Dup: p.Duplicate, QoS: p.QoS, Retain: p.Retain, Topic: []byte(p.Topic), PacketID: p.PacketID,
			Properties: fromPahoProperties(p.Properties), Payload: p.Payload}
	case *packets.Puback:
		return ackFromPaho(packet.PUBACK, p.PacketID, p.ReasonCode, p.Properties)
	case *packets.Pubrec:
		return ackFromPaho(packet.PUBREC, p.PacketID, p.ReasonCode, p.Properties)
	case *packets.Pubrel:
		return ackFromPaho(packet.PUBREL, p.PacketID, p.ReasonCode, p.Properties)
	case *packets.Pubcomp:
		return ackFromPaho(packet.PUBCOMP, p.PacketID, p.ReasonCode, p.Properties)
	case *packets.Subscribe:
		s := &packet.Subscribe{PacketID: p.PacketID, Properties: fromPahoProperties(p.Properties)}
		for _, o := range p.Subscriptions {
			s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: []byte(o.Topic), QoS: o.QoS, NoLocal: o.NoLocal,
				RetainAsPublished: o.RetainAsPublished, RetainHandling: o.RetainHandling})
		}
		return s
	case *packets.Suback:
		return &packet.Suback{PacketID: p.PacketID, Properties: fromPahoProperties(p.Properties), Reasons: reasons(p.Reasons)}
	case *packets.Unsubscribe:
		u := &packet.Unsubscribe{PacketID: p.PacketID, Properties: fromPahoProperties(p.Properties)}
		for _, f := range p.Topics {
			u.Filters = append(u.Filters, []byte(f))
		}
		return u
	case *packets.Unsuback:
		return &packet.Unsuback{PacketID: p.PacketID, Properties: fromPahoProperties(p.Properties), Reasons: reasons(p.Reasons)}
	case *packets.Disconnect:
		return &packet.Disconnect{Reason: packet.ReasonCode(p.ReasonCode), Properties: fromPahoProperties(p.Properties)}
	case *packets.Auth:
		return &packet.Auth{Reason: packet.ReasonCode(p.ReasonCode), Properties: fromPahoProperties(p.Properties)}
	}
	return ping(cp.Type)
}

func ackFromPaho(t packet.Type, id uint16, reason byte, p *packets.Properties) *packet.Ack {
	return &packet.Ack{Type: t, PacketID: id, Reason: packet.ReasonCode(reason), Properties: fromPahoProperties(p)}
}

func reasons(b []byte) (rs []packet.ReasonCode) {
	for _, r := range b {
		rs = append(rs, packet.ReasonCode(r))
	}
	return rs
}

func fromPahoProperties(p *packets.Properties) (q packet.Properties) {
	if p == nil {
		return q
	}
	take(&q, packet.PropPayloadFormat, &q.PayloadFormat, p.PayloadFormat)
	take(&q, packet.PropMessageExpiry, &q.MessageExpiry, p.MessageExpiry)
	take(&q, packet.PropSessionExpiry, &q.SessionExpiry, p.SessionExpiryInterval)
	take(&q, packet.PropServerKeepAlive, &q.ServerKeepAlive, p.ServerKeepAlive)
	take(&q, packet.PropRequestProblemInfo, &q.RequestProblemInfo, p.RequestProblemInfo)
	take(&q, packet.PropWillDelay, &q.WillDelay, p.WillDelayInterval)
	take(&q, packet.PropRequestResponseInfo, &q.RequestResponseInfo, p.RequestResponseInfo)
	take(&q, packet.PropReceiveMaximum, &q.ReceiveMaximum, p.ReceiveMaximum)
	take(&q, packet.PropTopicAliasMaximum, &q.TopicAliasMaximum, p.TopicAliasMaximum)
	take(&q, packet.PropTopicAlias, &q.TopicAlias, p.TopicAlias)
	take(&q, packet.PropMaximumQoS, &q.MaximumQoS, p.MaximumQOS)
	take(&q, packet.PropRetainAvailable, &q.RetainAvailable, p.RetainAvailable)
	take(&q, packet.PropMaximumPacketSize, &q.MaximumPacketSize, p.MaximumPacketSize)
	take(&q, packet.PropWildcardSubAvailable, &q.WildcardSubAvailable, p.WildcardSubAvailable)
	take(&q, packet.PropSubIDAvailable, &q.SubIDAvailable, p.SubIDAvailable)
	take(&q, packet.PropSharedSubAvailable, &q.SharedSubAvailable, p.SharedSubAvailable)
	takeText(&q, packet.PropContentType, &q.ContentType, p.ContentType)
	takeText(&q, packet.PropResponseTopic, &q.ResponseTopic, p.ResponseTopic)
	takeText(&q, packet.PropCorrelationData, &q.CorrelationData, string(p.CorrelationData))
	takeText(&q, packet.PropAssignedClientID, &q.AssignedClientID, p.AssignedClientID)
	takeText(&q, packet.PropAuthMethod, &q.AuthMethod, p.AuthMethod)
	takeText(&q, packet.PropAuthData, &q.AuthData, string(p.AuthData))
	takeText(&q, packet.PropResponseInfo, &q.ResponseInfo, p.ResponseInfo)
	takeText(&q, packet.PropServerReference, &q.ServerReference, p.ServerReference)
	takeText(&q, packet.PropReasonString, &q.ReasonString, p.ReasonString)
	if p.SubscriptionIdentifier != nil {
		q.SubscriptionIDs = []uint32{uint32(*p.SubscriptionIdentifier)}
	}
	for _, u := range p.User {
		q.User = append(q.User, packet.UserProperty{Key: []byte(u.Key), Value: []byte(u.Value)})
	}
	return q
}

func take[T any](q *packet.Properties, id packet.PropertyID, field, v *T) {
	if v != nil {
		*field = *v
		q.Set(id)
	}
}

func takeText(q *packet.Properties, id packet.PropertyID, field *[]byte, v string) {
	if v != "" {
		*field = []byte(v)
		q.Set(id)
	}
}

// wantPaho wants paho to find p in b.
func wantPaho(t *testing.T, p any, b []byte) {
	t.Helper()
	cp, err := packets.ReadPacket(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("paho does not take % x: %v; it is %+v", b, err, p)
	}
	if d := diff(asPahoSees(p), fromPaho(cp)); d != "" {
		t.Errorf("% x (-ours +paho)\n%s", b, d)
	}
}

func TestPahoFindsWhatWeEncode(t *testing.T) {
	for _, c := range propertyCases {
		for host, around := range hosts {
			once := wire(c.wire)
			if needsMethod(host, c.id) {
				once = slices.Concat(wire(`15 "GS2"`), once)
			}
			if p, err := decode(packet.V5, around(block(once))); err == nil {
				wantPaho(t, p, encode(nil, packet.V5, p))
			}
		}
	}
	for _, p := range []any{
		&packet.Connect{Version: packet.V5, KeepAlive: 7, CleanStart: true, ClientID: []byte("c"), HasUsername: true, Username: []byte("u"),
			HasPassword: true, Password: []byte{0, 255}, HasWill: true, Will: packet.Will{QoS: 2, Retain: true, Topic: []byte("w"), Payload: []byte{0}}},
		&packet.Connack{SessionPresent: true},
		&packet.Publish{Dup: true, QoS: 2, Retain: true, Topic: []byte("t"), PacketID: 65535, Payload: bytes.Repeat([]byte("x"), 20_000)},
		&packet.Publish{Topic: []byte("t")},
		&packet.Ack{Type: packet.PUBACK, PacketID: 1},
		&packet.Ack{Type: packet.PUBREC, PacketID: 1, Reason: packet.NoMatchingSubscribers},
		&packet.Ack{Type: packet.PUBREL, PacketID: 1},
		&packet.Ack{Type: packet.PUBCOMP, PacketID: 1, Reason: packet.PacketIdentifierNotFound},
		&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("a/+/#"), QoS: 2, NoLocal: true, RetainHandling: 1},
			{Filter: []byte("$share/g/b"), QoS: 1, RetainAsPublished: true, RetainHandling: 2}}},
		&packet.Suback{PacketID: 1, Reasons: []packet.ReasonCode{packet.GrantedQoS2, packet.TopicFilterInvalid}},
		&packet.Unsubscribe{PacketID: 1, Filters: [][]byte{[]byte("a"), []byte("b")}},
		&packet.Unsuback{PacketID: 1, Reasons: []packet.ReasonCode{packet.Success, packet.NoSubscriptionExisted}},
		&packet.Disconnect{Reason: packet.SessionTakenOver},
		&packet.Auth{}, ping(packet.PINGREQ), ping(packet.PINGRESP),
	} {
		wantPaho(t, p, encode(nil, packet.V5, p))
	}
}

// FuzzAgainstPaho: what we take of 5.0, paho takes too, and finds the same in it.
func FuzzAgainstPaho(f *testing.F) {
	seeds(f, packet.V5)
	f.Fuzz(func(t *testing.T, _ byte, b []byte) {
		p, err := decode(packet.V5, b)
		if err != nil {
			return
		}
		if c, ok := p.(*packet.Connect); ok && c.Version != packet.V5 {
			return // paho has 5.0 only
		}
		if h, _ := packet.ParseHeader(b); h.Type == packet.DISCONNECT && h.Remaining == 0 {
			return
		}
		wantPaho(t, p, b)
	})
}
