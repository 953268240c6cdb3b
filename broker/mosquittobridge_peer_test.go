package broker_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// quietAddress is an address on loopback where nobody listens.
func quietAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// staysPut keeps a broker's port over its restarts.
func staysPut(t *testing.T) func(*broker.Config) {
	t.Helper()
	url := "mqtt://" + quietAddress(t)
	return func(c *broker.Config) { c.Listener[0].URL = url }
}

// waitUntil waits for what a peer does in its own time.
func waitUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// bridging is a mosquitto that bridges into our broker, a tree both ways.
type bridging struct {
	t    *testing.T
	addr string
	conf string
	cmd  *exec.Cmd
}

func bridgeFrom(t *testing.T, version, upstream string) *bridging {
	t.Helper()
	needProgram(t, "mosquitto", "mosquitto")
	dir := t.TempDir()
	m := &bridging{t: t, addr: quietAddress(t), conf: filepath.Join(dir, "mosquitto.conf")}
	_, port, _ := net.SplitHostPort(m.addr)
	text := strings.Join([]string{
		"user root", "listener " + port + " 127.0.0.1", "allow_anonymous true", "persistence true", "persistence_location " + dir + "/",
		"connection up", "address " + upstream, "bridge_protocol_version " + version, "remote_clientid bridge", "cleansession false",
		"restart_timeout 1", "notifications false", "topic plant/# both 2",
	}, "\n")
	if err := os.WriteFile(m.conf, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.end(syscall.SIGKILL) })
	m.start()
	return m
}

func (m *bridging) start() {
	m.t.Helper()
	m.cmd = exec.Command("mosquitto", "-c", m.conf)
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	waitUntil(m.t, "mosquitto listens", func() bool {
		nc, err := net.Dial("tcp", m.addr)
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
}

func (m *bridging) end(sig syscall.Signal) {
	if m.cmd == nil {
		return
	}
	m.cmd.Process.Signal(sig)
	m.cmd.Wait()
	m.cmd = nil
}

// forBridges runs a test with each protocol version that a mosquitto bridges in.
// below is its client, above is ours; each has subscribed to the whole tree.
func forBridges(t *testing.T, f func(t *testing.T, s *brokertest.Server, m *bridging, below, above *brokertest.Client)) {
	for _, version := range []string{"mqttv311", "mqttv50"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel() // mosquitto takes its time
			s := brokertest.Start(t, staysPut(t))
			m := bridgeFrom(t, version, s.Addr)
			waitUntil(t, "the bridge has subscribed", func() bool { return s.Broker.Stats().Subscriptions == 1 })
			below, _ := brokertest.Connect(t, m.addr, packet.V5, "below", brokertest.Persistent)
			below.SubscribeTo("plant/#", 2)
			above, _ := brokertest.Connect(t, s.Addr, packet.V5, "above", brokertest.Persistent)
			above.SubscribeTo("plant/#", 2)
			f(t, s, m, below, above)
		})
	}
}

// In 3.1.1 a bridge can only say that it is one: what it publishes does not come
// back to it, and what is retained stays so.
func TestATreeBridgedBothWaysHasEachMessageOnceAndKeepsItRetained(t *testing.T) {
	t.Parallel()
	forBridges(t, func(t *testing.T, s *brokertest.Server, m *bridging, below, above *brokertest.Client) {
		below.Publish("plant/a", "from below", 2, brokertest.Retained)
		below.Want("plant/a", "from below", 2)
		above.Want("plant/a", "from below", 2)
		above.Publish("plant/b", "from above", 2, brokertest.Retained)
		above.Want("plant/b", "from above", 2)
		below.Want("plant/b", "from above", 2) // and no "plant/a" before it
		below.Publish("plant/c", "1", 1)
		above.Want("plant/c", "1", 1) // and no "plant/b" before it

		late, _ := brokertest.Connect(t, m.addr, packet.V5, "late")
		late.SubscribeTo("plant/b", 1)
		if p := late.Want("plant/b", "from above", 1); !p.Retain {
			t.Error("mosquitto did not retain what was retained above")
		}
		late, _ = brokertest.Connect(t, s.Addr, packet.V5, "late")
		late.SubscribeTo("plant/a", 1)
		if p := late.Want("plant/a", "from below", 1); !p.Retain {
			t.Error("what was retained below is not retained above")
		}
	})
}

// A bridge's session is there for what goes down while mosquitto is away; what
// goes up while the broker is away waits in mosquitto.
func TestABridgeLosesNothingOverARestartOfEitherSide(t *testing.T) {
	t.Parallel()
	const many = 30 // more than mosquitto has on its way
	publish := func(c *brokertest.Client, topic string) {
		for i := range many {
			c.Publish(topic, fmt.Sprint(i), 2)
		}
	}
	want := func(c *brokertest.Client, topic string) {
		for i := range many {
			c.Want(topic, fmt.Sprint(i), 2)
		}
	}
	forBridges(t, func(t *testing.T, s *brokertest.Server, m *bridging, _, above *brokertest.Client) {
		m.end(syscall.SIGTERM) // it writes its sessions down
		waitUntil(t, "the bridge is gone", func() bool { return s.Broker.Stats().Connections == 1 })
		keeps := s.Broker.Stats().Offline == 1
		publish(above, "plant/down")
		want(above, "plant/down")
		m.start()
		again, _ := brokertest.Connect(t, m.addr, packet.V5, "below", brokertest.Persistent)
		if keeps { // mosquitto 2.0 asks for no session expiry in 5.0
			want(again, "plant/down")
		}

		s.Stop()
		publish(again, "plant/up")
		want(again, "plant/up")
		s.Restart()
		above, _ = brokertest.Connect(t, s.Addr, packet.V5, "above", brokertest.Persistent)
		want(above, "plant/up")
		above.Silent()
	})
}
