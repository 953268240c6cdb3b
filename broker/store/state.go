package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// The state database is a checkpoint of the log: it says up to which record it
// has been applied, and holds the queues and the state keys as of then. Keys:
//
//	m               what it is: version (1), record number (8), next queue id (4)
//	q ID            a queue: see queueState
//	d ID            what it has dropped: up to which record (8), Drops
//	k KEY           0 and the value; or 1, count of chunks (4)
//	w               what was written on a day: see wear.encode
//	c LEN KEY N     a chunk of a long value: LEN is that of KEY (4), N counts (4)
//
// A checkpoint may take several transactions. The "m" is in the last one: with an
// older one, what stands there of the newer is set again from the log.
type stateDB struct {
	dir string
	log *slog.Logger

	look bool // it is only read

	makeRoom  func(bytes int64) bool // has the disk space that is about to be taken
	allocated string                 // the write-ahead log of which the disk blocks were taken

	// Of the caller of write:
	broken     bool // a checkpoint was not taken, see rebuild
	compactNot int  // with so many tables compacting did not succeed

	mu      sync.RWMutex // guards what follows; held while it is read
	db      *badger.DB   // nil: between two
	blog    *badgerLog
	closing chan struct{} // one that did not close in time; closed when it has
}

const (
	stateVersion = 1

	// chunkedBytes is how long a value may be in one entry, and a chunk is. A
	// transaction takes 15 % of the memtable.
	chunkedBytes = 256 << 10
)

// checkpoints is where checkpoints go: the state database, or memory.
type checkpoints interface {
	write(c *checkpoint) error
	each(prefix string, fn func(key string, value func() ([]byte, error)) error) error
	close() error
}

// stateChange is one Put or Delete, stateChanges many by key.
type stateChange struct {
	key     string
	value   []byte
	deleted bool
}

type stateChanges map[string]stateChange

func newStateChange(r *Record) stateChange {
	c := stateChange{key: r.Key, deleted: r.Kind == Delete}
	if !c.deleted {
		c.value = append(make([]byte, 0, len(r.Data)), r.Data...)
	}
	return c
}

func openState(dir string, log *slog.Logger, makeRoom func(bytes int64) bool) (*stateDB, error) {
	st := &stateDB{dir: dir, log: log, makeRoom: makeRoom}
	return st, st.openDB()
}

// openDB opens the database. The caller holds mu, or is the only one.
func (st *stateDB) openDB() error {
	if st.look {
		return st.openToLook()
	}
	if err := replaceState(st.dir); err != nil {
		return err
	}
	if _, err := takeInventory(st.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	blog := &badgerLog{log: st.log, dir: st.dir}
	o := stateOptions(st.dir, blog)
	db, err := openBadger(o, false)
	if err != nil {
		return err
	}
	st.db, st.blog, st.allocated = db, blog, ""
	adviseRandom(st.dir)
	return errors.Join(st.allocateLog(), syncDir(st.dir), syncDir(filepath.Dir(st.dir)))
}

// allocateLog takes the disk blocks of the log that Badger writes now, if it has
// not: Badger writes it through a map, and dies where the disk has none left.
func (st *stateDB) allocateLog() error {
	logs, err := filepath.Glob(filepath.Join(st.dir, "*.mem"))
	if err != nil || len(logs) == 0 {
		return err
	}
	path := slices.Max(logs)
	if path == st.allocated {
		return nil
	}
	if !st.makeRoom(memAlloc) {
		return fmt.Errorf("allocate %d bytes for %s: %w", memAlloc, path, syscall.ENOSPC)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := allocate(f, memAlloc); err != nil {
		return err
	}
	st.allocated = path
	return f.Sync()
}

// openToLook opens one that was closed for reading.
func (st *stateDB) openToLook() (err error) {
	st.blog = &badgerLog{log: st.log, dir: st.dir}
	o := stateOptions(st.dir, st.blog)
	o.ReadOnly = true
	st.db, err = tryBadger(o, false)
	return err
}

func stateOptions(dir string, blog *badgerLog) badger.Options {
	// Three quarters of a block are used at least, with the largest value.
	tableBytes := int64(memTableBytes)
	if strconv.IntSize == 32 {
		tableBytes *= 4 // all of a table must go into its first buffer
	}
	o := badgerOptions(dir, blog, tableBytes, memTableBytes/2)
	o.SyncWrites = true
	o.ValueLogFileSize = 1 << 20
	o.ValueThreshold = memTableBytes * 15 / 100 // nothing goes to the value log
	return o
}

func (st *stateDB) close() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.db == nil {
		return nil
	}
	if err := st.closeDB(); err != nil {
		return fmt.Errorf("close the state database: %w", err)
	}
	return nil
}

// closeDB closes the database. The caller holds mu.
func (st *stateDB) closeDB() (err error) {
	st.closing, err = closeBadger(st.db)
	if err == nil {
		err = st.blog.err()
	}
	st.db = nil
	return err
}

// checkpoint is one state of the log.
type checkpoint struct {
	applied uint64 // every record up to this one
	nextID  QueueID
	queues  []queueState
	dropped []QueueID
	changes stateChanges
	wear    []byte // of wear.encode; nil: none
}

// write makes a checkpoint durable. After an error the next one must have all
// queues.
func (st *stateDB) write(c *checkpoint) error {
	if st.broken {
		if err := st.rebuild(c); err != nil {
			return fmt.Errorf("write the checkpoint at record %d: %w", c.applied, err)
		}
		st.broken = false
		return nil
	}
	err := st.writeTo(c)
	st.broken = err != nil
	return err
}

func (st *stateDB) writeTo(c *checkpoint) error {
	if err := st.allocateLog(); err != nil {
		return err
	}
	w := stateWriter{db: st.db, txn: st.db.NewTransaction(true)}
	defer func() { w.txn.Discard() }()
	for i := range c.queues {
		q := &c.queues[i]
		w.set(queueKey(q.id), q.encode())
		if q.drops != (Drops{}) {
			w.set(dropsKey(q.id), append(binary.BigEndian.AppendUint64(nil, c.applied), q.drops.encode()...))
		}
	}
	for _, id := range c.dropped {
		w.delete(queueKey(id))
		w.delete(dropsKey(id))
	}
	for _, ch := range c.changes {
		w.apply(&ch)
	}
	if c.wear != nil {
		w.set([]byte{'w'}, c.wear)
	}
	m := binary.BigEndian.AppendUint64([]byte{stateVersion}, c.applied)
	w.set([]byte{'m'}, binary.BigEndian.AppendUint32(m, uint32(c.nextID)))
	w.commit()
	if w.err == nil {
		w.err = st.blog.err()
	}
	if w.err == nil {
		// Badger does not sync the directory when it begins a new file.
		w.err = syncDir(st.dir)
	}
	if w.err != nil {
		return fmt.Errorf("write the checkpoint at record %d: %w", c.applied, w.err)
	}
	return nil
}

// writeWear writes what was written on a day, and nothing else.
func (st *stateDB) writeWear(b []byte) error {
	if st.db == nil {
		return errClosing
	}
	w := stateWriter{db: st.db, txn: st.db.NewTransaction(true)}
	defer func() { w.txn.Discard() }()
	w.set([]byte{'w'}, b)
	w.commit()
	return errors.Join(w.err, st.blog.err())
}

// stateWriter spreads writes over as many transactions as they need. After an
// error it does nothing.
type stateWriter struct {
	db  *badger.DB
	txn *badger.Txn
	err error
}

func (w *stateWriter) try(write func() error) {
	if w.err != nil {
		return
	}
	w.err = write()
	if errors.Is(w.err, badger.ErrTxnTooBig) {
		if w.commit(); w.err == nil {
			w.err = write()
		}
	}
}

func (w *stateWriter) commit() {
	if w.err != nil && !errors.Is(w.err, badger.ErrTxnTooBig) {
		return
	}
	w.err = w.txn.Commit()
	w.txn = w.db.NewTransaction(true)
}

func (w *stateWriter) set(key, value []byte) {
	w.try(func() error { return w.txn.Set(key, value) })
}

func (w *stateWriter) delete(key []byte) {
	w.try(func() error { return w.txn.Delete(key) })
}

// apply writes one state key.
func (w *stateWriter) apply(c *stateChange) {
	if w.err != nil {
		return
	}
	had, err := chunkCount(w.txn, c.key)
	if err != nil {
		w.err = err
		return
	}
	var chunks uint32
	switch {
	case c.deleted:
		w.delete(stateKey(c.key))
	case len(c.value) <= chunkedBytes:
		w.set(stateKey(c.key), append([]byte{0}, c.value...))
	default:
		for rest := c.value; len(rest) > 0; chunks++ {
			n := min(len(rest), chunkedBytes)
			w.set(chunkKey(c.key, chunks), rest[:n])
			rest = rest[n:]
		}
		w.set(stateKey(c.key), binary.BigEndian.AppendUint32([]byte{1}, chunks))
	}
	for i := chunks; i < had; i++ {
		w.delete(chunkKey(c.key, i))
	}
}

func stateKey(key string) []byte { return append([]byte{'k'}, key...) }

func chunkKey(key string, n uint32) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'c'}, uint32(len(key)))
	return binary.BigEndian.AppendUint32(append(b, key...), n)
}

var (
	errState = errors.New("damaged entry in the state database")
	errNewer = errors.New("a newer headgate wrote it")
)

// chunkCount is in how many chunks a key's value stands.
func chunkCount(txn *badger.Txn, key string) (n uint32, err error) {
	item, err := txn.Get(stateKey(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	err = item.Value(func(b []byte) error {
		if len(b) == 5 && b[0] == 1 {
			n = binary.BigEndian.Uint32(b[1:])
		}
		return nil
	})
	return n, err
}

// value reads a state key's value.
func (st *stateDB) value(txn *badger.Txn, key string, item *badger.Item) ([]byte, error) {
	b, err := item.ValueCopy(nil)
	switch {
	case err != nil:
		return nil, err
	case len(b) > 0 && b[0] == 0:
		return b[1:], nil
	case len(b) != 5 || b[0] != 1:
		return nil, errState
	}
	var value []byte
	for i := range binary.BigEndian.Uint32(b[1:]) {
		item, err := txn.Get(chunkKey(key, i))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errState, err)
		}
		if err := item.Value(func(b []byte) error { value = append(value, b...); return nil }); err != nil {
			return nil, err
		}
	}
	return value, nil
}

// each gives the keys that begin with a prefix, in order.
func (st *stateDB) each(prefix string, fn func(key string, value func() ([]byte, error)) error) error {
	return st.view(func(txn *badger.Txn) error {
		o := badger.IteratorOptions{Prefix: stateKey(prefix)}
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			key := string(item.Key()[1:])
			if err := fn(key, func() ([]byte, error) { return st.value(txn, key, item) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// load reads everything but the state keys. A new database gives a zero
// checkpoint.
func (st *stateDB) load() (c checkpoint, err error) {
	c.nextID = 1
	err = st.view(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte{'m'})
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		m, err := item.ValueCopy(nil)
		if err != nil {
			return err
		}
		if len(m) > 0 && m[0] > stateVersion {
			return fmt.Errorf("%w: its format is %d, this one reads format %d at most", errNewer, m[0], stateVersion)
		}
		if len(m) != 13 {
			return errState
		}
		if item, err := txn.Get([]byte{'w'}); err == nil {
			if c.wear, err = item.ValueCopy(nil); err != nil {
				return err
			}
		}
		c.applied = binary.BigEndian.Uint64(m[1:])
		c.nextID = QueueID(binary.BigEndian.Uint32(m[9:]))
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{'q'}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			b, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			key := it.Item().Key()
			if len(key) != 5 {
				return errState
			}
			q, err := decodeQueueState(QueueID(binary.BigEndian.Uint32(key[1:])), b)
			if err != nil {
				return err
			}
			if err := q.loadDrops(txn); err != nil {
				return err
			}
			c.queues = append(c.queues, q)
		}
		return nil
	})
	return c, err
}
