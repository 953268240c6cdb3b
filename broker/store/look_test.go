package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"
	"testing"
)

// contents gives the checksum of every file in a directory but the lock, of which
// the holder changes.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	sums := make(map[string]string)
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == lockFile {
			return err
		}
		b, err := os.ReadFile(dir + "/" + path)
		info, ierr := d.Info()
		if ierr != nil {
			return ierr
		}
		sums[path] = fmt.Sprintf("%x %v", sha256.Sum256(b), info.ModTime())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

func TestLookingIntoAStoreChangesNothingOnDisk(t *testing.T) {
	dir := t.TempDir()
	cfg := small()
	cfg.Compression = Zstd // who looks need not know
	s := open(t, dir, cfg)
	q := queue(t, s, "client")
	fill(t, s, q, 0, 5000, 1000)
	r := q.Reader(nil)
	for _, it := range expect(t, r, 0, 10) {
		q.Ack(it.Number)
	}
	commit(t, s, Record{Kind: Put, Key: "k", Data: []byte("v")})
	want := q.Stats()
	closeStore(t, s)

	before := contents(t, dir)
	log, text := listen()
	s, err := OpenToLook(dir, small(), log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenToLook(dir, small(), quiet()); err == nil || !strings.Contains(err.Error(), "is in use by process") {
		t.Errorf("opened twice: %v", err)
	}
	q = s.Queues()[0]
	if got := q.Stats(); got.Messages != want.Messages || got.Bytes != want.Bytes || got.Head != want.Head {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if list := peeked(t, q); len(list) != 4990 || list[0] != 10 || list[4989] != 4999 {
		t.Errorf("it has %d, from %d on", len(list), list[0])
	}
	if err := s.State("", func(key string, value []byte) error {
		if key != "k" || string(value) != "v" {
			t.Errorf("state %s: %s", key, value)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := tryCommit(s, message("x", q)); !errors.Is(err, errLook) {
		t.Errorf("a commit ends with %v", err)
	}
	closeStore(t, s)
	if text.String() != "" {
		t.Errorf("logged: %s", text)
	}
	if after := contents(t, dir); !maps.Equal(after, before) {
		t.Errorf("before %v\nafter  %v", before, after)
	}
	s = open(t, dir, small())
	expect(t, queue(t, s, "client").Reader(nil), 10, 5000)
}

func TestOneLooksOnlyIntoAStoreThatWasClosed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	fill(t, s, queue(t, s, "client"), 0, 10, 0)
	if _, err := OpenToLook(copyDir(t, dir), small(), quiet()); !errors.Is(err, ErrNotClosed) {
		t.Errorf("after a crash: %v", err)
	}
	empty := t.TempDir()
	if _, err := OpenToLook(empty, small(), quiet()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("where there is none: %v", err)
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("it made %v, %v", entries, err)
	}
}

func TestAStoreOfTheEarlierFormatIsOpenedAndIsOfThisOneThen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	fill(t, s, queue(t, s, "client"), 0, 10, 0)
	salt := s.spool.salt
	closeStore(t, s)
	text := func(version int) string { return fmt.Sprintf("%s%d\nsalt %08x\n", formatText, version, salt) }
	if err := os.WriteFile(dir+"/"+formatFile, []byte(text(1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, small())
	expect(t, queue(t, s, "client").Reader(nil), 0, 10)
	if b, err := os.ReadFile(dir + "/" + formatFile); err != nil || string(b) != text(formatUnpacked) {
		t.Errorf("the file says %q, %v", b, err)
	}
}
