package serial

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"headgate/adapters/port"
)

func TestAPortThatIsNotThereIsOpenedOnceItIs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	r := run(t, path, nil)
	r.hear("offline: open serial port " + path)
	tries(2)
	scale := plug(t, path)
	r.hear("online")
	r.opened(1)
	speak(t, scale, "ST,GS,+1kg\n")
	r.hear(`weight=1kg`)
	if got := r.logged(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "is it plugged in?") {
		t.Errorf("logged:\n%s", got)
	}
}

// tries waits until a port that cannot be opened has been tried n times, as the
// back-off has it.
func tries(n int) {
	wait := firstBackoff
	for range n {
		time.Sleep(wait)
		wait = min(2*wait, maxBackoff)
	}
}

// As udev may take a while until a port that is there can be opened by its group.
func TestAPortThatMayNotBeOpenedIsOpenedOnceItMay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	// All down to the link can be seen by anybody.
	for dir := filepath.Dir(path); dir != filepath.Clean(os.TempDir()); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := runAfter(t, path, nil, becomeNobody)
	r.hear("offline: open serial port " + path + ": no such port")
	name, scale, err := port.Pair(port.Mode{})
	if err != nil {
		t.Fatal(err)
	}
	defer scale.Close()
	mode := func(m os.FileMode) {
		t.Helper()
		if err := os.Chmod(name, m); err != nil {
			t.Fatal(err)
		}
	}
	mode(0)
	if err := os.Symlink(name, path); err != nil {
		t.Fatal(err)
	}
	r.hear("offline: open serial port " + path + ": not allowed: add the user that runs headgate to the group ")
	tries(2)
	mode(0o666)
	r.hear("online")
	r.opened(1)
	speak(t, scale, "ST,GS,+1kg\n")
	r.hear(`weight=1kg`)
	// That it is not allowed is news, for somebody may have to do something.
	if got := r.logged(); strings.Count(got, "level=WARN") != 2 || strings.Count(got, "usermod -aG") != 1 {
		t.Errorf("logged:\n%s", got)
	}
}

// becomeNobody has the calling goroutine, and no other, open files as one who is not
// root; root may open all.
func becomeNobody() {
	if os.Getuid() != 0 {
		return
	}
	// It is not unlocked: the thread ends with the goroutine.
	runtime.LockOSThread()
	const nobody = 65534
	unix.SetfsuidRetUid(nobody)
}

func TestAnUnpluggedPortIsOpenedAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	scale := plug(t, path)
	r := run(t, path, nil)
	r.opened(1)
	speak(t, scale, "ST,GS,+1kg\nST,GS,+11")
	r.hear(`weight=1kg`)
	for i := range uint64(2) {
		unplug(t, path, scale)
		r.hear("offline: read from serial port " + path)
		r.hear("offline: open serial port " + path)
		scale = plug(t, path)
		r.hear("online")
		r.opened(i + 2)
		// What was left of the line before is not put before this one.
		speak(t, scale, "ST,GS,+2kg\n")
		r.hear(`weight=2kg`)
	}
	r.until("for the trouble to be over", func() bool { return strings.Contains(r.logged(), "open again") })
	if got := r.logged(); strings.Count(got, "level=WARN") != 1 || strings.Count(got, "level=INFO") != 1 {
		t.Errorf("logged:\n%s", got)
	}
	if s := r.Stats(); s.Opened != 3 || !s.Open || s.Unmatched != 0 {
		t.Errorf("stats are %+v", s)
	}
}

func TestTwoDevicesCannotShareAPort(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ttyUSB1")
	plug(t, path)
	first := run(t, path, nil)
	first.hear("online")
	second := run(t, path, nil)
	second.hear("offline: open serial port " + path + ": the port is in use")
	second.until("for who has it, in the log", func() bool {
		return strings.Contains(second.logged(), fmt.Sprintf(", process %d", os.Getpid()))
	})
	first.stop()
	second.hear("online")
}
