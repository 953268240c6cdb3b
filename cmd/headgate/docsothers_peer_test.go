package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The files of other programs on the pages, each with the test that runs it.
func TestEveryFileOfOthersInTheDocsIsRun(t *testing.T) {
	t.Parallel()
	const here = "cmd/headgate/"
	known := map[string]elsewhere{
		"packaging/docs/consumers.md // boiler.js":            {here + "consumers_peer_test.go", `"// boiler.js"`},
		"packaging/docs/consumers.md # telegraf.conf":         {here + "telegraf_peer_test.go", `"# telegraf.conf"`},
		"packaging/docs/homeassistant.md # mosquitto.conf":    {here + "homeassistant_peer_test.go", "# mosquitto.conf"},
		"packaging/docs/uplink-mosquitto.md # mosquitto.conf": {here + "docsothers_peer_test.go", "# mosquitto.conf"},
		"packaging/docs/uplink-nats.md # nats-server.conf":    {"bridge/nats_peer_test.go", "stream_replicas: 3"},
	}
	for _, p := range docPages(t) {
		for _, b := range p.blocks {
			if b.kind != ofOthers {
				continue
			}
			first, _, _ := strings.Cut(b.text, "\n")
			first, _, _ = strings.Cut(first, ":")
			where, ok := known[p.name+" "+first]
			if !ok {
				t.Errorf("%s:%d: nobody runs %s", p.name, b.line, first)
				continue
			}
			where.check(t, first)
			delete(known, p.name+" "+first)
		}
	}
	for name := range known {
		t.Errorf("there is no %s any more", name)
	}
}

// The page about mosquitto, with a real one: values go up by TLS, a command comes down.
func TestTheFilesOnThePageOfMosquittoWork(t *testing.T) {
	t.Parallel()
	needMosquitto(t)
	p, dir := docPage(t, "packaging/docs/uplink-mosquitto.md"), t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	writeKeyPair(t, in("server.crt"), in("server.key"))
	cert, err := os.ReadFile(in("server.crt"))
	if err != nil {
		t.Fatal(err)
	}
	const rights = "user boiler-house\ntopic write boiler-house/#\ntopic read cmd/boiler-house/#\nuser scada\ntopic readwrite #\n"
	for name, text := range map[string]string{"ca.crt": string(cert), "acl": rights, "users": "", "mosquitto.password": "secret\n"} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{"boiler-house", "scada"} {
		if out, err := exec.Command("mosquitto_passwd", "-b", in("users"), user, "secret").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	var settings []string
	for _, b := range p.blocks {
		if b.kind == ofOthers && strings.HasPrefix(b.text, "# mosquitto.conf\nlistener 8883\n") {
			settings = strings.Split(strings.ReplaceAll(b.text, "/etc/mosquitto", dir), "\n")[2:]
		}
	}
	if len(settings) == 0 {
		t.Fatal("the page has no mosquitto.conf")
	}
	port := startMosquitto(t, settings...)
	text := strings.NewReplacer("broker.example.com", "localhost:"+port, `"ca.crt"`, `"`+in("ca.crt")+`"`, `"mosquitto.password"`, `"`+in("mosquitto.password")+`"`).Replace(p.tomlBlocks()[0])
	h := runHeadgate(t, strings.ReplaceAll(bridgesConfig, "{DIR}", in("data"))+text+"\n")
	h.says("connected to the upstream")

	client := []string{"-h", "localhost", "-p", port, "--cafile", in("ca.crt"), "-u", "scada", "-P", "secret", "-q", "1"}
	local := dial(t, h.addr(), "local")
	local.subscribe("boiler-house/+/+/set", 1)
	eventually(t, "the command comes down", func() bool {
		if out, err := exec.Command("mosquitto_pub", append(client, "-t", "cmd/boiler-house/meter1/relay/set", "-m", "true")...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		got := local.on("boiler-house/meter1/relay/set")
		return len(got) > 0 && got[0] == "true"
	})
	_, own, _ := net.SplitHostPort(h.addr())
	if out, err := exec.Command("headgate", "pub", "-p", own, "-q", "1", "-r", "-t", "boiler-house/meter1/power", "-m", "7").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command("mosquitto_sub", append(client, "-t", "boiler-house/#", "-C", "1", "-W", "30")...).CombinedOutput()
	if err != nil || string(out) != "7\n" {
		t.Errorf("what came up: %q, %v", out, err)
	}
}
