package store

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// weight is what a child tells of a store in which messages wait.
type weight struct {
	Messages int64
	Opened   time.Duration
	Anon     int64         // RssAnon, bytes, when it is open
	AnonMax  int64         // while it is drained
	Mapped   int           // generations that are mapped when the first message has been read
	Drained  time.Duration // all of it
	Disk     int64         // bytes on disk before
	Left     int64         // afterwards
	Back     time.Duration // from the drain until Left
}

// backBytes is what a drained store may have more than an empty one.
const backBytes = 64 << 20

// weigh opens a store, drains it, and tells what that takes.
func weigh(dir, _ string) {
	var w weight
	w.Disk = diskUse(dir)
	begin := time.Now()
	s, err := Open(dir, Config{}, quiet())
	fatal(err)
	w.Opened = time.Since(begin)
	w.Anon = privateBytes()
	q, err := s.Queue("cloud")
	fatal(err)
	w.Messages = q.Stats().Messages
	r := q.Reader(nil)
	begin = time.Now()
	for n := range w.Messages {
		it, ok, err := r.Next()
		fatal(err)
		if !ok || number(it) != int(n) {
			fatal(fmt.Errorf("message %d: got %.9q, %v", n, it.Data, ok))
		}
		q.Ack(it.Number)
		if n%10_000 == 0 {
			w.AnonMax = max(w.AnonMax, privateBytes())
		}
		if n == 0 {
			w.Mapped = mappedGenerations()
		}
	}
	fatal(tryCommit(s)) // the acknowledgements are on disk
	w.Drained = time.Since(begin)
	begin = time.Now()
	for ; ; time.Sleep(10 * time.Millisecond) {
		w.Left = diskUse(dir)
		if w.Back = time.Since(begin); w.Left <= backBytes || w.Back > hang {
			break
		}
	}
	fatal(s.Close())
	b, err := json.Marshal(w)
	fatal(err)
	fmt.Printf("found %s\n", b)
}

// diskUse is what the files of a directory take on disk, without the reserve.
func diskUse(dir string) (bytes int64) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == reserveOf(dir) {
			return nil // or removed meanwhile
		}
		if info, err := d.Info(); err == nil {
			bytes += blocks(info)
		}
		return nil
	})
	return bytes
}

// mappedGenerations is how many generations have a file in this process's memory.
func mappedGenerations() int {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0
	}
	defer f.Close()
	dirs := map[string]bool{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if _, path, ok := strings.Cut(lines.Text(), "/"); ok && strings.Contains(path, "/spool/") {
			dirs[filepath.Dir(path)] = true
		}
	}
	return len(dirs)
}

func weighed(t *testing.T, dir string) (w weight) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childDir+"="+dir, childJob+"=weigh")
	out, err := cmd.CombinedOutput()
	_, text, ok := strings.Cut(string(out), "found ")
	if err != nil && len(out) == 0 {
		t.Skipf("not proven here: what a store weighs (%v)", err)
	}
	if err != nil || !ok {
		t.Fatalf("%v\n%.2000s", err, out)
	}
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(err)
	}
	return w
}

// What waits is on disk, and costs neither time nor memory. The limits of time and
// of memory are for the long form, which has the machine to itself and no race detector.
//
// The control is a store that does not close what it has counted at the start (trim
// in recover): then five generations are mapped. And one that keeps a message in
// memory for each that waits: 1,000,000 take 200 MB.
func TestAMillionMessagesThatWaitWeighNothing(t *testing.T) {
	n := 100_000
	if proof() {
		n = 1_000_000
	}
	idle := weighed(t, t.TempDir())
	dir := t.TempDir()
	s := open(t, dir, Config{})
	fill(t, s, queue(t, s, "cloud"), 0, n, payload-7)
	closeStore(t, s)
	w := weighed(t, dir)
	const mb = 1e6
	t.Logf("%d messages of %d bytes wait, %.0f MB on disk: open after %v (empty: %v), %.1f MB of private memory more than an empty store (%.1f MB while it is drained), %d generations mapped; drained in %v, %.0f MB are left on disk after %v",
		w.Messages, payload, float64(w.Disk)/mb, w.Opened.Round(time.Millisecond), idle.Opened.Round(time.Millisecond),
		float64(w.Anon-idle.Anon)/mb, float64(w.AnonMax-idle.Anon)/mb, w.Mapped, w.Drained.Round(time.Millisecond), float64(w.Left)/mb, w.Back.Round(time.Millisecond))
	if w.Messages != int64(n) {
		t.Errorf("%d wait, want %d", w.Messages, n)
	}
	if w.Mapped > 2 {
		t.Errorf("%d generations are mapped", w.Mapped)
	}
	if w.Left > backBytes {
		t.Errorf("%d bytes are left on disk", w.Left)
	}
	if !proof() {
		return
	}
	if more := w.Anon - idle.Anon; more > 25<<20 {
		t.Errorf("%d bytes of private memory more than an empty store", more)
	}
	if w.Opened > time.Second || w.Back > 5*time.Second {
		t.Errorf("open after %v, want 1 s at most; the disk back after %v, want 5 s at most", w.Opened, w.Back)
	}
}
