package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"headgate/adapters/modbus/modbussim"
	"headgate/cmd/headgate/control"
)

// shownOnly begins the blocks of the pages that are neither files nor commands.
func shownOnly() map[string]string {
	return map[string]string{
		"field device -> adapter": "a picture",
		"headgate  v1.0.0":        "what headgate status prints",
		"231.4":                   "a payload",
		"meter1,device=meter1":    "a payload",
		"a46576616c7565":          "a payload",
		"{{if eq .Quality":        "a template",
		"meter1;voltage":          "a payload",
		"json            137":     "figures",
	}
}

// elsewhere is the place where a command of the pages is run, or its like.
type elsewhere struct{ file, has string }

// runElsewhere are the commands of the pages that cannot be run on the gateway of
// this test: they want root, a package that is installed, hardware, or minutes.
func runElsewhere() map[string]elsewhere {
	const install, proof = "packaging/test.sh", ".ci/proof"
	return map[string]elsewhere{
		"go run ./cmd/headgate demo":                                                 {"cmd/headgate/testdata/script/demo.txt", "headgate demo --for 2s"},
		"go test ./...":                                                              {".ci/run", "go test ./..."},
		"packaging/build.sh 1.0.0":                                                   {install, "packaging/build.sh 0.9.0"},
		"sudo apt install ./dist/headgate_1.0.0-1_armhf.deb":                         {install, "apt-get install -qq headgate"},
		"sudo apt install ./headgate_1.1.0-1_arm64.deb":                              {install, "headgate_0.9.1-1_*.deb"},
		"sudo systemctl reload headgate":                                             {install, "systemctl reload headgate"},
		"journalctl -u headgate HEADGATE_DEVICE=meter1":                              {install, "journalctl -u headgate HEADGATE_"},
		"go build -o headgate ./cmd/headgate":                                        {proof, "go build -o bin/ ./cmd/headgate"},
		"./headgate run headgate.toml":                                               {"cmd/headgate/e2e_process_test.go", `"headgate", "run"`},
		"headgate modbus scan --url rtu:///dev/ttyUSB0?baud=9600":                    {"cmd/headgate/modbustools_test.go", `"scan --units 7 `},
		"headgate serial monitor --url serial:///dev/ttyUSB1?baud=9600":              {"cmd/headgate/serialtools_test.go", `"monitor", "--url"`},
		"apt-get install mosquitto":                                                  {".ci/lib.sh", "peer_packages=(mosquitto "},
		"bin/mqttload -list":                                                         {proof, "bin/mqttload "},
		"GOBIN=\"$PWD/bin\" go install github.com/nats-io/nats-server/v2@v2.15.2":    {proof, "go install github.com/nats-io/nats-server/v2@v2.15.2"},
		"go build -C broker/brokertest/mqttload/peers/mochi -o \"$PWD/bin/mochi\" .": {proof, "peers/mochi"},
		"go build -o bin/ ./cmd/headgate ./broker/brokertest/mqttload ./broker/brokertest/mqttload/limit":                     {proof, "go build -o bin/ ./cmd/headgate ./broker/brokertest/mqttload ./broker/brokertest/mqttload/limit"},
		"bin/mqttload -repeat 5 -seconds 2 -calm 6s -targets 'mosquitto*,headgate,limit' -scenario 'fanin-*,durable-*,crash'": {proof, "-targets 'mosquitto*,headgate,limit'"},
	}
}

// goesOn are the commands that do not end by themselves, with what they must print.
func goesOn() map[string]string {
	const value = `/meter1/voltage {"value":231.4,"unit":"V","time":`
	return map[string]string{
		"mosquitto_sub -t '#' -v": value,
		"headgate sub -v -t '#'":  value,
		"headgate modbus sniff":   "unit 1",
	}
}

// docsGateway is the gateway of the README's first configuration, that runs: its
// meter is simulated, and the cloud away.
type docsGateway struct {
	*process
	text string // of the configuration
	port string
	unit *modbussim.Unit

	commands commandTable
}

func runDocsGateway(t *testing.T) *docsGateway {
	t.Helper()
	sim, url := modbusServer(t)
	g := &docsGateway{unit: sim.Unit(1), commands: newCommandTable(t)}
	bits := math.Float32bits(231.4)
	g.unit.SetInput(0, uint16(bits>>16), uint16(bits))
	g.unit.SetCoils(0, false)
	for _, text := range docPage(t, "README.md").tomlBlocks() {
		if strings.Contains(text, `data_dir = "data"`) {
			g.text = text
		}
	}
	data := filepath.Join(t.TempDir(), "data")
	for _, there := range [][2]string{{`"data"`, `"` + data + `"`}, {"mqtt://127.0.0.1:1883", "mqtt://127.0.0.1:0"}, {"rtu:///dev/ttyUSB0?baud=9600&parity=E", url}, {"mqtt://broker.example.com", "mqtt://127.0.0.1:1"}} {
		if !strings.Contains(g.text, there[0]) {
			t.Fatalf("the first configuration of the README has no %s", there[0])
		}
		g.text = strings.Replace(g.text, there[0], there[1], 1)
	}
	g.text += "\n[web]\nlisten = \"off\"\n"
	g.process = runHeadgate(t, g.text)
	_, g.port, _ = net.SplitHostPort(g.addr())
	eventually(t, "the gateway can be asked", func() bool {
		return control.New(control.Paths(data)).Get(t.Context(), statusPath, new(statusReport)) == nil
	})
	return g
}

// adapt makes a command of a page one for this gateway, in a directory of its own.
func (g *docsGateway) adapt(line, dir string) string {
	line = strings.TrimPrefix(line, "sudo ")
	line = strings.NewReplacer("/etc/headgate/credentials", dir, "/etc/mosquitto", dir, "mosquitto_sub ", "mosquitto_sub -p "+g.port+" ",
		"mosquitto_pub ", "mosquitto_pub -p "+g.port+" ", "headgate sub ", "headgate sub -p "+g.port+" ", "headgate pub ", "headgate pub -p "+g.port+" ").Replace(line)
	words := strings.Fields(line)
	switch called, _ := g.commands.called(words[1:]); {
	case filepath.Base(words[0]) != "headgate" || slices.Contains(words, "headgate.toml"):
	case words[1] == "restore": // beside the gateway that runs
		line += " --config new/headgate.toml --data-dir new/data"
	case called.has("--config"):
		line += " --config " + g.config
	}
	return line
}

// Every command of every page does what it is there for, on a gateway that runs, or
// is known to be run elsewhere. Blocks that are shown only are known too: whatever is
// new on a page is tested or fails here.
func TestEveryCommandInTheDocsIsRun(t *testing.T) {
	t.Parallel()
	g := runDocsGateway(t)
	away := exec.Command("headgate", "sub", "-c", "-i", "historian", "-q", "1", "-t", "#", "-E", "-p", g.port)
	if out, err := away.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	shown, there := shownOnly(), runElsewhere()
	for _, p := range docPages(t) {
		var commands []textAt
		for _, b := range p.blocks {
			if b.kind != ofCommands || isShown(shown, b) {
				continue
			}
			for _, c := range b.commands() {
				if where, ok := there[c.text]; ok {
					where.check(t, c.text)
					there[c.text] = elsewhere{}
					continue
				}
				commands = append(commands, c)
			}
		}
		if len(commands) > 0 {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				g.runPage(t, p.name, commands)
			})
		}
	}
	for command, where := range there {
		if where.file != "" {
			t.Errorf("no page has %s any more", command)
		}
	}
	for begin, what := range shown {
		if what != "" {
			t.Errorf("no page has %s any more: %s", what, begin)
		}
	}
}

// isShown says whether a block is shown only, and takes it off the list.
func isShown(shown map[string]string, b block) bool {
	for begin := range shown {
		if strings.HasPrefix(strings.TrimSpace(b.text), begin) {
			shown[begin] = ""
			return true
		}
	}
	return false
}

// check wants the place to run the command still.
func (e elsewhere) check(t *testing.T, command string) {
	t.Helper()
	if e.file == "" {
		return // it has been looked at
	}
	b, err := os.ReadFile(filepath.Join(moduleRoot(t), filepath.FromSlash(e.file)))
	if err != nil || !strings.Contains(string(b), e.has) {
		t.Errorf("%s: %s should run it, and has no %s: %v", command, e.file, e.has, err)
	}
}

// runPage runs the commands of a page one after the other, as a reader would.
func (g *docsGateway) runPage(t *testing.T, name string, commands []textAt) {
	dir := t.TempDir()
	program, err := exec.LookPath("headgate")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(program, filepath.Join(dir, "headgate")),
		os.WriteFile(filepath.Join(dir, "headgate.toml"), []byte(g.text), 0o600),
		os.WriteFile(filepath.Join(dir, "mosquitto.conf"), []byte("listener 1883 127.0.0.1\nallow_anonymous true\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		t.Run(fmt.Sprintf("%d", c.line), func(t *testing.T) {
			where := fmt.Sprintf("%s:%d: %s", name, c.line, c.text)
			if adapted := g.adapt(c.text, dir); !mayBeRun(adapted) {
				t.Fatalf("%s: it is neither one to be run on this machine nor known to be run elsewhere", where)
			}
			needPrograms(t, c.text)
			g.runCommand(t, where, c.text, dir)
		})
	}
}

// mayBeRun says whether a command touches nothing but the gateway and the directory
// of the test: no other program is started, whatever a page says.
func mayBeRun(command string) bool {
	for part := range strings.SplitSeq(command, "|") {
		words := strings.Fields(part)
		if len(words) == 0 || !slices.Contains([]string{"headgate", "./headgate", "mosquitto_pub", "mosquitto_sub", "zstd", "gzip", "install"}, words[0]) {
			return false
		}
	}
	return !strings.ContainsAny(command, ";&`") && !strings.Contains(command, " /etc/") && !strings.Contains(command, "> /")
}

func TestNoPageHasThisMachineChanged(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]bool{
		"headgate queue export a > b.json": true, "./headgate check": true, "mosquitto_sub -t a | gzip -dc": true,
		"apt install x": false, "headgate backup a; rm a": false, "headgate sub | sh": false, "install a /etc/b": false, "headgate manual > /usr/x": false,
	} {
		if got := mayBeRun(command); got != want {
			t.Errorf("%s: got %v", command, got)
		}
	}
}

// needPrograms skips a command of which a program is missing, or fails where all
// must be there.
func needPrograms(t *testing.T, command string) {
	t.Helper()
	for part := range strings.SplitSeq(strings.TrimPrefix(command, "sudo "), "|") {
		program := strings.Fields(part)[0]
		if strings.HasPrefix(program, "./") {
			continue
		}
		if _, err := exec.LookPath(program); err != nil {
			hint := program + " is missing: apt-get install mosquitto-clients zstd"
			if os.Getenv("HEADGATE_PEERS") == "required" {
				t.Fatal(hint)
			}
			t.Skip(hint)
		}
	}
}

// runCommand runs one command and looks at what came of it.
func (g *docsGateway) runCommand(t *testing.T, where, command, dir string) {
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	if _, unpack, ok := strings.Cut(command, "mosquitto_sub -t plant/batch -C 1 -N | "); ok {
		pack := fmt.Sprintf("printf batch | %s -c | mosquitto_pub -p %s -t plant/batch -s -r", strings.Fields(unpack)[0], g.port)
		if out, err := exec.CommandContext(ctx, "sh", "-c", pack).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", pack, err, out)
		}
	}
	var out lockedBuffer
	line := g.adapt(command, dir)
	want, on := goesOn()[command]
	if on {
		line = "exec " + line
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, strings.NewReader("y\n"), &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	if on {
		eventually(t, where+" prints "+want, func() bool { return strings.Contains(out.String(), want) })
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	err := cmd.Wait()
	// What doctor finds is of the machine that tests, and status says that the cloud is away.
	var exit *exec.ExitError
	if errors.As(err, &exit) && (strings.Contains(command, "headgate doctor") && exit.ExitCode() == exitFailed && strings.Contains(out.String(), "configuration") ||
		strings.Contains(command, "headgate status") && exit.ExitCode() == exitTrouble && strings.Contains(out.String(), "meter1 on rs485: online")) {
		err = nil
	}
	if err != nil {
		t.Errorf("%s: %v: %s", where, err, out.String())
		return
	}
	g.cameAbout(t, where, command, dir, out.String())
}

// cameAbout wants what a command is there for.
func (g *docsGateway) cameAbout(t *testing.T, where, command, dir, out string) {
	t.Helper()
	files := map[string]string{"restore": "new/data/store/FORMAT", "/etc/headgate/credentials/cloud": "cloud", "> cloud.json": "cloud.json", "> headgate.toml": "headgate.toml"}
	silent := strings.HasPrefix(command, "mosquitto_pub")
	for part, file := range files {
		if !strings.Contains(command, part) {
			continue
		}
		silent = true
		if b, err := os.ReadFile(filepath.Join(dir, file)); err != nil || len(b) == 0 {
			t.Errorf("%s: it has not written %s: %v", where, file, err)
		}
	}
	switch {
	case out == "" && !silent:
		t.Errorf("%s: it says nothing", where)
	case strings.Contains(command, "plant/batch") && out != "batch":
		t.Errorf("%s: it prints %q", where, out)
	case strings.HasPrefix(command, "mosquitto_pub"): // the pages give commands to the relay
		eventually(t, "the relay is on", func() bool { v, _ := g.unit.Get(modbussim.Coils, 0); return v == 1 })
	}
}

// lockedBuffer is a buffer that is read while a program writes to it.
type lockedBuffer struct {
	mu sync.Mutex // guards all
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
