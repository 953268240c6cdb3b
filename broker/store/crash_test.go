package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The crash tests run a store in a child process, which writes down what was
// acknowledged to it, and take the child or its disk away in the middle.

const (
	childDir  = "HEADGATE_STORE_TEST_DIR"
	childBook = "HEADGATE_STORE_TEST_BOOK"
	childSync = "HEADGATE_STORE_TEST_UNSYNCED"

	childJob = "HEADGATE_STORE_TEST_JOB" // another than load

	crashQueues = 4
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if job, ok := childJobs[os.Getenv(childJob)]; ok {
			job(dir, os.Getenv(childBook))
			return
		}
		load(dir, os.Getenv(childBook), os.Getenv(childSync) != "")
		return
	}
	os.Exit(m.Run())
}

// proof says whether the long form of a test is wanted.
func proof() bool { return os.Getenv("HEADGATE_PROOF") != "" }

// book is what a child writes down: for each queue up to which ordinal messages
// were acknowledged to it as durable, and up to which it has acknowledged them
// as a receiver. It is memory shared through a file, so it outlives a SIGKILL.
type book struct{ m []byte }

func openBook(path string) (*book, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(4096); err != nil {
		return nil, err
	}
	m, err := syscall.Mmap(int(f.Fd()), 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	return &book{m}, err
}

func (b *book) close() { syscall.Munmap(b.m) }

func (b *book) at(queue, column int) []byte { return b.m[queue*16+column*8:] }

func (b *book) durable(queue int) uint64 { return binary.LittleEndian.Uint64(b.at(queue, 0)) }
func (b *book) taken(queue int) uint64   { return binary.LittleEndian.Uint64(b.at(queue, 1)) }

func (b *book) setDurable(queue int, n uint64) { binary.LittleEndian.PutUint64(b.at(queue, 0), n) }
func (b *book) setTaken(queue int, n uint64)   { binary.LittleEndian.PutUint64(b.at(queue, 1), n) }

// load is the child: producers for some queues, and a receiver for half of them.
func load(dir, bookPath string, unsynced bool) {
	b, err := openBook(bookPath)
	fatal(err)
	cfg := small()
	cfg.unsynced = unsynced
	s, err := Open(dir, cfg, quiet())
	fatal(err)
	for i := range crashQueues {
		q, err := s.Queue("queue " + strconv.Itoa(i))
		fatal(err)
		go produce(s, q, i, b)
		if i%2 == 0 {
			go receive(q, i, b)
		}
	}
	select {}
}

func produce(s *Store, q *Queue, i int, b *book) {
	room := make(chan struct{}, 20)
	for n := q.Stats().Next; ; n++ {
		room <- struct{}{}
		data := crashMessage(i, n)
		s.Commit([]Record{{Kind: Message, Refs: []Ref{{q.ID(), []byte{byte(i)}}}, Data: data},
			{Kind: Put, Key: fmt.Sprintf("last/%d", i), Data: data}}, func(err error) {
			fatal(err)
			b.setDurable(i, n+1)
			<-room
		})
	}
}

func receive(q *Queue, i int, b *book) {
	wake := make(chan struct{}, 1)
	r := q.Reader(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	for {
		it, ok, err := r.Next()
		fatal(err)
		if !ok {
			<-wake
			continue
		}
		b.setTaken(i, it.Ordinal+1) // before Ack: what is gone was surely taken
		q.Ack(it.Number)
	}
}

func crashMessage(queue int, n uint64) []byte {
	data := binary.BigEndian.AppendUint64([]byte{byte(queue)}, n)
	return append(data, bytes.Repeat([]byte{byte(n)}, int(n%400))...)
}

// startChild starts the child, under another program if there is one.
func startChild(t *testing.T, dir, bookPath string, unsynced bool, under ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(under, exe)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childDir+"="+dir, childBook+"="+bookPath)
	if unsynced {
		cmd.Env = append(cmd.Env, childSync+"=1")
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); errors.Is(err, syscall.ENOEXEC) {
		t.Skip("not proven here: what a kill and a power cut leave (this program is emulated, and cannot start itself)")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	return cmd
}

func kill(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

// awaitLoad waits until a child has got messages acknowledged in every queue.
func awaitLoad(t *testing.T, b *book, from [crashQueues]uint64) {
	t.Helper()
	await(t, "a child to commit", func() bool {
		for i := range crashQueues {
			if b.durable(i) < from[i]+200 {
				return false
			}
		}
		return true
	})
}

// inspect opens a store after a crash and counts the messages that were
// acknowledged and are not there. Order and content must be right in any case;
// damage says that there may be some: then what is missing must be reported.
func inspect(t *testing.T, dir string, b *book, damage bool) (lost int) {
	t.Helper()
	log, text := listen()
	s, err := Open(dir, small(), log)
	if err != nil {
		t.Fatalf("open after the crash: %v", err)
	}
	defer s.Close()
	var missing uint64 // in the middle of queues, or at their ends
	for i := range crashQueues {
		q := queue(t, s, "queue "+strconv.Itoa(i))
		durable, taken := b.durable(i), b.taken(i)
		if next := q.Stats().Next; next < durable {
			lost += int(durable - next)
		}
		r := q.Reader(nil)
		want := q.Stats().Head
		if want > taken {
			lost += int(want - taken)
			t.Logf("queue %d: begins at %d, taken were %d", i, want, taken)
		}
		for ; ; want++ {
			it, ok, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if damage && it.Ordinal > want {
				// What was taken may be known as acknowledged, behind what is lost.
				missing += it.Ordinal - min(max(want, taken), it.Ordinal)
				want = it.Ordinal
			}
			if it.Ordinal != want || !bytes.Equal(it.Data, crashMessage(i, want)) || it.Meta[0] != byte(i) {
				t.Fatalf("queue %d: ordinal %d where %d comes next, %d bytes", i, it.Ordinal, want, len(it.Data))
			}
		}
		if next := q.Stats().Next; damage {
			missing += next - min(max(want, taken), next) // the checkpoint may be ahead of what is left of the log
		} else if want != next {
			t.Errorf("queue %d: the last one given is %d of %d", i, want, next)
		}
		if n := s.Stats(); !damage && n.DamagedSegments+n.LostRecords+n.DamagedGenerations > 0 {
			t.Fatalf("damage is reported: %+v\n%s", n, text)
		}
		// The state of the same commit.
		if err := s.State(fmt.Sprintf("last/%d", i), func(_ string, v []byte) error {
			if n := q.Stats().Next; !damage && n > 0 && !bytes.Equal(v, crashMessage(i, n-1)) {
				t.Errorf("queue %d: its last state is that of message %d, and the last message is %d", i, binary.BigEndian.Uint64(v[1:]), n-1)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Stats(); missing > uint64(n.LostRecords) {
		t.Errorf("%d messages are missing and %d are reported as lost: %+v\n%s", missing, n.LostRecords, n, text)
	}
	return lost
}

func TestAProcessKilledInTheMiddleLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	kills := 3
	if proof() {
		kills = 500
	}
	dir := filepath.Join(t.TempDir(), "store")
	bookPath := filepath.Join(t.TempDir(), "book")
	b, err := openBook(bookPath)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	for range kills {
		var from [crashQueues]uint64
		for i := range from {
			from[i] = b.durable(i)
		}
		child := startChild(t, dir, bookPath, false)
		awaitLoad(t, b, from)
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		kill(child)
		if lost := inspect(t, dir, b, false); lost > 0 {
			t.Fatalf("%d acknowledged messages are lost", lost)
		}
		// What this process saw last counts from here: it may have taken in what
		// the child did not live to write down.
		s := open(t, dir, small())
		for i := range crashQueues {
			q := queue(t, s, "queue "+strconv.Itoa(i))
			b.setDurable(i, q.Stats().Next)
			if i%2 == 1 { // nobody receives there: not for ever
				r := q.Reader(nil)
				for it, ok, _ := r.Next(); ok; it, ok, _ = r.Next() {
					b.setTaken(i, it.Ordinal+1)
					q.Ack(it.Number)
				}
			}
		}
		closeStore(t, s)
	}
}

// A loop file system is a disk of which a copy can be taken at any instant: what
// was not synced is not in the copy, as after a power cut.
func TestAPowerCutLosesNothingThatWasAcknowledged(t *testing.T) {
	wantLoop(t, "that a power cut loses nothing")
	t.Parallel()
	cuts := 2
	if proof() {
		cuts = 100
	}
	for range cuts {
		if lost := cutPower(t, false); lost > 0 {
			t.Fatalf("%d acknowledged messages are lost", lost)
		}
	}
	// The control: without the syncs the same cut does lose, unless the kernel
	// has happened to write everything just before.
	lost := 0
	for range 3 {
		if lost = cutPower(t, true); lost > 0 {
			break
		}
	}
	if lost == 0 {
		t.Error("without any sync nothing is lost either: the test proves nothing")
	} else {
		t.Logf("the control lost %d", lost)
	}
}

// missing skips a test for want of a package, or fails it where all must be there.
func missing(t *testing.T, what, why string) {
	t.Helper()
	if os.Getenv("HEADGATE_PEERS") == "required" {
		t.Fatalf("%s: %s", what, why)
	}
	t.Skipf("not proven here: %s (%s)", what, why)
}

// wantLoop skips a test where there can be no loop file system.
func wantLoop(t *testing.T, what string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skipf("not proven here: %s (loop devices want root)", what)
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, what, tool+" is missing: apt-get install e2fsprogs mount")
		}
	}
}

// cutPower lets a child write to a loop file system, copies that at one instant,
// and counts what the copy has lost.
func cutPower(t *testing.T, unsynced bool, under ...string) (lost int) {
	t.Helper()
	return cutDisk(t, func(dir, bookPath string) *exec.Cmd {
		return startChild(t, dir, bookPath, unsynced, under...)
	}, len(under) > 0, func(dir string, b *book) int {
		return inspect(t, dir, b, unsynced || len(under) > 0)
	})
}

// cutDisk is cutPower for any child, which may be traced, and any inspection.
func cutDisk(t *testing.T, start func(dir, bookPath string) *exec.Cmd, traced bool, inspect func(dir string, b *book) (lost int)) (lost int) {
	t.Helper()
	tmp := t.TempDir()
	image, cut := filepath.Join(tmp, "image"), filepath.Join(tmp, "cut")
	disk, after := filepath.Join(tmp, "disk"), filepath.Join(tmp, "after")
	run(t, "truncate", "-s", "200M", image)
	run(t, "mkfs.ext4", "-q", "-F", image)
	mount(t, image, disk)
	bookPath := filepath.Join(tmp, "book") // on another disk
	b, err := openBook(bookPath)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()

	child := start(filepath.Join(disk, "store"), bookPath)
	awaitLoad(t, b, [crashQueues]uint64{})
	time.Sleep(time.Duration(100+rand.IntN(300)) * time.Millisecond)
	if traced {
		kill(child) // one that is traced does not stop; its pages stay as they are
	} else {
		stop(t, child)
	}
	run(t, "cp", "--sparse=always", image, cut) // not synced
	kill(child)
	run(t, "umount", disk)

	mount(t, cut, after)
	lost = inspect(filepath.Join(after, "store"), b)
	run(t, "umount", after)
	os.Remove(image)
	os.Remove(cut)
	return lost
}

func stop(t *testing.T, child *exec.Cmd) {
	t.Helper()
	if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, "the child to stop", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child.Process.Pid))
		_, rest, _ := strings.Cut(string(stat), ") ")
		return err != nil || strings.HasPrefix(rest, "T")
	})
}

func mount(t *testing.T, image, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("not proven here: what wants a disk of its own (mount -o loop: %s)", bytes.TrimSpace(out))
	}
	t.Cleanup(func() { // where the test has not come to it
		if mounted(dir) {
			exec.Command("umount", "-l", dir).Run()
		}
	})
}

func mounted(dir string) bool {
	f, err := os.Open("/proc/mounts")
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[1] == dir {
			return true
		}
	}
	return false
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
