package broker_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// A flow as a user draws it: mqtt in -> function -> mqtt out.
func TestNodeREDTakesMessagesAndAnswersThem(t *testing.T) {
	t.Parallel()
	dir := needNode(t, "node-red")
	s := brokertest.Start(t)
	host, port := split(t, s.Addr)
	home := t.TempDir()
	flow := []map[string]any{
		{"id": "tab", "type": "tab", "label": "flow"},
		{"id": "broker", "type": "mqtt-broker", "broker": host, "port": port, "clientid": "node-red", "autoConnect": true, "protocolVersion": "5", "keepalive": "60", "cleansession": true},
		{"id": "in", "type": "mqtt in", "z": "tab", "topic": "boiler/+/temperature", "qos": "2", "datatype": "json", "broker": "broker", "wires": [][]string{{"double"}}},
		{"id": "double", "type": "function", "z": "tab", "func": `return { topic: msg.topic + "/doubled", payload: String(msg.payload.value * 2), qos: 1 }`, "outputs": 1, "wires": [][]string{{"out"}}},
		{"id": "out", "type": "mqtt out", "z": "tab", "topic": "", "qos": "", "retain": "", "broker": "broker", "wires": [][]string{}},
	}
	text, err := json.Marshal(flow)
	if err != nil {
		t.Fatal(err)
	}
	settings := `module.exports = { uiHost: "127.0.0.1", uiPort: 0, httpAdminRoot: false, httpNodeRoot: false, flowFile: "flows.json", logging: { console: { level: "warn" } } }`
	for name, b := range map[string][]byte{"flows.json": text, "settings.js": []byte(settings), "package.json": []byte(`{"name":"flows"}`)} {
		if err := os.WriteFile(filepath.Join(home, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	cmd := exec.Command("node", filepath.Join(dir, "red.js"), "--userDir", home, "--settings", filepath.Join(home, "settings.js"))
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	}()
	await(t, "Node-RED to subscribe", func() bool { return s.Broker.Stats().Subscriptions > 0 })
	c, _ := brokertest.Connect(t, s.Addr, packet.V5, "c")
	c.SubscribeTo("boiler/+/temperature/doubled", 2)
	for qos := byte(0); qos <= 2; qos++ {
		c.Publish("boiler/1/temperature", `{"value":21}`, qos)
		c.Want("boiler/1/temperature/doubled", "42", 1)
	}
}
