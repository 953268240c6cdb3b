package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
	"headgate/cmd/headgate/control"
)

const queueConfig = `
[gateway]
id = "plant"
data_dir = "{DIR}"
[broker]
max_session_messages = 3
[[broker.listener]]
url = "mqtt://127.0.0.1:0"
[[bridge]]
name = "cloud"
url = "mqtt://127.0.0.1:1"
queue = { max_bytes = "1MB", max_wait = "72h" }
[[bridge.up]]
filter = "up/#"
`

// queueOf runs headgate queue on a process's configuration.
func queueOf(config string, args ...string) (status int, said string) {
	var out bytes.Buffer
	status = dispatch(append(append([]string{"queue"}, args...), "--config", config), &out, &out)
	return status, out.String()
}

// wantQueue wants a line of headgate queue list to have the words, in any columns.
func wantQueue(t *testing.T, config, name string, words ...string) {
	t.Helper()
	status, said := queueOf(config, "list")
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, name+" ") {
			continue
		}
		for _, w := range words {
			if !strings.Contains(line, " "+w) {
				t.Errorf("the line of %s has no %q: %s", name, w, line)
			}
		}
		return
	}
	t.Errorf("queue list ends with %d and has no %s:\n%s", status, name, said)
}

func TestTheQueuesAreLookedIntoWhileTheGatewayRunsAndWhileItDoesNot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := strings.ReplaceAll(queueConfig, "{DIR}", dir)
	headgate := runHeadgate(t, strings.Replace(config, "1MB", "2MB", 1))
	reachable := func() {
		t.Helper()
		eventually(t, "the gateway can be asked", func() bool {
			return control.New(control.Paths(dir)).Get(t.Context(), statusPath, new(statusReport)) == nil
		})
	}
	reachable()
	wantQueue(t, headgate.config, "$bridge/cloud", "2 MB")
	if err := os.WriteFile(headgate.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if status := dispatch([]string{"reload", headgate.config}, &out, &out); status != 0 || strings.Contains(out.String(), "restart") {
		t.Fatalf("reload ends with %d: %s", status, out.String())
	}
	sub, _ := brokertest.Connect(t, headgate.address, packet.V5, "historian", brokertest.Persistent)
	sub.SubscribeTo("#", 1)
	sub.Disconnect()
	pub, _ := brokertest.Connect(t, headgate.address, packet.V5, "pub")
	for i := range 4 {
		pub.Publish("up/level", fmt.Sprint("21.", i), 1)
	}
	pub.Publish("up/raw", "\xff\x00", 1, func(p *packet.Publish) {
		p.Properties.ContentType = []byte("octets")
		p.Properties.Set(packet.PropContentType)
	})

	look := func(t *testing.T, args ...string) {
		t.Helper()
		wantQueue(t, headgate.config, "historian", "session", "3 ", "256 MB, 3 messages, drop_oldest", "2 oldest")
		wantQueue(t, headgate.config, "$bridge/cloud", "bridge", "5 ", "1 MB, drop_oldest, at most 3d0h", "-")
		status, said := queueOf(headgate.config, "show", "historian", "-n", "2")
		if status != 0 || strings.Count(said, "\n") != 3 || !strings.Contains(said, " 1    4     up/level  21.2\n") {
			t.Errorf("show ends with %d:\n%s", status, said)
		}
		status, said = queueOf(headgate.config, "export", "bridge/cloud")
		lines := strings.Split(strings.TrimSpace(said), "\n")
		var first, last struct {
			Topic, Time, Payload string
			Base64               []byte `json:"payload_base64"`
			QoS                  int
			Properties           map[string]any
		}
		if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || len(lines) != 5 || first.Topic != "up/level" || first.Payload != "21.0" || first.QoS != 1 {
			t.Errorf("export ends with %d, %v:\n%s", status, err, said)
		}
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || string(last.Base64) != "\xff\x00" || last.Properties["content-type"] != "octets" {
			t.Errorf("the last line, %v: %s", err, lines[len(lines)-1])
		}
		if status, said := queueOf(headgate.config, "show", "cloud"); status != exitFailed || !strings.Contains(said, `there is no queue "cloud": there is $bridge/cloud`) {
			t.Errorf("show of another name ends with %d: %s", status, said)
		}
	}
	t.Run("running", func(t *testing.T) { look(t) })
	headgate.cmd.Process.Signal(syscall.SIGTERM)
	<-headgate.ended
	t.Run("stopped", func(t *testing.T) { look(t) })

	status, said := queueOf(headgate.config, "purge", "historian", "--yes")
	if status != 0 || said != "3 messages purged.\n" {
		t.Errorf("purge ends with %d: %s", status, said)
	}
	wantQueue(t, headgate.config, "historian", "0 B", "3 purged")
	before, _, _ := strings.Cut(config, "[[bridge]]")
	if err := os.WriteFile(headgate.config, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	wantQueue(t, headgate.config, "$bridge/cloud", "old bridge", "5 ", "unlimited")

	headgate.launch()
	headgate.waitListening()
	reachable()
	if status, said := queueOf(headgate.config, "purge", "bridge/cloud", "-y"); status != 0 || said != "5 messages purged.\n" {
		t.Errorf("purge ends with %d: %s", status, said)
	}
	headgate.cmd.Process.Kill()
	<-headgate.ended
	if status, said := queueOf(headgate.config, "list"); status != exitFailed || !strings.Contains(said, "start the gateway, or say --recover") {
		t.Errorf("list after a kill ends with %d: %s", status, said)
	}
	if status, said := queueOf(headgate.config, "list", "--recover"); status != 0 || !strings.Contains(said, "5 purged") {
		t.Errorf("list --recover ends with %d: %s", status, said)
	}
}

func TestOnlyAYesPurges(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, "\n": false, "": false, "no\n": false, "yesterday\n": false} {
		var asked bytes.Buffer
		if got := confirmed(strings.NewReader(answer), &asked, "Purge it?"); got != want || asked.String() != "Purge it? [y/N] " {
			t.Errorf("answer %q: %v, asked %q", answer, got, asked.String())
		}
	}
}

func TestAPayloadThatIsNoTextDoesNotDisturbTheTerminal(t *testing.T) {
	for payload, want := range map[string]string{
		"21.5":                        "21.5",
		"\x1b[2J":                     `"\x1b[2J"`,
		"\xff":                        `"\xff"`,
		strings.Repeat("ä", 40):       strings.Repeat("ä", 30) + "...",
		strings.Repeat("€", 25):       strings.Repeat("€", 20) + "...",
		"x" + strings.Repeat("ä", 40): "x" + strings.Repeat("ä", 29) + "...",
	} {
		if got := beginOf([]byte(payload)); got != want {
			t.Errorf("%q: got %s, want %s", payload, got, want)
		}
	}
}
