package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"headgate/cmd/headgate/control"
)

// notRunHere are the commands of the guide that this test cannot run, and why.
func notRunHere() map[string]string {
	return map[string]string{
		"modbus scan --url rtu:///dev/ttyUSB0?baud=9600":       "wants a serial adapter",
		"serial monitor --url serial:///dev/ttyUSB1?baud=9600": "wants a serial adapter",
		"modbus sniff":  "goes on until it is ended",
		"sub -v -t '#'": "goes on until it is ended",
		"import /etc/mosquitto/mosquitto.conf > headgate.toml": "reads what mosquitto's package installs; the tests of import have such files",
		"check headgate.toml": "checks what the import before it has made",
	}
}

// Every command of the guide does what it is there for, on a gateway that runs.
func TestTheCommandsInTheGuideRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	headgate := runHeadgate(t, strings.ReplaceAll(bridgesConfig, "{DIR}", filepath.Join(dir, "data")))
	eventually(t, "the gateway can be asked", func() bool {
		return control.New(control.Paths(filepath.Join(dir, "data"))).Get(t.Context(), statusPath, new(statusReport)) == nil
	})
	found := regexp.MustCompile(`(?m)^(?:sudo )?headgate (.*?)(?:\s+#.*)?$`).FindAllStringSubmatch(strings.Join(guide(t), "\n"), -1)
	ran, skipped := 0, notRunHere()
	for _, f := range found {
		if _, ok := skipped[f[1]]; ok {
			delete(skipped, f[1])
			continue
		}
		args := strings.Fields(strings.ReplaceAll(f[1], "plant.backup", filepath.Join(dir, "plant.backup")))
		switch args[0] {
		case "restore": // beside the gateway that runs
			args = append(args, "--config", filepath.Join(dir, "new", "headgate.toml"), "--data-dir", filepath.Join(dir, "new", "data"))
		case "check", "doctor", "status", "queue", "backup":
			args = append(args, "--config", headgate.config)
		}
		var out bytes.Buffer
		status := dispatch(args, &out, &out)
		// What doctor finds is of the machine that tests.
		if status != 0 && !(status == exitFailed && args[0] == "doctor" && strings.Contains(out.String(), "configuration")) || out.Len() == 0 {
			t.Errorf("headgate %s ends with %d: %s", f[1], status, out.String())
		}
		ran++
	}
	for command := range skipped {
		t.Errorf("the guide has no headgate %s any more", command)
	}
	if ran < 8 {
		t.Errorf("only %d commands were run", ran)
	}
	if _, err := os.Stat(filepath.Join(dir, "new", "data", "store", "FORMAT")); err != nil {
		t.Errorf("the guide's restore has made no store: %v", err)
	}
}
