package store

import (
	"fmt"
	"strings"
	"testing"
)

// Badger writes its tables into buffers of its own. On 32 bits one that outgrows the
// first of them overwrites what is there already (ristretto's allocator counts the
// buffers in the upper half of an int), and the store opens without an error and
// without its messages. `.ci/proof arm` runs the long form under emulation.
//
// The control is badgerOptions without BaseTableSize and TableSizeMultiplier, under
// GOARCH=386 on any amd64: it panics, or messages and keys are missing.
func TestWhatIsWrittenToTablesIsThereOnAnyWordSize(t *testing.T) {
	t.Parallel()
	messages, keys := 12_000, 2_000
	if proof() {
		messages, keys = 200_000, 20_000
	}
	dir := t.TempDir()
	cfg := small()
	cfg.MaxBytes = 256 << 20
	s := open(t, dir, cfg)
	q := queue(t, s, "cloud")
	padding := strings.Repeat(".", payload-7)
	lost := make(chan error, 1)
	n := 0
	for i := 0; n < messages; i++ { // many small segments, as well as large ones
		var recs []Record
		for range min([]int{1, 16, 64}[i%3], messages-n) {
			recs = append(recs, message(fmt.Sprintf("%07d", n)+padding, q))
			n++
		}
		s.Commit(recs, func(err error) {
			if err != nil {
				select {
				case lost <- err:
				default:
				}
			}
		})
		if i%30 == 0 {
			commit(t, s)
		}
	}
	for i := 0; i < keys; i += 100 {
		var recs []Record
		for k := i; k < i+100; k++ {
			recs = append(recs, Record{Kind: Put, Key: fmt.Sprintf("key %06d", k), Data: []byte(padding)})
		}
		commit(t, s, recs...)
	}
	checkpointNow(t, s)
	closeStore(t, s)
	select {
	case err := <-lost:
		t.Fatal(err)
	default:
	}
	s = open(t, dir, cfg)
	defer closeStore(t, s)
	q = queue(t, s, "cloud")
	if got := q.Stats().Messages; got != int64(messages) {
		t.Errorf("%d messages wait, want %d", got, messages)
	}
	expect(t, q.Reader(nil), 0, messages)
	found := 0
	if err := s.State("key ", func(key string, value []byte) error {
		if key != fmt.Sprintf("key %06d", found) || string(value) != padding {
			return fmt.Errorf("got %s with %d bytes where %d comes next", key, len(value), found)
		}
		found++
		return nil
	}); err != nil || found != keys {
		t.Errorf("%d keys, %v, want %d", found, err, keys)
	}
	t.Logf("%d messages and %d keys, 0 lost", messages, keys)
}
