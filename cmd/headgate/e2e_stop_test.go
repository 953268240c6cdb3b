package main

import (
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// silentUpstream accepts a bridge and acknowledges nothing, so that a stop takes
// as long as it may.
func silentUpstream(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.Write([]byte{0x20, 3, 0, 0, 0}) // CONNACK, success
				io.Copy(io.Discard, c)
			}()
		}
	}()
	return l.Addr().String()
}

const stopConfig = `[gateway]
id = "gw"
data_dir = "{DATA}"
[[broker.listener]]
url = "mqtt://127.0.0.1:0"
[[modbus]]
name = "roof"
url = "tcp://{NOBODY}"
device = [{ name = "inverter", point = [{ name = "power", register = "input:0" }] }]
[[bridge]]
name = "cloud"
url = "mqtt://{CLOUD}"
up = [{ filter = "#" }]
`

func TestWhileItStopsASecondSIGTERMDoesNothingAndSIGINTEndsItAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		signal os.Signal
		clean  bool
	}{
		{"SIGTERM", syscall.SIGTERM, true},
		{"SIGINT", os.Interrupt, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config := strings.NewReplacer("{DATA}", t.TempDir(), "{NOBODY}", quietAddress(t), "{CLOUD}", silentUpstream(t)).Replace(stopConfig)
			h := runHeadgate(t, config)
			h.says("connected to the upstream")
			if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			h.says("gateway stops")
			h.cmd.Process.Signal(c.signal) // fails only when it has ended
			status := h.exitStatus()
			if clean := h.said("gateway stopped"); clean != c.clean || clean != (status == 0) {
				t.Errorf("stopped cleanly: %v with exit status %d, want %v", clean, status, c.clean)
			}
			if c.clean && !h.said("the upstream did not answer everything in time", "count=") {
				t.Error("the log does not say what it waited for")
			}
		})
	}
}

// said says whether a line of the log has all the words.
func (p *process) said(words ...string) bool {
	return slices.ContainsFunc(p.lines(), func(line string) bool { return hasAll(line, words) })
}

func TestADataDirectoryThatCannotBeIsSaidWithItsKeyAndWhatToDo(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "")
	for dir, want := range map[string]string{
		file:            "it must be a directory",
		file + "/below": "it must be a directory",
	} {
		h := launch(t, writeConfig(t, "[gateway]\nid = \"gw\"\ndata_dir = \""+dir+"\"\n"))
		if status := h.exitStatus(); status != exitFailed {
			t.Errorf("exit status %d, want %d", status, exitFailed)
		}
		if !h.said(`headgate: gateway.data_dir "`+dir+`": `, want) {
			t.Errorf("%s: it said %q", dir, h.lines())
		}
	}
	if os.Getuid() != 0 { // root may write anywhere
		locked := t.TempDir()
		if err := os.Chmod(locked, 0o500); err != nil {
			t.Fatal(err)
		}
		h := launch(t, writeConfig(t, "[gateway]\nid = \"gw\"\ndata_dir = \""+locked+"\"\n"))
		h.exitStatus()
		if !h.said("gateway.data_dir", "sudo install -d", locked) {
			t.Errorf("it said %q", h.lines())
		}
	}
}
