package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Badger does not say where it writes: if what is worked out were wrong, the
// kernel would be told about pages that nobody has written.
func TestTheStoreKnowsWhereBadgerWritesTheNextValue(t *testing.T) {
	s, err := Open(t.TempDir(), Config{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	q := queue(t, s, "q")
	for _, size := range []int{5000, 20_000, 100, 70_000, 300_000, 9000} {
		done := make(chan error, 1)
		s.Commit([]Record{{Kind: Message, Refs: []Ref{{q.ID(), []byte{1}}}, Data: bytes.Repeat([]byte{'x'}, size)}}, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		tail := &s.spool.tail.tail
		if tail.values.begin == tail.values.end || tail.wal.begin == tail.wal.end {
			t.Fatalf("the mapping of %s or %s was not found", tail.vlog.Name(), tail.mem.Name())
		}
		m, err := os.ReadFile(tail.mem.Name())
		if err != nil {
			t.Fatal(err)
		}
		if end := int64(len(bytes.TrimRight(m, "\x00"))); tail.wal.at < end || tail.wal.at > end+3 { // a checksum may end with zeros
			t.Errorf("after %d bytes: at %d of the write-ahead log, want %d", size, tail.wal.at, end)
		}
		b, err := os.ReadFile(tail.vlog.Name())
		if err != nil {
			t.Fatal(err)
		}
		i := bytes.LastIndex(b, []byte(segmentMagic))
		if i < 0 {
			t.Fatalf("no segment in %s", filepath.Base(tail.vlog.Name()))
		}
		v, err := parseSegment(b[i:])
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(i + len(v.whole) + 4); tail.values.at != want {
			t.Errorf("after %d bytes: at %d, want %d", size, tail.values.at, want)
		}
	}
}
