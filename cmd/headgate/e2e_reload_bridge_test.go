package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"headgate/broker/brokertest"
	"headgate/cmd/headgate/control"
)

const bridgesConfig = `
[gateway]
id = "plant"
data_dir = "{DIR}"
[[broker.listener]]
url = "mqtt://127.0.0.1:0"
[web]
listen = "off"
`

func bridgeTo(name, addr, up, more string) string {
	return fmt.Sprintf("[[bridge]]\nname = %q\nurl = \"mqtt://%s\"\nup = [ { filter = %q%s } ]\n", name, addr, up, more)
}

// A bridge that is changed begins again with all that waits for it; the others, and
// the clients, notice nothing.
func TestAReloadStartsOnlyThoseBridgesAgainThatHaveChanged(t *testing.T) {
	t.Parallel()
	const nowhere = "127.0.0.1:1"
	dir := t.TempDir()
	cloud := brokertest.Start(t)
	watch := dial(t, cloud.Addr, "watch")
	watch.subscribe("#", 1)
	base := strings.ReplaceAll(bridgesConfig, "{DIR}", dir)
	steady := bridgeTo("steady", cloud.Addr, "b/#", "")
	headgate := runHeadgate(t, base+steady+bridgeTo("cloud", nowhere, "a/#", ""))
	local := dial(t, headgate.addr(), "local")
	reload := func(text string, want ...string) {
		t.Helper()
		if err := os.WriteFile(headgate.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if status := dispatch([]string{"reload", headgate.config}, &out, &out); status != 0 || !hasAll(out.String(), want) {
			t.Fatalf("reload ends with %d and does not say %q: %s", status, want, out.String())
		}
	}
	since := func() (at time.Time) {
		t.Helper()
		eventually(t, "the bridge that is not changed is connected", func() bool {
			var list []bridgeReport
			if control.New(control.Paths(dir)).Get(t.Context(), bridgesPath, &list) != nil {
				return false
			}
			for _, b := range list {
				if b.Name == "steady" && b.State == "connected" {
					at = *b.Since
				}
			}
			return !at.IsZero()
		})
		return at
	}
	arrives := func(topic string) {
		t.Helper()
		local.publish(topic, "here", 1)
		watch.wait(t, topic, nil)
	}
	before := since()
	for i := range 200 {
		local.publish("a/x", fmt.Sprint(i), 1)
	}

	reload(base+steady+bridgeTo("cloud", cloud.Addr, "a/#", ""), "bridges that were changed have started again.\n")
	eventually(t, "what waited is in the cloud", func() bool { return len(watch.on("a/x")) >= 200 })
	for i, got := range watch.on("a/x") {
		if got != fmt.Sprint(i) {
			t.Fatalf("message %d in the cloud is %s", i, got)
		}
	}
	arrives("b/1")

	// Other filters: what matches both is not lost in between, what matches only the old
	// ones does not go up any more.
	reload(base+steady+bridgeTo("cloud", cloud.Addr, "a/y/#", ""), "bridges that were changed")
	local.publish("a/x", "not any more", 1)
	arrives("a/y/1")

	reload(base+steady+bridgeTo("third", cloud.Addr, "c/#", ""), "bridges that were changed")
	local.publish("a/y/2", "not any more", 1)
	arrives("c/1")
	if status, said := queueOf(headgate.config, "list"); status != 0 || !hasAll(said, []string{"$bridge/cloud", "old bridge"}) {
		t.Errorf("queue list ends with %d: %s", status, said)
	}
	reload(base+steady+bridgeTo("cloud", cloud.Addr, "a/#", ""), "bridges that were changed")
	arrives("a/y/3")

	reload(base+steady+bridgeTo("cloud", cloud.Addr, "a/#", `, priority = "high"`), "only after a restart: bridge cloud.")
	arrives("a/y/4")
	reload(base+steady+bridgeTo("cloud", cloud.Addr, "a/#", ""), "Reloaded: users, rights, limits, classes, listeners, certificates and logins to the page are in force.\n")
	arrives("b/2")
	if after := since(); !after.Equal(before) {
		t.Errorf("a bridge that was not changed is connected since %v, and was since %v", after, before)
	}
	if got := watch.on("a/x"); len(got) != 200 {
		t.Errorf("%d messages in the cloud that waited, want 200: a filter that is gone still counts", len(got))
	}
	if got := watch.on("a/y/2"); len(got) != 0 {
		t.Error("a bridge that is gone still takes messages")
	}
	headgate.terminate()
}
