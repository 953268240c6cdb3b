package main

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"headgate/adapters/modbus"
	"headgate/adapters/serial"
	"headgate/broker/store"
)

// listenUnixgram is a socket like that of a service manager or of journald.
func listenUnixgram(t *testing.T) (path string, next func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return path, func() string {
		t.Helper()
		b := make([]byte, 128<<10)
		c.SetReadDeadline(time.Now().Add(hang))
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

// expectState waits for a state that begins so, and gives the whole.
func expectState(t *testing.T, next func() string, prefix string) string {
	t.Helper()
	for range 1000 {
		if s := next(); strings.HasPrefix(s, prefix) {
			return s
		}
	}
	t.Fatalf("no state begins with %s", prefix)
	return ""
}

func TestTheServiceManagerHearsOfStartReloadAndStop(t *testing.T) {
	path, next := listenUnixgram(t)
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "200000")
	t.Setenv("WATCHDOG_PID", "")
	config := strings.ReplaceAll(strings.ReplaceAll(reloadConfig, "{DIR}", t.TempDir()), "{USER}", "ann")
	headgate := runHeadgate(t, config)
	expectState(t, next, "READY=1")
	if s := expectState(t, next, "WATCHDOG=1"); !strings.Contains(s, "\nSTATUS=0 clients") {
		t.Errorf("the watchdog is fed with %q", s)
	}
	headgate.cmd.Process.Signal(syscall.SIGHUP)
	if s := expectState(t, next, "RELOADING=1\nMONOTONIC_USEC="); strings.HasSuffix(s, "=0") {
		t.Errorf("a reload is said with %q", s)
	}
	expectState(t, next, "READY=1")
	headgate.cmd.Process.Signal(syscall.SIGTERM)
	expectState(t, next, "STOPPING=1")
	<-headgate.ended
}

func TestTheWatchdogIsForThisProcessOnly(t *testing.T) {
	env := map[string]string{"NOTIFY_SOCKET": "/run/none", "WATCHDOG_USEC": "60000000"}
	getenv := func(name string) string { return env[name] }
	if s := newService(getenv); s.watchdog != time.Minute {
		t.Errorf("got %v, want a minute", s.watchdog)
	}
	env["WATCHDOG_PID"] = strconv.Itoa(os.Getpid() + 1)
	if s := newService(getenv); s.watchdog != 0 {
		t.Errorf("another process's: got %v", s.watchdog)
	}
	if err := newService(getenv).tell("READY=1"); err == nil {
		t.Error("a socket that is not there: no error")
	}
	if err := newService(func(string) string { return "" }).tell("READY=1"); err != nil {
		t.Errorf("without a manager: %v", err)
	}
}

func TestAPartThatStandsStillIsStuck(t *testing.T) {
	start := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	link := func(count uint64, due bool) movement { return movement{"link", count, due, time.Minute} }
	committer := func(count uint64) movement { return movement{"committer", count, true, 0} }
	steps := []struct {
		at    time.Duration
		moves []movement
		stuck string
	}{
		{0, []movement{link(1, true), committer(1)}, ""},
		{30 * time.Second, []movement{link(1, true), committer(1)}, ""},
		{31 * time.Second, []movement{link(1, true), committer(1)}, "committer (for 31s)"},
		{32 * time.Second, []movement{link(1, true), committer(2)}, ""},
		{61 * time.Second, []movement{link(1, true), committer(3)}, "link (for 1m1s)"},
		{62 * time.Second, []movement{link(1, false), committer(4)}, ""}, // the link is gone: nothing is due
		{120 * time.Second, []movement{link(1, true), committer(5)}, ""},
		{122 * time.Second, []movement{link(1, true), committer(6)}, ""},
	}
	var w watchdog
	for _, s := range steps {
		if got := strings.Join(w.look(start.Add(s.at), s.moves), ", "); got != s.stuck {
			t.Errorf("after %v: got %q, want %q", s.at, got, s.stuck)
		}
	}
}

// A disk that hangs is no reason to start again, a committer that does not come back from
// one that answers is.
func TestACommitterThatIsStuckEndsTheFeedingAndADiskThatHangsDoesNot(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		stats store.Stats
		stuck bool
	}{
		{store.Stats{FailingSince: start}, false},
		{store.Stats{FailingSince: start, PendingBytes: 1000}, false},
		{store.Stats{FailingSince: start, Stuck: true}, true},
	} {
		var w watchdog
		moves := []movement{committerMovement(&c.stats)}
		for _, at := range []time.Duration{0, time.Minute, 3 * time.Minute} {
			if stuck := len(w.look(start.Add(at), moves)) > 0; stuck != (c.stuck && at > committerStuckAfter) {
				t.Errorf("%+v: after %v it counts as stuck: %v", c.stats, at, stuck)
			}
		}
	}
}

func TestAPartThatWasGoneBeginsAnew(t *testing.T) {
	start := time.Now()
	var w watchdog
	link := []movement{{"link", 1, true, time.Minute}}
	w.look(start, link)
	w.look(start.Add(time.Minute), nil) // a reload without it
	if got := w.look(start.Add(time.Hour), link); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

func TestAModbusLinkOfWhichTheOwnerIsStuckIsFoundAlsoWhereAPointIsReadSeldom(t *testing.T) {
	start := time.Now()
	device := modbus.Device{Timeout: time.Second, Point: []modbus.Point{{Interval: time.Second}, {Interval: 24 * time.Hour}}}
	c := modbus.Config{Name: "rs485", Device: []modbus.Device{device}}
	open := modbus.Stats{Open: true, Opened: 1, Requests: 7}
	for _, s := range []struct {
		name  string
		st    modbus.Stats
		turns uint64 // after three minutes
		stuck string
	}{
		{"it looks for something to do", open, 2, ""},
		{"it waits for ever", open, 1, "modbus link rs485 (for 3m0s)"},
		{"it asks without a pause", modbus.Stats{Open: true, Opened: 1, Requests: 8}, 1, ""},
		{"the link is gone", modbus.Stats{Opened: 1, Requests: 7}, 1, ""},
	} {
		var w watchdog
		w.look(start, []movement{modbusMovement(c, open, 1)})
		if got := strings.Join(w.look(start.Add(3*time.Minute), []movement{modbusMovement(c, s.st, s.turns)}), ", "); got != s.stuck {
			t.Errorf("%s: got %q, want %q", s.name, got, s.stuck)
		}
	}
}

func TestASerialLineOfWhichTheOwnerOrWhoAsksIsStuckIsFound(t *testing.T) {
	start := time.Now()
	c := serial.Config{Name: "scale", Request: []serial.Request{{Interval: time.Second}}}
	open, shut := serial.Stats{Open: true, Opened: 1}, serial.Stats{Opened: 1}
	asked := func(n uint64) serial.Stats { s := open; s.Sent = n; return s }
	for _, s := range []struct {
		name  string
		st    [2]serial.Stats // at the begin and after three minutes
		turns [2]uint64
		stuck string
	}{
		{"both go on", [2]serial.Stats{asked(1), asked(2)}, [2]uint64{1, 2}, ""},
		{"nobody reads", [2]serial.Stats{asked(1), asked(2)}, [2]uint64{1, 1}, "serial line scale (for 3m0s)"},
		{"nobody asks", [2]serial.Stats{asked(1), asked(1)}, [2]uint64{1, 2}, "requests on serial line scale (for 3m0s)"},
		{"the port is gone", [2]serial.Stats{shut, shut}, [2]uint64{1, 1}, ""},
	} {
		var w watchdog
		w.look(start, serialMovements(c, s.st[0], s.turns[0]))
		if got := strings.Join(w.look(start.Add(3*time.Minute), serialMovements(c, s.st[1], s.turns[1])), ", "); got != s.stuck {
			t.Errorf("%s: got %q, want %q", s.name, got, s.stuck)
		}
	}
}

func TestTheJournalGetsTheFactsAsFields(t *testing.T) {
	path, next := listenUnixgram(t)
	h, err := newJournal(path, slog.LevelInfo)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(h).With("link", "rs485")
	log.Debug("left out")
	log.Warn("device is offline", "device", "meter 1", "packet_id", 7, "err", "two\nlines")
	lines := binary.LittleEndian.AppendUint64(nil, 9)
	want := "PRIORITY=4\nSYSLOG_IDENTIFIER=headgate\nHEADGATE_LINK=rs485\nHEADGATE_DEVICE=meter 1\nHEADGATE_PACKET_ID=7\n" +
		"HEADGATE_ERR\n" + string(lines) + "two\nlines\n" +
		"MESSAGE=device is offline link=rs485 device=\"meter 1\" packet_id=7 err=\"two\\nlines\"\n"
	if got := next(); got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	slog.New(h).WithGroup("disk").Error("long", "text", strings.Repeat("x", 200<<10))
	if got := next(); !strings.HasPrefix(got, "PRIORITY=3\n") || !strings.Contains(got, "MESSAGE=long disk.text=xxx") || len(got) > maxJournalBytes {
		t.Errorf("a long entry has %d bytes and begins with %.60q", len(got), got)
	}
	if !h.Enabled(context.Background(), slog.LevelError) {
		t.Error("errors are not logged")
	}
}

func TestOnlyAStandardErrorThatGoesToTheJournalIsTakenForIt(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	own := strconv.FormatUint(st.Dev, 10) + ":" + strconv.FormatUint(st.Ino, 10)
	for stream, want := range map[string]bool{own: true, "": false, "8:1": false} {
		if got := goesToJournal(f, stream); got != want {
			t.Errorf("%q: got %v, want %v", stream, got, want)
		}
	}
}
