package packet_test

import (
	"strings"
	"testing"

	"headgate/broker/packet"
)

// 3.1 leaves open what later versions forbid.
func TestMQTT31IsTakenAsItsClientsSendIt(t *testing.T) {
	for _, c := range []struct {
		what string
		b    []byte
		want any
	}{
		{"a user name and password that are announced but not there", frame(0x10, wire(`"MQIsdp" 03 c2 0000 "c"`)),
			&packet.Connect{Version: packet.V31, CleanStart: true, ClientID: []byte("c")}},
		{"a password that is announced but not there", frame(0x10, wire(`"MQIsdp" 03 c2 0000 "c" "u"`)),
			&packet.Connect{Version: packet.V31, CleanStart: true, ClientID: []byte("c"), HasUsername: true, Username: []byte("u")}},
		{"an empty user name that is there", frame(0x10, wire(`"MQIsdp" 03 c2 0000 "c" ""`)),
			&packet.Connect{Version: packet.V31, CleanStart: true, ClientID: []byte("c"), HasUsername: true}},
		{"will QoS and retain without a will", frame(0x10, wire(`"MQIsdp" 03 3a 0000 "c"`)),
			&packet.Connect{Version: packet.V31, CleanStart: true, ClientID: []byte("c")}},
		{"the flag that is not used", frame(0x10, wire(`"MQIsdp" 03 03 0000 "c"`)),
			&packet.Connect{Version: packet.V31, CleanStart: true, ClientID: []byte("c")}},
		{"the byte of a CONNACK that is not used", wire("20 02 ff 02"), &packet.Connack{Reason: packet.ConnectIdentifierRejected}},
		{"PUBREL sent again", wire("6a 02 0001"), &packet.Ack{Type: packet.PUBREL, PacketID: 1}},
		{"SUBSCRIBE sent again", frame(0x8a, wire(`0001 "f" 01`)),
			&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("f"), QoS: 1}}}},
		{"SUBSCRIBE with bits that are not used", frame(0x82, wire(`0001 "f" fe`)),
			&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("f"), QoS: 2}}}},
		{"UNSUBSCRIBE sent again", frame(0xaa, wire(`0001 "f"`)), &packet.Unsubscribe{PacketID: 1, Filters: [][]byte{[]byte("f")}}},
	} {
		got, err := decode(packet.V31, c.b)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if d := diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.what, d)
		}
		if c.b[0]>>4 == byte(packet.CONNACK) || c.b[0]>>4 == byte(packet.CONNECT) {
			continue // its version does not follow from the connection
		}
		_, err = decode(packet.V311, c.b)
		clause := "MQTT3-2.2.2-2"
		if strings.Contains(c.what, "bits") {
			clause = "MQTT3-3.8.3-4"
		}
		wantFault(t, err, packet.MalformedPacket, clause, "%s in 3.1.1", c.what)
	}
}

// In 3.x there are no properties, no reason codes and no subscription options.
func TestWhatOnly50HasIsNotSentToOthers(t *testing.T) {
	reason := properties(packet.Properties{ReasonString: []byte("why"), User: []packet.UserProperty{{}}}, packet.PropReasonString)
	for _, v := range []packet.Version{packet.V31, packet.V311} {
		for _, c := range []struct {
			p    any
			want string
		}{
			{&packet.Connack{Properties: reason}, "20 02 00 00"},
			{&packet.Publish{Topic: []byte("t"), Properties: reason}, `30 03 "t"`},
			{&packet.Ack{Type: packet.PUBREL, PacketID: 1, Reason: packet.PacketIdentifierNotFound, Properties: reason}, "62 02 0001"},
			{&packet.Subscribe{PacketID: 1, Properties: reason, Subscriptions: []packet.Subscription{
				{Filter: []byte("f"), QoS: 1, NoLocal: true, RetainAsPublished: true, RetainHandling: 2}}}, `82 06 0001 "f" 01`},
			{&packet.Suback{PacketID: 1, Properties: reason, Reasons: []packet.ReasonCode{1}}, "90 03 0001 01"},
			{&packet.Unsubscribe{PacketID: 1, Properties: reason, Filters: [][]byte{[]byte("f")}}, `a2 05 0001 "f"`},
			{&packet.Unsuback{PacketID: 1, Properties: reason, Reasons: []packet.ReasonCode{0}}, "b0 02 0001"},
			{&packet.Disconnect{Reason: packet.ServerBusy, Properties: reason}, "e0 00"},
		} {
			if got, want := string(encode(nil, v, c.p)), string(wire(c.want)); got != want {
				t.Errorf("MQTT %v: %T is % x, want % x", v, c.p, got, want)
			}
		}
	}
	if got := (&packet.Connack{SessionPresent: true}).Append(nil, packet.V31); string(got) != string(wire("20 02 00 00")) {
		t.Errorf("CONNACK of 3.1 with a session is % x: 3.1 has no such flag", got)
	}
}

func TestReturnCodesOf311(t *testing.T) {
	want := map[packet.ReasonCode]packet.ReasonCode{
		packet.UnsupportedProtocolVersion: packet.ConnectUnacceptableVersion,
		packet.ClientIdentifierNotValid:   packet.ConnectIdentifierRejected,
		packet.ServerUnavailable:          packet.ConnectServerUnavailable,
		packet.ServerBusy:                 packet.ConnectServerUnavailable,
		packet.ServerShuttingDown:         packet.ConnectServerUnavailable,
		packet.UseAnotherServer:           packet.ConnectServerUnavailable,
		packet.ServerMoved:                packet.ConnectServerUnavailable,
		packet.ConnectionRateExceeded:     packet.ConnectServerUnavailable,
		packet.QuotaExceeded:              packet.ConnectServerUnavailable,
		packet.BadUserNameOrPassword:      packet.ConnectBadUserNamePassword,
		packet.BadAuthenticationMethod:    packet.ConnectBadUserNamePassword,
		packet.NotAuthorized:              packet.ConnectNotAuthorized,
		packet.Banned:                     packet.ConnectNotAuthorized,
	}
	for r := range 256 {
		r := packet.ReasonCode(r)
		if got := r.V3(); got != want[r] { // the rest: closed without a CONNACK [MQTT3-3.2.2-6]
			t.Errorf("%v: return code %d, want %d", r, got, want[r])
		}
	}
}

// The tables of the sections on each packet, and 2.4's for 0x8C in DISCONNECT.
func TestEachPacketTakesItsReasonCodesOnly(t *testing.T) {
	for _, c := range []struct {
		what  string
		codes string
		b     func(r byte) []byte
	}{
		{"CONNACK", "00 80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f", func(r byte) []byte { return []byte{0x20, 3, 0, r, 0} }},
		{"PUBACK", "00 10 80 83 87 90 91 97 99", func(r byte) []byte { return []byte{0x40, 3, 0, 1, r} }},
		{"PUBREC", "00 10 80 83 87 90 91 97 99", func(r byte) []byte { return []byte{0x50, 3, 0, 1, r} }},
		{"PUBREL", "00 92", func(r byte) []byte { return []byte{0x62, 3, 0, 1, r} }},
		{"PUBCOMP", "00 92", func(r byte) []byte { return []byte{0x70, 3, 0, 1, r} }},
		{"SUBACK", "00 01 02 80 83 87 8f 91 97 9e a1 a2", func(r byte) []byte { return []byte{0x90, 4, 0, 1, 0, r} }},
		{"UNSUBACK", "00 11 80 83 87 8f 91", func(r byte) []byte { return []byte{0xb0, 4, 0, 1, 0, r} }},
		{"DISCONNECT", "00 04 80 81 82 83 87 89 8b 8c 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2",
			func(r byte) []byte { return []byte{0xe0, 1, r} }},
		{"AUTH", "00 18 19", func(r byte) []byte { return frame(0xf0, append([]byte{r}, wire(`04 15 "m"`)...)) }},
	} {
		allowed := string(wire(c.codes))
		for r := range 256 {
			_, err := decode(packet.V5, c.b(byte(r)))
			if want := strings.IndexByte(allowed, byte(r)) >= 0; (err == nil) != want {
				t.Errorf("%s with 0x%02x: %v", c.what, r, err)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{packet.V31.String() + " " + packet.V311.String() + " " + packet.V5.String(), "3.1 3.1.1 5.0"},
		{packet.CONNECT.String() + " " + packet.AUTH.String(), "CONNECT AUTH"},
		{packet.PacketIdentifierNotFound.String(), "packet identifier not found"},
		{packet.ReasonCode(0x7f).String(), "reason code 0x7f"},
		{packet.ReasonCode(0xff).String(), "reason code 0xff"},
		{packet.PropReceiveMaximum.String() + ", " + packet.PropertyID(0x7f).String(), "receive maximum, property 0x7f"},
		{(&packet.Error{Text: "PUBLISH: QoS 3", Clause: "MQTT-3.3.1-4"}).Error(), "PUBLISH: QoS 3 [MQTT-3.3.1-4]"},
		{(&packet.Error{Text: "PUBLISH: topic name is cut off"}).Error(), "PUBLISH: topic name is cut off"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	for r := range 256 {
		if r := packet.ReasonCode(r); r.Failed() != (r >= 0x80) {
			t.Errorf("%v: Failed is %v", r, r.Failed())
		}
	}
}
