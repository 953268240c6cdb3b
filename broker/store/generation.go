package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// A generation is one directory of the spool: a Badger whose keys are the
// numbers of the segments' first records. The last one, the tail, is written;
// it is cut before Badger would change its files, so that one write-ahead log
// and one value log are all that a commit has to sync. The others are sealed,
// and open only while somebody reads them.
type generation struct {
	id   uint64
	dir  string
	log  *slog.Logger
	salt uint32

	makeRoom func(bytes int64) bool // has the disk space that is about to be taken

	first  uint64       // record with which it begins, but for evacuated ones; 0: not known
	moved  bool         // there may be evacuated ones; of the committer, once it is open
	living atomic.Int64 // messages, counted once for each queue, not acknowledged
	bytes  atomic.Int64 // of segments
	last   atomic.Uint64
	used   atomic.Int64  // when it was read last, as the spool counts
	end    atomic.Uint64 // segments from this record on do not count: see setEnd
	dying  bool          // spool.dead has given it; guarded by spool.mu
	freed  bool          // all that could be was dropped; guarded by Store.mu
	failed bool          // a commit to it was not taken; of the committer

	mu      sync.RWMutex // guards what follows; held for reading while a segment is read
	db      *badger.DB   // nil: closed
	keys    []uint64     // of the segments, ascending; while db is open
	gone    bool
	closing chan struct{} // a database that did not close in time; closed when it has
	blog    *badgerLog    // of db, where it is the tail's

	bad sync.Map // keys of segments that are known to be damaged

	tail tailFiles // of the tail: only the committer uses it
}

const (
	// What Badger adds, at most: to an entry in the write-ahead log and the skip
	// list, to one in the value log, and to a transaction.
	memEntryOverhead  = 192
	vlogEntryOverhead = 64
	txnOverhead       = 256

	memRoom  = memTableBytes - 256<<10
	memAlloc = memTableBytes + 512<<10
)

func generationName(id uint64) string { return fmt.Sprintf("%08d", id) }

func generationID(name string) (uint64, bool) {
	id, err := strconv.ParseUint(name, 10, 64)
	return id, err == nil && generationName(id) == name
}

func spoolOptions(dir string, log *badgerLog, room int64) badger.Options {
	o := badgerOptions(dir, log, memTableBytes, 16*inlineBytes)
	// Larger than what is ever written to it, so that there is one value log.
	o.ValueLogFileSize = max(room+1<<20, 2<<20)
	o.ValueThreshold = inlineBytes
	// The committer syncs by itself: it knows which files a commit has touched,
	// and gets every error. Badger would flush both files always, and would
	// only log that a sync of the value log did not succeed.
	o.SyncWrites = false
	return o
}

// openTail opens a generation for writing; room is how much it takes in all. A
// generation that a crash has left is recovered by this.
func (g *generation) openTail(room int64) error {
	if err := roomToOpen(g.dir, g.makeRoom); err != nil {
		return fmt.Errorf("open generation %s: %w", g.dir, err)
	}
	blog := &badgerLog{log: g.log, dir: g.dir}
	db, err := openBadger(spoolOptions(g.dir, blog, room), true)
	if err != nil {
		return fmt.Errorf("open generation %s: %w", g.dir, err)
	}
	t := tailFiles{memRoom: memRoom, vlogRoom: room - g.bytes.Load()}
	t.wal.at = logHeader // Badger begins a new one whenever it opens
	if g.bytes.Load() == 0 {
		t.values.at = logHeader
	}
	if err := t.open(g.dir, g.makeRoom); err != nil {
		t.close()
		return errors.Join(fmt.Errorf("open generation %s: %w", g.dir, err), discardBadger(db))
	}
	keys, err := readKeys(db)
	if err != nil {
		t.close()
		return errors.Join(fmt.Errorf("list the segments of generation %s: %w", g.dir, err), discardBadger(db))
	}
	g.tail = t
	g.mu.Lock()
	g.db, g.keys, g.blog = db, g.cutEnd(keys), blog
	g.mu.Unlock()
	return nil
}

// cost is what segments take in the tail's two files.
func cost(segs []*segment) (mem, vlog int64) {
	mem = txnOverhead
	for _, g := range segs {
		mem += memEntryOverhead
		if n := int64(len(g.buf)); n < inlineBytes {
			mem += n
		} else {
			vlog += n + vlogEntryOverhead
		}
	}
	return mem, vlog
}

// full says whether finished segments do not fit any more.
func (g *generation) full(segs []*segment) bool {
	mem, vlog := cost(segs)
	return g.tail.memUsed+mem > g.tail.memRoom || g.tail.vlogUsed+vlog > g.tail.vlogRoom
}

// append writes finished segments as one transaction, and syncs it unless unsynced.
func (g *generation) append(segs []*segment, unsynced bool) error {
	mem, vlog := cost(segs)
	txn := g.db.NewTransactionAt(math.MaxUint64, true)
	defer txn.Discard()
	var bytes int64
	for _, seg := range segs {
		bytes += int64(len(seg.buf))
		if err := txn.SetEntry(&badger.Entry{Key: segmentKey(seg.first), Value: seg.buf}); err != nil {
			return fmt.Errorf("write records from %d to %s: %w", seg.first, g.dir, err)
		}
	}
	last := segs[len(segs)-1].last()
	wal, values := written(segs)
	if err := errors.Join(g.tail.wal.prepare(wal), g.tail.values.prepare(values)); err != nil {
		return fmt.Errorf("write records up to %d to %s: %w", last, g.dir, err)
	}
	if err := txn.CommitAt(last, nil); err != nil {
		return fmt.Errorf("commit records up to %d to %s: %w", last, g.dir, err)
	}
	g.tail.memUsed += mem
	g.tail.vlogUsed += vlog
	g.tail.wal.pass(wal)
	g.tail.values.release(values)
	g.tail.values.pass(values)
	if !unsynced {
		short := func(seg *segment) bool { return len(seg.buf) < inlineBytes }
		if err := g.tail.sync(vlog, slices.ContainsFunc(segs, short)); err != nil {
			return fmt.Errorf("sync records up to %d: %w", last, err)
		}
	}
	// What Badger has only logged counts as well.
	if err := g.blog.err(); err != nil {
		return fmt.Errorf("commit records up to %d to %s: %w", last, g.dir, err)
	}
	g.bytes.Add(bytes)
	g.last.Store(last)
	g.mu.Lock()
	for _, seg := range segs {
		g.keys = append(g.keys, seg.first)
	}
	g.mu.Unlock()
	return nil
}

func segmentKey(first uint64) []byte { return binary.BigEndian.AppendUint64(nil, first) }

// seal ends the writing: Badger writes its table, and the files shrink to what
// is in them.
func (g *generation) seal() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tail.close()
	g.tail = tailFiles{}
	if err := g.close(); err != nil {
		return fmt.Errorf("seal generation %s: %w", g.dir, err)
	}
	return nil
}

// close closes the database. The caller holds mu.
func (g *generation) close() error {
	if g.db == nil {
		return nil
	}
	var err error
	g.closing, err = closeBadger(g.db)
	g.db, g.keys, g.blog = nil, nil, nil
	return err
}

// closed says whether the database that was open before has come to its end.
func (g *generation) closed() bool {
	if g.closing == nil {
		return true
	}
	select {
	case <-g.closing:
		g.closing = nil
		return true
	default:
		return false
	}
}

var errGone = errors.New("generation is gone")

// openSealed opens a sealed generation for reading, if it is not open. The
// caller holds mu.
func (g *generation) openSealed() error {
	if g.gone {
		return errGone
	}
	if g.db != nil {
		return nil
	}
	if !g.closed() {
		return fmt.Errorf("open generation %s: it is still being closed: %w", g.dir, syscall.EBUSY)
	}
	v, err := takeInventory(g.dir)
	if err != nil {
		return err
	}
	blog := &badgerLog{log: g.log, dir: g.dir}
	o := spoolOptions(g.dir, blog, 1<<20)
	if len(v.mems) > 0 || len(v.tables) == 0 { // a crash has left it
		if err := g.settle(); err != nil {
			return err
		}
	} else if err := v.allNamed(o); err != nil {
		return err
	}
	o.ReadOnly = true
	db, err := openBadger(o, true)
	if err != nil {
		return fmt.Errorf("open generation %s: %w", g.dir, err)
	}
	keys, err := readKeys(db)
	if err != nil {
		return errors.Join(fmt.Errorf("list the segments of generation %s: %w", g.dir, err), discardBadger(db))
	}
	g.db, g.keys = db, g.cutEnd(keys)
	return nil
}

func readKeys(db *badger.DB) (keys []uint64, err error) {
	defer catch(debug.SetPanicOnFault(true), func(p any) { err = fmt.Errorf("badger panicked: %v", p) })
	txn := db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if k := it.Item().Key(); len(k) == 8 {
			keys = append(keys, binary.BigEndian.Uint64(k))
		}
	}
	return keys, nil
}

// view gives the i-th segment to fn, which must not keep it. The error is
// errSegment for one that cannot be read. The caller holds mu for reading.
func (g *generation) view(i int, fn func(v *segmentView) error) (err error) {
	defer catch(debug.SetPanicOnFault(true), func(p any) { err = segmentError("badger panicked: %v", p) })
	txn := g.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	item, err := txn.Get(segmentKey(g.keys[i]))
	if err != nil {
		return segmentError("%v", err)
	}
	var ferr error
	err = item.Value(func(b []byte) error {
		v, err := parseSegment(b)
		if err == nil && v.first != g.keys[i] {
			err = segmentError("it says that it begins at record %d", v.first)
		}
		if err == nil {
			err = fn(&v)
		}
		ferr = err
		return nil
	})
	if err != nil {
		return segmentError("%v", err)
	}
	return ferr
}
