package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/store"
)

func TestQuotasAreReadWhereverThereIsAQueue(t *testing.T) {
	file, faults := loadText(t, strings.NewReplacer(
		`url  = "mqtts://broker.example.com:8883"`, `url = "mqtts://broker.example.com:8883"
queue = { max_bytes = "500MB", max_messages = 100000, max_wait = "72h", at_limit = "drop_newest" }`,
		`[gateway]`, `[broker]
max_session_bytes = "unlimited"
max_session_messages = 1000
max_session_wait = "24h"
session_at_limit = "refuse"
[store]
at_limit = "drop_oldest"
[gateway]`,
	).Replace(plant))
	if faults != nil {
		t.Fatalf("got faults: %q", faults)
	}
	want := broker.QueueLimits{MaxBytes: 500e6, MaxMessages: 100_000, MaxWait: broker.Wait(72 * time.Hour), AtLimit: store.DropNewest}
	if got := file.Bridge[0].Queue; got != want {
		t.Errorf("the bridge's: got %+v, want %+v", got, want)
	}
	if l := file.Broker.Limits; l.MaxSessionBytes != store.Unlimited || l.MaxSessionMessages != 1000 || l.MaxSessionWait != broker.Wait(24*time.Hour) || l.SessionAtLimit != store.Refuse {
		t.Errorf("the sessions': got %+v", l)
	}
	if got := file.Store.AtLimit; got != store.DropOldest {
		t.Errorf("the store's: got %v", got)
	}
}

func TestAQuotaThatCannotBeIsAFault(t *testing.T) {
	_, faults := loadText(t, strings.NewReplacer(
		`url  = "mqtts://broker.example.com:8883"`, `url = "mqtts://broker.example.com:8883"
queue = { max_bytes = 0, max_wait = "5s", at_limit = "drop" }`,
		`[gateway]`, `[broker]
max_session_bytes = "1B"
max_session_messages = 0
[gateway]`,
	).Replace(plant))
	for _, want := range []string{
		`broker.max_session_bytes: 1B: want 1kB to 4TB, or "unlimited"`,
		`broker.max_session_messages: 0: want at least 1, or "unlimited"`,
		`bridge.queue.max_bytes: 0 is no size`,
		`bridge.queue.max_wait: 5s: want 1m or more, or "unlimited"`,
		`bridge.queue.at_limit: "drop": want "drop_oldest", "drop_newest" or "refuse"`,
	} {
		if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, want) }) {
			t.Errorf("no fault says %q: %q", want, faults)
		}
	}
}

func TestWhatAPresetsServiceRefusesIsSaidWithItsLine(t *testing.T) {
	_, faults := loadText(t, `[gateway]
id = "boiler-house"
[[bridge]]
name = "cloud"
preset = "aws-iot"
url = "mqtts://a1b2-ats.iot.eu-central-1.amazonaws.com:1883"
tls = { cert_file = "gw.crt", key_file = "gw.key" }
keep_alive = "10s"
  [[bridge.up]]
  filter = "boiler-house/#"
  qos = 2
  [[bridge.down]]
  filter = "plants/1/2/3/4/5/6/7/8/#"
`)
	want := []string{
		"main.toml:6: bridge.url: port 1883: AWS IoT Core listens on 8883 and 443",
		"main.toml:8: bridge.keep_alive: 10s: AWS IoT Core takes at least 30s",
		"main.toml:11: bridge.up.qos: 2: AWS IoT Core has QoS 0 and 1 only",
		`main.toml:13: bridge.down.filter: "plants/1/2/3/4/5/6/7/8/#": AWS IoT Core takes at most 7 "/" in a topic, here are 8`,
	}
	if !slices.EqualFunc(faults, want, strings.HasSuffix) {
		t.Errorf("got  %q\nwant %q", faults, want)
	}
}

func TestABridgeRecodesOnlyWhatTheGatewayPublishesAsJSON(t *testing.T) {
	up := strings.NewReplacer(`filter = "boiler-house/#"`, "filter = \"boiler-house/#\"\nformat = \"influx\"").Replace(plant)
	if _, faults := loadText(t, up); faults != nil {
		t.Errorf("got faults: %q", faults)
	}
	_, faults := loadText(t, strings.Replace(up, "[gateway]", "[gateway]\nformat = \"value\"", 1))
	if len(faults) != 1 || !strings.Contains(faults[0], `bridge.up.format: "influx" is made of the gateway's JSON, and gateway.format is "value"`) {
		t.Errorf("got %q", faults)
	}
}

func TestASparkplugEdgeNodeReadsTheGatewaysJSON(t *testing.T) {
	const node = "[gateway]\nid = \"g\"\n[[bridge]]\nname = \"scada\"\nurl = \"mqtt://h\"\n[bridge.sparkplug]\ngroup_id = \"plant\"\n"
	file, faults := loadText(t, node)
	if len(faults) != 0 || file.Bridge[0].Sparkplug.EdgeNodeID != "g" {
		t.Errorf("got faults: %q", faults)
	}
	_, faults = loadText(t, strings.Replace(node, "id = ", "format = \"value\"\nid = ", 1))
	if len(faults) != 1 || !strings.Contains(faults[0], `bridge.sparkplug: it is made of the gateway's JSON, and gateway.format is "value"`) {
		t.Errorf("got %q", faults)
	}
	_, faults = loadText(t, strings.Replace(node, "plant", "a/b", 1))
	if len(faults) != 1 || !strings.Contains(faults[0], `bridge.sparkplug.group_id: "a/b"`) {
		t.Errorf("got %q", faults)
	}
}
