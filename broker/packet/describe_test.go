package packet

import (
	"strings"
	"testing"
)

func TestAPacketIsDescribedInALineWithoutItsSecrets(t *testing.T) {
	connect := Connect{Version: V5, ClientID: []byte("c"), CleanStart: true, KeepAlive: 60, HasUsername: true, Username: []byte("u"),
		HasPassword: true, Password: []byte("secret"), HasWill: true, Will: Will{QoS: 1, Topic: []byte("w"), Payload: []byte("secret")}}
	publish := Publish{QoS: 1, Dup: true, PacketID: 5, Topic: []byte("a/b"), Payload: []byte("secret")}
	ack := Ack{Type: PUBACK, PacketID: 5, Reason: NotAuthorized}
	sub := Subscribe{PacketID: 7, Subscriptions: []Subscription{{Filter: []byte("a/#"), QoS: 2}}}
	suback := Suback{PacketID: 7, Reasons: []ReasonCode{GrantedQoS2, NotAuthorized}}
	for _, c := range []struct {
		v    Version
		b    []byte
		want string
	}{
		{V5, connect.Append(nil), `CONNECT 5.0 'c' clean 1 keep alive 60 user 'u' will q1 r0 'w' 6 bytes`},
		{V5, publish.Append(nil, V5), `PUBLISH d1 q1 r0 m5 'a/b' 6 bytes`},
		{V5, ack.Append(nil, V5), `PUBACK m5 not authorized`},
		{V311, ack.Append(nil, V311), `PUBACK m5`},
		{V5, sub.Append(nil, V5), `SUBSCRIBE m7 'a/#' q2`},
		{V5, suback.Append(nil, V5), `SUBACK m7 q2, not authorized`},
		{V5, AppendPingreq(nil), `PINGREQ`},
		{V311, []byte{0x30, 0x02, 0xff, 0xff}, `PUBLISH (PUBLISH: topic name is cut off)`},
	} {
		h, err := ParseHeaderOf(c.v, c.b)
		if err != nil {
			t.Fatal(err)
		}
		if got := Describe(c.v, h, c.b[h.Size:]); got != c.want || strings.Contains(got, "secret") {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
