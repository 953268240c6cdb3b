package store

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// Badger runs without compactors. A database gets a table whenever a memtable is full
// and whenever it is closed, or opened after a crash. In a generation that is once a
// start, and recoverTail begins another before there are many. The tables of the state
// database are brought together after a checkpoint, and at a start where there are many:
// one that commits nothing makes no checkpoint.

const (
	// mostTables is how many tables may lie above the others: a read looks into each.
	mostTables = 16

	// fewTables is how many are not worth to be brought together.
	fewTables = 3
)

// tables is how many a generation has.
func (g *generation) tables() int {
	v, _ := takeInventory(g.dir) // what cannot be read is for the opening to tell
	return len(v.tables)
}

// compact brings the state database's tables together, if more than so many lie above
// the others, it is due and the disk has room for both. It is the keeper's: no commit
// waits for it. Nor does the end of the store, as that of a large state takes a while.
func (s *Store) compact(most int) {
	s.mu.Lock()
	closing := s.closing
	s.mu.Unlock()
	st, ok := s.state.(*stateDB)
	if !ok || closing {
		return
	}
	above := st.due(most)
	if above == 0 {
		return
	}
	st.compactNot = above
	var lost int
	err := probe(s.dir, probeFile, s.lock)
	if err == nil {
		lost, err = st.compact(&s.space)
	}
	if lost > 0 {
		s.log.Error("the disk did not take a table of the state database: what was in it is written again", "path", st.dir, "count", lost)
	}
	switch {
	case err == nil:
		st.compactNot = 0
	case !noRoom(err):
		s.log.Warn("the tables of the state database cannot be brought together yet", "path", st.dir, "err", err)
	}
	if st.broken {
		s.mu.Lock()
		for _, q := range s.queues { // the next checkpoint makes the database anew
			s.touch(q)
		}
		s.mu.Unlock()
	}
}

// due gives how many tables lie above the others, if it is time to bring all together.
// Where much lies below, so much more is waited for: to write all of a large state again
// for a little that is new would wear the disk out. So would a table that comes while
// they are brought together, as it is brought down by itself then.
func (st *stateDB) due(most int) (above int) {
	levels := st.db.Levels()
	above, added, below := levels[0].NumTables, levels[0].Size, int64(0)
	for _, l := range levels[1:] {
		below += l.Size
	}
	logs, _ := filepath.Glob(filepath.Join(st.dir, "*.mem")) // more than one: a table comes
	if above <= max(most, st.compactNot) || above < mostTables && (2*added < below || len(logs) > 1) {
		return 0
	}
	return above
}

// compact brings all tables together. Badger takes no notice of a new table that the
// disk does not take, and removes the old ones: so these are held until all that was in
// them is found again, and what is not is written once more. Lost is how many keys were.
func (st *stateDB) compact(sp *space) (lost int, err error) {
	err = st.view(func(txn *badger.Txn) error {
		// Badger would end the process where a page cannot be read, and leave out what
		// stands behind a block that is none.
		if err := st.verify(); err != nil {
			return err
		}
		before := txn.NewIterator(badger.IteratorOptions{})
		defer before.Close()
		bytes := 2*newestBytes(txn) + 1<<20 // all may go down by two levels
		if !sp.writable(bytes) {
			return syscall.ENOSPC
		}
		sp.promised.Store(bytes)
		defer sp.promised.Store(0)
		err := st.db.Flatten(1)
		for range 3 { // the last one finds all
			n, gerr := st.giveBack(before)
			if lost += n; n == 0 || gerr != nil {
				return errors.Join(err, gerr)
			}
		}
		return fmt.Errorf("%d keys are lost again and again", lost)
	})
	st.broken = st.broken || lost > 0 && err != nil
	return lost, err
}

// newestBytes is what the newest version of each key takes in a table, about.
func newestBytes(txn *badger.Txn) (n int64) {
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
	defer it.Close()
	var last []byte
	for it.Rewind(); it.Valid(); it.Next() {
		if key := it.Item().Key(); !bytes.Equal(key, last) {
			n += it.Item().EstimatedSize() + it.Item().KeySize() + 32
			last = append(last[:0], key...)
		}
	}
	return n
}

// giveBack writes again what was there before and is not any more, and removes what
// was not. It gives how many keys that were.
func (st *stateDB) giveBack(before *badger.Iterator) (n int, err error) {
	txn := st.db.NewTransaction(false)
	defer txn.Discard()
	after := txn.NewIterator(badger.IteratorOptions{})
	defer after.Close()
	w := stateWriter{db: st.db, txn: st.db.NewTransaction(true)}
	defer func() { w.txn.Discard() }()
	before.Rewind()
	for after.Rewind(); w.err == nil && (before.Valid() || after.Valid()); {
		order := -1
		if !before.Valid() {
			order = 1
		} else if after.Valid() {
			order = bytes.Compare(before.Item().Key(), after.Item().Key())
		}
		switch {
		case order > 0:
			w.delete(after.Item().KeyCopy(nil))
			n++
		case order < 0 || after.Item().Version() < before.Item().Version():
			value, err := before.Item().ValueCopy(nil)
			if err != nil {
				return n, err
			}
			w.set(before.Item().KeyCopy(nil), value)
			n++
		}
		if order <= 0 {
			before.Next()
		}
		if order >= 0 {
			after.Next()
		}
	}
	if n == 0 {
		return 0, nil
	}
	w.commit()
	return n, errors.Join(w.err, st.blog.err(), syncDir(st.dir))
}
