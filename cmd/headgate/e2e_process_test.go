package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hang is how long a test waits for what must come. It guards against hanging,
// and is not a measure of speed.
const hang = 60 * time.Second

// fill puts values in the place of the {NAMES} of a file in testdata/e2e.
func fill(t testing.TB, name string, pairs ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "e2e", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(pairs...).Replace(string(b))
}

// writeConfig writes a configuration to a directory of the test's.
func writeConfig(t testing.TB, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "headgate.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// process is the real program as a child, "headgate run". It never outlives the
// test, and can be started again after its end.
type process struct {
	t      testing.TB
	config string   // path
	under  []string // the command line that starts it, in front of its own
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the program has ended and log is whole
	err    error         // of its end; read after ended

	mu      sync.Mutex // guards what follows
	log     []string   // lines of its standard error, of all its lives
	address string     // where it listens; "" while it does not
}

// launch starts the program without waiting for anything.
func launch(t testing.TB, config string) *process {
	t.Helper()
	p := &process{t: t, config: config}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			log := p.lines()
			t.Logf("headgate logged:\n%s", strings.Join(log[max(0, len(log)-100):], "\n"))
		}
	})
	p.launch()
	return p
}

// runHeadgate starts the program with a configuration and waits until it
// listens.
func runHeadgate(t testing.TB, text string) *process {
	t.Helper()
	p := launch(t, writeConfig(t, text))
	p.waitListening()
	return p
}

func (p *process) launch() {
	p.t.Helper()
	// TestMain puts the program into PATH.
	args := append(slices.Clone(p.under), "headgate", "run", "--config", p.config)
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	cmd, ended := p.cmd, make(chan struct{})
	p.ended = ended
	go func() {
		defer close(ended)
		p.gather(stderr)
		p.err = cmd.Wait()
	}()
}

// gather keeps the lines of one life's log.
func (p *process) gather(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		p.mu.Lock()
		if line != "" {
			p.log = append(p.log, strings.TrimSuffix(line, "\n"))
		}
		if strings.Contains(line, "msg=listening ") {
			_, address, _ := strings.Cut(strings.TrimSpace(line), "address=")
			p.address = address
		}
		if err != nil {
			p.address = ""
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// start starts it again after its end, and waits until it listens.
func (p *process) start() {
	p.t.Helper()
	p.launch()
	p.waitListening()
}

func (p *process) waitListening() {
	p.t.Helper()
	p.waitFor("it listens", func() bool { return p.addr() != "" })
}

// waitFor waits for ok while the program runs.
func (p *process) waitFor(what string, ok func() bool) {
	p.t.Helper()
	eventually(p.t, what, func() bool {
		select {
		case <-p.ended:
			p.t.Fatalf("headgate ended (%v) before %s", p.err, what)
		default:
		}
		return ok()
	})
}

// addr is where it listens now, host:port; "" while it does not.
func (p *process) addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.address
}

func (p *process) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

// says waits for a line of the log that has all the words, and gives it.
func (p *process) says(words ...string) string {
	p.t.Helper()
	var found string
	p.waitFor("it says "+strings.Join(words, ", "), func() bool {
		for _, line := range p.lines() {
			if hasAll(line, words) {
				found = line
				return true
			}
		}
		return false
	})
	return found
}

func hasAll(s string, words []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(s, w) })
}

// kill is kill -9; it waits for the end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it has ended
	<-p.ended
}

// terminate is SIGTERM, which must end the program with exit status 0.
func (p *process) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("SIGTERM: %v", err)
	}
	if status := p.exitStatus(); status != 0 {
		p.t.Fatalf("SIGTERM: exit status %d, want 0", status)
	}
}

// exitStatus waits for the program's own end.
func (p *process) exitStatus() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(hang):
		p.t.Fatal("headgate does not end")
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return exit.ExitCode()
	}
	if p.err != nil {
		p.t.Fatalf("wait for headgate: %v", p.err)
	}
	return 0
}

// eventually waits until ok is true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(hang); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come about: %s", what)
		}
	}
}
