package packet_test

import (
	"bytes"
	"testing"

	"headgate/broker/packet"
)

// The examples of the specification's figures, and each packet as small as it
// can be. Each is decoded, and what it means is encoded to the same bytes.
func TestBytesOfTheSpecification(t *testing.T) {
	const v31, v311, v5 = packet.V31, packet.V311, packet.V5
	name := []byte("a/b")
	for _, c := range []struct {
		what string
		v    packet.Version
		b    []byte
		want any
	}{
		{"CONNECT of 3.1, non-normative", v31, frame(0x10, wire(`"MQIsdp" 03 02 000a "c"`)),
			&packet.Connect{Version: v31, CleanStart: true, KeepAlive: 10, ClientID: []byte("c")}},
		{"CONNECT, 3.1.1 figure 3.6", v311, frame(0x10, wire(`"MQTT" 04 ce 000a "c" "a/b" "gone" "u" "p"`)),
			&packet.Connect{Version: v311, CleanStart: true, KeepAlive: 10, ClientID: []byte("c"),
				HasWill: true, Will: packet.Will{QoS: 1, Topic: name, Payload: []byte("gone")},
				HasUsername: true, Username: []byte("u"), HasPassword: true, Password: []byte("p")}},
		{"CONNECT, figure 3-6", v5, frame(0x10, wire(`"MQTT" 05 ce 000a 05 11 0000000a "" 00 "a/b" "" "u" "p"`)),
			&packet.Connect{Version: v5, CleanStart: true, KeepAlive: 10,
				HasWill: true, Will: packet.Will{QoS: 1, Topic: name},
				HasUsername: true, Username: []byte("u"), HasPassword: true, Password: []byte("p"),
				Properties: properties(packet.Properties{SessionExpiry: 10}, packet.PropSessionExpiry)}},
		{"CONNECT with a password only", v5, frame(0x10, wire(`"MQTT" 05 40 0000 00 "c" "p"`)),
			&packet.Connect{Version: v5, ClientID: []byte("c"), HasPassword: true, Password: []byte("p")}},
		{"CONNECT of a mosquitto bridge", v311, frame(0x10, wire(`"MQTT" 84 00 003c "b"`)),
			&packet.Connect{Version: v311, Bridge: true, KeepAlive: 60, ClientID: []byte("b")}},
		{"CONNACK of 3.1.1", v311, wire("20 02 01 00"), &packet.Connack{SessionPresent: true}},
		{"CONNACK with a return code", v311, wire("20 02 00 05"), &packet.Connack{Reason: packet.ConnectNotAuthorized}},
		{"CONNACK of 5.0", v5, wire("20 03 01 00 00"), &packet.Connack{SessionPresent: true}},
		{"PUBLISH, 3.1.1 figure 3.11", v311, frame(0x32, wire(`"a/b" 000a`)), &packet.Publish{QoS: 1, Topic: name, PacketID: 10}},
		{"PUBLISH, figure 3-9", v5, frame(0x32, wire(`"a/b" 000a 00`)), &packet.Publish{QoS: 1, Topic: name, PacketID: 10}},
		{"PUBLISH with everything", v5, frame(0x3d, wire(`"a/b" 0001 03 23 0005 'hello'`)),
			&packet.Publish{Dup: true, QoS: 2, Retain: true, Topic: name, PacketID: 1, Payload: []byte("hello"),
				Properties: properties(packet.Properties{TopicAlias: 5}, packet.PropTopicAlias)}},
		{"PUBLISH of an alias alone", v5, frame(0x30, wire(`"" 03 23 ffff`)),
			&packet.Publish{Properties: properties(packet.Properties{TopicAlias: 65535}, packet.PropTopicAlias)}},
		{"PUBLISH with U+FEFF, which stays [MQTT-1.5.4-3]", v5, frame(0x30, wire(`0006 efbbbf 'a/b' 00`)),
			&packet.Publish{Topic: []byte("\ufeffa/b")}},
		{"PUBLISH with figure 1-2's string", v5, frame(0x30, wire(`0005 41 f0aa9b94 00`)), &packet.Publish{Topic: []byte("A\U0002a6d4")}},
		{"PUBACK", v311, wire("40 02 000a"), &packet.Ack{Type: packet.PUBACK, PacketID: 10}},
		{"PUBACK without a reason code", v5, wire("40 02 000a"), &packet.Ack{Type: packet.PUBACK, PacketID: 10}},
		{"PUBREC without properties", v5, wire("50 03 000a 97"), &packet.Ack{Type: packet.PUBREC, PacketID: 10, Reason: packet.QuotaExceeded}},
		{"PUBREL", v5, wire("62 02 ffff"), &packet.Ack{Type: packet.PUBREL, PacketID: 65535}},
		{"PUBCOMP", v5, frame(0x70, wire(`0001 92 04 1f "x"`)), &packet.Ack{Type: packet.PUBCOMP, PacketID: 1, Reason: packet.PacketIdentifierNotFound,
			Properties: properties(packet.Properties{ReasonString: []byte("x")}, packet.PropReasonString)}},
		{"SUBSCRIBE, 3.1.1 figure 3.23", v311, frame(0x82, wire(`000a "a/b" 01 "c/d" 02`)),
			&packet.Subscribe{PacketID: 10, Subscriptions: []packet.Subscription{{Filter: name, QoS: 1}, {Filter: []byte("c/d"), QoS: 2}}}},
		{"SUBSCRIBE, figure 3-21", v5, frame(0x82, wire(`000a 00 "a/b" 01 "c/d" 2e`)),
			&packet.Subscribe{PacketID: 10, Subscriptions: []packet.Subscription{{Filter: name, QoS: 1},
				{Filter: []byte("c/d"), QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2}}}},
		{"SUBACK, 3.1.1 figure 3.26", v311, wire("90 05 000a 00 02 80"),
			&packet.Suback{PacketID: 10, Reasons: []packet.ReasonCode{0, 2, packet.SubscribeFailure}}},
		{"SUBACK of 5.0", v5, wire("90 05 000a 00 01 a2"),
			&packet.Suback{PacketID: 10, Reasons: []packet.ReasonCode{1, packet.WildcardSubscriptionsNotSupported}}},
		{"UNSUBSCRIBE, 3.1.1 figure 3.29", v311, frame(0xa2, wire(`000a "a/b" "c/d"`)),
			&packet.Unsubscribe{PacketID: 10, Filters: [][]byte{name, []byte("c/d")}}},
		{"UNSUBSCRIBE, figure 3-28", v5, frame(0xa2, wire(`000a 00 "a/b" "c/d"`)),
			&packet.Unsubscribe{PacketID: 10, Filters: [][]byte{name, []byte("c/d")}}},
		{"UNSUBACK of 3.1", v31, wire("b0 02 000a"), &packet.Unsuback{PacketID: 10}},
		{"UNSUBACK of 5.0", v5, wire("b0 05 000a 00 00 11"),
			&packet.Unsuback{PacketID: 10, Reasons: []packet.ReasonCode{packet.Success, packet.NoSubscriptionExisted}}},
		{"PINGREQ", v311, wire("c0 00"), ping(packet.PINGREQ)},
		{"PINGRESP", v5, wire("d0 00"), ping(packet.PINGRESP)},
		{"DISCONNECT", v311, wire("e0 00"), &packet.Disconnect{}},
		{"DISCONNECT without a reason code", v5, wire("e0 00"), &packet.Disconnect{}},
		{"DISCONNECT with the will", v5, wire("e0 01 04"), &packet.Disconnect{Reason: packet.DisconnectWithWillMessage}},
		{"DISCONNECT, figure 3-24", v5, wire("e0 07 00 05 11 00000000"),
			&packet.Disconnect{Properties: properties(packet.Properties{}, packet.PropSessionExpiry)}},
		{"DISCONNECT after a failed re-authentication", v5, wire("e0 01 8c"), &packet.Disconnect{Reason: packet.BadAuthenticationMethod}},
		{"AUTH without anything", v5, wire("f0 00"), &packet.Auth{}},
		{"AUTH", v5, frame(0xf0, wire(`18 05 15 "GS"`)), &packet.Auth{Reason: packet.ContinueAuthentication,
			Properties: properties(packet.Properties{AuthMethod: []byte("GS")}, packet.PropAuthMethod)}},
	} {
		t.Run(c.what, func(t *testing.T) {
			if d := diff(c.want, mustDecode(t, c.v, c.b)); d != "" {
				t.Errorf("decoded (-want +got):\n%s", d)
			}
			if b := encode([]byte("before"), c.v, c.want); !bytes.Equal(b, append([]byte("before"), c.b...)) {
				t.Errorf("encoded\n% x, want after the text before it\n% x", b, c.b)
			}
		})
	}
}
