package store

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestTheReserveGivesJustWhatIsAskedForAndTakesItBackFirst(t *testing.T) {
	wantLoop(t, "what the reserve gives on a full disk")
	t.Parallel()
	disk := t.TempDir()
	run(t, "mount", "-t", "tmpfs", "-o", "size=48M", "tmpfs", disk)
	t.Cleanup(func() { run(t, "umount", disk) })
	s, err := Open(filepath.Join(disk, "store"), small(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := s.reserve.held(); n != reserveBytes {
		t.Fatalf("the reserve has %d bytes, want %d", n, reserveBytes)
	}
	junk := filepath.Join(disk, "junk")
	takeAll(t, junk)
	const asked = 1 << 20
	if !s.makeRoom(asked) {
		t.Fatal("there is no room")
	}
	free, err := freeBytes(disk)
	if err != nil || free < asked || free > asked+s.space.margin()+2*reserveStep {
		t.Errorf("%d bytes are free (%v) after %d were asked for", free, err, asked)
	}
	held := s.reserve.held()
	if s.makeRoom(2*reserveBytes) || s.reserve.held() != held {
		t.Errorf("the reserve went from %d to %d bytes for what does not fit", held, s.reserve.held())
	}
	if err := s.space.admit(1, 0); err == nil {
		t.Error("a message may have what was the reserve's")
	}
	takeAll(t, junk+"2")
	if !s.makeRoom(2 * asked) {
		t.Fatal("there is no room any more")
	}
	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	s.keepReserve()
	if n := s.reserve.held(); n != reserveBytes || s.space.last.Load() {
		t.Errorf("the reserve has %d bytes, want %d again", n, reserveBytes)
	}
}

// takeAll takes all that is free.
func takeAll(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for b := make([]byte, 4096); ; {
		if _, err := f.Write(b); err != nil {
			return
		}
	}
}

func TestTheLogOfTheStateDatabaseHasItsDiskBlocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir, small(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	logs, err := filepath.Glob(filepath.Join(stateDir(dir), "*.mem"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs %v (%v)", logs, err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(logs[0], &st); err != nil {
		t.Fatal(err)
	}
	if n := st.Blocks * 512; n < memAlloc {
		t.Errorf("%s has %d bytes on disk, want %d", logs[0], n, memAlloc)
	}
}

func TestWhatIsWrittenOfALogEndsWhereTheZerosBegin(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	for _, n := range []int64{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 200_000} {
		b := make([]byte, 200_000)
		if n > 0 {
			b[n-1] = 1
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := writtenBytes(path); got != n || err != nil {
			t.Errorf("%d bytes (%v), want %d", got, err, n)
		}
	}
}
