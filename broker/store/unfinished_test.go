package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A kill may come when the first segments of a commit are in the value log, the others
// nowhere, and Badger's transaction is not ended: of such a commit nothing is there
// afterwards, and of one that is whole, all.
//
// The control is a segment that does not say how many its commit has (of, 0): then the
// message is there without what else was in its commit.
func TestOfACommitThatAKillHasInterruptedNothingIsThereOrAll(t *testing.T) {
	t.Parallel()
	for of, want := range map[int]uint64{1: 11, 2: 10, 3: 10} {
		s := open(t, t.TempDir(), small())
		q := queue(t, s, "client")
		fill(t, s, q, 0, 10, 2000)
		tail := s.spool.tail
		g := newSegment(make([]byte, 8192), s.next)
		g.salt, g.place, g.of = s.spool.salt, 0, of
		data := append([]byte("0000010"), make([]byte, 2000)...)
		g.buf = appendMessage(g.buf, []target{{q, nil}}, data)
		g.count = 1
		g.queues = append(g.queues, segmentQueue{q, queueEntry{q.id, 1, int64(len(data)), q.Stats().Next}})
		used := tail.tail.values.at
		dir := copyDir(t, s.dir) // as a kill leaves it
		closeStore(t, s)
		f, err := os.OpenFile(filepath.Join(spoolDir(dir), filepath.Base(tail.dir), "000001.vlog"), os.O_RDWR, 0)
		if err == nil {
			_, err = f.WriteAt(g.finish(nil), used+64)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		s = open(t, dir, small())
		q = queue(t, s, "client")
		if got := q.Stats().Next; got != want {
			t.Errorf("a segment of a commit of %d: %d messages are there, want %d", of, got, want)
		}
		fill(t, s, q, int(want), 5, 2000) // it goes on with the same numbers
		closeStore(t, s)
		s = open(t, dir, small())
		expect(t, queue(t, s, "client").Reader(nil), 0, int(want)+5)
		if st := s.Stats(); st.DamagedSegments+st.DamagedGenerations+st.LostRecords > 0 {
			t.Errorf("damage is reported: %+v", st)
		}
		closeStore(t, s)
	}
}

// A power cut may leave of the write-ahead log what it had at its last sync, and of
// the value log all: that one is synced with each commit.
func TestWhatOnlyTheValueLogHasAfterAPowerCutIsThere(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), small())
	q := queue(t, s, "client")
	fill(t, s, q, 0, 100, 5000)
	fill(t, s, q, 100, 1, 0) // a short one, with which the write-ahead log is synced
	synced := s.spool.tail.tail.wal.at
	fill(t, s, q, 101, 50, 5000)
	commit(t, s, Record{Kind: Put, Key: "long", Data: make([]byte, 6000)})
	if n := s.spool.tail.tail.unlogged; n < 51*5000 || n > unloggedMost {
		t.Fatalf("%d bytes are without a synced write-ahead log", n)
	}
	dir := copyDir(t, s.dir)
	path := filepath.Join(spoolDir(dir), filepath.Base(s.spool.tail.dir), filepath.Base(s.spool.tail.tail.mem.Name()))
	closeStore(t, s)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt(make([]byte, 1<<20), synced)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	for range 2 {
		s = open(t, dir, small())
		expect(t, queue(t, s, "client").Reader(nil), 0, 151)
		found := false
		if err := s.State("long", func(_ string, v []byte) error { found = len(v) == 6000; return nil }); err != nil || !found {
			t.Errorf("the state of the last commit is not there (%v)", err)
		}
		if st := s.Stats(); st.DamagedSegments+st.DamagedGenerations+st.LostRecords > 0 {
			t.Errorf("damage is reported: %+v", st)
		}
		closeStore(t, s)
	}
}

// A power cut may leave the write-ahead log of a commit that was under way, and of its
// values the first. What was left out of the log before it, all receivers had
// acknowledged: that stands at its end, which is not there.
func TestWhatWasLeftOutBeforeACommitOfWhichAPowerCutLeftAPartIsNotMissing(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), small())
	q, other := queue(t, s, "client"), queue(t, s, "other")
	fill(t, s, q, 0, 10, 2000)
	used := s.spool.tail.tail.values.at
	r, rest := q.Reader(nil), other.Reader(nil)
	for range 10 {
		next(t, r)
	}
	s.Commit([]Record{passing(time.Minute, "10", q, other), passing(time.Minute, "11", q)}, nil)
	for _, it := range []Item{next(t, r), next(t, r)} {
		q.Ack(it.Number)
	}
	other.Ack(next(t, rest).Number)
	await(t, "the two to be left out", func() bool { return s.Stats().Spared == 2 })
	var recs []Record
	for n := 12; n < 16; n++ {
		rec := message(fmt.Sprintf("%07d", n), q)
		rec.Data = append(rec.Data, make([]byte, 40<<10)...)
		recs = append(recs, rec)
	}
	recs = append(recs, message("1", other))
	commit(t, s, recs...)
	dir, tail := copyDir(t, s.dir), filepath.Base(s.spool.tail.dir)
	closeStore(t, s)

	path := filepath.Join(spoolDir(dir), tail, "000001.vlog")
	values, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	segs := 0 // Badger has them in any order
	for at := int(used); ; segs++ {
		i := bytes.Index(values[at:], []byte(segmentMagic))
		if i < 0 {
			break
		}
		at += i
		v, err := parseSegment(values[at:])
		if err != nil {
			t.Fatal(err)
		}
		if at += len(v.whole); v.place > 1 {
			clear(v.whole)
		}
	}
	if segs < 4 {
		t.Fatalf("the commit has %d segments", segs)
	}
	if err := os.WriteFile(path, values, 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range 3 { // the log goes on behind it
		s = open(t, dir, small())
		r := queue(t, s, "client").Reader(nil)
		for ord := uint64(0); ord < 14+uint64(n); ord++ {
			if ord == 10 || ord == 11 {
				continue
			}
			if it, ok, err := r.Next(); err != nil || !ok || it.Ordinal != ord {
				t.Fatalf("start %d: message %d is there (%v, %v), want %d", n, it.Ordinal, ok, err, ord)
			}
		}
		if st := s.Stats(); st.DamagedSegments+st.DamagedGenerations+st.LostRecords > 0 || len(s.Losses()) > 0 {
			t.Errorf("start %d: damage is reported: %+v %v", n, st, s.Losses())
		}
		fill(t, s, queue(t, s, "client"), 14+n, 1, 2000)
		kill := copyDir(t, s.dir)
		closeStore(t, s)
		dir = kill
	}
}
