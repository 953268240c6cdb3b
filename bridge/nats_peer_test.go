package bridge

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// needNATS gives the path of nats-server.
func needNATS(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("nats-server")
	if err != nil {
		const hint = "nats-server is missing: go install github.com/nats-io/nats-server/v2@v2.15.2, and its directory in PATH"
		if os.Getenv("HEADGATE_PEERS") == "required" {
			t.Fatal(hint)
		}
		t.Skip(hint)
	}
	return path
}

// natsNode is one server of a cluster.
type natsNode struct {
	mqtt string // host:port
	cmd  *exec.Cmd
}

// natsCluster runs three servers with JetStream and MQTT.
func natsCluster(t *testing.T) []*natsNode {
	t.Helper()
	program := needNATS(t)
	ports := freePorts(t, 9)
	var routes []string
	for _, port := range ports[6:] {
		routes = append(routes, "nats://127.0.0.1:"+port)
	}
	var nodes []*natsNode
	for i := range 3 {
		dir := t.TempDir()
		conf := filepath.Join(dir, "conf")
		text := fmt.Sprintf("server_name: n%d\nlisten: 127.0.0.1:%s\njetstream { store_dir: %q }\nmqtt { listen: \"127.0.0.1:%s\", stream_replicas: 3, ack_wait: \"3s\" }\n"+
			"cluster { name: plants, listen: \"127.0.0.1:%s\", routes: [ %s ] }\n", i+1, ports[i], dir, ports[3+i], ports[6+i], strings.Join(routes, ", "))
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		log, err := os.Create(filepath.Join(dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		cmd := exec.Command(program, "-c", conf)
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		n := &natsNode{mqtt: "127.0.0.1:" + ports[3+i], cmd: cmd}
		nodes = append(nodes, n)
		t.Cleanup(func() {
			n.kill()
			if t.Failed() {
				b, _ := os.ReadFile(log.Name())
				t.Logf("n%d logged:\n%s", i+1, b[max(0, len(b)-3000):])
			}
		})
	}
	return nodes
}

// kill is a power cut of the program; again it does nothing.
func (n *natsNode) kill() {
	if n.cmd.ProcessState == nil {
		n.cmd.Process.Kill()
		n.cmd.Wait()
	}
}

// freePorts gives ports that were free a moment ago.
func freePorts(t *testing.T, n int) (ports []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports
}

// soon is eventually for what waits for elections of a cluster.
func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// gateways is a fleet that bridges to a cluster.
type gateways struct {
	sources []*memory
	bridges []*running
}

func (g *gateways) left() (n int64) {
	for _, src := range g.sources {
		n += src.left()
	}
	return n
}

// At the end a persistent session in the cloud has all that any gateway has been
// told is there, although a node of the cluster was killed in the middle.
func TestAClusterOfNATSThatLosesANodeLosesNoAcknowledgedMessage(t *testing.T) {
	if os.Getenv("HEADGATE_PROOF") == "" {
		t.Skip("it takes up to a minute: HEADGATE_PROOF=1")
	}
	const fleet, each = 200, 250
	nodes := natsCluster(t)
	cfg := func(id string, first int) Config {
		c := Config{Name: "nats", Preset: "nats", GatewayID: id, MaxBackoff: time.Second, Up: []Up{{Filter: "plants/#"}}}
		for i := range nodes {
			c.URLs = append(c.URLs, "mqtt://"+nodes[(first+i)%len(nodes)].mqtt)
		}
		return c
	}
	// Who keeps the values: a session of its own, which does not send what it gets.
	keeper := newMemory(t)
	keep := cfg("keeper", 0)
	keep.Up, keep.Down = nil, []Down{{Filter: "plants/#"}}
	start(t, keep, keeper)
	probe := newMemory(t)
	start(t, cfg("probe", 1), probe)
	soon(t, "the cluster is up and the session subscribed", func() bool {
		probe.put("plants/probe", "probe")
		time.Sleep(100 * time.Millisecond)
		return len(keeper.received()) > 0
	})

	var g gateways
	for i := range fleet {
		src := newMemory(t)
		g.sources = append(g.sources, src)
		for n := range each / 2 {
			src.put(fmt.Sprintf("plants/%d/power", i), fmt.Sprintf("%d/%d", i, n))
		}
		g.bridges = append(g.bridges, start(t, cfg(fmt.Sprintf("gw%d", i), i), src))
	}
	began, first := time.Now(), g.left()
	soon(t, "half of the first half is acknowledged", func() bool { return g.left() <= first/2 })
	t.Logf("before: %d messages acknowledged in %v", first-g.left(), time.Since(began).Round(time.Millisecond))
	killed := time.Now()
	nodes[0].kill()
	for i, src := range g.sources {
		for n := each / 2; n < each; n++ {
			src.put(fmt.Sprintf("plants/%d/power", i), fmt.Sprintf("%d/%d", i, n))
		}
	}
	soon(t, "all is acknowledged", func() bool { return g.left() == 0 })
	took := time.Since(killed)

	var times map[string]int
	var once sync.Once
	soon(t, "all that was acknowledged is there", func() bool {
		times = make(map[string]int)
		for _, m := range keeper.received() {
			times[string(m.Payload)]++
		}
		delete(times, "probe")
		once.Do(func() {
			t.Logf("%d gateways, all %d messages acknowledged %v after the node was killed; %d of them at the session then", fleet, fleet*each, took.Round(time.Millisecond), len(times))
		})
		return len(times) == fleet*each
	})
	again, moved := 0, 0
	for _, n := range times {
		again += n - 1
	}
	for i, b := range g.bridges {
		st := b.Stats()
		if st.Reconnects > 0 {
			moved++
		}
		if len(st.GivenUp) > 0 || slices.Contains(st.RefusedFilters, "plants/#") {
			t.Errorf("gateway %d: %+v", i, st)
		}
	}
	t.Logf("%d gateways had to connect anew; %d messages came twice", moved, again)
	if moved == 0 {
		t.Error("no gateway was connected to the node that was killed: the test proves nothing")
	}
}
