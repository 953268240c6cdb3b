package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"headgate/adapters/modbus/modbussim"
)

// consumerExample gives the block of packaging/docs/consumers.md that begins with a line, made
// to fit the plant: its topics and where the gateway listens.
func consumerExample(t *testing.T, first, addr string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(moduleRoot(t), "packaging/docs/consumers.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "\n    "+first)
	if !ok {
		t.Fatalf("no block begins with %q", first)
	}
	var block strings.Builder
	block.WriteString(first)
	for line := range strings.Lines(rest) {
		code, ok := strings.CutPrefix(line, "    ")
		if !ok && strings.TrimSpace(line) != "" && block.Len() > len(first)+1 {
			break
		}
		block.WriteString(code)
	}
	_, port, _ := strings.Cut(addr, ":")
	return strings.NewReplacer("boiler-house/boiler/set_point", "plant/inverter/limit", "boiler-house/boiler/", "plant/inverter/",
		"boiler-house/", "plant/", "127.0.0.1:1883", addr, `"port": "1883"`, `"port": "`+port+`"`).Replace(block.String())
}

// needNode gives where a package of Node.js is.
func needNode(t *testing.T, pkg string) (dir string) {
	t.Helper()
	modules := os.Getenv("HEADGATE_NODE_MODULES")
	dir = filepath.Join(modules, pkg)
	_, err := os.Stat(dir)
	if _, noNode := exec.LookPath("node"); noNode == nil && modules != "" && err == nil {
		return dir
	}
	const hint = "%s of Node.js is missing: apt-get install nodejs npm, npm install %[1]s somewhere, and HEADGATE_NODE_MODULES=SOMEWHERE/node_modules"
	if os.Getenv("HEADGATE_PEERS") == "required" {
		t.Fatalf(hint, pkg)
	}
	t.Skipf(hint, pkg)
	return ""
}

// startPeer runs a program until the test ends, and shows what it said where that fails.
func startPeer(t *testing.T, env []string, name string, args ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(name, args...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s%s", name, p.output(), p.stderr.String())
		}
	})
	return p
}

// The flow of the page, in a real Node-RED: a value that changes in the field ends as
// a set point in the field.
func TestAFlowInNodeREDReadsValuesAndWritesASetPoint(t *testing.T) {
	t.Parallel()
	dir := needNode(t, "node-red")
	p := newPlant(t)
	headgate := runHeadgate(t, p.config(p.cloud.Addr))
	watcher := dial(t, headgate.addr(), "watcher")
	watcher.subscribe("#", 1)
	watcher.wait(t, "plant/inverter/limit", nil)
	flow := consumerExample(t, "[\n", headgate.addr())
	if !json.Valid([]byte(flow)) {
		t.Fatalf("the flow is not JSON:\n%s", flow)
	}
	home := t.TempDir()
	settings := `module.exports = { uiHost: "127.0.0.1", uiPort: 0, httpAdminRoot: false, httpNodeRoot: false, flowFile: "flows.json", logging: { console: { level: "warn" } } }`
	for name, text := range map[string]string{"flows.json": flow, "settings.js": settings, "package.json": `{"name":"flows"}`} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	startPeer(t, nil, "node", filepath.Join(dir, "red.js"), "--userDir", home, "--settings", filepath.Join(home, "settings.js"))
	said := func(text string) {
		t.Helper()
		watcher.wait(t, "flows/boiler", func(m received) bool { return m.payload == text })
	}
	said("is 60") // 41.5 °C is more than 40
	wantRegisters(t, p.inverter, 200, 60)
	p.inverter.SetHolding(110, 300)
	said("is 80")
	wantRegisters(t, p.inverter, 200, 80)
	// A device that refuses is heard of, too.
	p.inverter.Inject(modbussim.Fault{Table: modbussim.HoldingRegisters, Writes: true, Exception: 4})
	p.inverter.SetHolding(110, 500)
	watcher.wait(t, "flows/boiler", func(m received) bool { return strings.HasPrefix(m.payload, "exception: ") })
}

func TestAProgramWithMQTTjsReadsValuesAndHasAnAnswerToItsCommand(t *testing.T) {
	t.Parallel()
	needNode(t, "mqtt")
	p := newPlant(t)
	headgate := runHeadgate(t, p.config(p.cloud.Addr))
	headgate.says("device is online", "inverter")
	script := filepath.Join(t.TempDir(), "boiler.js")
	if err := os.WriteFile(script, []byte(consumerExample(t, "// boiler.js", headgate.addr())), 0o600); err != nil {
		t.Fatal(err)
	}
	js := startPeer(t, []string{"NODE_PATH=" + os.Getenv("HEADGATE_NODE_MODULES")}, "node", script, "mqtt://"+headgate.addr())
	for _, want := range []string{"set_point: ok 60\n", "plant/meter/voltage 231.5\n", "plant/inverter/status online\n", "plant/inverter/limit 60\n"} {
		eventually(t, "it says "+want, func() bool { return strings.Contains(js.output(), want) })
	}
	wantRegisters(t, p.inverter, 200, 60)
}
