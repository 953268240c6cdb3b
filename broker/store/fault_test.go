package store

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// strace gives the command line under which a child's syncs meet a fault:
// strace's "inject" in short. It skips the test where that cannot be.
func strace(t *testing.T, fault string) []string {
	t.Helper()
	const what = "that a sync which the disk does not take loses nothing"
	if _, err := exec.LookPath("strace"); err != nil {
		missing(t, what, "strace is missing: apt-get install strace")
	}
	if out, err := exec.Command("strace", "-f", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		t.Skipf("not proven here: %s (strace: %v: %s)", what, err, out)
	}
	// -D: the child is ours and not strace's.
	const calls = "fdatasync,fsync,msync"
	return []string{"strace", "-D", "-f", "-q", "-o", "/dev/null", "-e", "trace=" + calls, "-e", "inject=" + calls + ":" + fault}
}

func TestSyncsThatEndWithAnErrorNowAndThenLoseNothing(t *testing.T) {
	under := strace(t, "error=EIO:when=20+60")
	t.Parallel()
	rounds := 1
	if proof() {
		rounds = 20
	}
	for range rounds {
		dir, bookPath := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "book")
		b, err := openBook(bookPath)
		if err != nil {
			t.Fatal(err)
		}
		// Under it are failures before the load is there: the child must go on.
		child := startChild(t, dir, bookPath, false, under...)
		awaitLoad(t, b, [crashQueues]uint64{})
		await(t, "a generation to fail", func() bool {
			n, err := filepath.Glob(filepath.Join(spoolDir(dir), "*", endFile))
			return err == nil && len(n) > 0
		})
		time.Sleep(300 * time.Millisecond)
		kill(child)
		if lost := inspect(t, dir, b, false); lost > 0 {
			t.Errorf("%d acknowledged messages are lost", lost)
		}
		b.close()
	}
}

// From some sync on the disk takes nothing any more, and then the power goes.
func TestWhatAFailedSyncDidNotTakeIsNotAcknowledged(t *testing.T) {
	wantLoop(t, "that what a failed sync did not take is not acknowledged")
	under := strace(t, "error=EIO:when=30+")
	// The control: a store that takes every sync as done does lose.
	deaf := strace(t, "retval=0")
	t.Parallel()
	cuts := 1
	if proof() {
		cuts = 20
	}
	for range cuts {
		if lost := cutPower(t, false, under...); lost > 0 {
			t.Fatalf("%d acknowledged messages are lost", lost)
		}
	}
	lost := 0
	for range 3 {
		if lost = cutPower(t, false, deaf...); lost > 0 {
			break
		}
	}
	if lost == 0 {
		t.Error("with syncs that do nothing nothing is lost either: the test proves nothing")
	} else {
		t.Logf("the control lost %d", lost)
	}
}

func TestOnASlowDiskOneSyncTakesWhatHasCome(t *testing.T) {
	under := strace(t, "delay_enter=10ms")
	t.Parallel()
	dir, bookPath := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "book")
	b, err := openBook(bookPath)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	child := startChild(t, dir, bookPath, false, under...)
	awaitLoad(t, b, [crashQueues]uint64{})
	begin := time.Now()
	var before uint64
	for i := range crashQueues {
		before += b.durable(i)
	}
	time.Sleep(time.Second)
	var after uint64
	for i := range crashQueues {
		after += b.durable(i)
	}
	rate := float64(after-before) / time.Since(begin).Seconds()
	kill(child)
	if lost := inspect(t, dir, b, false); lost > 0 {
		t.Errorf("%d acknowledged messages are lost", lost)
	}
	t.Logf("%s messages a second from %d producers with 20 on their way each, at 10 ms a sync",
		strconv.FormatFloat(rate, 'f', 0, 64), crashQueues)
	if after == before {
		t.Error("it stands still")
	}
}
