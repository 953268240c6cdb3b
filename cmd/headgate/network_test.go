package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"headgate/bridge"
	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/listen"
)

// inOwnNetwork runs the test that calls it again in a process with a network of
// its own, of which nothing is up, and says whether this is that process.
func inOwnNetwork(t *testing.T) bool {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip is missing: apt-get install iproute2")
	}
	const mark = "HEADGATE_TEST_NETWORK"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=180s")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil && strings.Contains(string(out), "--- PASS"):
	case cmd.ProcessState == nil:
		t.Skipf("no process with a network of its own can be started: %v", err)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	default:
		t.Errorf("in a network of its own: %v\n%s", err, out)
	}
	return false
}

func ip(t *testing.T, args string) {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}

func TestABridgeConnectsAsSoonAsTheNetworkIsBack(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	ip(t, "link set lo up")
	cloud := brokertest.Start(t, func(c *broker.Config) {
		c.Listener = []listen.Config{{URL: "mqtt://0.0.0.0:0", Anonymous: true}}
	})
	_, port, _ := net.SplitHostPort(cloud.Addr)
	h := runInside(t, `
[gateway]
id = "plant"
data_dir = "`+t.TempDir()+`"
[[bridge]]
name = "cloud"
url = "mqtt://192.0.2.1:`+port+`"
max_backoff = "24h"
up = [ { filter = "#" } ]
`)
	attempts := 3
	if os.Getenv("HEADGATE_PROOF") != "" {
		attempts = 8 // the next wait is up to 38 s then
	}
	for range attempts {
		last := h.bridges()[0].Stats().LastErrorAt
		eventually(t, "another attempt", func() bool { return h.bridges()[0].Stats().LastErrorAt.After(last) })
	}
	began := time.Now()
	ip(t, "addr add 192.0.2.1/32 dev lo")
	eventually(t, "connected", func() bool { return h.bridges()[0].Stats().State == bridge.Connected })
	took := time.Since(began)
	t.Logf("connected %v after the network was back", took.Round(time.Millisecond))
	if attempts > 3 && took > time.Second {
		t.Error("the bridge did not hear of it")
	}
}

func TestOnlyWhatIsNewInTheNetworkCounts(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	w, err := openNetworkWatch()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changes, ended := make(chan struct{}), make(chan error)
	go func() { ended <- w.run(ctx, func() { changes <- struct{}{} }) }()
	ip(t, "link set lo up")
	<-changes
	ip(t, "addr add 192.0.2.1/32 dev lo")
	<-changes
	ip(t, "route add 198.51.100.0/24 dev lo")
	<-changes
	ip(t, "addr change 192.0.2.1/32 dev lo valid_lft 3600 preferred_lft 3600")
	ip(t, "route del 198.51.100.0/24 dev lo")
	select {
	case <-changes:
		t.Error("a renewed lifetime or a route that went counts as something new")
	case <-time.After(3 * networkPause):
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
