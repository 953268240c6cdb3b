package packet_test

import (
	"bytes"
	"slices"
	"testing"

	"headgate/broker/packet"
)

// publishes are a reading as an adapter sends one, bare and with properties.
var publishes = map[string]struct {
	v packet.Version
	b []byte
}{
	"bare": {packet.V311, frame(0x32, wire(`"site/boiler/temperature" 0001 '{"value":71.3}'`))},
	"with properties": {packet.V5, frame(0x32, append(wire(`"site/boiler/temperature" 0001`), append(
		block(wire(`01 01 02 00000e10 03 "application/json" 08 "r" 09 "7" 0b 01 0b ff7f 23 0001 26 "unit" "degC" 26 "quality" "good"`)),
		`{"value":71.3}`...)...))},
}

func TestPublishAllocatesNothing(t *testing.T) {
	for name, c := range publishes {
		h, err := packet.ParseHeader(c.b)
		if err != nil {
			t.Fatal(err)
		}
		var p packet.Publish
		if n := testing.AllocsPerRun(100, func() {
			if _, err := packet.ParseHeader(c.b); err != nil {
				t.Fatal(err)
			}
			if err := p.Decode(c.v, h.Flags, c.b[h.Size:]); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: Decode into the same Publish allocates %v times", name, n)
		}
		dst := make([]byte, 0, len(c.b))
		if n := testing.AllocsPerRun(100, func() { dst = p.Append(dst[:0], c.v) }); n != 0 {
			t.Errorf("%s: Append with room allocates %v times", name, n)
		}
		if !bytes.Equal(dst, c.b) {
			t.Errorf("%s: encoded\n% x, was\n% x", name, dst, c.b)
		}
	}
}

func TestADecodedPublishAliasesItsBody(t *testing.T) {
	b := frame(0x30, wire(`"a" 'x'`))
	p := mustDecode(t, packet.V311, b).(*packet.Publish)
	b[len(b)-1] = 'y'
	if string(p.Payload) != "y" {
		t.Errorf("payload %q: a copy", p.Payload)
	}
	if cap(p.Topic) != len(p.Topic) {
		t.Error("appending to the topic would write over the payload")
	}
}

// Nothing of one packet is seen in the next that the same struct takes.
func TestAPacketIsDecodedIntoAgain(t *testing.T) {
	t.Run("Publish", func(t *testing.T) {
		var p packet.Publish
		for _, c := range []struct {
			v packet.Version
			b []byte
		}{publishes["with properties"], publishes["bare"], {packet.V5, frame(0x30, wire(`"t" 00`))}} {
			h, _ := packet.ParseHeader(c.b)
			if err := p.Decode(c.v, h.Flags, c.b[h.Size:]); err != nil {
				t.Fatal(err)
			}
			if d := diff(mustDecode(t, c.v, c.b), &p); d != "" {
				t.Errorf("(-fresh +used)\n%s", d)
			}
		}
	})
	t.Run("Connect", func(t *testing.T) {
		var p packet.Connect
		for _, b := range [][]byte{
			hosts["will"](block(wire("18 0000000a"))),
			hosts["CONNECT"](block(wire("21 0010"))),
			frame(0x10, wire(`"MQTT" 04 c2 000a "c" "u" "p"`)),
			frame(0x10, wire(`"MQTT" 05 02 0000 00 ""`)),
		} {
			if err := p.Decode(b[2:]); err != nil {
				t.Fatal(err)
			}
			if d := diff(mustDecode(t, packet.V5, b), &p); d != "" {
				t.Errorf("(-fresh +used)\n%s", d)
			}
		}
	})
	t.Run("many properties", func(t *testing.T) {
		var p packet.Properties
		if _, err := p.Decode(block(bytes.Repeat(wire(`26 "k" "v"`), 10_000)), packet.PUBLISH); err != nil {
			t.Fatal(err)
		}
		if p.Reset(); cap(p.User) > 1000 {
			t.Errorf("room for %d user properties is kept", cap(p.User))
		}
	})
}

func TestLengthsOfOneToFourBytes(t *testing.T) {
	for _, n := range []int{0, 1, 120, 121, 122, 127, 128, 16370, 16384, 2_097_152} {
		in := &packet.Publish{QoS: 1, Topic: []byte("t"), PacketID: 1, Payload: make([]byte, n)}
		out := mustDecode(t, packet.V5, in.Append(nil, packet.V5)).(*packet.Publish)
		if len(out.Payload) != n || out.PacketID != 1 {
			t.Errorf("payload of %d bytes: got %d", n, len(out.Payload))
		}
		// Here the length is put in after the body.
		acks := &packet.Suback{PacketID: 1, Reasons: slices.Repeat([]packet.ReasonCode{packet.GrantedQoS2}, n+1)}
		got := mustDecode(t, packet.V5, acks.Append([]byte("before"), packet.V5)[6:]).(*packet.Suback)
		if !slices.Equal(got.Reasons, acks.Reasons) {
			t.Errorf("%d reason codes: got %d", n+1, len(got.Reasons))
		}
	}
}

func BenchmarkPublishDecode(b *testing.B) {
	for name, c := range publishes {
		b.Run(name, func(b *testing.B) {
			var p packet.Publish
			b.ReportAllocs()
			b.SetBytes(int64(len(c.b)))
			for b.Loop() {
				h, _ := packet.ParseHeader(c.b)
				if err := p.Decode(c.v, h.Flags, c.b[h.Size:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPublishAppend(b *testing.B) {
	for name, c := range publishes {
		b.Run(name, func(b *testing.B) {
			h, _ := packet.ParseHeader(c.b)
			var p packet.Publish
			if err := p.Decode(c.v, h.Flags, c.b[h.Size:]); err != nil {
				b.Fatal(err)
			}
			dst := make([]byte, 0, len(c.b))
			b.ReportAllocs()
			b.SetBytes(int64(len(c.b)))
			for b.Loop() {
				dst = p.Append(dst[:0], c.v)
			}
		})
	}
}
