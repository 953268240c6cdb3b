package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"headgate/cmd/headgate/config"
	"headgate/cmd/headgate/control"
)

// doctorCmd looks at the machine that a gateway runs on.
type doctorCmd struct {
	configFile
}

// Run prints a line for each thing it has looked at. The error is that something
// needs to be mended; a warning alone is none.
func (c *doctorCmd) Run(k *kong.Kong) error {
	d := &doctor{out: k.Stdout}
	file, notes, err := config.Check(c.path())
	if err != nil {
		var faults config.Faults
		if errors.As(err, &faults) {
			d.bad("configuration", "%s: %s: headgate check says which", c.path(), number(len(faults), "fault"))
		} else {
			d.bad("configuration", "%v", err)
		}
		return d.verdict()
	}
	warnings := 0
	for _, n := range notes {
		if n.Severity == config.Warning {
			warnings++
		}
	}
	if warnings > 0 {
		d.warn("configuration", "%s: %s: headgate check says which", c.path(), number(warnings, "warning"))
	} else {
		d.good("configuration", "%s: %s", c.path(), file.Summary())
	}
	d.gateway(file.Gateway.DataDir)
	d.clock()
	d.disk(file.Gateway.DataDir)
	d.files(int64(file.Broker.MaxConnections))
	for _, m := range file.Modbus {
		d.port(m.Name, m.URL)
	}
	for _, s := range file.Serial {
		d.port(s.Name, s.URL)
	}
	return d.verdict()
}

// number gives "1 fault", "2 faults".
func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// doctor says how things are.
type doctor struct {
	out  io.Writer
	sick int
}

func (d *doctor) say(state, what, format string, args ...any) {
	fmt.Fprintf(d.out, "%-5s %-14s %s\n", state, what, fmt.Sprintf(format, args...))
}

func (d *doctor) good(what, format string, args ...any) { d.say("ok", what, format, args...) }
func (d *doctor) warn(what, format string, args ...any) { d.say("warn", what, format, args...) }
func (d *doctor) bad(what, format string, args ...any) {
	d.sick++
	d.say("BAD", what, format, args...)
}

func (d *doctor) verdict() error {
	if d.sick == 0 {
		return nil
	}
	return &ended{exitFailed, nil}
}

// gateway asks the one that runs here.
func (d *doctor) gateway(dataDir string) {
	var r statusReport
	err := control.New(control.Paths(dataDir)).Get(context.Background(), statusPath, &r)
	switch {
	case errors.Is(err, control.ErrNoGateway):
		d.warn("gateway", "none runs here, or not for this user: systemctl status headgate")
		return
	case err != nil:
		d.bad("gateway", "%v", err)
		return
	}
	if len(r.Alarms) == 0 {
		d.good("gateway", "%s runs, version %s", r.Gateway, r.Version)
	}
	for _, a := range r.Alarms {
		d.bad("gateway", "alarm %s: %s", a.Name, a.Text)
	}
	for _, dev := range r.Devices {
		if !dev.Online {
			d.warn("device", "%s on %s is offline: %s", dev.Name, dev.Adapter, dev.Reason)
		}
	}
	for _, b := range r.Bridges {
		if b.State != "connected" {
			d.warn("bridge", "%s to %s is %s; last error: %s", b.Name, b.Remote, b.State, b.LastError)
		}
	}
}

// clock says whether the kernel's clock is synchronised: samples carry its time.
func (d *doctor) clock() {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	now := time.Now()
	zone, offset := now.Zone()
	where := fmt.Sprintf("%s, time zone %s (UTC%+d:%02d)", now.Format(time.DateTime), zone, offset/3600, offset/60%60)
	switch {
	case err != nil:
		d.warn("clock", "%s; nobody says whether it is synchronised: %v", where, err)
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		d.warn("clock", "%s; not synchronised: is systemd-timesyncd or chrony running, and can it reach its server?", where)
	default:
		d.good("clock", "%s, synchronised", where)
	}
}

// The disk is slow where a commit takes longer than slowSync, and tried so often.
const (
	slowSync  = 100 * time.Millisecond
	syncTries = 20
)

// disk says how much room there is, and how long a write to it takes.
func (d *doctor) disk(dataDir string) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dataDir, &fs); err != nil {
		d.bad("data_dir", "%s: %v: it must be a directory that the user of the gateway may write to", dataDir, err)
		return
	}
	free, all := int64(fs.Bavail)*int64(fs.Bsize), int64(fs.Blocks)*int64(fs.Bsize)
	room := fmt.Sprintf("%s: %s of %s free", dataDir, size(free), size(all))
	if free < all/10 && free < 1<<30 {
		d.warn("data_dir", "%s: that is little", room)
	} else {
		d.good("data_dir", "%s", room)
	}
	half, worst, err := syncTimes(dataDir)
	switch {
	case errors.Is(err, os.ErrPermission):
		d.warn("disk", "this user may not write to %s: run as the user headgate to measure it", dataDir)
	case err != nil:
		d.bad("disk", "%v", err)
	case half > slowSync:
		d.warn("disk", "half of %d writes with sync took %v and more, the longest %v: each acknowledgement waits for one", syncTries, round(half), round(worst))
	default:
		d.good("disk", "half of %d writes with sync within %v, the longest %v", syncTries, round(half), round(worst))
	}
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// syncTimes writes 4 kB to a file in dir again and again, and gives how long half of
// the writes took at most, and the longest.
func syncTimes(dir string) (half, worst time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var took []time.Duration
	for range syncTries {
		start := time.Now()
		if _, err := f.Write(make([]byte, 4<<10)); err != nil {
			return 0, 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, 0, err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)-1], nil
}

// files says whether there may be as many connections as the configuration allows.
func (d *doctor) files(connections int64) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	if most := int64(limit.Max); connections > most {
		d.warn("open files", "a process of this user may have %d, max_connections is %d (the package's service may have 65536)", most, connections)
	}
}

// port says whether a link's serial port is there, and ours to use.
func (d *doctor) port(name, link string) {
	u, err := url.Parse(link)
	if err != nil || u.Host != "" || u.Path == "" {
		return // on the network, or named by its USB numbers
	}
	path := u.Path
	err = unix.Access(path, unix.R_OK|unix.W_OK)
	switch {
	case errors.Is(err, unix.ENOENT):
		d.bad("port", "%s: there is no %s: headgate serial list shows those that are there", name, path)
		return
	case errors.Is(err, unix.EACCES):
		d.bad("port", "%s: this user may not use %s: add the user to the group dialout (sudo usermod -aG dialout USER)", name, path)
		return
	case err != nil:
		d.bad("port", "%s: %s: %v", name, path, err)
		return
	}
	if ms := latency(path); ms > 1 {
		d.warn("port", "%s: the driver of %s keeps what comes for %d ms: the package's udev rule sets 1", name, path, ms)
		return
	}
	d.good("port", "%s: %s", name, path)
}

// latency gives an FTDI adapter's latency timer in milliseconds; 0 where there is
// none.
func latency(path string) int {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	text, _ := os.ReadFile(filepath.Join("/sys/class/tty", filepath.Base(path), "device/latency_timer"))
	ms, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return ms
}
