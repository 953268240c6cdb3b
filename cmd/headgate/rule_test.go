package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"headgate/cmd/headgate/config"
)

func TestTheConfigurationOnThePageOfRulesIsGoodAndRuns(t *testing.T) {
	t.Parallel()
	needMosquitto(t)
	b, err := os.ReadFile(filepath.Join(moduleRoot(t), "packaging", "docs", "rules.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(tomlBlocks(string(b)), "\n") + "\n"
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
