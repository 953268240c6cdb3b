package store

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"

	"github.com/dgraph-io/badger/v4"
)

// settle opens a generation that a crash has left, so that its write-ahead log
// becomes a table, and drops from it the commit that was under way. A commit
// begins only after the one before was synced: so only the last one may have
// segments of which the value log has nothing. It was not acknowledged.
func (g *generation) settle() error {
	// What cannot be read here is expected.
	blog := &badgerLog{log: slog.New(slog.DiscardHandler), dir: g.dir}
	db, err := openBadger(spoolOptions(g.dir, blog, 1<<20), true)
	if err != nil {
		return fmt.Errorf("recover generation %s: %w", g.dir, err)
	}
	err = g.dropUnfinished(db)
	if cerr := discardBadger(db); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("recover generation %s: %w", g.dir, err)
	}
	return nil
}

func (g *generation) dropUnfinished(db *badger.DB) (err error) {
	defer catch(debug.SetPanicOnFault(true), func(p any) { err = fmt.Errorf("badger panicked: %v", p) })
	txn := db.NewTransactionAt(math.MaxUint64, true)
	defer txn.Discard()
	keys, version := lastCommit(txn)
	from := len(keys)
	for i, key := range keys {
		if !readable(txn, key) {
			from = i
			break
		}
	}
	if from == len(keys) {
		return nil
	}
	for _, key := range keys[from:] {
		if err := txn.Delete(segmentKey(key)); err != nil {
			return err
		}
	}
	// The numbers are given again, with lower versions than this deletion has:
	// not in this generation.
	g.dropped = true
	g.log.Info("a commit that a crash has interrupted was left out", "path", g.dir, "first", keys[from], "last", version)
	return txn.CommitAt(version, nil)
}

// lastCommit gives the segments of the last transaction, and its version.
func lastCommit(txn *badger.Txn) (keys []uint64, version uint64) {
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		k := it.Item().Key()
		if v := it.Item().Version(); v > version {
			keys, version = keys[:0], v
		}
		if len(k) == 8 && it.Item().Version() == version {
			keys = append(keys, binary.BigEndian.Uint64(k))
		}
	}
	return keys, version
}

func readable(txn *badger.Txn, key uint64) (ok bool) {
	item, err := txn.Get(segmentKey(key))
	if err != nil {
		return false
	}
	err = item.Value(func(b []byte) error {
		v, err := parseSegment(b)
		ok = err == nil && v.checkBody() == nil
		return nil
	})
	return ok && err == nil
}
