package store

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// A segment stands in Badger's files as it is: whole, with magic,
// salt and checksums. So the segments of a generation can be found in its files
// where Badger does not find them any more.

// foundVersion is newer than any that a commit has: what was found goes before
// what Badger has of it.
const foundVersion = math.MaxInt64

// findSegments gives all segments in a generation's files by the number of their
// first record. What a client sends cannot look like one: it does not know salt.
func findSegments(dir string, salt uint32) (found map[uint64][]byte, err error) {
	found = make(map[uint64][]byte)
	entries, err := os.ReadDir(dir)
	if err != nil || salt == 0 {
		return found, err
	}
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".mem", ".vlog", ".sst":
		default:
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return found, err
		}
		for {
			i := bytes.Index(b, []byte(segmentMagic))
			if i < 0 {
				break
			}
			b = b[i:]
			v, err := parseSegment(b)
			if err != nil || v.salt != salt || v.checkBody() != nil {
				b = b[len(segmentMagic):]
				continue
			}
			n := headerSize + len(v.body) + len(v.queues)
			if found[v.first] == nil {
				found[v.first] = bytes.Clone(b[:n])
			}
			b = b[n:]
		}
	}
	return found, nil
}

// salvage makes a generation anew from the segments in the files that were put
// aside. It gives their count.
func (g *generation) salvage(from string, salt uint32, room int64) (int, error) {
	found, err := findSegments(from, salt)
	maps.DeleteFunc(found, func(first uint64, _ []byte) bool { return first >= g.end.Load() })
	if err != nil || len(found) == 0 {
		return 0, err
	}
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		return 0, err
	}
	if g.first > 0 {
		if err := g.markFirst(g.first); err != nil {
			return 0, err
		}
	}
	if g.moved {
		g.moved = false
		if err := g.markMoved(); err != nil {
			return 0, err
		}
	}
	if end := g.end.Load(); end != math.MaxUint64 {
		g.end.Store(math.MaxUint64)
		if err := g.setEnd(end); err != nil {
			return 0, err
		}
	}
	blog := &badgerLog{log: g.log, dir: g.dir}
	o := spoolOptions(g.dir, blog, room)
	o.SyncWrites = true
	db, err := openBadger(o, true)
	if err != nil {
		return 0, err
	}
	err = writeSegments(db, found)
	if cerr := discardBadger(db); err == nil {
		err = cerr
	}
	return len(found), err
}

func writeSegments(db *badger.DB, segs map[uint64][]byte) (err error) {
	defer catch(debug.SetPanicOnFault(true), func(p any) { err = fmt.Errorf("badger panicked: %v", p) })
	for _, first := range slices.Sorted(maps.Keys(segs)) {
		txn := db.NewTransactionAt(math.MaxUint64, true)
		err := txn.SetEntry(&badger.Entry{Key: segmentKey(first), Value: segs[first]})
		if err == nil {
			err = txn.CommitAt(foundVersion, nil)
		}
		txn.Discard()
		if err != nil {
			return err
		}
	}
	return nil
}
