package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"headgate/broker/brokertest/mqttload/wire"
)

//go:embed targets.json
var builtinTargets []byte

// Mode is how a target is started for one kind of scenario.
type Mode struct {
	Cmd   []string            `json:"cmd"`             // {bin} {dir} {port} {rport} are filled in
	Files map[string][]string `json:"files,omitempty"` // name inside {dir} -> lines
	Env   []string            `json:"env,omitempty"`
	Note  string              `json:"note,omitempty"`
}

// Target is one program to measure. A mode that is missing means "n/a".
type Target struct {
	Name  string          `json:"name"`
	Raw   bool            `json:"raw,omitempty"` // no broker: only scenarios marked so run on it
	Off   bool            `json:"off,omitempty"` // only when named with -targets
	Modes map[string]Mode `json:"modes"`         // default, persist, bridge and what begins so
}

// Targets is the descriptor file.
type Targets struct {
	Base    string   `json:"base"`
	Targets []Target `json:"targets"`
}

// loadTargets reads a descriptor file; "" is the built-in one.
func loadTargets(path string) (*Targets, error) {
	b := builtinTargets
	if path == "" {
		path = "targets.json"
	} else {
		var err error
		if b, err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var t Targets
	if err := d.Decode(&t); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	seen := map[string]bool{}
	for _, x := range t.Targets {
		if x.Name == "" || seen[x.Name] {
			return nil, fmt.Errorf("%s: target name %q is empty or doubled", path, x.Name)
		}
		seen[x.Name] = true
		for m, v := range x.Modes {
			if len(v.Cmd) == 0 {
				return nil, fmt.Errorf("%s: %s: mode %s has no cmd", path, x.Name, m)
			}
		}
	}
	return &t, nil
}

// Inst is a running target.
type Inst struct {
	Addr  string
	Dir   string
	cmd   *exec.Cmd
	args  []string
	env   []string
	done  chan struct{}
	ended atomic.Bool
	log   *os.File
}

// freePort gives a loopback port that nobody listened on a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// start makes a fresh directory, writes the files and starts the program.
func (t *Target) start(ctx context.Context, o *options, mode string, rport int) (*Inst, error) {
	m, ok := t.Modes[mode]
	if !ok {
		return nil, fmt.Errorf("%s has no mode %s", t.Name, mode)
	}
	work, err := filepath.Abs(o.work)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(work, t.Name+"-")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	bin, err := filepath.Abs(o.bin) // the target runs in its own folder
	if err != nil {
		return nil, err
	}
	rep := strings.NewReplacer("{dir}", dir, "{port}", strconv.Itoa(port), "{rport}", strconv.Itoa(rport), "{bin}", bin)
	for name, lines := range m.Files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(p, []byte(rep.Replace(strings.Join(lines, "\n")+"\n")), 0o644); err != nil {
			return nil, err
		}
	}
	in := &Inst{Addr: "127.0.0.1:" + strconv.Itoa(port), Dir: dir}
	for _, a := range m.Cmd {
		in.args = append(in.args, rep.Replace(a))
	}
	for _, e := range m.Env {
		in.env = append(in.env, rep.Replace(e))
	}
	if in.log, err = os.OpenFile(filepath.Join(dir, "out.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	if err := in.launch(ctx); err != nil {
		_ = in.log.Close()
		return nil, err
	}
	return in, nil
}

// launch starts the process (again) and waits until it accepts an MQTT client.
func (in *Inst) launch(ctx context.Context) error {
	c := exec.Command(in.args[0], in.args[1:]...)
	c.Dir = in.Dir
	c.Stdout, c.Stderr = in.log, in.log
	c.Env = append(os.Environ(), in.env...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		return err
	}
	in.cmd, in.done = c, make(chan struct{})
	done := in.done
	in.ended.Store(false)
	go func() { _ = c.Wait(); in.ended.Store(true); close(done) }()
	end := time.Now().Add(30 * time.Second)
	var last error
	for time.Now().Before(end) {
		if in.ended.Load() {
			return fmt.Errorf("%s ended at start: %s", in.args[0], in.tail())
		}
		k, err := wire.Dial(in.Addr, wire.Options{ClientID: "probe", Clean: true, Timeout: 2 * time.Second, ReadBuf: 512})
		if err == nil {
			k.Disconnect()
			return nil
		}
		last = err
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			in.kill()
			return err
		}
	}
	in.kill()
	return fmt.Errorf("%s not ready: %w: %s", in.args[0], last, in.tail())
}

// tail is the end of what the program printed.
func (in *Inst) tail() string {
	b, _ := os.ReadFile(filepath.Join(in.Dir, "out.log"))
	if len(b) > 600 {
		b = b[len(b)-600:]
	}
	return strings.TrimSpace(string(b))
}

// kill ends the process at once, with SIGKILL.
func (in *Inst) kill() {
	_ = in.cmd.Process.Kill()
	<-in.done
}

// stop ends the process, with SIGKILL if 3 s are not enough, and removes its folder.
func (in *Inst) stop(keep bool) {
	_ = in.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-in.done:
	case <-time.After(3 * time.Second):
		in.kill()
	}
	_ = in.log.Close()
	if !keep {
		_ = os.RemoveAll(in.Dir)
	}
}

// alive says nil, or why the process is gone.
func (in *Inst) alive() error {
	if in.ended.Load() {
		return errors.New("target died: " + in.tail())
	}
	return nil
}
