package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The control is Store.compact without its Flatten: there are more tables with each
// checkpoint.
func TestTheTablesOfTheStateAreBroughtTogether(t *testing.T) {
	t.Parallel()
	const keys, size, rounds = 16, 250_000, 12 // each round fills a memtable
	dir := t.TempDir()
	cfg := small()
	cfg.unsynced = true
	s := open(t, dir, cfg)
	key := func(k int) string { return fmt.Sprintf("key %02d", k) }
	value := func(k, round int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%02d %02d ", k, round), size/6) }
	most := 0
	for round := range rounds {
		for k := range keys {
			commit(t, s, Record{Kind: Put, Key: key(k), Data: value(k, round)})
		}
		commit(t, s, Record{Kind: Delete, Key: key(round)}) // the next round has it again
		checkpointNow(t, s)
		most = max(most, s.state.(*stateDB).db.Levels()[0].NumTables)
	}
	if most < 2 || most > 6 { // one may come while they are brought together
		t.Errorf("there were up to %d tables above the others", most)
	}
	closeStore(t, s)
	s = open(t, dir, cfg)
	defer closeStore(t, s)
	found := map[string]bool{}
	if err := s.State("key ", func(k string, v []byte) error {
		var n int
		fmt.Sscanf(k, "key %d", &n)
		if !bytes.Equal(v, value(n, rounds-1)) {
			return fmt.Errorf("%s has %d bytes of an earlier round", k, len(v))
		}
		found[k] = true
		return nil
	}); err != nil || len(found) != keys-1 || found[key(rounds-1)] {
		t.Errorf("%d keys, want %d; the one that was removed last is there: %v; %v", len(found), keys-1, found[key(rounds-1)], err)
	}
}

// A table above the others costs little where there is much below, which would all be
// written again. So the larger a state is, the more are waited for.
func TestALargeStateIsNotWrittenAgainForLittle(t *testing.T) {
	t.Parallel()
	st, err := openState(t.TempDir(), quiet(), func(int64) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	put := func(from, to int) { // 250 kB each: a memtable has room for 17
		for k := from; k < to; k += 16 {
			c := &checkpoint{changes: stateChanges{}}
			for n := k; n < k+16; n++ {
				key := fmt.Sprintf("key %03d", n)
				c.changes[key] = stateChange{key: key, value: make([]byte, 250_000)}
			}
			if err := st.writeTo(c); err != nil {
				t.Fatal(err)
			}
		}
	}
	above := func() int { return st.db.Levels()[0].NumTables }
	put(0, 160)
	await(t, "its tables", func() bool { return st.due(fewTables) >= 8 })
	if lost, err := st.compact(new(space)); lost > 0 || err != nil || above() > 1 {
		t.Fatalf("%d tables, %d keys lost, %v", above(), lost, err)
	}
	put(0, 48)
	await(t, "three tables more", func() bool { return above() >= 3 && settled(st) })
	if n := st.due(fewTables - 1); n > 0 {
		t.Errorf("%d tables are brought together with 32 MB or more below", n)
	}
	put(0, 64)
	await(t, "half as much again", func() bool { return st.due(fewTables) >= 6 })
}

// The control is recoverTail without a look at the tables: there is one for each start.
func TestManyStartsLeaveFewTablesInAGeneration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := small()
	cfg.unsynced = true
	const starts = mostTables + 4
	for n := range starts {
		s := open(t, dir, cfg)
		commit(t, s, message(fmt.Sprintf("%07d", n), queue(t, s, "cloud")))
		closeStore(t, s)
	}
	s := open(t, dir, cfg)
	defer closeStore(t, s)
	gens := s.spool.list()
	for _, g := range gens {
		if n := g.tables(); n > mostTables {
			t.Errorf("generation %d has %d tables", g.id, n)
		}
	}
	if len(gens) > 2 {
		t.Errorf("%d starts have left %d generations", starts, len(gens))
	}
	expect(t, queue(t, s, "cloud").Reader(nil), 0, starts)
}

// Where the store is only opened and closed, no checkpoint brings tables together.
//
// The control is keepHouse without its first line.
func TestStartsThatCommitNothingLeaveFewTablesOfTheState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := small()
	cfg.unsynced = true
	for range mostTables + 3 {
		s := open(t, dir, cfg)
		st := s.state.(*stateDB)
		await(t, "few tables", func() bool { return st.db.Levels()[0].NumTables <= mostTables })
		closeStore(t, s)
	}
}

// settled says whether no table is on its way.
func settled(st *stateDB) bool {
	logs, _ := filepath.Glob(filepath.Join(st.dir, "*.mem"))
	return len(logs) == 1
}

// largeState is a state database of two levels: 64 keys of 250 kB, of which every other
// one was written again, and every eighth was removed; that lies above. It is made with
// rounds of values, and with the number that the next table will have.
func largeState(t *testing.T) (st *stateDB, want map[string]byte, next int) {
	t.Helper()
	st, err := openState(t.TempDir(), quiet(), func(int64) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.close() })
	want = make(map[string]byte)
	write := func(value byte, delete bool, step int) {
		for k := 0; k < 64; k += step {
			key := fmt.Sprintf("key %02d", k)
			ch := stateChange{key: key, value: bytes.Repeat([]byte{value}, 250_000), deleted: delete}
			if want[key] = value; delete {
				ch.value = nil
				want[key] = 0
			}
			if err := st.writeTo(&checkpoint{changes: stateChanges{key: ch}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	write('a', false, 1)
	await(t, "the tables", func() bool { return settled(st) })
	if lost, err := st.compact(new(space)); lost > 0 || err != nil {
		t.Fatalf("%d keys lost, %v", lost, err)
	}
	write(0, true, 8)
	write('b', false, 2)
	write(0, true, 8)
	write('c', false, 4)
	write(0, true, 8)
	for n := range 20 { // so that the last of it is in a table
		key := fmt.Sprintf("more %02d", n)
		want[key] = 'd'
		if err := st.writeTo(&checkpoint{changes: stateChanges{key: {key: key, value: bytes.Repeat([]byte{'d'}, 250_000)}}}); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the tables", func() bool { return settled(st) })
	names, _ := filepath.Glob(filepath.Join(st.dir, "*.sst"))
	for _, name := range names {
		var id int
		fmt.Sscanf(filepath.Base(name), "%d.sst", &id)
		next = max(next, id+1)
	}
	return st, want, next
}

// sameState says in what a state database differs from what it shall hold.
func sameState(st *stateDB, want map[string]byte) error {
	found := make(map[string]byte)
	if err := st.each("", func(key string, value func() ([]byte, error)) error {
		v, err := value()
		if err != nil {
			return err
		}
		if len(v) != 250_000 {
			return fmt.Errorf("%s has %d bytes", key, len(v))
		}
		found[key] = v[0]
		return nil
	}); err != nil {
		return err
	}
	for key, value := range want {
		if found[key] != value {
			return fmt.Errorf("%s is %q, want %q", key, found[key], value)
		}
	}
	return nil
}

// Badger leaves out a table that it cannot make, without an error, and removes those of
// which it was made. Here a directory stands in the place of some.
//
// The control is stateDB.compact without its giveBack: keys are missing, others have an
// earlier value, and removed ones are there again.
func TestATableThatTheDiskDoesNotTakeLosesNothingOfTheState(t *testing.T) {
	t.Parallel()
	places := [][]int{{0}, {0, 1}, {4}} // the last one is of the lower level
	if strconv.IntSize == 32 {
		places = places[:1] // there tables are larger, and fewer
	}
	for _, taken := range places {
		st, want, next := largeState(t)
		for _, n := range taken {
			if err := os.Mkdir(filepath.Join(st.dir, fmt.Sprintf("%06d.sst", next+n)), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		lost, err := st.compact(new(space))
		if err != nil || lost == 0 {
			t.Errorf("%v not taken: %d keys given back, %v", taken, lost, err)
		}
		if err := sameState(st, want); err != nil {
			t.Errorf("%v not taken: %v", taken, err)
		}
		if logged := st.blog.err(); logged != nil {
			t.Error(logged)
		}
	}
}

// The control is stateDB.compact without VerifyChecksum: what is damaged goes to new
// tables, with checksums that are right for it.
func TestADamagedTableStaysAsItIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, text := listen()
	s, err := Open(dir, small(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st := s.state.(*stateDB)
	round := func() {
		for k := range 20 {
			commit(t, s, Record{Kind: Put, Key: fmt.Sprint("key ", k), Data: make([]byte, 250_000)})
		}
		checkpointNow(t, s)
	}
	round()
	names, _ := filepath.Glob(filepath.Join(st.dir, "*.sst"))
	for len(names) == 0 {
		round()
		names, _ = filepath.Glob(filepath.Join(st.dir, "*.sst"))
	}
	f, err := os.OpenFile(names[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{1}, 100_000); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		round()
	}
	for range 20 {
		checkpointNow(t, s)
	}
	tables := st.db.Levels()[0].NumTables
	if _, err := os.Stat(names[0]); err != nil || tables < 6 {
		t.Errorf("%d tables above the others, %v", tables, err)
	}
	if n := strings.Count(text.String(), "cannot be brought together yet"); n == 0 || n > tables {
		t.Errorf("it was told %d times of %d tables:\n%s", n, tables, text)
	}
}

// The control is space.writable without what is promised.
func TestWhatACompactionTakesIsNotGivenToOthers(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), small())
	free, err := freeBytes(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if !s.space.writable(free/2) || !s.makeRoom(free/2) {
		t.Fatal("there is no room for half of what is free")
	}
	s.space.promised.Store(free / 4 * 3)
	if s.space.writable(free/2) || s.makeRoom(free/2) {
		t.Error("there is room for half of what is free beside three quarters that are promised")
	}
	s.space.promised.Store(0)

	st, _, _ := largeState(t)
	sp := space{dir: st.dir, minFree: 8 * free}
	if _, err := st.compact(&sp); !noRoom(err) || st.db.Levels()[0].NumTables < 3 {
		t.Errorf("on a full disk: %v", err)
	}
}

// Who reads the state, or copies it, has it as of one instant.
func TestTheStateIsReadWhileItsTablesAreBroughtTogether(t *testing.T) {
	t.Parallel()
	st, want, _ := largeState(t)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for n := range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := sameState(st, want); err != nil {
					t.Error(err)
				}
				if n == 1 {
					continue
				}
				dir := t.TempDir()
				if err := st.copyAll(dir, func(int64) error { return nil }); err != nil {
					t.Error(err)
				}
				other, err := openState(dir, quiet(), func(int64) bool { return true })
				if err != nil {
					t.Error(err)
					return
				}
				if err := errors.Join(sameState(other, want), other.close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		if lost, err := st.compact(new(space)); lost > 0 || err != nil {
			t.Errorf("%d keys given back, %v", lost, err)
		}
		for key, value := range want { // a change that changes nothing
			if value != 0 {
				if err := st.writeTo(&checkpoint{changes: stateChanges{key: {key: key, value: bytes.Repeat([]byte{value}, 250_000)}}}); err != nil {
					t.Error(err)
				}
			}
		}
	}
	stop()
	wg.Wait()
}
