package main

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"headgate/cmd/headgate/config"
)

func TestTheConfigurationOnThePageOfRulesIsGoodAndRuns(t *testing.T) {
	t.Parallel()
	needMosquitto(t)
	text := strings.Join(docPage(t, "packaging/docs/rules.md").tomlBlocks(), "\n") + "\n"
	file, err := config.Load(writeConfig(t, text))
	if err != nil || len(file.Rule) != 3 {
		t.Fatalf("%v: %+v", err, file)
	}
	text = strings.NewReplacer("127.0.0.1:1883", "127.0.0.1:0", `id = "boiler-house"`, "id = \"boiler-house\"\ndata_dir = \""+t.TempDir()+"\"").Replace(text)
	p := runHeadgate(t, text)
	_, port, _ := net.SplitHostPort(p.addr())
	c := dial(t, p.addr(), "watcher")
	c.subscribe("boiler-house/#", 1)
	c.subscribe("house/#", 1)
	publish := func(topic, payload string) {
		t.Helper()
		if out, err := exec.Command("mosquitto_pub", "-q", "1", "-p", port, "-t", topic, "-m", payload).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	publish("zigbee2mqtt/plug1", `{"power":5}`)
	publish("zigbee2mqtt/plug1", `{"power":12.5,"linkquality":80}`)
	publish("zigbee2mqtt/plug1", `{"power":13}`) // the topic rests
	publish("shelly/kitchen/status/switch/0", "on")
	publish("scenes/night", "now")
	c.wait(t, "boiler-house/meter1/relay/set", func(m received) bool { return m.payload == `{"value":false}` })
	c.wait(t, "house/kitchen/switch/0", func(m received) bool { return m.payload == "on" })
	if got := c.on("boiler-house/plug1/power"); len(got) != 1 || got[0] != `{"quality":"good","unit":"W","value":12.5}` {
		t.Errorf("got %q", got)
	}
	// A rule that can do nothing with what comes is an alarm.
	publish("zigbee2mqtt/plug1", `{"power":"much"}`)
	if out := commandOutput(t, "status", "--config", p.config); strings.Contains(out, "rule plug-power") {
		t.Errorf("the rule has published: status says\n%s", out)
	}
	out, err := exec.Command("mosquitto_sub", "-p", port, "-t", "house/kitchen/switch/0", "-C", "1", "-W", "30").Output()
	if err != nil || string(out) != "on\n" {
		t.Errorf("what is retained: got %q, %v", out, err)
	}
}

func TestARuleThatOnlyFailsIsAnAlarm(t *testing.T) {
	t.Parallel()
	p := runHeadgate(t, "[gateway]\nid = \"g\"\ndata_dir = \""+t.TempDir()+"\"\n[[broker.listener]]\nurl = \"mqtt://127.0.0.1:0\"\n"+
		"[[rule]]\nname = \"typo\"\nfrom = \"plug\"\nto = \"out\"\npayload = \"payload.powr\"\n")
	c := dial(t, p.addr(), "plug")
	c.publish("plug", `{"power":5}`, 1)
	eventually(t, "headgate status names the rule", func() bool {
		return strings.Contains(commandOutput(t, "status", "--config", p.config), `payload has no "powr"`)
	})
}

func TestARuleThatTakesItsOwnIsWarnedOf(t *testing.T) {
	path := writeConfig(t, "[[rule]]\nname = \"echo\"\nfrom = \"a/#\"\nto = \"a/{1}/b\"\nwhen = \"payload.x >> 1\"\n")
	if out := commandOutput(t, "check", path); !strings.Contains(out, ":5:20: rule.when: ") {
		t.Errorf("got %s", out)
	}
	path = writeConfig(t, "[[rule]]\nname = \"echo\"\nfrom = \"a/#\"\nto = \"a/{1}/b\"\n")
	if out := commandOutput(t, "check", path); !strings.Contains(out, "warning: ") || !strings.Contains(out, "rule.to: ") {
		t.Errorf("got %s", out)
	}
}

func TestAReloadChangesTheRules(t *testing.T) {
	t.Parallel()
	base := strings.ReplaceAll(pageConfig, "{DIR}", t.TempDir())
	rule := func(name, from, to string) string {
		return "[[rule]]\nname = \"" + name + "\"\nfrom = \"" + from + "\"\nto = \"" + to + "\"\nretain = false\n"
	}
	steady := rule("steady", "in/+", "out/{1}")
	h := runInside(t, base+"[web]\nlisten = \"off\"\n"+steady+rule("gone", "old/+", "out/{1}"))
	eventually(t, "it listens", func() bool { return h.broker.Addresses()[0] != "" })
	c := dial(t, h.broker.Addresses()[0], "watcher")
	h.reloader = h.newReloader(h.config.Paths[0])
	c.subscribe("out/#", 1)
	pass := func(from, to string) {
		t.Helper()
		c.publish(from, "x", 1)
		c.wait(t, to, nil)
	}
	eventually(t, "rules are subscribed", func() bool { c.publish("in/1", "x", 1); return len(c.on("out/1")) > 0 })
	pass("old/2", "out/2")
	before, _ := h.rules.Stats()
	if err := os.WriteFile(h.reloader.path, []byte(base+"[web]\nlisten = \"off\"\n"+steady+rule("new", "new/+", "out/{1}")), 0o600); err != nil {
		t.Fatal(err)
	}
	res, err := h.reloader.reload()
	if err != nil || !res.Rules || len(res.Restart) > 0 {
		t.Fatalf("%v: %+v", err, res)
	}
	c.publish("old/3", "x", 1)
	pass("new/4", "out/4")
	pass("in/5", "out/5")
	if got := c.on("out/3"); len(got) > 0 {
		t.Errorf("a rule that is gone publishes %q", got)
	}
	list, _ := h.rules.Stats()
	if len(list) != 2 || list[0].Published <= before[0].Published || list[1].Name != "new" || list[1].Published != 1 {
		t.Errorf("got %+v", list)
	}
	if res, err = h.reloader.reload(); err != nil || res.Rules {
		t.Errorf("without a change: %v: %+v", err, res)
	}
}
