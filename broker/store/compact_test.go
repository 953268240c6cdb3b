package store

import (
	"bytes"
	"fmt"
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
	if most < 2 || most > 5 { // one may come while they are brought together
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
	await(t, "its tables", func() bool { return above() >= 8 })
	if n, bytes := st.due(); n < 8 || bytes < 32_000_000 {
		t.Fatalf("due are %d tables of %d bytes, want all", n, bytes)
	}
	if err := st.db.Flatten(1); err != nil || above() > 1 {
		t.Fatalf("%d tables, %v", above(), err)
	}
	put(0, 48)
	await(t, "three tables more", func() bool { return above() >= 3 })
	if n, _ := st.due(); n > 0 {
		t.Errorf("%d tables are brought together with 32 MB or more below", n)
	}
	put(0, 64)
	await(t, "half as much again", func() bool { return above() >= 6 })
	if n, bytes := st.due(); n < 6 || bytes < 54_000_000 {
		t.Errorf("due are %d tables of %d bytes, want all", n, bytes)
	}
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
