package broker_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/listen"
)

// The peers: clients that nobody here wrote.

// missing skips a test for want of a peer, or fails it where it must be there.
func missing(t *testing.T, what, install string) {
	t.Helper()
	if os.Getenv("HEADGATE_PEERS") == "required" {
		t.Fatalf("%s is missing: %s", what, install)
	}
	t.Skipf("%s is missing: %s", what, install)
}

// needProgram gives the path of a Debian program.
func needProgram(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name, "apt-get install "+pkg)
	}
	return path
}

// needNode gives where a package of Node.js is installed: HEADGATE_NODE_MODULES
// says in which node_modules.
func needNode(t *testing.T, pkg string) (dir string) {
	t.Helper()
	needProgram(t, "node", "nodejs npm")
	dir = filepath.Join(os.Getenv("HEADGATE_NODE_MODULES"), pkg)
	if _, err := os.Stat(dir); os.Getenv("HEADGATE_NODE_MODULES") == "" || err != nil {
		missing(t, pkg+" of Node.js", "npm install "+pkg+" somewhere, and HEADGATE_NODE_MODULES=SOMEWHERE/node_modules")
	}
	return dir
}

// listenAlsoOnWebSocket adds a second listener.
func listenAlsoOnWebSocket(c *broker.Config) {
	c.Listener = append(c.Listener, listen.Config{URL: "ws://127.0.0.1:0/mqtt"})
}

// runPeer runs a program to its end, which must be good, and gives its output.
func runPeer(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out.String())
	}
	return out.String()
}

func TestPahoForPythonSpeaksWithTheBroker(t *testing.T) {
	t.Parallel()
	const python = "/usr/bin/python3" // the one that sees Debian's packages
	if err := exec.Command(python, "-c", "import paho.mqtt.client").Run(); err != nil {
		missing(t, "paho-mqtt", "apt-get install python3-paho-mqtt")
	}
	s := brokertest.Start(t, listenAlsoOnWebSocket)
	runPeer(t, nil, python, "testdata/peers/pahoclient.py", s.Addr, s.Broker.Addresses()[1])
}

func TestMQTTjsSpeaksWithTheBroker(t *testing.T) {
	t.Parallel()
	dir := needNode(t, "mqtt")
	s := brokertest.Start(t, listenAlsoOnWebSocket)
	for _, url := range []string{"mqtt://" + s.Addr, "ws://" + s.Broker.Addresses()[1] + "/mqtt"} {
		runPeer(t, nil, "node", "testdata/peers/mqttjs.cjs", dir, url)
	}
}

// await waits for what a peer does in its own time.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}
