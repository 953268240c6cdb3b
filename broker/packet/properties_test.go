package packet_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/broker/packet"
)

// hosts gives for each place that has properties a packet around a block.
var hosts = map[string]func(block []byte) []byte{
	"CONNECT": func(b []byte) []byte { return frame(0x10, slices.Concat(wire(`"MQTT" 05 02 0000`), b, wire(`"c"`))) },
	"will": func(b []byte) []byte {
		return frame(0x10, slices.Concat(wire(`"MQTT" 05 06 0000 00 "c"`), b, wire(`"t" "w"`)))
	},
	"CONNACK":     func(b []byte) []byte { return frame(0x20, slices.Concat(wire("00 00"), b)) },
	"PUBLISH":     func(b []byte) []byte { return frame(0x30, slices.Concat(wire(`"t"`), b, wire(`'data'`))) },
	"PUBACK":      func(b []byte) []byte { return frame(0x40, slices.Concat(wire("0001 80"), b)) },
	"PUBREC":      func(b []byte) []byte { return frame(0x50, slices.Concat(wire("0001 80"), b)) },
	"PUBREL":      func(b []byte) []byte { return frame(0x62, slices.Concat(wire("0001 92"), b)) },
	"PUBCOMP":     func(b []byte) []byte { return frame(0x70, slices.Concat(wire("0001 92"), b)) },
	"SUBSCRIBE":   func(b []byte) []byte { return frame(0x82, slices.Concat(wire("0001"), b, wire(`"f" 00`))) },
	"SUBACK":      func(b []byte) []byte { return frame(0x90, slices.Concat(wire("0001"), b, wire("00"))) },
	"UNSUBSCRIBE": func(b []byte) []byte { return frame(0xa2, slices.Concat(wire("0001"), b, wire(`"f"`))) },
	"UNSUBACK":    func(b []byte) []byte { return frame(0xb0, slices.Concat(wire("0001"), b, wire("00"))) },
	"DISCONNECT":  func(b []byte) []byte { return frame(0xe0, slices.Concat(wire("80"), b)) },
	"AUTH":        func(b []byte) []byte { return frame(0xf0, slices.Concat(wire("18"), b)) },
}

// propertiesOf gives the properties that host puts the block into.
func propertiesOf(host string, p any) *packet.Properties {
	switch p := p.(type) {
	case *packet.Connect:
		if host == "will" {
			return &p.Will.Properties
		}
		return &p.Properties
	case *packet.Connack:
		return &p.Properties
	case *packet.Publish:
		return &p.Properties
	case *packet.Ack:
		return &p.Properties
	case *packet.Subscribe:
		return &p.Properties
	case *packet.Suback:
		return &p.Properties
	case *packet.Unsubscribe:
		return &p.Properties
	case *packet.Unsuback:
		return &p.Properties
	case *packet.Disconnect:
		return &p.Properties
	case *packet.Auth:
		return &p.Properties
	}
	return nil
}

const everywhere = "CONNECT will CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK DISCONNECT AUTH"

// propertyCases is the table of section 2.2.2.2: each property, with a value on
// the wire, and where it may stand.
var propertyCases = []struct {
	id   packet.PropertyID
	wire string
	want any
	in   string
}{
	{packet.PropPayloadFormat, "01 01", byte(1), "PUBLISH will"},
	{packet.PropMessageExpiry, "02 00000e10", uint32(3600), "PUBLISH will"},
	{packet.PropContentType, `03 "text/plain"`, []byte("text/plain"), "PUBLISH will"},
	{packet.PropResponseTopic, `08 "r/1"`, []byte("r/1"), "PUBLISH will"},
	{packet.PropCorrelationData, "09 0003 00ff01", []byte{0, 255, 1}, "PUBLISH will"},
	{packet.PropSubscriptionID, "0b ffffff7f", []uint32{packet.MaxRemaining}, "PUBLISH SUBSCRIBE"},
	{packet.PropSessionExpiry, "11 ffffffff", uint32(0xffffffff), "CONNECT CONNACK DISCONNECT"},
	{packet.PropAssignedClientID, `12 "c7"`, []byte("c7"), "CONNACK"},
	{packet.PropServerKeepAlive, "13 003c", uint16(60), "CONNACK"},
	{packet.PropAuthMethod, `15 "GS2"`, []byte("GS2"), "CONNECT CONNACK AUTH"},
	{packet.PropAuthData, "16 0002 fffe", []byte{255, 254}, "CONNECT CONNACK AUTH"},
	{packet.PropRequestProblemInfo, "17 00", byte(0), "CONNECT"},
	{packet.PropWillDelay, "18 0000000a", uint32(10), "will"},
	{packet.PropRequestResponseInfo, "19 01", byte(1), "CONNECT"},
	{packet.PropResponseInfo, `1a "info"`, []byte("info"), "CONNACK"},
	{packet.PropServerReference, `1c "other:1883"`, []byte("other:1883"), "CONNACK DISCONNECT"},
	{packet.PropReasonString, `1f "why"`, []byte("why"), "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH"},
	{packet.PropReceiveMaximum, "21 ffff", uint16(65535), "CONNECT CONNACK"},
	{packet.PropTopicAliasMaximum, "22 0000", uint16(0), "CONNECT CONNACK"},
	{packet.PropTopicAlias, "23 0001", uint16(1), "PUBLISH"},
	{packet.PropMaximumQoS, "24 01", byte(1), "CONNACK"},
	{packet.PropRetainAvailable, "25 00", byte(0), "CONNACK"},
	{packet.PropUser, `26 "k" "v"`, []packet.UserProperty{{Key: []byte("k"), Value: []byte("v")}}, everywhere},
	{packet.PropMaximumPacketSize, "27 00000001", uint32(1), "CONNECT CONNACK"},
	{packet.PropWildcardSubAvailable, "28 01", byte(1), "CONNACK"},
	{packet.PropSubIDAvailable, "29 00", byte(0), "CONNACK"},
	{packet.PropSharedSubAvailable, "2a 01", byte(1), "CONNACK"},
}

// needsMethod says whether a property needs an authentication method beside it.
func needsMethod(host string, id packet.PropertyID) bool {
	return id != packet.PropAuthMethod && (host == "AUTH" || host == "CONNECT" && id == packet.PropAuthData)
}

func TestEachPropertyStandsWhereItMayAndNowhereElse(t *testing.T) {
	for _, c := range propertyCases {
		for host, around := range hosts {
			once := wire(c.wire)
			if needsMethod(host, c.id) {
				if once = slices.Concat(wire(`15 "GS2"`), once); c.id < packet.PropAuthMethod {
					once = slices.Concat(wire(c.wire), wire(`15 "GS2"`))
				}
			}
			b := around(block(once))
			p, err := decode(packet.V5, b)
			if !slices.Contains(strings.Fields(c.in), host) {
				wantFault(t, err, packet.MalformedPacket, "MQTT 2.2.2.2", "%v in %s", c.id, host)
				continue
			}
			if err != nil {
				t.Errorf("%v in %s: %v", c.id, host, err)
				continue
			}
			props := propertiesOf(host, p)
			if d := cmp.Diff(c.want, value(props, c.id)); !props.Has(c.id) || d != "" {
				t.Errorf("%v in %s: there %v (-want +got)\n%s", c.id, host, props.Has(c.id), d)
			}
			if again := encode(nil, packet.V5, p); !bytes.Equal(again, b) {
				t.Errorf("%v in %s: encoded\n% x, was\n% x", c.id, host, again, b)
			}
			props.Unset(c.id)
			if props.Has(c.id) {
				t.Errorf("%v is still there after Unset", c.id)
			}
		}
	}
}

func TestAPropertyStandsOnceButForTwoOfThem(t *testing.T) {
	for _, c := range propertyCases {
		host := strings.Fields(c.in)[0]
		twice := slices.Concat(wire(c.wire), wire(c.wire))
		p, err := decode(packet.V5, hosts[host](block(twice)))
		switch c.id {
		case packet.PropUser, packet.PropSubscriptionID:
			if err != nil {
				t.Errorf("two %v in %s: %v", c.id, host, err)
			} else if again := encode(nil, packet.V5, p); !bytes.Equal(again, hosts[host](block(twice))) {
				t.Errorf("two %v in %s: encoded % x", c.id, host, again)
			}
		default:
			var fault *packet.Error
			if !errors.As(err, &fault) || fault.Reason != packet.ProtocolError || !strings.HasPrefix(fault.Clause, "MQTT 3.") {
				t.Errorf("two %v in %s: got %v, want a protocol error with its section", c.id, host, err)
			}
		}
	}
}

// A block cut anywhere is a fault, and none reads past its length.
func TestACutPropertyIsMalformed(t *testing.T) {
	for _, c := range propertyCases {
		host := strings.Fields(c.in)[0]
		whole := wire(c.wire)
		for n := 1; n < len(whole); n++ {
			_, err := decode(packet.V5, hosts[host](block(whole[:n])))
			wantFault(t, err, packet.MalformedPacket, "", "%v in %s cut after %d bytes", c.id, host, n)
		}
	}
}

func TestUserPropertiesKeepTheirOrder(t *testing.T) {
	b := hosts["PUBLISH"](block(wire(`26 "b" "1" 26 "a" "2" 26 "b" "1"`)))
	p := mustDecode(t, packet.V5, b)
	if again := encode(nil, packet.V5, p); !bytes.Equal(again, b) { // [MQTT-3.3.2-18]
		t.Errorf("encoded % x, was % x", again, b)
	}
}

func TestResetTakesAllPropertiesAway(t *testing.T) {
	var p packet.Properties
	for _, c := range propertyCases {
		p.Set(c.id)
	}
	p.User = []packet.UserProperty{{}}
	p.SubscriptionIDs = []uint32{1}
	p.Reset()
	if m := meaning(p); len(m) != 0 {
		t.Errorf("after Reset there are %v", m)
	}
	if got := p.Append(nil); !bytes.Equal(got, []byte{0}) { // [MQTT-2.2.2-1]
		t.Errorf("no properties are % x", got)
	}
}
