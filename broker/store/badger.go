package store

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

const (
	memTableBytes = 4 << 20

	// inlineBytes is the length from which a segment goes to the value log. A
	// shorter one stands in the write-ahead log alone, which saves a flush.
	inlineBytes = 4 << 10
)

// badgerOptions are what both databases have in common. A table is built in a buffer
// of twice BaseTableSize, and on 32 bits one that outgrows it destroys itself. It takes
// what a memtable holds, or what a compaction brings together, 0.95 BaseTableSize; and
// as much as the blocks that it is made of have room that is not used. An entry must
// be short beside BlockSize: behind a longer one a block is copied to twice the room.
func badgerOptions(dir string, log *badgerLog, tableBytes int64, blockBytes int) badger.Options {
	o := badger.DefaultOptions(dir)
	o.Logger = log
	o.MemTableSize = memTableBytes
	o.BaseTableSize = tableBytes
	o.BlockSize = blockBytes
	o.TableSizeMultiplier = 1
	o.NumMemtables = 2
	o.NumLevelZeroTables = 2
	// Its compactors look for work twenty times a second each, which was most of what an
	// idle gateway took of a processor. There are none, and no table waits for one: see
	// compact.go for what keeps their number down.
	o.NumCompactors = 0
	o.NumLevelZeroTablesStall = math.MaxInt
	o.NumGoroutines = 1
	o.NumVersionsToKeep = 1
	o.Compression = options.None
	o.BlockCacheSize = 0
	o.IndexCacheSize = 0
	o.DetectConflicts = false
	o.MetricsEnabled = false
	o.BypassLockGuard = true // the store's own lock holds for all of them
	return o
}

// openBadger opens a database, and gives a panic that it meets as an error.
func openBadger(o badger.Options, managed bool) (db *badger.DB, err error) {
	db, err = tryBadger(o, managed)
	if err == nil || ours(err) {
		return db, err
	}
	// Without encryption and without garbage collection these say nothing that
	// Badger does not make anew: damage in them is no reason to give up the rest.
	for _, name := range []string{"KEYREGISTRY", "DISCARD"} {
		if rerr := os.Remove(filepath.Join(o.Dir, name)); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
			return nil, errors.Join(err, rerr)
		}
	}
	return tryBadger(o, managed)
}

func tryBadger(o badger.Options, managed bool) (db *badger.DB, err error) {
	defer catch(debug.SetPanicOnFault(true), func(p any) { err = fmt.Errorf("badger panicked: %v", p) })
	if managed {
		return badger.OpenManaged(o)
	}
	return badger.Open(o)
}

// closeTimeout is how long a database may take to close: Badger tries to write a
// table again for ever.
const closeTimeout = time.Minute

// catch gives a panic of Badger to fn; where a disk does not give a page of a
// mapped file, reading it is one. fault is what debug.SetPanicOnFault was. It is
// to be deferred.
func catch(fault bool, fn func(p any)) {
	debug.SetPanicOnFault(fault)
	if p := recover(); p != nil {
		fn(p)
	}
}

// closeBadger closes a database. One that does not come to an end is left behind,
// with an error: closing is closed when it has ended, and until then nobody may
// open the directory.
func closeBadger(db *badger.DB) (closing chan struct{}, err error) {
	ended := make(chan struct{})
	var cerr error
	go func() {
		defer close(ended)
		defer catch(debug.SetPanicOnFault(true), func(p any) { cerr = fmt.Errorf("badger panicked: %v", p) })
		cerr = db.Close()
	}()
	timeout := time.NewTimer(closeTimeout)
	defer timeout.Stop()
	select {
	case <-ended:
		return nil, cerr
	case <-timeout.C:
		return ended, fmt.Errorf("close %s: not done after %v", db.Opts().Dir, closeTimeout)
	}
}

// discardBadger closes a database that has nothing to write.
func discardBadger(db *badger.DB) error {
	_, err := closeBadger(db)
	return err
}

// badgerLog is Badger's Logger. Badger logs some failures, that of a sync among
// them, and does not return them: so every error that it logs counts as one of
// the operation that was running.
type badgerLog struct {
	log   *slog.Logger
	dir   string
	first atomic.Pointer[error]
}

func (l *badgerLog) Errorf(format string, args ...any) {
	err := fmt.Errorf("badger: %s", strings.TrimSpace(fmt.Sprintf(format, args...)))
	if l.first.CompareAndSwap(nil, &err) {
		l.log.Error("the database reports an error", "path", l.dir, "err", err)
	}
}

func (l *badgerLog) Warningf(string, ...any) {}
func (l *badgerLog) Infof(string, ...any)    {}
func (l *badgerLog) Debugf(string, ...any)   {}

// err is the first error that Badger logged since it was opened.
func (l *badgerLog) err() error {
	if p := l.first.Load(); p != nil {
		return *p
	}
	return nil
}

// ours says whether an error lies with the machine and not with the files: then
// the files are not to be put aside.
func ours(err error) bool {
	for _, e := range []error{syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ENOSPC, syscall.EDQUOT,
		syscall.EROFS, syscall.EACCES, syscall.EPERM, syscall.EIO, syscall.EBUSY} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// inventory is what stands in a database's directory.
type inventory struct {
	manifest bool
	mems     []string // write-ahead logs, oldest first
	vlogs    []string // value logs, oldest first
	tables   []string
}

func (v *inventory) empty() bool { return len(v.mems)+len(v.vlogs)+len(v.tables) == 0 }

// allNamed says whether the MANIFEST is whole and has all tables. Badger would
// delete the others, which without a write-ahead log is a loss.
func (v *inventory) allNamed(o badger.Options) error {
	f, err := os.Open(filepath.Join(o.Dir, badger.ManifestFilename))
	if err != nil {
		return err
	}
	defer f.Close()
	m, _, err := badger.ReplayManifestFile(f, 0, o)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	for _, path := range v.tables {
		id, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), ".sst"), 10, 64)
		if _, named := m.Tables[id]; err != nil || !named {
			return fmt.Errorf("%s does not name the table %s", f.Name(), filepath.Base(path))
		}
	}
	return nil
}

// errNoManifest is for a directory that Badger would open, deleting its tables.
var errNoManifest = errors.New("MANIFEST is missing beside data files")

// takeInventory looks into a database's directory before Badger does, and
// removes the empty files at which Badger would stop: they are what a crash at
// their creation leaves.
func takeInventory(dir string) (inventory, error) {
	var v inventory
	entries, err := os.ReadDir(dir)
	if err != nil {
		return v, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		ext := filepath.Ext(e.Name())
		if ext == ".mem" || ext == ".vlog" {
			info, err := e.Info()
			if err != nil {
				return v, err
			}
			if info.Size() == 0 {
				if err := os.Remove(path); err != nil {
					return v, err
				}
				continue
			}
		}
		switch {
		case e.Name() == badger.ManifestFilename:
			v.manifest = true
		case ext == ".mem":
			v.mems = append(v.mems, path)
		case ext == ".vlog":
			v.vlogs = append(v.vlogs, path)
		case ext == ".sst":
			v.tables = append(v.tables, path)
		}
	}
	slices.Sort(v.mems)
	slices.Sort(v.vlogs)
	if !v.manifest && !v.empty() {
		return v, errNoManifest
	}
	return v, nil
}
