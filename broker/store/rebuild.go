package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/dgraph-io/badger/v4"
)

// A state database that has not taken a checkpoint is not written any more: its
// files may have a hole where the sync did not succeed, behind which a later
// checkpoint would be lost. It is copied to a new directory with the next
// checkpoint, and that takes its place.
const (
	newSuffix = ".new" // whole, once the old one has gone
	oldSuffix = ".old"
)

var errClosing = errors.New("the state database is still being closed")

// rebuild makes a new database from what the old one holds and a checkpoint with
// all queues.
func (st *stateDB) rebuild(c *checkpoint) error {
	if st.db == nil { // an attempt has come as far as that
		st.mu.Lock()
		err := st.reopen()
		st.mu.Unlock()
		if err != nil {
			return err
		}
	}
	if err := st.copyTo(st.dir+newSuffix, c); err != nil {
		return fmt.Errorf("make the state database anew: %w", err)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.closeDB(); err != nil {
		st.log.Warn("the state database that is replaced did not close", "path", st.dir, "err", err)
	}
	if st.closing != nil {
		return errClosing
	}
	if err := os.Rename(st.dir, st.dir+oldSuffix); err != nil {
		return err
	}
	return st.reopen()
}

// copyTo writes a database with the keys of st and a checkpoint.
func (st *stateDB) copyTo(dir string, c *checkpoint) (err error) {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	fresh := &stateDB{dir: dir, log: st.log, makeRoom: st.makeRoom}
	if err := fresh.openDB(); err != nil {
		return err
	}
	defer func() {
		if cerr := fresh.close(); err == nil {
			err = cerr
		}
	}()
	w := stateWriter{db: fresh.db, txn: fresh.db.NewTransaction(true)}
	err = st.each("", func(key string, value func() ([]byte, error)) error {
		if _, newer := c.changes[key]; newer {
			return nil
		}
		v, err := value()
		if err != nil {
			return err
		}
		w.apply(&stateChange{key: key, value: v})
		return w.err
	})
	w.commit()
	w.txn.Discard()
	if err := errors.Join(err, w.err); err != nil {
		return err
	}
	return fresh.writeTo(c)
}

// reopen opens the database that is in its place, or that has been made for it.
// The caller holds mu.
func (st *stateDB) reopen() error {
	if st.closing != nil {
		select {
		case <-st.closing:
			st.closing = nil
		default:
			return errClosing
		}
	}
	return st.openDB()
}

// replaceState ends a replacement of the database in dir where a crash may have
// left it.
func replaceState(dir string) error {
	_, err := os.Lstat(dir)
	if errors.Is(err, os.ErrNotExist) {
		err = os.Rename(dir+newSuffix, dir)
		if errors.Is(err, os.ErrNotExist) {
			return nil // the first start
		}
		if err == nil {
			err = syncDir(filepath.Dir(dir))
		}
	}
	if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(dir+newSuffix), os.RemoveAll(dir+oldSuffix))
}

// view runs fn in a transaction that reads.
func (st *stateDB) view(fn func(txn *badger.Txn) error) (err error) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	if st.db == nil {
		return errClosing
	}
	defer catch(debug.SetPanicOnFault(true), func(p any) { err = fmt.Errorf("badger panicked: %v", p) })
	return st.db.View(fn)
}
