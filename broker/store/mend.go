package store

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// The segments of the log have checksums of their own; the entries of the state
// database have only those of Badger's blocks, which Badger does not look at unless it
// is asked to. A start asks. Where one is wrong, what can still be read is copied to a
// new database: an entry of which a length has changed has Badger panic, so it is read
// from both ends up to there. The one with the damage is put aside.

// verify says whether a block is not as it was written.
func (st *stateDB) verify() (err error) {
	defer catch(debug.SetPanicOnFault(true), func(p any) { err = fmt.Errorf("badger panicked: %v", p) })
	return st.db.VerifyChecksum()
}

var errNoMark = errors.New("the record up to which it goes cannot be read")

// mend makes a database of what can be read of st, which takes its place, and gives
// where the old one was put. The caller is the only one that uses st.
func (st *stateDB) mend() (aside string, count int, err error) {
	dir := st.dir + newSuffix
	bytes, err := takenBytes(st.dir)
	if err == nil && !st.makeRoom(bytes) {
		err = fmt.Errorf("%d bytes for what can be read: %w", bytes, syscall.ENOSPC)
	}
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		return "", 0, err
	}
	fresh := &stateDB{dir: dir, log: st.log, makeRoom: st.makeRoom}
	if err = fresh.openDB(); err == nil {
		count, err = st.copyReadable(fresh)
	}
	err = errors.Join(err, fresh.close())
	_ = st.closeDB() // it has nothing to write; what it says of its damage is known
	if st.closing != nil {
		err = errors.Join(err, errClosing)
	}
	if err == nil {
		aside, err = putAside(st.dir)
	}
	if err != nil { // nobody must take it for one that is whole
		return "", 0, errors.Join(err, os.RemoveAll(dir))
	}
	return aside, count, st.openDB()
}

// copyReadable copies the entries that can be read, and gives how many.
func (st *stateDB) copyReadable(fresh *stateDB) (count int, err error) {
	w := stateWriter{db: fresh.db, txn: fresh.db.NewTransaction(true)}
	defer func() { w.txn.Discard() }()
	marked := false
	keep := func(key string, value []byte) bool {
		if sound(key, value) {
			w.set([]byte(key), value)
			marked = marked || key == "m"
			count++
		}
		return w.err == nil
	}
	last := "" // from the beginning
	st.eachReadable(false, func(key string, value []byte) bool {
		last = key
		return keep(key, value)
	})
	st.eachReadable(true, func(key string, value []byte) bool { return key > last && keep(key, value) })
	w.commit()
	if w.err != nil {
		return 0, w.err
	}
	if !marked {
		return 0, errNoMark
	}
	return count, fresh.dropTorn()
}

// sound says whether an entry looks like one.
func sound(key string, value []byte) bool {
	switch key[0] {
	case 'c', 'd', 'w':
		return true
	case 'k':
		return len(value) > 0 && (value[0] == 0 || value[0] == 1 && len(value) == 5)
	case 'm':
		return len(value) == 13 && value[0] == stateVersion
	case 'q':
		_, err := decodeQueueState(0, value)
		return err == nil && len(key) == 5
	}
	return false
}

// eachReadable gives the entries up to one at which Badger panics, from the first on or
// from the last, until fn says no.
func (st *stateDB) eachReadable(reverse bool, fn func(key string, value []byte) bool) {
	defer catch(debug.SetPanicOnFault(true), func(any) {})
	txn := st.db.NewTransaction(false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Reverse: reverse})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		value, err := item.ValueCopy(nil)
		if err == nil && len(item.Key()) > 0 && !fn(string(item.Key()), value) {
			return
		}
	}
}

// dropTorn removes the keys of which a chunk is missing.
func (st *stateDB) dropTorn() error {
	w := stateWriter{db: st.db, txn: st.db.NewTransaction(true)}
	defer func() { w.txn.Discard() }()
	err := st.each("", func(key string, value func() ([]byte, error)) error {
		if _, err := value(); err != nil {
			w.delete(stateKey(key))
		}
		return w.err
	})
	w.commit()
	return errors.Join(err, w.err)
}
