package packet_test

import (
	"errors"
	"testing"

	"headgate/broker/packet"
)

// What is refused, why, and by which clause. The length is put in by the test.
func TestWhatIsMalformedIsRefusedWithReasonAndClause(t *testing.T) {
	const v31, v311, v5 = packet.V31, packet.V311, packet.V5
	const malformed, protocolError = packet.MalformedPacket, packet.ProtocolError
	for _, c := range []struct {
		what   string
		v      packet.Version
		first  byte
		body   string
		reason packet.ReasonCode
		clause string
	}{
		{"CONNECT without a body", v5, 0x10, ``, malformed, ""},
		{"CONNECT that ends after the name", v5, 0x10, `"MQTT"`, malformed, ""},
		{"CONNECT of another protocol", v5, 0x10, `"HTTP" 05 02 0000 00 "c"`, packet.UnsupportedProtocolVersion, "MQTT-3.1.2-1"},
		{"CONNECT in small letters", v5, 0x10, `"mqtt" 05 02 0000 00 "c"`, packet.UnsupportedProtocolVersion, "MQTT-3.1.2-1"},
		{"CONNECT of version 6", v5, 0x10, `"MQTT" 06 02 0000 00 "c"`, packet.UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
		{"CONNECT of version 3 by 3.1.1's name", v5, 0x10, `"MQTT" 03 02 0000 "c"`, packet.UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
		{"CONNECT of version 4 by 3.1's name", v5, 0x10, `"MQIsdp" 04 02 0000 "c"`, packet.UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
		{"CONNECT of 5.0 with the bridge bit", v5, 0x10, `"MQTT" 85 02 0000 00 "c"`, packet.UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
		{"CONNECT with the reserved flag", v5, 0x10, `"MQTT" 05 03 0000 00 "c"`, malformed, "MQTT-3.1.2-3"},
		{"CONNECT with the reserved flag", v311, 0x10, `"MQTT" 04 03 0000 "c"`, malformed, "MQTT3-3.1.2-3"},
		{"CONNECT with will QoS, no will", v5, 0x10, `"MQTT" 05 08 0000 00 "c"`, malformed, "MQTT-3.1.2-11"},
		{"CONNECT with will QoS, no will", v311, 0x10, `"MQTT" 04 08 0000 "c"`, malformed, "MQTT3-3.1.2-13"},
		{"CONNECT with will retain, no will", v5, 0x10, `"MQTT" 05 20 0000 00 "c"`, malformed, "MQTT-3.1.2-13"},
		{"CONNECT with will retain, no will", v311, 0x10, `"MQTT" 04 20 0000 "c"`, malformed, "MQTT3-3.1.2-15"},
		{"CONNECT with will QoS 3", v5, 0x10, `"MQTT" 05 1c 0000 00 "c" 00 "t" "w"`, malformed, "MQTT-3.1.2-12"},
		{"CONNECT with will QoS 3", v311, 0x10, `"MQTT" 04 1c 0000 "c" "t" "w"`, malformed, "MQTT3-3.1.2-14"},
		{"CONNECT with a password alone", v311, 0x10, `"MQTT" 04 42 0000 "c" "p"`, malformed, "MQTT3-3.1.2-22"},
		{"CONNECT with a password alone", v31, 0x10, `"MQIsdp" 03 42 0000 "c" "p"`, malformed, "MQTT3-3.1.2-22"},
		{"CONNECT without properties", v5, 0x10, `"MQTT" 05 02 0000`, malformed, "MQTT-2.2.2-1"},
		{"CONNECT without a client identifier", v5, 0x10, `"MQTT" 05 02 0000 00`, malformed, ""},
		{"CONNECT with a client identifier that is not UTF-8", v311, 0x10, `"MQTT" 04 02 0000 0001 ff`, malformed, "MQTT3-1.5.3-1"},
		{"CONNECT without the will it announces", v5, 0x10, `"MQTT" 05 06 0000 00 "c"`, malformed, "MQTT-2.2.2-1"},
		{"CONNECT with an empty will topic", v5, 0x10, `"MQTT" 05 06 0000 00 "c" 00 "" "w"`, packet.TopicNameInvalid, "MQTT-4.7.3-1"},
		{"CONNECT with a wildcard in the will topic", v5, 0x10, `"MQTT" 05 06 0000 00 "c" 00 "a/+" "w"`, packet.TopicNameInvalid, "MQTT-4.7.0-1"},
		{"CONNECT with a wildcard in the will topic", v311, 0x10, `"MQTT" 04 06 0000 "c" "#" "w"`, packet.TopicNameInvalid, "MQTT3-4.7.1-1"},
		{"CONNECT with U+0000 in the will topic", v5, 0x10, `"MQTT" 05 06 0000 00 "c" 00 0001 00 "w"`, malformed, "MQTT-1.5.4-2"},
		{"CONNECT without the user name it announces", v311, 0x10, `"MQTT" 04 82 0000 "c"`, malformed, ""},
		{"CONNECT without the password it announces", v5, 0x10, `"MQTT" 05 42 0000 00 "c"`, malformed, ""},
		{"CONNECT with a user name it does not announce", v5, 0x10, `"MQTT" 05 02 0000 00 "c" "u"`, malformed, ""},
		{"CONNECT with authentication data alone", v5, 0x10, `"MQTT" 05 02 0000 04 16 "x" "c"`, protocolError, "MQTT 3.1.2.11.10"},

		{"CONNACK with reserved flags", v5, 0x20, `02 00 00`, malformed, "MQTT-3.2.2-1"},
		{"CONNACK with reserved flags", v311, 0x20, `02 00`, malformed, "MQTT3 3.2.2.1"},
		{"CONNACK with a session and a refusal", v5, 0x20, `01 87 00`, protocolError, "MQTT-3.2.2-6"},
		{"CONNACK with a session and a refusal", v311, 0x20, `01 05`, protocolError, "MQTT3-3.2.2-4"},
		{"CONNACK with a return code of 3.1.1", v5, 0x20, `00 05 00`, malformed, "MQTT-3.2.2-8"},
		{"CONNACK with an unknown return code", v311, 0x20, `00 06`, malformed, "MQTT3 3.2.2.3"},
		{"CONNACK of 5.0 in the format of 3.1.1", v5, 0x20, `00 87`, malformed, "MQTT-2.2.2-1"},
		{"CONNACK of 3.1.1 in the format of 5.0", v311, 0x20, `00 00 00`, malformed, ""},

		{"PUBLISH of QoS 3", v5, 0x36, `"a" 0001 00`, malformed, "MQTT-3.3.1-4"},
		{"PUBLISH of QoS 3", v311, 0x36, `"a" 0001`, malformed, "MQTT3-3.3.1-4"},
		{"PUBLISH with DUP at QoS 0", v5, 0x38, `"a" 00`, malformed, "MQTT-3.3.1-2"},
		{"PUBLISH without a topic", v5, 0x30, ``, malformed, ""},
		{"PUBLISH with a topic longer than it", v5, 0x30, `0005 'a'`, malformed, ""},
		{"PUBLISH with an empty topic", v5, 0x30, `"" 00`, protocolError, "MQTT-4.7.3-1"},
		{"PUBLISH with an empty topic", v311, 0x30, `""`, protocolError, "MQTT3-4.7.3-1"},
		{"PUBLISH to a filter", v5, 0x30, `"a/+" 00`, packet.TopicNameInvalid, "MQTT-3.3.2-2"},
		{"PUBLISH to a filter", v31, 0x30, `"#"`, packet.TopicNameInvalid, "MQTT3-3.3.2-2"},
		{"PUBLISH to a surrogate", v5, 0x30, `0003 eda080 00`, malformed, "MQTT-1.5.4-1"},
		{"PUBLISH to an over-long encoding", v5, 0x30, `0002 c0af 00`, malformed, "MQTT-1.5.4-1"},
		{"PUBLISH to U+0000", v5, 0x30, `0003 'a' 00 'b' 00`, malformed, "MQTT-1.5.4-2"},
		{"PUBLISH to U+0000", v311, 0x30, `0003 'a' 00 'b'`, malformed, "MQTT3-1.5.3-2"},
		{"PUBLISH of packet identifier 0", v5, 0x32, `"a" 0000 00`, protocolError, "MQTT-2.2.1-3"},
		{"PUBLISH of packet identifier 0", v311, 0x34, `"a" 0000`, protocolError, "MQTT3-2.3.1-1"},
		{"PUBLISH without a packet identifier", v311, 0x32, `"a"`, malformed, ""},
		{"PUBLISH without properties", v5, 0x30, `"a"`, malformed, "MQTT-2.2.2-1"},
		{"PUBLISH with a property length in two bytes for one", v5, 0x30, `"a" 8000`, malformed, "MQTT-1.5.5-1"},
		{"PUBLISH with a property length in five bytes", v5, 0x30, `"a" 8080808001`, malformed, "MQTT-1.5.5-1"},
		{"PUBLISH with properties longer than it", v5, 0x30, `"a" 03 01 01`, malformed, ""},
		{"PUBLISH with property 0", v5, 0x30, `"a" 02 00 01`, malformed, "MQTT 2.2.2.2"},
		{"PUBLISH with property 0x7f", v5, 0x30, `"a" 02 7f 01`, malformed, "MQTT 2.2.2.2"},
		{"PUBLISH with a property of two bytes", v5, 0x30, `"a" 03 8100 01`, malformed, "MQTT 2.2.2.2"},
		{"PUBLISH with payload format 2", v5, 0x30, `"a" 02 01 02`, protocolError, "MQTT 3.3.2.3.2"},
		{"PUBLISH with topic alias 0", v5, 0x30, `"a" 03 23 0000`, packet.TopicAliasInvalid, "MQTT-3.3.2-8"},
		{"PUBLISH with an empty response topic", v5, 0x30, `"a" 03 08 ""`, protocolError, "MQTT-4.7.3-1"},
		{"PUBLISH with a wildcard in the response topic", v5, 0x30, `"a" 04 08 "#"`, protocolError, "MQTT-3.3.2-14"},
		{"PUBLISH with a content type that is not UTF-8", v5, 0x30, `"a" 04 03 0001 80`, malformed, "MQTT-1.5.4-1"},
		{"PUBLISH with U+0000 in the content type", v5, 0x30, `"a" 04 03 0001 00`, malformed, "MQTT-1.5.4-2"},
		{"PUBLISH with a user property that is not UTF-8", v5, 0x30, `"a" 07 26 "k" 0001 ff`, malformed, "MQTT-1.5.7-1"},
		{"PUBLISH with a user property's name of U+0000", v5, 0x30, `"a" 07 26 0001 00 "v"`, malformed, "MQTT-1.5.7-1"},
		{"PUBLISH with subscription identifier 0", v5, 0x30, `"a" 02 0b 00`, protocolError, "MQTT 3.8.2.1.2"},
		{"PUBLISH with a long subscription identifier", v5, 0x30, `"a" 06 0b ffffffff01`, malformed, "MQTT-1.5.5-1"},

		{"PUBACK without a packet identifier", v311, 0x40, `00`, malformed, ""},
		{"PUBACK of packet identifier 0", v5, 0x40, `0000`, protocolError, "MQTT-2.2.1-3"},
		{"PUBACK with a reason code", v311, 0x40, `0001 00`, malformed, ""},
		{"PUBACK with a PUBREL's reason code", v5, 0x40, `0001 92`, malformed, "MQTT-3.4.2-1"},
		{"PUBREC with an unknown reason code", v5, 0x50, `0001 01`, malformed, "MQTT-3.5.2-1"},
		{"PUBREL with a PUBACK's reason code", v5, 0x62, `0001 10`, malformed, "MQTT-3.6.2-1"},
		{"PUBCOMP with a PUBACK's reason code", v5, 0x70, `0001 80`, malformed, "MQTT-3.7.2-1"},
		{"PUBACK with bytes after its properties", v5, 0x40, `0001 00 00 00`, malformed, ""},

		{"SUBSCRIBE of packet identifier 0", v311, 0x82, `0000 "f" 00`, protocolError, "MQTT3-2.3.1-1"},
		{"SUBSCRIBE without a filter", v5, 0x82, `0001 00`, protocolError, "MQTT-3.8.3-2"},
		{"SUBSCRIBE without a filter", v311, 0x82, `0001`, protocolError, "MQTT3-3.8.3-3"},
		{"SUBSCRIBE without options", v5, 0x82, `0001 00 "f"`, malformed, ""},
		{"SUBSCRIBE with a filter that is not UTF-8", v5, 0x82, `0001 00 0001 c3 00`, malformed, "MQTT-1.5.4-1"},
		{"SUBSCRIBE with reserved bits", v5, 0x82, `0001 00 "f" 40`, malformed, "MQTT-3.8.3-5"},
		{"SUBSCRIBE with an option of 5.0", v311, 0x82, `0001 "f" 04`, malformed, "MQTT3-3.8.3-4"},
		{"SUBSCRIBE of QoS 3", v5, 0x82, `0001 00 "f" 03`, protocolError, "MQTT 3.8.3.1"},
		{"SUBSCRIBE of QoS 3", v311, 0x82, `0001 "f" 03`, malformed, "MQTT3-3.8.3-4"},
		{"SUBSCRIBE with retain handling 3", v5, 0x82, `0001 00 "f" 30`, protocolError, "MQTT 3.8.3.1"},
		{"SUBSCRIBE with no local on a shared subscription", v5, 0x82, `0001 00 "$share/g/f" 04`, protocolError, "MQTT-3.8.3-4"},
		{"SUBSCRIBE with two subscription identifiers", v5, 0x82, `0001 04 0b 01 0b 02 "f" 00`, protocolError, "MQTT 3.8.2.1.2"},
		{"SUBACK without a reason code", v5, 0x90, `0001 00`, protocolError, "MQTT-3.8.4-6"},
		{"SUBACK without a return code", v311, 0x90, `0001`, protocolError, "MQTT3-3.8.4-5"},
		{"SUBACK with an unknown reason code", v5, 0x90, `0001 00 03`, malformed, "MQTT-3.9.3-2"},
		{"SUBACK with a reason code of 5.0", v311, 0x90, `0001 87`, malformed, "MQTT3-3.9.3-2"},
		{"UNSUBSCRIBE without a filter", v5, 0xa2, `0001 00`, protocolError, "MQTT-3.10.3-2"},
		{"UNSUBSCRIBE without a filter", v311, 0xa2, `0001`, protocolError, "MQTT3-3.10.3-2"},
		{"UNSUBSCRIBE with a cut filter", v311, 0xa2, `0001 0002 'f'`, malformed, ""},
		{"UNSUBACK without a reason code", v5, 0xb0, `0001 00`, protocolError, "MQTT-3.11.3-2"},
		{"UNSUBACK with a SUBACK's reason code", v5, 0xb0, `0001 00 01`, malformed, "MQTT-3.11.3-2"},
		{"UNSUBACK with a reason code", v311, 0xb0, `0001 00`, malformed, ""},

		{"PINGREQ with a body", v311, 0xc0, `00`, malformed, "MQTT 3.12"},
		{"PINGRESP with a body", v5, 0xd0, `00`, malformed, "MQTT 3.13"},
		{"DISCONNECT with a reason code", v311, 0xe0, `00`, malformed, ""},
		{"DISCONNECT with a CONNACK's reason code", v5, 0xe0, `84`, malformed, "MQTT-3.14.2-1"},
		{"DISCONNECT with bytes after its properties", v5, 0xe0, `00 00 00`, malformed, ""},
		{"AUTH before 5.0", v311, 0xf0, ``, malformed, "MQTT3 2.2.1"},
		{"AUTH with a DISCONNECT's reason code", v5, 0xf0, `80`, malformed, "MQTT-3.15.2-1"},
		{"AUTH without a method", v5, 0xf0, `18 00`, protocolError, "MQTT 3.15.2.2.2"},
		{"CONNECT with receive maximum 0", v5, 0x10, `"MQTT" 05 02 0000 03 21 0000 "c"`, protocolError, "MQTT 3.1.2.11.3"},
		{"CONNECT with maximum packet size 0", v5, 0x10, `"MQTT" 05 02 0000 05 27 00000000 "c"`, protocolError, "MQTT 3.1.2.11.4"},
		{"CONNECT with request problem information 2", v5, 0x10, `"MQTT" 05 02 0000 02 17 02 "c"`, protocolError, "MQTT 3.1.2.11.7"},
		{"CONNACK with maximum QoS 2", v5, 0x20, `00 00 02 24 02`, protocolError, "MQTT 3.2.2.3.4"},
	} {
		_, err := decode(c.v, frame(c.first, wire(c.body)))
		wantFault(t, err, c.reason, c.clause, "%s (MQTT %v)", c.what, c.v)
	}
}

func TestAFixedHeaderIsReadOrRefused(t *testing.T) {
	for _, c := range []struct {
		wire   string
		want   packet.Header
		clause string // of the refusal; "more": incomplete
	}{
		{``, packet.Header{}, "more"},
		{`30`, packet.Header{}, "more"},
		{`30 80`, packet.Header{}, "more"},
		{`30 ffffff`, packet.Header{}, "more"},
		{`c0 00`, packet.Header{Type: packet.PINGREQ, Size: 2}, ""},
		{`3d 7f`, packet.Header{Type: packet.PUBLISH, Flags: 13, Remaining: 127, Size: 2}, ""},
		{`30 8001`, packet.Header{Type: packet.PUBLISH, Remaining: 128, Size: 3}, ""},
		{`30 ff7f`, packet.Header{Type: packet.PUBLISH, Remaining: 16383, Size: 3}, ""},
		{`30 808001`, packet.Header{Type: packet.PUBLISH, Remaining: 16384, Size: 4}, ""},
		{`30 80808001`, packet.Header{Type: packet.PUBLISH, Remaining: 2097152, Size: 5}, ""},
		{`30 ffffff7f 00`, packet.Header{Type: packet.PUBLISH, Remaining: packet.MaxRemaining, Size: 5}, ""},
		{`30 ffffffff`, packet.Header{}, "MQTT-1.5.5-1"},
		{`30 8000`, packet.Header{}, "MQTT-1.5.5-1"},
		{`30 ff8000`, packet.Header{}, "MQTT-1.5.5-1"},
		{`00 00`, packet.Header{}, "MQTT 2.1.2"},
		{`11`, packet.Header{}, "MQTT-2.1.3-1"}, // with the first byte it is clear
		{`21 02`, packet.Header{}, "MQTT-2.1.3-1"},
		{`42 02`, packet.Header{}, "MQTT-2.1.3-1"},
		{`60 02`, packet.Header{}, "MQTT-2.1.3-1"}, // [MQTT-3.6.1-1]
		{`6a 02`, packet.Header{}, "MQTT-2.1.3-1"},
		{`80 05`, packet.Header{}, "MQTT-2.1.3-1"}, // [MQTT-3.8.1-1]
		{`a3 05`, packet.Header{}, "MQTT-2.1.3-1"}, // [MQTT-3.10.1-1]
		{`e1 00`, packet.Header{}, "MQTT-2.1.3-1"}, // [MQTT-3.14.1-1]
		{`f8 00`, packet.Header{}, "MQTT-2.1.3-1"}, // [MQTT-3.15.1-1]
	} {
		h, err := packet.ParseHeader(wire(c.wire))
		switch {
		case c.clause == "more":
			if !errors.Is(err, packet.ErrIncomplete) {
				t.Errorf("%s: got %v, %v, want ErrIncomplete", c.wire, h, err)
			}
		case c.clause != "":
			wantFault(t, err, packet.MalformedPacket, c.clause, "%s", c.wire)
		case err != nil || h != c.want:
			t.Errorf("%s: got %+v, %v, want %+v", c.wire, h, err, c.want)
		}
	}
}
