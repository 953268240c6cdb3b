package packet_test

import (
	"errors"
	"testing"

	"headgate/broker/packet"
)

// seeds adds packets of every type, whole and faulty, of every version.
func seeds(f *testing.F, vs ...packet.Version) {
	for _, v := range vs {
		for _, b := range [][]byte{
			frame(0x10, wire(`"MQTT" 05 ce 000a 05 11 0000000a "c" 05 18 00000001 "a/b" "gone" "u" "p"`)),
			frame(0x10, wire(`"MQTT" 04 ce 000a "c" "a/b" "gone" "u" "p"`)),
			frame(0x10, wire(`"MQIsdp" 83 c2 000a "c"`)),
			wire("20 02 01 00"), wire("20 03 00 87 00"), wire("20 05 00 00 02 24 01"),
			frame(0x3d, wire(`"a/b" 0001 03 23 0005 'hello'`)), frame(0x32, wire(`"a" 0001 'x'`)), frame(0x36, wire(`"a" 0001 'x'`)),
			wire("40 02 000a"), wire("50 03 000a 97"), wire("6a 02 ffff"), frame(0x70, wire(`0001 92 04 1f "x"`)),
			frame(0x82, wire(`000a 02 0b 01 "a/b" 01 "c/d" 2e`)), frame(0x82, wire(`000a "a/b" 01`)), frame(0x82, wire(`000a 00 "$share/g/f" 04`)),
			wire("90 05 000a 00 01 a2"), wire("90 03 000a 80"),
			frame(0xa2, wire(`000a 00 "a/b" "c/d"`)), frame(0xa2, wire(`000a "a/b"`)),
			wire("b0 02 000a"), wire("b0 05 000a 00 00 11"), wire("c0 00"), wire("d0 00"),
			wire("e0 00"), wire("e0 01 04"), wire("e0 07 00 05 11 00000000"), wire("f0 00"), frame(0xf0, wire(`18 05 15 "GS"`)),
			wire("30 ffffffff"), wire("30 8000"), wire("00 00"),
		} {
			f.Add(byte(v), b)
		}
		for _, c := range propertyCases {
			f.Add(byte(v), hosts["PUBLISH"](block(wire(c.wire))))
			f.Add(byte(v), hosts["CONNACK"](block(wire(c.wire))))
			f.Add(byte(v), hosts["will"](block(wire(c.wire))))
		}
	}
}

// FuzzDecode: nothing makes a decoder panic or give another kind of error; what
// it takes is encoded to bytes that mean the same; and a decoder that was used
// before finds the same as a fresh one.
func FuzzDecode(f *testing.F) {
	seeds(f, versions...)
	f.Fuzz(func(t *testing.T, version byte, b []byte) {
		v := packet.Version(3 + version%3)
		p, err := decode(v, b)
		if err != nil {
			var fault *packet.Error
			if !errors.Is(err, packet.ErrIncomplete) && (!errors.As(err, &fault) || !fault.Reason.Failed() || fault.Text == "") {
				t.Fatalf("MQTT %v: % x: %#v", v, b, err)
			}
			return
		}
		again := encode(nil, v, p)
		q, err := decode(v, again)
		if err != nil {
			t.Fatalf("MQTT %v: % x is encoded to % x: %v", v, b, again, err)
		}
		if d := diff(p, q); d != "" {
			t.Fatalf("MQTT %v: % x is encoded to % x (-want +got)\n%s", v, b, again, d)
		}
		h, _ := packet.ParseHeaderOf(v, again)
		if h.Size+h.Remaining != len(again) {
			t.Fatalf("MQTT %v: % x is encoded to % x: its length is wrong", v, b, again)
		}
		if pub, ok := p.(*packet.Publish); ok {
			used := packet.Publish{Payload: []byte("old"), PacketID: 7, Properties: properties(
				packet.Properties{User: []packet.UserProperty{{}}, SubscriptionIDs: []uint32{9}, TopicAlias: 3}, packet.PropTopicAlias)}
			if err := used.Decode(v, h.Flags, again[h.Size:]); err != nil || diff(pub, &used) != "" {
				t.Fatalf("MQTT %v: % x decoded into a used Publish: %v, %+v", v, again, err, used)
			}
		}
	})
}
