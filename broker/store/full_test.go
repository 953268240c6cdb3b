package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// On a full disk a store would die by SIGBUS, so these run in child processes.
var childJobs = map[string]func(dir, book string){"fill": fillUp, "drain": drain, "look": look, "lose": loseDisk, "hang": hangAndGoOn, "weigh": weigh, "spare": spareLoad, "compact": compactOn}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
}

// fillUp commits messages until they are refused, and on for a while; then it
// says so, and waits to be killed.
func fillUp(dir, bookPath string) {
	b, err := openBook(bookPath)
	fatal(err)
	cfg := small()
	cfg.MaxBytes = 1 << 30
	s, err := Open(dir, cfg, quiet())
	fatal(err)
	q, err := s.Queue("queue 0")
	fatal(err)
	refused := 0
	for n := uint64(0); refused < 300; {
		// Now and then one that goes to the write-ahead log and not to the value log.
		data := bytes.Repeat([]byte{byte(n)}, 100+int(n%5)*8000)
		err := tryCommit(s, Record{Kind: Message, Refs: []Ref{{q.ID(), nil}}, Data: data})
		switch {
		case err == nil:
			refused = 0
			n++
			b.setDurable(0, n)
		case errors.Is(err, ErrFull):
			refused++
			fatal(tryCommit(s, Record{Kind: Put, Key: "state", Data: []byte(fmt.Sprint(refused))}))
			time.Sleep(time.Millisecond)
		default:
			fatal(err)
		}
	}
	// More state than the tail has room for.
	for n := range 30 {
		fatal(tryCommit(s, Record{Kind: Put, Key: fmt.Sprint("more", n), Data: make([]byte, 60_000)}))
	}
	fmt.Println("refused")
	select {}
}

// drain opens the store, acknowledges all, and says so; then it waits until
// messages are taken again.
func drain(dir, bookPath string) {
	b, err := openBook(bookPath)
	fatal(err)
	cfg := small()
	cfg.MaxBytes = 1 << 30
	s, err := Open(dir, cfg, quiet())
	fatal(err)
	q, err := s.Queue("queue 0")
	fatal(err)
	r := q.Reader(nil)
	want := uint64(0)
	for {
		it, ok, err := r.Next()
		fatal(err)
		if !ok {
			break
		}
		if it.Ordinal != want || len(it.Data) != 100+int(want%5)*8000 || it.Data[0] != byte(want) {
			fatal(fmt.Errorf("ordinal %d and %d bytes where %d comes next", it.Ordinal, len(it.Data), want))
		}
		want++
		q.Ack(it.Number)
	}
	if want < b.durable(0) || want == 0 {
		fatal(fmt.Errorf("%d messages are there, %d were acknowledged", want, b.durable(0)))
	}
	fatal(tryCommit(s, Record{Kind: Delete, Key: "state"}))
	fmt.Println("drained")
	deadline := time.Now().Add(hang)
	for {
		err := tryCommit(s, Record{Kind: Message, Refs: []Ref{{q.ID(), nil}}, Data: make([]byte, 1000)})
		if err == nil {
			break
		}
		if !errors.Is(err, ErrFull) || time.Now().After(deadline) {
			fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	fatal(s.Close())
	fmt.Println("taken again")
}

// said is what a child has printed.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *said) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *said) has(t *testing.T, line string) {
	t.Helper()
	await(t, "a child to say: "+line, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		if text := o.b.String(); strings.Contains(text, "child:") || strings.Contains(text, "fatal error") || strings.Contains(text, "panic") {
			t.Fatalf("before %q: %s", line, text)
		}
		return strings.Contains(o.b.String(), line)
	})
}

func startJob(t *testing.T, job, dir, bookPath string) (*exec.Cmd, *said) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := new(said)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childDir+"="+dir, childBook+"="+bookPath, childJob+"="+job)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Skipf("not proven here: what a full disk does (%v)", err)
	}
	t.Cleanup(func() { kill(cmd) })
	return cmd, out
}

func TestAFullDiskRefusesThenDrainsAndThenTakesAgain(t *testing.T) {
	wantLoop(t, "what a full disk does")
	t.Parallel()
	for _, tt := range []struct {
		name   string
		others bool // another process fills the disk
		mount  func(t *testing.T, disk string)
	}{
		{"tmpfs of 32 MB", false, func(t *testing.T, disk string) {
			run(t, "mount", "-t", "tmpfs", "-o", "size=32M", "tmpfs", disk)
			t.Cleanup(func() { exec.Command("umount", "-l", disk).Run() })
		}},
		{"ext4 that another process fills", true, func(t *testing.T, disk string) {
			image := filepath.Join(t.TempDir(), "image")
			run(t, "truncate", "-s", "80M", image)
			run(t, "mkfs.ext4", "-q", "-F", "-m", "0", image)
			run(t, "rmdir", disk)
			mount(t, image, disk)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk, bookPath := filepath.Join(t.TempDir(), "disk"), filepath.Join(t.TempDir(), "book")
			run(t, "mkdir", disk)
			tt.mount(t, disk)
			dir, junk := filepath.Join(disk, "store"), filepath.Join(disk, "junk")
			b, err := openBook(bookPath)
			if err != nil {
				t.Fatal(err)
			}
			defer b.close()
			child, out := startJob(t, "fill", dir, bookPath)
			await(t, "messages", func() bool { return b.durable(0) > 100 })
			if tt.others {
				useUp(t, junk)
			}
			out.has(t, "refused")
			kill(child)
			child, out = startJob(t, "drain", dir, bookPath)
			out.has(t, "drained")
			if tt.others {
				run(t, "rm", junk)
			}
			out.has(t, "taken again")
			if err := child.Wait(); err != nil {
				t.Error(err)
			}
			t.Logf("%d messages, all there", b.durable(0))
			run(t, "umount", disk)
		})
	}
}

// useUp writes a file until no space is left, at 50 MB a second: several times
// faster than a card.
func useUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for b := make([]byte, 256<<10); ; time.Sleep(5 * time.Millisecond) {
		if _, err := f.Write(b); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
