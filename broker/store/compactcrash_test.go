package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A state of more than 10 MB lies in two levels while its tables are brought together.
const (
	compactKeys  = 48
	compactShare = 3 // so many parts, of which a checkpoint writes one
	compactBytes = 240_000

	// compactPages is how far the book goes on with a round: awaitLoad wants 200.
	compactPages = 25
)

func compactValue(key, round int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%03d %07d ", key, round), compactBytes/12)
}

// compactRound is the checkpoint of a round: a part of the keys, and one key that takes
// the place of that of the round before.
func compactRound(round int) *checkpoint {
	c := &checkpoint{applied: uint64(round), changes: stateChanges{}}
	for k := range compactKeys {
		if k%compactShare == round%compactShare || round == 1 {
			key := fmt.Sprintf("key %03d", k)
			c.changes[key] = stateChange{key: key, value: compactValue(k, round)}
		}
	}
	now, before := fmt.Sprintf("round %07d", round), fmt.Sprintf("round %07d", round-1)
	c.changes[now] = stateChange{key: now}
	c.changes[before] = stateChange{key: before, deleted: true}
	return c
}

// compactOn is the child: it writes rounds, and brings the tables together after each.
func compactOn(dir, bookPath string) {
	b, err := openBook(bookPath)
	fatal(err)
	fatal(os.MkdirAll(filepath.Dir(dir), 0o700))
	st, err := openState(dir, quiet(), func(int64) bool { return true })
	fatal(err)
	c, err := st.load()
	fatal(err)
	for round := int(c.applied) + 1; ; round++ {
		fatal(st.write(compactRound(round)))
		for i := range crashQueues {
			b.setDurable(i, uint64(round*compactPages))
		}
		lost, err := st.compact(new(space))
		fatal(err)
		if lost > 0 {
			fatal(fmt.Errorf("%d keys were given back", lost))
		}
	}
}

func startCompacting(t *testing.T, dir, bookPath string) *exec.Cmd {
	child, _ := startJob(t, "compact", dir, bookPath)
	return child
}

// inspectState finds every key as of the last round that was durable, or as of the one
// that was under way: the log would set that again.
func inspectState(t *testing.T, dir string, b *book) (round int) {
	t.Helper()
	st, err := openState(dir, quiet(), func(int64) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	durable := int(b.durable(crashQueues-1)) / compactPages
	c, err := st.load()
	if err != nil || int(c.applied) != durable && int(c.applied) != durable+1 {
		t.Fatalf("the checkpoint is that of round %d, want %d or the next one: %v", c.applied, durable, err)
	}
	keys := 0
	if err := st.each("", func(key string, value func() ([]byte, error)) error {
		v, err := value()
		var k, r int
		switch {
		case err != nil:
			return err
		case len(v) == 0:
			if fmt.Sscanf(key, "round %d", &r); r != durable && r != durable+1 {
				t.Errorf("%s is there, which was removed", key)
			}
			return nil // where the next round is there in part, none may be
		}
		fmt.Sscanf(key, "key %d", &k)
		fmt.Sscanf(string(v[4:]), "%d", &r)
		of := durable // the last one that wrote it
		for of > 1 && k%compactShare != of%compactShare {
			of--
		}
		if r != of && r != durable+1 || !bytes.Equal(v, compactValue(k, r)) {
			t.Errorf("%s has %d bytes of round %d, want those of round %d", key, len(v), r, of)
		}
		keys++
		return nil
	}); err != nil || keys != compactKeys {
		t.Errorf("%d keys, want %d: %v", keys, compactKeys, err)
	}
	return int(c.applied)
}

func TestAKillWhileTablesAreBroughtTogetherLosesNothing(t *testing.T) {
	t.Parallel()
	kills := 3
	if proof() {
		kills = 200
	}
	dir, bookPath := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "book")
	b, err := openBook(bookPath)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	for range kills {
		from := b.durable(0)
		child := startCompacting(t, dir, bookPath)
		await(t, "two rounds", func() bool { return b.durable(crashQueues-1) >= from+2*compactPages })
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		kill(child)
		if inspectState(t, dir, b); t.Failed() {
			return
		}
	}
	t.Logf("%d kills in %d rounds", kills, b.durable(0)/compactPages)
}

func TestAPowerCutWhileTablesAreBroughtTogetherLosesNothing(t *testing.T) {
	wantLoop(t, "that a power cut in a compaction loses nothing")
	t.Parallel()
	cuts := 1
	if proof() {
		cuts = 50
	}
	for range cuts {
		cutDisk(t, func(dir, bookPath string) *exec.Cmd {
			return startCompacting(t, dir, bookPath)
		}, false, func(dir string, b *book) int {
			t.Logf("round %d", inspectState(t, dir, b))
			return 0
		})
		if t.Failed() {
			return
		}
	}
}
