package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// found is what a child tells of a damaged store.
type found struct {
	Next      uint64 // of the queue
	Delivered uint64
	Lost      uint64 // as the ledger has it, for the queue
	Entries   int    // in the ledger
	State     int    // keys
	Fault     string
}

const damagedQueue = "client"

// damaged makes a store with sealed generations and a tail, of which 100 messages
// are acknowledged and the rest, up to the number that it gives, wait.
func damaged(t *testing.T) (s *Store, dir string, n int) {
	t.Helper()
	dir = t.TempDir()
	s = open(t, dir, small())
	q := queue(t, s, damagedQueue)
	const sealed, tail = 12_000, 2_000
	for i := range 50 {
		commit(t, s, Record{Kind: Put, Key: fmt.Sprintf("key %d", i), Data: []byte("value")})
	}
	fill(t, s, q, 0, sealed, 400)
	r := q.Reader(nil)
	for _, it := range expect(t, r, 0, 100) {
		q.Ack(it.Number)
	}
	// Small commits stand in the write-ahead log.
	for i := sealed; i < sealed+tail; i += 5 {
		fill(t, s, q, i, 5, 400)
	}
	checkpointNow(t, s)
	return s, dir, sealed + tail
}

// look opens a store, tells what is there, and ends.
func look(dir, _ string) {
	var f found
	s, err := Open(dir, small(), quiet())
	fatal(err)
	q, err := s.Queue(damagedQueue)
	fatal(err)
	f.Next = q.Stats().Next
	r := q.Reader(nil)
	last := -1
	for {
		it, ok, err := r.Next()
		fatal(err)
		if !ok {
			break
		}
		if int(it.Ordinal) <= last || number(it) != int(it.Ordinal) || len(it.Data) != 407 {
			f.Fault = fmt.Sprintf("ordinal %d after %d: %.9q", it.Ordinal, last, it.Data)
		}
		last = int(it.Ordinal)
		f.Delivered++
	}
	for _, l := range s.Losses() {
		f.Entries++
		if l.Queue == damagedQueue {
			f.Lost += l.Count
		}
	}
	fatal(s.State("key ", func(string, []byte) error { f.State++; return nil }))
	// It goes on.
	fatal(tryCommit(s, Record{Kind: Message, Refs: []Ref{{q.ID(), nil}}, Data: []byte("new")}))
	it, ok, err := r.Next()
	if err != nil || !ok || string(it.Data) != "new" {
		f.Fault += fmt.Sprintf("; the new message: %q, %v", it.Data, err)
	}
	fatal(s.Close())
	b, err := json.Marshal(f)
	fatal(err)
	fmt.Printf("found %s\n", b)
}

// lookAt runs look until it does not end with a fault, three times at most.
func lookAt(t *testing.T, dir string) (f found, times int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for times = 1; times <= maxOpenings+1; times++ {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), childDir+"="+dir, childJob+"=look")
		out, err = cmd.CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if _, text, ok := bytes.Cut(out, []byte("found ")); err == nil && ok {
			if err := json.Unmarshal(text, &f); err != nil {
				t.Fatal(err)
			}
			return f, times
		}
	}
	t.Fatalf("it does not open: %v\n%.2000s", err, out)
	return f, times
}

// harms are the ways in which a file comes to harm.
var harms = []struct {
	name string
	do   func(path string) error
}{
	{"a byte flipped", func(path string) error {
		b, err := os.ReadFile(path)
		used := len(bytes.TrimRight(b, "\x00"))
		if err != nil || used == 0 {
			return err
		}
		b[used/2] ^= 0x20
		return os.WriteFile(path, b, 0o600)
	}},
	{"truncated", func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, int64(len(bytes.TrimRight(b, "\x00"))*2/3))
	}},
	{"emptied", func(path string) error { return os.Truncate(path, 0) }},
	{"deleted", os.Remove},
}

func TestWhateverFileIsDamagedTheStoreOpensAndTellsExactlyWhatIsLost(t *testing.T) {
	t.Parallel()
	s, dir, n := damaged(t)
	killed := copyDir(t, dir)
	closeStore(t, s)
	for _, base := range []string{killed, dir} { // only makes the copies long
		run(t, "rm", "-f", reserveOf(base))
	}
	lost, cases, again := 0, 0, 0
	seen := map[string]bool{}
	for state, base := range map[string]string{"killed": killed, "closed": dir} {
		if f, _ := lookAt(t, copyDir(t, base)); f != (found{Next: uint64(n), Delivered: uint64(n - 100), State: 50}) {
			t.Fatalf("without any damage: %+v", f)
		}
		for _, file := range storeFiles(t, base) {
			place := "sealed"
			if strings.HasPrefix(file, "state") {
				place = "state"
			} else if strings.Contains(file, newestGeneration(t, base)) {
				place = "tail"
			}
			kind := state + place + strings.TrimLeft(filepath.Base(file), "0123456789")
			for i, harm := range harms {
				// In short the files that hold something, each harmed in one way.
				if !proof() && (seen[kind] || state == "closed" || i != len(seen)%2 || !holds(file)) {
					continue
				}
				seen[kind] = true
				dir := filepath.Join(t.TempDir(), "copy")
				run(t, "cp", "-r", "--sparse=always", base, dir)
				if err := harm.do(filepath.Join(dir, file)); err != nil {
					t.Fatal(err)
				}
				f, times := lookAt(t, dir)
				what := fmt.Sprintf("%s: %s %s", state, file, harm.name)
				if f.Fault != "" || f.Delivered+f.Lost != uint64(n-100) {
					t.Errorf("%s: %d were delivered and %d are told to be lost, of %d; %s", what, f.Delivered, f.Lost, n-100, f.Fault)
				}
				if f.Lost > 0 || f.Entries > 0 || times > 1 || f.State != 50 {
					t.Logf("%s: %d lost, %d entries in the ledger, %d state keys, opened at attempt %d", what, f.Lost, f.Entries, f.State, times)
				}
				cases++
				lost += int(f.Lost)
				again += times - 1
				os.RemoveAll(dir)
			}
		}
	}
	t.Logf("%d cases, %d messages lost of %d each, %d attempts ended the process", cases, lost, n-100, again)
}

func holds(file string) bool {
	switch filepath.Ext(file) {
	case ".sst", ".vlog", ".mem":
		return strings.HasPrefix(file, "spool")
	}
	return filepath.Base(file) == "MANIFEST"
}

// storeFiles gives the files of a store, by their paths in it.
func storeFiles(t testing.TB, dir string) (files []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went just now
		}
		if err == nil && !d.IsDir() && path != lockFile {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func newestGeneration(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(spoolDir(dir))
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d generations, %v", len(entries), err)
	}
	return entries[len(entries)-1].Name()
}

// The control is loadState without verify: State gives an error or a wrong value, and
// nothing is told.
func TestAByteOfTheStateThatHasChangedCostsFewKeysAndIsTold(t *testing.T) {
	t.Parallel()
	const keys = 400
	dir := t.TempDir()
	s := open(t, dir, small())
	for i := range keys {
		s.Commit([]Record{{Kind: Put, Key: fmt.Sprintf("key %03d", i), Data: fmt.Appendf(nil, "value %03d", i)}}, nil)
	}
	// So the log does not have the keys any more.
	q := queue(t, s, damagedQueue)
	fill(t, s, q, 0, 10_000, 400)
	for _, it := range expect(t, q.Reader(nil), 0, 10_000) {
		q.Ack(it.Number)
	}
	await(t, "the first generation goes", func() bool {
		checkpointNow(t, s)
		return s.spool.list()[0].id > 1
	})
	closeStore(t, s)
	run(t, "rm", "-f", reserveOf(dir))
	tables, err := filepath.Glob(filepath.Join(stateDir(dir), "*.sst"))
	if err != nil || len(tables) != 1 {
		t.Fatalf("the state has the tables %v, %v", tables, err)
	}
	whole, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	step := len(whole) / 12
	if proof() {
		step = 43
	}
	lost, aside := 0, 0
	for at := step / 2; at < len(whole); at += step {
		harmed := filepath.Join(t.TempDir(), "copy")
		run(t, "cp", "-r", "--sparse=always", dir, harmed)
		b := bytes.Clone(whole)
		b[at] ^= 0x20
		if err := os.WriteFile(filepath.Join(stateDir(harmed), filepath.Base(tables[0])), b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, times := lookAt(t, harmed)
		switch {
		case f.Fault != "" || f.Entries == 0:
			t.Errorf("byte %d: %d entries in the ledger; %s", at, f.Entries, f.Fault)
		case f.State == 0 || times > 1: // not a block, but what says where they are
			aside++
		case f.State < keys-8: // Badger reads a few in advance, from both ends
			t.Errorf("byte %d: %d of %d keys are left", at, f.State, keys)
		}
		lost += keys - f.State
		os.RemoveAll(harmed)
	}
	t.Logf("%d keys of %d lost, the state put aside %d times", lost, keys, aside)
	if aside > len(whole)/step/2 {
		t.Errorf("the state was given up %d times", aside)
	}
}
