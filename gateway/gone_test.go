package gateway

import "testing"

func TestTheStatusOfADeviceThatIsGoneIsCleared(t *testing.T) {
	const ours = `{"status":"offline","reason":"gateway stopped","time":"2026-11-23T18:04:05.123Z"}`
	for _, c := range []struct {
		name, template, topic, payload string
		clears                         bool
	}{
		{"of a device that is gone", "{gateway}/{device}/{point}", "gw/old/status", ours, true},
		{"that was online", "{gateway}/{device}/{point}", "gw/old/status", `{"status":"online","time":"2026-11-23T18:04:05.123Z"}`, true},
		{"of a device that there is", "{gateway}/{device}/{point}", "gw/meter1/status", ours, false},
		{"of somebody else", "{gateway}/{device}/{point}", "gw/old/status", `online`, false},
		{"of another gateway", "{gateway}/{device}/{point}", "other/old/status", ours, false},
		{"a value", "{gateway}/{device}/{point}", "gw/old/level", ours, false},
		{"where topics do not name the gateway", "{device}/{point}", "old/status", ours, false},
	} {
		cfg := Config{ID: "gw", Topic: c.template}
		cfg.SetDefaults()
		pub := &recorder{}
		g, err := New(cfg, []Adapter{&fakeAdapter{name: "a", devices: meter()}}, pub, always, quietLog())
		if err != nil {
			t.Fatal(err)
		}
		if got := g.ForgetStatus(c.topic, []byte(c.payload)); got != c.clears {
			t.Errorf("%s: cleared is %v, want %v", c.name, got, c.clears)
		}
		if n := len(pub.messages); c.clears && (n != 1 || pub.messages[0].Topic != c.topic || !pub.messages[0].Retain || len(pub.messages[0].Payload) > 0) || !c.clears && n != 0 {
			t.Errorf("%s: published %+v", c.name, pub.messages)
		}
	}
}
