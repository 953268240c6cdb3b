package main

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"headgate/adapters/modbus/modbussim"
)

// derivedPage gives the configurations on packaging/docs/derived.md: the first is
// that of the devices that the others are about.
func derivedPage(t *testing.T) []string {
	t.Helper()
	return docPage(t, "packaging/docs/derived.md").tomlBlocks()
}

func TestDerivedPointsOfTheWholeProgram(t *testing.T) {
	t.Parallel()
	needMosquitto(t)
	sim := modbussim.New()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- sim.ServeTCP(t.Context(), ln) }()
	t.Cleanup(func() { sim.Close(); <-done })
	sim.Unit(1).Set(modbussim.HoldingRegisters, 0, 230, 20, 7)
	sim.Unit(2).Set(modbussim.HoldingRegisters, 0, 400)

	dir := t.TempDir()
	text := strings.NewReplacer(
		"192.168.1.20:502", ln.Addr().String(), "127.0.0.1:1883", "127.0.0.1:0", `id = "plant"`, "id = \"plant\"\ndata_dir = \""+dir+"\"",
		`delay = "10s"`, `delay = "10ms"`, "deadband", "#",
	).Replace(strings.Join(derivedPage(t), "\n"))
	p := runHeadgate(t, text+"\n")
	_, port, _ := net.SplitHostPort(p.addr())

	c := dial(t, p.addr(), "watcher")
	c.subscribe("plant/#", 1)
	value := func(topic string) any { return c.wait(t, topic, isGood).fields(t)["value"] }
	for topic, want := range map[string]any{"plant/house/power": 4600.0, "plant/house/total": 5000.0, "plant/energy/gas": 0.0, "plant/energy/quarter_hour": 4600.0} {
		if got := value(topic); got != want {
			t.Errorf("%s: got %v, want %v", topic, got, want)
		}
	}

	// A foreign publisher's JSON.
	pub := exec.Command("mosquitto_pub", "-p", port, "-t", "zigbee2mqtt/plug1", "-m", `{"power":12.5,"state":"ON"}`)
	if out, err := pub.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := value("plant/kitchen/power"); got != 12.5 {
		t.Errorf("got %v", got)
	}
	if got := value("plant/kitchen/on"); got != true {
		t.Errorf("got %v", got)
	}

	// The alarm is on: who comes later gets it, for it is retained.
	c.wait(t, "plant/supervision/overload", func(m received) bool { return strings.Contains(m.payload, `"value":true`) })
	out, err := exec.Command("mosquitto_sub", "-p", port, "-t", "plant/supervision/overload", "-C", "1", "-W", "30").Output()
	var alarm struct {
		Value          bool
		Message, Since string
	}
	if err != nil || json.Unmarshal(out, &alarm) != nil || !alarm.Value || alarm.Message == "" || alarm.Since == "" {
		t.Errorf("got %s, %v", out, err)
	}
	if out := commandOutput(t, "status", "--config", p.config); !strings.Contains(out, "supervision/overload") || !strings.Contains(out, "workshop is overloaded") {
		t.Errorf("headgate status says:\n%s", out)
	}

	// It ends, and is over; a meter that does not answer makes its values bad.
	sim.Unit(1).Set(modbussim.HoldingRegisters, 0, 230, 1, 9)
	c.wait(t, "plant/supervision/overload", func(m received) bool { return strings.Contains(m.payload, `"value":false`) })
	c.wait(t, "plant/energy/gas", func(m received) bool { return m.fields(t)["value"] == 0.02 })
	sim.Close()
	m := c.wait(t, "plant/house/power", func(m received) bool { return m.fields(t)["quality"] == "bad" }).fields(t)
	if reason, _ := m["reason"].(string); m["value"] != nil || !strings.HasPrefix(reason, "meter1.") {
		t.Errorf("got %v", m)
	}

	// The gas is not forgotten.
	p.terminate()
	kept, err := os.ReadFile(filepath.Join(dir, "derived.totals"))
	if err != nil || !strings.Contains(string(kept), `"energy/gas":{"calls":[{"name":"total","values":[2,9]}]}`) {
		t.Errorf("got %s, %v", kept, err)
	}
}

func isGood(m received) bool { return strings.Contains(m.payload, `"quality":"good"`) }

// commandOutput runs the program with args and gives what it prints.
func commandOutput(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("headgate", args...).CombinedOutput()
	if err != nil {
		t.Logf("headgate %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}
