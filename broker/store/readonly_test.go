package store

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// loseDisk commits messages until the disk takes none, and goes on asking for a
// while: then it says so and ends by itself.
func loseDisk(dir, bookPath string) {
	b, err := openBook(bookPath)
	fatal(err)
	cfg := small()
	cfg.Patience = time.Second
	s, err := Open(dir, cfg, quiet())
	fatal(err)
	q, err := s.Queue("queue 0")
	fatal(err)
	for n := uint64(0); ; {
		data := bytes.Repeat([]byte{byte(n)}, 100+int(n%5)*8000)
		err := tryCommit(s, Record{Kind: Message, Refs: []Ref{{q.ID(), nil}}, Data: data})
		if err == nil {
			n++
			b.setDurable(0, n)
			if n%100 == 0 {
				checkpointSoonAfter(s)
			}
			if it, ok, err := q.Reader(nil).Next(); n > 200 && ok && err == nil {
				q.Ack(it.Number) // there is more to log than messages
			}
			continue
		}
		if !errors.Is(err, ErrHeld) {
			fatal(fmt.Errorf("want ErrHeld: %w", err))
		}
		break
	}
	for range 20 {
		if err := tryCommit(s, Record{Kind: Put, Key: "k", Data: make([]byte, 10_000)}); !errors.Is(err, ErrUnavailable) {
			fatal(fmt.Errorf("want ErrUnavailable: %w", err))
		}
		checkpointSoonAfter(s)
		time.Sleep(10 * time.Millisecond)
	}
	if st := s.Stats(); len(st.Alarms()) != 1 {
		fatal(fmt.Errorf("alarms: %+v", st.Alarms()))
	}
	if err := s.Close(); !errors.Is(err, ErrUnavailable) {
		fatal(fmt.Errorf("close: want ErrUnavailable: %w", err))
	}
	fmt.Println("survived")
}

// hangAndGoOn commits messages until the disk hangs, says so, and goes on when it
// has come back: then all must be there, and once.
func hangAndGoOn(dir, bookPath string) {
	b, err := openBook(bookPath)
	fatal(err)
	cfg := small()
	cfg.Patience = time.Second
	s, err := Open(dir, cfg, quiet())
	fatal(err)
	q, err := s.Queue("queue 0")
	fatal(err)
	taken, held := uint64(0), false
	for after := 0; after < 100; {
		data := bytes.Repeat([]byte{byte(taken)}, 100+int(taken%5)*8000)
		err := tryCommit(s, Record{Kind: Message, Refs: []Ref{{q.ID(), nil}}, Data: data})
		runtime.GC() // it stops where a goroutine waits for a page
		switch {
		case err == nil:
			if held {
				after++
			}
			taken++
			b.setDurable(0, taken)
			checkpointSoonAfter(s)
		case errors.Is(err, ErrHeld):
			taken++
			held = true
			fmt.Println("held")
		case errors.Is(err, ErrUnavailable):
			checkpointSoonAfter(s)
			time.Sleep(time.Millisecond)
		default:
			fatal(err)
		}
	}
	r := q.Reader(nil)
	for n := uint64(0); ; n++ {
		it, ok, err := r.Next()
		fatal(err)
		if !ok && n == taken {
			break
		}
		if !ok || it.Ordinal != n || it.Data[0] != byte(n) {
			fatal(fmt.Errorf("message %d of %d is not there: %v", n, taken, it.Ordinal))
		}
	}
	fatal(s.Close())
	fmt.Println("all there")
}

func checkpointSoonAfter(s *Store) {
	s.mu.Lock()
	s.ckpt.at = time.Time{}
	s.mu.Unlock()
	s.nudge()
}

// A file system in which the kernel finds an error becomes read-only: a process
// that writes to a mapped file of it then ends by SIGBUS.
func TestADiskThatBecomesReadOnlyDoesNotEndTheProcess(t *testing.T) {
	wantLoop(t, "that a disk which becomes read-only does not end the process")
	t.Parallel()
	rounds := 1
	if proof() {
		rounds = 20
	}
	for range rounds {
		tmp := t.TempDir()
		image, disk, bookPath := filepath.Join(tmp, "image"), filepath.Join(tmp, "disk"), filepath.Join(tmp, "book")
		run(t, "truncate", "-s", "200M", image)
		run(t, "mkfs.ext4", "-q", "-F", image)
		mount(t, image, disk)
		dir := filepath.Join(disk, "store")
		b, err := openBook(bookPath)
		if err != nil {
			t.Fatal(err)
		}
		child, out := startJob(t, "lose", dir, bookPath)
		await(t, "messages", func() bool {
			out.has(t, "")
			return b.durable(0) > 300
		})
		run(t, "mount", "-o", "remount,abort", disk)
		out.has(t, "survived")
		if err := child.Wait(); err != nil {
			t.Errorf("it ends with %v", err)
		}
		run(t, "umount", disk)
		after := filepath.Join(tmp, "after")
		mount(t, image, after)
		s, err := Open(filepath.Join(after, "store"), small(), quiet())
		if err != nil {
			t.Fatal(err)
		}
		if next := queue(t, s, "queue 0").Stats().Next; next < b.durable(0) {
			t.Errorf("%d messages are there, %d were acknowledged", next, b.durable(0))
		}
		closeStore(t, s)
		run(t, "umount", after)
		b.close()
	}
}

// What a frozen file system does to those who write: they wait, and so they do for
// a card that dies.
func TestADiskThatHangsHoldsUpNobodyElse(t *testing.T) {
	const what = "that a disk which hangs holds up nobody else"
	wantLoop(t, what)
	if _, err := exec.LookPath("fsfreeze"); err != nil {
		missing(t, what, "fsfreeze is missing: apt-get install util-linux")
	}
	t.Parallel()
	rounds := 1
	if proof() {
		rounds = 20
	}
	for range rounds {
		tmp := t.TempDir()
		image, disk, bookPath := filepath.Join(tmp, "image"), filepath.Join(tmp, "disk"), filepath.Join(tmp, "book")
		run(t, "truncate", "-s", "200M", image)
		run(t, "mkfs.ext4", "-q", "-F", image)
		mount(t, image, disk)
		b, err := openBook(bookPath)
		if err != nil {
			t.Fatal(err)
		}
		child, out := startJob(t, "hang", filepath.Join(disk, "store"), bookPath)
		thaw := sync.OnceFunc(func() { exec.Command("fsfreeze", "-u", disk).Run() })
		t.Cleanup(thaw)
		await(t, "messages", func() bool {
			out.has(t, "")
			return b.durable(0) > 100
		})
		run(t, "fsfreeze", "-f", disk)
		out.has(t, "held")
		thaw()
		out.has(t, "all there")
		if err := child.Wait(); err != nil {
			t.Errorf("it ends with %v", err)
		}
		run(t, "umount", disk)
		b.close()
	}
}
