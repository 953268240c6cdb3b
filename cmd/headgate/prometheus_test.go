package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// needPromtool skips a test without promtool, or fails it where peers are required.
func needPromtool(t *testing.T) {
	t.Helper()
	const hint = "promtool is missing: apt-get install prometheus"
	if _, err := exec.LookPath("promtool"); err != nil {
		if os.Getenv("HEADGATE_PEERS") == "required" {
			t.Fatal(hint)
		}
		t.Skip(hint)
	}
}

func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "promtool", args...)
	c.Stdin = strings.NewReader(stdin)
	if said, err := c.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, said)
	} else if len(bytes.TrimSpace(said)) > 0 && args[1] == "metrics" {
		t.Errorf("promtool %s:\n%s", strings.Join(args, " "), said)
	}
}

func TestPromtoolFindsNoFaultInTheMetrics(t *testing.T) {
	t.Parallel()
	needPromtool(t)
	h := runPage(t, newPlant(t))
	eventually(t, "the bridge is connected", func() bool { return h.bridges()[0].Stats().State == "connected" })
	_, text := askPage(t, h, "otto", "GET", "/metrics", "", nil)
	for _, want := range []string{`headgate_point_value{device="meter",point="voltage",unit="V"} 231.5`, `headgate_bridge_connected{bridge="cloud"} 1`,
		`headgate_device_online{adapter="rs485",device="meter"} 1`, "go_goroutines ", "process_resident_memory_bytes "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in it", want)
		}
	}
	promtool(t, text, "check", "metrics")
}

func TestPromtoolFindsNoFaultInTheAlerts(t *testing.T) {
	t.Parallel()
	needPromtool(t)
	dir := filepath.Join(moduleRoot(t), "packaging", "prometheus")
	promtool(t, "", "check", "rules", filepath.Join(dir, "alerts.yml"))
	promtool(t, "", "test", "rules", filepath.Join(dir, "alerts_test.yml"))
}

func TestAlertsAndTheDashboardAskForMetricsThatThereAre(t *testing.T) {
	var source []byte
	for _, name := range []string{"webmetrics.go", "webmodbus.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	for _, name := range []string{"alerts.yml", "grafana.json"} {
		text, err := os.ReadFile(filepath.Join(moduleRoot(t), "packaging", "prometheus", name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".json") && !json.Valid(text) {
			t.Errorf("%s is no JSON", name)
		}
		asked := regexp.MustCompile(`headgate_[a-z0-9_]+`).FindAllString(string(text), -1)
		if len(asked) < 10 {
			t.Fatalf("%s asks for %d metrics", name, len(asked))
		}
		for _, metric := range asked {
			if !strings.Contains(string(source), `"`+metric+`"`) {
				t.Errorf("%s asks for %s, which there is not", name, metric)
			}
		}
	}
}
