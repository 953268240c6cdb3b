package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

const reloadConfig = `
[gateway]
id = "plant"
data_dir = "{DIR}"
[broker]
max_topic_levels = 4
[[broker.user]]
name = "{USER}"
password = "secret"
[[broker.listener]]
url = "mqtt://127.0.0.1:0"
`

func TestARunningGatewayReloadsItsConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := strings.ReplaceAll(reloadConfig, "{DIR}", dir)
	headgate := runHeadgate(t, strings.ReplaceAll(text, "{USER}", "ann"))
	connect := func(user string) packet.ReasonCode {
		c := brokertest.Dial(t, headgate.address, packet.V5)
		return c.Connect("c", func(p *packet.Connect) {
			p.HasUsername, p.Username, p.HasPassword, p.Password = true, []byte(user), true, []byte("secret")
		}).Reason
	}
	if r := connect("ann"); r != packet.Success {
		t.Fatalf("before: %v", r)
	}
	write := func(text string) {
		if err := os.WriteFile(headgate.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the control socket is there", func() bool {
		_, err := os.Stat(filepath.Join(dir, "control.sock"))
		_, other := os.Stat("/run/headgate/control.sock")
		return err == nil || other == nil
	})
	reload := func() (status int, said string) {
		var out bytes.Buffer
		status = dispatch([]string{"reload", headgate.config}, &out, &out)
		return status, out.String()
	}

	write(strings.ReplaceAll(text, "{USER}", "bob") + "[[store.class]]\nfilter = \"slow/#\"\nwindow = \"20ms\"\n")
	if status, said := reload(); status != 0 || !strings.HasPrefix(said, "Reloaded") || strings.Contains(said, "restart") {
		t.Fatalf("reload ends with %d: %s", status, said)
	}
	if r := connect("ann"); r != packet.BadUserNameOrPassword {
		t.Errorf("a user that is gone: %v", r)
	}
	if r := connect("bob"); r != packet.Success {
		t.Errorf("a new user: %v", r)
	}
	// What is faulty is not taken, and what was stays.
	write(text + "[[broker.usr]]")
	if status, said := reload(); status != exitUsage || !strings.Contains(said, "did you mean user") {
		t.Errorf("reload of a typo ends with %d: %s", status, said)
	}
	headgate.cmd.Process.Signal(syscall.SIGHUP)
	headgate.says("level=ERROR", "configuration not reloaded", "did you mean user")
	if r := connect("bob"); r != packet.Success {
		t.Errorf("after a faulty reload: %v", r)
	}
	// What needs a restart is named.
	old := headgate.addr()
	write(strings.ReplaceAll(text, "{USER}", "bob") + "[[broker.listener]]\nurl = \"mqtt://127.0.0.1:0\"\n[store]\nring_bytes = \"3MB\"\n[[serial]]\nname = \"s\"\nurl = \"serial:///dev/none?baud=9600\"\nparse = { regexp = '(?P<v>.*)' }\nframe = { kind = \"line\" }\n")
	status, said := reload()
	if status != 0 || !strings.Contains(said, "links and devices that were changed have started again") || !strings.Contains(said, "only after a restart: store.ring_bytes.") {
		t.Errorf("reload of other tables ends with %d: %s", status, said)
	}
	headgate.waitFor("it listens where it did not before", func() bool { return headgate.addr() != old })
	write(strings.ReplaceAll(text, "{USER}", "ann"))
	headgate.cmd.Process.Signal(syscall.SIGHUP)
	headgate.says("level=INFO", "configuration reloaded")
}

func TestReloadSaysThatNoGatewayRuns(t *testing.T) {
	path := writeConfig(t, strings.NewReplacer("{DIR}", t.TempDir(), "{USER}", "ann").Replace(reloadConfig))
	var out bytes.Buffer
	if status := dispatch([]string{"reload", path}, &out, &out); status != exitFailed || !strings.Contains(out.String(), "no gateway runs here") {
		t.Errorf("ends with %d: %s", status, out.String())
	}
}
