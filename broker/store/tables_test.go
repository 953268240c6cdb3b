package store

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Badger writes its tables into buffers of its own. On 32 bits one that outgrows the
// first of them overwrites what is there already (ristretto's allocator counts the
// buffers in the upper half of an int), and the store opens without an error and
// without its messages. `.ci/proof arm` runs the long form under emulation.
//
// The control is a tableBytes of a sixteenth in stateOptions, under GOARCH=386 or ARM: it
// panics, or messages and keys are missing.
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

// A value that fills more than half of a block, or goes beyond it, has a table take up
// to three times its bytes while it is built. So a state of large values, which retained
// messages are, must have blocks in which many of them have room.
//
// The control is stateOptions with Badger's BlockSize, under GOARCH=386 or ARM: the
// first keys are missing.
func TestLargeRetainedMessagesAreThereOnAnyWordSize(t *testing.T) {
	t.Parallel()
	total := 2 << 20
	if strconv.IntSize == 32 || proof() {
		total = 13 << 20
	}
	for _, size := range []int{2200, 4500, 9000, 330_000} {
		if size != 9000 && !proof() {
			continue
		}
		keys := total / size
		dir := t.TempDir()
		cfg := small()
		cfg.MaxBytes = 256 << 20
		s := open(t, dir, cfg)
		value := func(k int) []byte {
			b := make([]byte, size)
			copy(b, fmt.Sprintf("value %06d", k))
			return b
		}
		for k := range keys {
			r := []Record{{Kind: Put, Key: fmt.Sprintf("key %06d", k), Data: value(k)}}
			if k%50 == 0 || size > 100_000 {
				commit(t, s, r...)
				continue
			}
			s.Commit(r, nil)
		}
		checkpointNow(t, s)
		closeStore(t, s)
		s = open(t, dir, cfg)
		found := 0
		err := s.State("key ", func(key string, v []byte) error {
			if key != fmt.Sprintf("key %06d", found) || string(v) != string(value(found)) {
				return fmt.Errorf("got %s with %d bytes where %d comes next", key, len(v), found)
			}
			found++
			return nil
		})
		if err != nil || found != keys {
			t.Errorf("%d keys of %d bytes, %v, want %d", found, size, err, keys)
		}
		closeStore(t, s)
	}
}

// Segments too short for the value log stand in the memtable, as many as it takes.
//
// The control is spoolOptions with an eighth of the tableBytes, under GOARCH=386 or ARM.
func TestAGenerationOfShortSegmentsIsThereOnAnyWordSize(t *testing.T) {
	t.Parallel()
	cfg := small()
	cfg.MaxBytes, cfg.unsynced = 1<<30, true
	dir := t.TempDir()
	s := open(t, dir, cfg)
	q := queue(t, s, "cloud")
	const messages, size = 1500, 2200
	for n := range messages {
		commit(t, s, message(fmt.Sprintf("%07d", n)+strings.Repeat(".", size-7), q))
	}
	closeStore(t, s)
	s = open(t, dir, cfg)
	defer closeStore(t, s)
	expect(t, queue(t, s, "cloud").Reader(nil), 0, messages)
}
