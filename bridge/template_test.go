package bridge

import (
	"testing"

	"headgate/broker/topic"
)

func TestATemplateMakesTheTopicUpstream(t *testing.T) {
	c := &Config{GatewayID: "gw", ClientID: "dev1"}
	for _, test := range []struct{ template, local, want string }{
		{"plants/{gateway}/{topic}", "m/p", "plants/gw/m/p"},
		{"devices/{client_id}/messages/events/topic={topic_escaped}", "m 1/p", "devices/dev1/messages/events/topic=m%201%2Fp"},
		{"{2}/{1}", "m/p/x", "p/m"},
		{"{3}", "m/p", ""},
		{"all", "m", "all"},
	} {
		tpl, err := parseTemplate(test.template, c)
		if err != nil {
			t.Errorf("%s: %v", test.template, err)
			continue
		}
		got, ok := tpl.append([]byte("kept "), test.local)
		if want := "kept " + test.want; string(got) != want || ok != (test.want != "") {
			t.Errorf("%s of %s: got %q, %v, want %q", test.template, test.local, got, ok, want)
		}
		if ok && !topic.Match(tpl.filter("#"), test.want) {
			t.Errorf("%s: the filter %s does not match %s", test.template, tpl.filter("#"), test.want)
		}
	}
}

func TestATemplateThatCannotBeIsAFault(t *testing.T) {
	for text, want := range map[string]string{
		"a/{top}":    `up[0].topic: "a/{top}": {top}: want {topic}, {topic_escaped}, {1} to {9}, {gateway} or {client_id}`,
		"a/{topic":   `up[0].topic: "a/{topic": {topic: the } is missing`,
		"a/+/{1}":    `up[0].topic: "a/+/{1}": want no "+" and "#": a topic, not a filter`,
		"{0}":        `up[0].topic: "{0}": {0}: want {topic}, {topic_escaped}, {1} to {9}, {gateway} or {client_id}`,
		"a/{topic}#": `up[0].topic: "a/{topic}#": want no "+" and "#": a topic, not a filter`,
	} {
		c := Config{Name: "cloud", URL: "mqtt://h", Up: []Up{{Filter: "a/#", Topic: text}}}
		if got := faults(&c); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	c := Config{Name: "cloud", URL: "mqtt://h", Up: []Up{{Filter: "a/#", Topic: "x", RemotePrefix: "y", QoS: new(1), MaxQoS: new(1)}}}
	if got := faults(&c); len(got) != 2 {
		t.Errorf("topic with remote_prefix and qos with max_qos: got %q, want two faults", got)
	}
}

func TestMaxQoSLeavesEachMessageItsOwn(t *testing.T) {
	up := listenUpstream(t)
	cfg := config(up.addr)
	cfg.Up[0].MaxQoS = new(1)
	src := newMemory(t)
	start(t, cfg, src)
	for qos := range byte(3) {
		src.add(Message{Topic: "field/x", Payload: []byte{'0' + qos}, QoS: qos}, true)
	}
	c := up.welcome(nil)
	for published, want := range []byte{0, 1, 1} {
		if p := c.expectPublish(); p.QoS != want {
			t.Errorf("published at %d: got %d, want %d", published, p.QoS, want)
		}
	}
}
