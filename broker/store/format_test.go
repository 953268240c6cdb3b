package store

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// goldenUpdate has TestAStoreOfAnEarlierReleaseIsRead make the golden file anew.
// Only a store that no release has written yet may be replaced: a new format gets a
// file of its own, and the old one stays and must still be read.
const goldenUpdate = "HEADGATE_STORE_TEST_UPDATE"

const (
	goldenWaits = 5_000 // messages in the queue, of which are acknowledged
	goldenAcked = 100   // these, and one more
	goldenLater = 20    // after the last checkpoint
	goldenPad   = 600
)

// makeGolden writes a store of this release, as a kill leaves it and as Close does:
// sealed generations and a tail, a checkpoint and what comes after it.
func makeGolden(t *testing.T) (killed, closed string) {
	t.Helper()
	closed = t.TempDir()
	cfg := small()
	cfg.Compression = Zstd // since format 3
	s := open(t, closed, cfg)
	q, gone := queue(t, s, "client"), queue(t, s, "gone")
	fill(t, s, gone, 0, 10, 1)
	fill(t, s, q, 0, goldenWaits, goldenPad)
	commit(t, s, Record{Kind: Put, Key: "kept", Data: []byte("value")}, Record{Kind: Put, Key: "long", Data: make([]byte, 2*chunkedBytes)},
		Record{Kind: Put, Key: "deleted", Data: []byte("value")})
	s.ledger.add(Loss{Queue: "other", ID: 9, First: 3, Last: 5, Count: 3, Reason: "a test"})
	limited := queue(t, s, "limited")
	limited.SetQuota(Quota{Bytes: Unlimited, Messages: 3, AtLimit: DropOldest})
	fill(t, s, limited, 0, 10, 1)
	items := expect(t, q.Reader(nil), 0, goldenAcked+20)
	for _, it := range items[:goldenAcked] {
		q.Ack(it.Number)
	}
	q.Ack(items[goldenAcked+5].Number)
	q.Received(items[goldenAcked+7].Number, nil)
	checkpointNow(t, s)
	s.RemoveQueue(gone)
	fill(t, s, q, goldenWaits, goldenLater, goldenPad)
	commit(t, s, Record{Kind: Delete, Key: "deleted"}, Record{Kind: Put, Key: "late", Data: []byte("value")})
	done := make(chan error, 1)
	q.Received(items[goldenAcked+8].Number, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	killed = copyDir(t, closed)
	closeStore(t, s)
	return killed, closed
}

func TestAStoreOfAnEarlierReleaseIsRead(t *testing.T) {
	t.Parallel()
	golden := filepath.Join("testdata", fmt.Sprintf("format%d.tar.gz", formatVersion))
	if os.Getenv(goldenUpdate) != "" {
		killed, closed := makeGolden(t)
		pack(t, golden, killed, closed)
	}
	archives, err := filepath.Glob(filepath.Join("testdata", "format*.tar.gz"))
	if err != nil || !slices.Contains(archives, golden) {
		t.Fatalf("%s is missing, %v: set %s to make it", golden, err, goldenUpdate)
	}
	for _, archive := range archives {
		dir := filepath.Join(t.TempDir(), filepath.Base(archive))
		unpack(t, archive, dir)
		for _, state := range []string{"killed", "closed"} {
			t.Run(filepath.Base(archive)+" "+state, func(t *testing.T) { readGolden(t, filepath.Join(dir, state)) })
		}
	}
}

func readGolden(t *testing.T, dir string) {
	quotas := !strings.Contains(dir, "format1.") // since format 2
	queues := 1
	if quotas {
		queues = 2
	}
	log, text := listen()
	s, err := Open(dir, small(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	if st := s.Stats(); st.DamagedSegments+st.DamagedGenerations+st.LostRecords > 0 || st.Queues != queues {
		t.Errorf("got %+v, want %d queues and no damage\n%s", st, queues, text)
	}
	q := queue(t, s, "client")
	if st, want := q.Stats(), (QueueStats{Messages: goldenWaits + goldenLater - goldenAcked - 1, Next: goldenWaits + goldenLater, Head: goldenAcked}); st.Messages != want.Messages || st.Next != want.Next || st.Head != want.Head {
		t.Errorf("got %+v, want %+v", st, want)
	}
	r := q.Reader(nil)
	for n := goldenAcked; n < goldenWaits+goldenLater; n++ {
		if n == goldenAcked+5 {
			continue
		}
		it := next(t, r)
		if number(it) != n || it.Ordinal != uint64(n) || len(it.Data) != goldenPad+7 || !it.Recovered || !it.Durable {
			t.Fatalf("got %.9q with ordinal %d, want %d", it.Data, it.Ordinal, n)
		}
		if want := n == goldenAcked+7 || n == goldenAcked+8; it.Received != want {
			t.Errorf("message %d: received %v, want %v", n, it.Received, want)
		}
	}
	if quotas {
		limited := queue(t, s, "limited")
		if st := limited.Stats(); st.Dropped != (Drops{Oldest: 7}) || st.Messages != 3 {
			t.Errorf("limited queue: got %+v, want 7 dropped and 3 there", st)
		}
		expect(t, limited.Reader(nil), 7, 10)
	}
	state := map[string]int{}
	if err := s.State("", func(key string, value []byte) error { state[key] = len(value); return nil }); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(state), fmt.Sprint(map[string]int{"kept": 5, "late": 5, "long": 2 * chunkedBytes}); got != want {
		t.Errorf("state: got %s, want %s", got, want)
	}
	if l := s.Losses(); len(l) != 1 || l[0].Queue != "other" || l[0].Count != 3 {
		t.Errorf("ledger: got %+v", l)
	}
}

func TestAStoreOfANewerFormatIsRefusedAndNotTouched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closeStore(t, open(t, dir, small()))
	path := filepath.Join(dir, formatFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	newer := bytes.Replace(text, []byte(formatText+strconv.Itoa(formatUnpacked)), []byte(formatText+"77"), 1)
	if err := os.WriteFile(path, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	before := storeFiles(t, dir)
	_, err = Open(dir, small(), quiet())
	for _, want := range []string{path, "77", strconv.Itoa(formatVersion), "install"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
	if after := storeFiles(t, dir); !slices.Equal(after, before) {
		t.Errorf("the files were %q and are %q", before, after)
	}
}

// sizeRecord is how long a packed file is, whose zeros at the end are left out.
const sizeRecord = "HEADGATE.size"

// pack writes an archive of stores, each by what it stands for. The reserve, which
// only takes room, is left out.
func pack(t *testing.T, archive, killed, closed string) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, dir := range map[string]string{"killed": killed, "closed": closed} {
		for _, file := range storeFiles(t, dir) {
			if file == filepath.Base(reserveOf(dir)) {
				continue
			}
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			used := bytes.TrimRight(data, "\x00")
			err = w.WriteHeader(&tar.Header{Name: name + "/" + file, Mode: 0o600, Size: int64(len(used)),
				PAXRecords: map[string]string{sizeRecord: strconv.Itoa(len(data))}})
			if err == nil {
				_, err = w.Write(used)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close(), os.WriteFile(archive, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		size, err := strconv.ParseInt(h.PAXRecords[sizeRecord], 10, 64)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o700)
		}
		var data []byte
		if err == nil {
			data, err = io.ReadAll(r)
		}
		if err == nil {
			err = errors.Join(os.WriteFile(path, data, 0o600), os.Truncate(path, size))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
