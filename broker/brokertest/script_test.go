package brokertest

import (
	"slices"
	"strings"
	"testing"

	"headgate/broker/packet"
)

// one parses a script of one case.
func one(t *testing.T, text string) *Case {
	t.Helper()
	cases, err := ParseScript("x.txt", text)
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) != 1 {
		t.Fatalf("%d cases, want 1", len(cases))
	}
	return cases[0]
}

const connected = "== case\nversions 5.0\na > CONNECT id=a clean\na < CONNACK\n"

// A player that cannot fail proves nothing.
func TestACaseFailsWhereItDoesNotHold(t *testing.T) {
	for name, c := range map[string]struct{ lines, want string }{
		"another packet":                   {"a > PINGREQ\na < SUBACK id=1", "x.txt:6: \n\tgot:  a < PINGRESP\n\twant: a < SUBACK id=1"},
		"nothing comes":                    {"a < PINGRESP", "x.txt:5: \n\tgot:  a < nothing\n\twant: a < PINGRESP"},
		"another value":                    {"a > UNSUBSCRIBE id=1 filter=t\na < UNSUBACK id=1 reasons=0x00", "got:  a < UNSUBACK id=1 reasons=0x11\n\twant: a < UNSUBACK id=1 reasons=0x00"},
		"a field that nobody mentioned":    {"a > UNSUBSCRIBE id=1 filter=t\na < UNSUBACK id=1", "got:  a < UNSUBACK id=1 reasons=0x11"},
		"a field that is missing":          {"a > PUBLISH topic=t qos=1 id=1\na < PUBACK id=1 reason=0x10 user=*", "got:  a < PUBACK id=1 reason=0x10\n\twant: a < PUBACK id=1 reason=0x10 user="},
		"a field that should not be there": {"b > CONNECT id=b clean\nb < CONNACK maximum-packet-size=none", "got:  b < CONNACK receive-maximum=1000 topic-alias-maximum=32 maximum-packet-size="},
		"silence that is none":             {"a > PINGREQ\na silent", "got:  a < PINGRESP\n\twant: a silent"},
		"more than was said":               {"a > PINGREQ", "x.txt:5: after the last line\n\tgot:  a < PINGRESP"},
		"an end that nobody expected":      {"a > DISCONNECT", "got:  a < closed"},
		"a connection that stays":          {"a < closed", "got:  a < nothing\n\twant: a < closed"},
		"unread before the close":          {"a > PINGREQ\na close", "got:  a < PINGRESP"},
		"a variable that differs":          {"a > SUBSCRIBE id=1 filter=t qos=1\na < SUBACK id=1 reasons=0x01\na > PUBLISH topic=t qos=1 id=9\nany order {\na < PUBACK id=$p\na < PUBLISH topic=t qos=1 id=$p\n}", "x.txt:8: "},
		"values that do not differ":        {"a > SUBSCRIBE id=1 filter=t\na < SUBACK id=$p reasons=0x00\na > UNSUBSCRIBE id=1 filter=t\na < UNSUBACK id=$q reasons=0x00\ndifferent $p $q", "$p and $q are both 1"},
		"one of any order":                 {"a > PINGREQ\na + PINGREQ\nany order {\na < PINGRESP\na < closed\n}", "got:  a < PINGRESP\n\twant: a < closed"},
		"raw bytes":                        {"a > PINGREQ\na < raw d0 01", "got:  a < raw d0 00\n\twant: a < raw d0 01"},
		"raw bytes that end early":         {"a > PINGREQ\na < raw d0", "got:  a < raw d0 00"},
		"nobody by that name":              {"b > PINGREQ", "b has no connection"},
		"no variable by that name":         {"a > PUBACK id=$p", "$p has no value yet"},
		"a field that there is not":        {"a > PINGREQ colour=red", `PINGREQ has no field "colour"`},
		"a packet that there is not":       {"a > HELLO", "HELLO is no packet"},
		"a key that there is not":          {"config colour=red", "x.txt:1: config colour: there is no such key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := one(t, connected+c.lines).Play(t, packet.V5)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestACaseHoldsWhereItDoes(t *testing.T) {
	for name, lines := range map[string]string{
		"any order":        "a > SUBSCRIBE id=1 filter=t\na + PINGREQ\nany order {\na < PINGRESP\na < SUBACK id=1 reasons=0x00\n}",
		"a version's line": "a < SUBACK id=7 @3.1.1\na > PINGREQ\na < PINGRESP @5.0",
		"a comment":        "a > PINGREQ   # are you there?\na < PINGRESP",
		"any byte":         "a > PINGREQ\na < raw ?? 00\na > PINGREQ\na < raw d0 ..",
		"time":             "b > CONNECT id=b clean keepalive=100\nb < CONNACK\nwait 149s\nb silent\nwait 2s\nb < DISCONNECT reason=0x8d\nb < closed",
		"text":             "a > SUBSCRIBE id=1 filter=t\na < SUBACK id=1 reasons=0x00\na > PUBLISH topic=t payload=hex:0a22 user=\"a:b\":\"c d\"\na < PUBLISH topic=t payload=\"\\n\\\"\" user=\"a:b\":\"c d\"",
		"a restart":        "b > CONNECT id=b persistent\nb < CONNACK\nrestart\na < DISCONNECT reason=0x8b\na < closed\nb < DISCONNECT reason=0x8b\nb < closed\nb > CONNECT id=b persistent\nb < CONNACK present",
	} {
		t.Run(name, func(t *testing.T) {
			if log, err := one(t, connected+lines).Play(t, packet.V5); err != nil {
				t.Errorf("%v\n%s", err, log)
			}
		})
	}
}

func TestAScriptThatSaysNothingIsRefusedByItsLine(t *testing.T) {
	for want, text := range map[string]string{
		"x.txt:1: \"a > PINGREQ\" stands before":        "a > PINGREQ",
		"x.txt:3: two cases are named":                  "== a\n\n== a",
		"x.txt:3: MQTT-1.5.4-1 is cited within":         "== a\n# [MQTT-1.5.4-1]\na silent",
		"x.txt: no case follows":                        "== a\na silent\n# [MQTT-1.5.4-1]",
		"x.txt:3: MQTT-1.5.4-1 is cited, and the case":  "# [MQTT-1.5.4-1]\n== a\nversions 3.1.1",
		"x.txt:3: MQTT3-1.5.3-1 is cited, and the case": "# [MQTT3-1.5.3-1]\n== a\nversions 5.0",
		"x.txt:2: version \"6\"":                        "== a\nversions 6",
		"x.txt:2: version \"6\": want 3.1":              "== a\na silent @6",
		"x.txt:2: \"a says hello\" is nothing":          "== a\na says hello",
		"x.txt:2: \"restarts\" is nothing":              "== a\nrestarts",
		"x.txt:2: a quote does not end":                 "== a\na > PUBLISH topic=\"t",
		"x.txt:3: in any order":                         "== a\nany order {\na > PINGREQ\n}",
		"x.txt: any order { has no }":                   "== a\nany order {\na < PINGRESP",
		"x.txt:3: the line before sends nothing for b":  "== a\na > PINGREQ\nb + PINGREQ",
		"x.txt:2: config max_inflight: want KEY=VALUE":  "== a\nconfig max_inflight",
		"x.txt:4: any order { of line 2":                "== a\nany order {\na < PINGRESP\n== b",
	} {
		if _, err := ParseScript("x.txt", text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestCitationsStandBeforeTheirCase(t *testing.T) {
	c := one(t, "# first [MQTT-3.1.4-3] [MQTT 3.1]\n# [MQTT3-3.1.4-2]\n== case\n# words within\na silent")
	if want := []string{"MQTT-3.1.4-3", "MQTT3-3.1.4-2"}; !slices.Equal(c.Cites, want) {
		t.Errorf("got %q, want %q", c.Cites, want)
	}
}

// The exchange that RFC 7677 gives as its example.
func TestScramIsAsTheStandardHasIt(t *testing.T) {
	c := client{}
	f := fields{packet: "CONNECT", list: []fieldValue{{"scram", "user:pencil"}}}
	if err := c.addScram(&f); err != nil {
		t.Fatal(err)
	}
	if got, _ := f.get("auth-data"); got != "n,,n=user,r=rOprNGfwEbeRWgbNEkqO" {
		t.Errorf("first message %q", got)
	}
	c.scram.server = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	f = fields{packet: "AUTH", list: []fieldValue{{"scram", "1"}}}
	if err := c.addScram(&f); err != nil {
		t.Fatal(err)
	}
	if got, _ := f.get("auth-data"); !strings.HasSuffix(got, ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=") {
		t.Errorf("final message %q", got)
	}
	for signature, ok := range map[string]bool{"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=": true, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=": false} {
		want := fields{packet: "CONNACK", list: []fieldValue{{"scram", "1"}}}
		got := fields{packet: "CONNACK", list: []fieldValue{{"auth-method", scramMethod}, {"auth-data", "v=" + signature}}}
		if err := c.checkScram(&want, &got); (err == nil) != ok {
			t.Errorf("signature %s: %v", signature, err)
		}
	}
}
