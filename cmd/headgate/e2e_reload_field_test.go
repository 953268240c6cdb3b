package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// A meter that is written into the file is read after a reload, and one that is
// taken out is not any more; a client's connection and session go on meanwhile.
func TestAReloadBringsDevicesAndKeepsConnections(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("{DIR}", t.TempDir(), "{USER}", "ann").Replace(reloadConfig)
	headgate := runHeadgate(t, text)
	c := brokertest.Dial(t, headgate.addr(), packet.V5)
	c.Connect("panel", func(p *packet.Connect) {
		p.HasUsername, p.Username, p.HasPassword, p.Password = true, []byte("ann"), true, []byte("secret")
	})
	c.SubscribeTo("plant/+/status", 1)
	reload := func(text, want string) {
		t.Helper()
		if err := os.WriteFile(headgate.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if status := dispatch([]string{"reload", headgate.config}, &out, &out); status != 0 || !strings.Contains(out.String(), want) {
			t.Fatalf("reload ends with %d: %s", status, out.String())
		}
	}
	link := func(name string) string {
		return "[[modbus]]\nname = \"" + name + "-link\"\nurl = \"tcp://127.0.0.1:1\"\n[[modbus.device]]\nname = \"" + name + "\"\nunit = 1\npoint = [ { name = \"v\", register = \"holding:0\" } ]\n"
	}
	topicOf := func() string {
		p := c.Receive()
		c.SendAck(packet.PUBACK, p.PacketID)
		return string(p.Topic)
	}
	reload(text+link("meter1"), "links and devices that were changed have started again")
	if got := topicOf(); got != "plant/meter1/status" {
		t.Fatalf("got %s", got)
	}
	c.Publish("plant/odd/status", "of somebody else", 1, func(p *packet.Publish) { p.Retain = true })
	reload(text+link("meter2"), "links and devices that were changed have started again")
	for topicOf() != "plant/meter2/status" {
	}
	reload(text+link("meter2")+"\n# a comment\n", "Reloaded: users, rights, limits, classes, listeners, certificates and logins to the page are in force.")
	// What is retained is of devices that there are, or not ours.
	late := brokertest.Dial(t, headgate.addr(), packet.V5)
	late.Connect("late", func(p *packet.Connect) {
		p.HasUsername, p.Username, p.HasPassword, p.Password = true, []byte("ann"), true, []byte("secret")
	})
	late.SubscribeTo("plant/+/status", 0)
	late.Publish("plant/last/status", "", 1)
	kept := map[string]bool{}
	for p := late.Receive(); string(p.Topic) != "plant/last/status"; p = late.Receive() {
		kept[string(p.Topic)] = true
	}
	if len(kept) != 2 || !kept["plant/meter2/status"] || !kept["plant/odd/status"] {
		t.Errorf("retained are %v", kept)
	}
	var out bytes.Buffer
	if status := dispatch([]string{"status", headgate.config}, &out, &out); status == exitFailed || !strings.Contains(out.String(), "meter2 on meter2-link") || strings.Contains(out.String(), "meter1") {
		t.Errorf("status ends with %d: %s", status, out.String())
	}
}
