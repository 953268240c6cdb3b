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
	// Of the line that was under way when the port was opened a half may have come.
	if s.Unmatched > s.Opened || s.TooLong != 0 || s.Opened < 2 {
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

// stutterer sends 300 numbered messages between STX and ETX with their xor, noise
// between them and in any pieces; each tenth checksum is wrong.
const stutterer = `
import random, serial, sys, time
noise = random.Random(1)
with serial.Serial(sys.argv[1], 115200) as port:
    time.sleep(0.3)
    out = b"\x02"
    for n in range(300):
        body = b"%d,%d\x03" % (n, 7 * n)
        check = 0
        for c in body:
            check ^= c
        out += b"\x02" + body + bytes([check ^ (0x40 if n % 10 == 9 else 0)])
        out += bytes(noise.choice([0, 3, 10, 65, 255]) for _ in range(noise.randrange(9)))
        while len(out) > 20:
            size = noise.randrange(1, 20)
            port.write(out[:size])
            out = out[size:]
    port.write(out + b"\x02end,0\x03\x70")
    time.sleep(60)
`

func TestAPythonTalkersMessagesAreFoundInNoise(t *testing.T) {
	needs(t)
	t.Parallel()
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ttyS0"), filepath.Join(dir, "ttyS1")
	startPeer(t, "socat", "pty,raw,echo=0,link="+ours, "pty,raw,echo=0,link="+theirs)
	r := run(t, ours, func(c *Config) {
		c.Frame = Frame{Kind: "stx_etx", Trailer: 1, Checksum: Checksum{Kind: "xor", From: 1}}
		c.Parse = Parse{Kind: "csv"}
		c.Points = []Point{{Name: "n", From: "1"}, {Name: "seven", From: "2"}}
	})
	r.hear("online")
	startPeer(t, "/usr/bin/python3", "-c", stutterer, theirs)
	r.hear(`n="end"`)
	r.stop()
	var got []int64
	for _, s := range r.samples {
		if n, ok := s.Value.Int(); ok && s.Point == "n" {
			got = append(got, n)
		}
	}
	next := int64(0)
	for _, n := range got {
		if n != next {
			t.Fatalf("%d came where %d should: %v", n, next, got)
		}
		if next++; next%10 == 9 {
			next++
		}
	}
	if s := r.Stats(); len(got) != 270 || s.BadChecksum < 30 || s.Unmatched != 0 {
		t.Errorf("%d messages of 270, stats are %+v", len(got), s)
	}
}
