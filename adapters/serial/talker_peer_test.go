package serial

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// needs skips the test where a program is missing, or a module of Python's;
// where the peers are required it fails.
func needs(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("socat")
	if err == nil {
		err = exec.Command("/usr/bin/python3", "-c", "import serial").Run()
	}
	if err == nil {
		return
	}
	const say = "needs socat and python3-serial (%v): apt-get install socat python3-serial"
	if os.Getenv("HEADGATE_PEERS") == "required" {
		t.Fatalf(say, err)
	}
	t.Skipf(say, err)
}

// talker is a scale: it sends a line 20 times a second, in two pieces, and
// opens its port again when that has gone.
const talker = `
import serial, sys, time
n = 0
while True:
    try:
        with serial.Serial(sys.argv[1], 9600) as port:
            while True:
                line = b"ST,GS,+%08.2fkg\r\n" % (n / 4)
                port.write(line[:7])
                time.sleep(0.01)
                port.write(line[7:])
                time.sleep(0.04)
                n += 1
    except (serial.SerialException, OSError):
        time.sleep(0.05)
`

// startPeer runs a program until the test ends, or the function that it gives is
// called.
func startPeer(t *testing.T, name string, args ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestAPythonTalkerIsHeardOverSocat(t *testing.T) {
	needs(t)
	t.Parallel()
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ttyS0"), filepath.Join(dir, "ttyS1")
	cable := func() (pull func()) {
		return startPeer(t, "socat", "pty,raw,echo=0,link="+ours, "pty,raw,echo=0,link="+theirs)
	}
	pull := cable()
	startPeer(t, "/usr/bin/python3", "-c", talker, theirs)
	r := run(t, ours, nil)
	heard := func(n int) {
		t.Helper()
		for range n {
			r.hear("weight=")
		}
	}
	r.hear("online")
	heard(5)
	pull()
	// socat's links are gone with it, or point to nothing.
	os.Remove(ours)
	os.Remove(theirs)
	r.hear("offline: ")
	cable()
	r.hear("online")
	heard(5)

	r.stop()
	s := r.Stats()
	if s.Unmatched != 0 || s.TooLong != 0 || s.Opened < 2 {
		t.Errorf("stats are %+v: want every line to match, and the port opened again", s)
	}
	// Quarters in order, and no half of a number among them.
	last := -1.0
	for _, sample := range r.samples {
		v, ok := sample.Value.Float()
		if sample.Point != "weight" {
			continue
		}
		if !ok || v <= last || v*4 != float64(int(v*4)) {
			t.Errorf("%v came after %v", sample.Value, last)
		}
		last = v
	}
}
