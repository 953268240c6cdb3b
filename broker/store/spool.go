package store

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// The spool is the list of generations. It owns their directories.
type spool struct {
	dir  string
	log  *slog.Logger
	salt uint32
	room int64 // what a generation takes
	look bool  // it is only read

	makeRoom func(bytes int64) bool // of the store

	bytes atomic.Int64 // of segments, all generations together

	mu      sync.Mutex // guards what follows; taken before generation.mu
	gens    []*generation
	tail    *generation // the last of gens; nil until there is one
	clock   int64
	newest  uint64        // the highest id that there was
	removed []*generation // of which the directory is still to be removed
}

// maxOpen is how many generations are open at a time, the tail and one that is
// being sealed not counted: each is mapped whole.
func (sp *spool) maxOpen() int {
	if is32bit {
		return 2
	}
	return 4
}

const goneSuffix = ".gone"

// load finds the generations on disk, without looking into them.
func (sp *spool) load() error {
	if err := os.MkdirAll(sp.dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(sp.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(sp.dir, e.Name())
		if sp.look {
			if v, err := takeInventory(path); err != nil || len(v.tables) == 0 {
				continue // gone, or there is nothing in it
			}
		}
		if strings.HasSuffix(e.Name(), goneSuffix) {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			continue
		}
		if id, ok := generationID(e.Name()); ok && e.IsDir() {
			if v, err := takeInventory(path); err == nil && !v.manifest {
				// A crash has come before Badger had begun.
				if err := os.RemoveAll(path); err != nil {
					return err
				}
				continue
			}
			g := &generation{id: id, dir: path, log: sp.log, salt: sp.salt, makeRoom: sp.makeRoom}
			g.readEnd()
			g.readMarks()
			sp.gens = append(sp.gens, g)
			sp.newest = max(sp.newest, id)
		}
	}
	slices.SortFunc(sp.gens, func(a, b *generation) int { return cmp.Compare(a.id, b.id) })
	return nil
}

// create makes a new tail. The old one is still to be sealed.
func (sp *spool) create(first uint64, room int64) (old *generation, err error) {
	sp.mu.Lock()
	old = sp.tail
	id := sp.newest + 1
	sp.mu.Unlock()
	g := &generation{id: id, dir: filepath.Join(sp.dir, generationName(id)), log: sp.log, salt: sp.salt, makeRoom: sp.makeRoom}
	g.end.Store(math.MaxUint64)
	// What stands there is what an attempt without success has left.
	if err := os.RemoveAll(g.dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		return nil, err
	}
	err = g.markFirst(first)
	if err == nil {
		err = g.openTail(room)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(g.dir))
	}
	if old != nil {
		g.last.Store(old.last.Load())
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.gens = append(sp.gens, g)
	sp.tail, sp.newest = g, id
	return old, nil
}

// list gives the generations as they stand, oldest first.
func (sp *spool) list() []*generation {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return slices.Clone(sp.gens)
}

// dead gives the generations that nobody needs any more but for the state, and
// marks them as given.
func (sp *spool) dead() []*generation {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	var list []*generation
	for _, g := range sp.gens {
		if g != sp.tail && !g.dying && g.living.Load() == 0 {
			g.dying = true
			list = append(list, g)
		}
	}
	return list
}

// acquire opens a generation for reading, and keeps it open until release.
func (sp *spool) acquire(g *generation) error {
	sp.mu.Lock()
	sp.clock++
	g.used.Store(sp.clock)
	sp.mu.Unlock()
	for {
		g.mu.RLock()
		if g.db != nil {
			return nil
		}
		g.mu.RUnlock()
		g.mu.Lock()
		err := g.openSealed()
		g.mu.Unlock()
		if err != nil {
			return err
		}
		sp.trim(g, sp.maxOpen()-1)
	}
}

func (sp *spool) release(g *generation) { g.mu.RUnlock() }

// trim closes what was not read for the longest time, as long as more than so many
// are open; but not keep, and none that is being read.
func (sp *spool) trim(keep *generation, most int) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	var open []*generation
	for _, g := range sp.gens {
		// One that is locked is just being read or opened: it is not idle.
		if g == keep || g == sp.tail || !g.mu.TryLock() {
			continue
		}
		if g.db != nil && g.tail.mem == nil {
			open = append(open, g)
		}
		g.mu.Unlock()
	}
	slices.SortFunc(open, func(a, b *generation) int { return cmp.Compare(a.used.Load(), b.used.Load()) })
	for len(open) > most {
		g := open[0]
		open = open[1:]
		if g.mu.TryLock() {
			if err := g.close(); err != nil {
				sp.log.Warn("a generation of the spool did not close", "path", g.dir, "err", err)
			}
			g.mu.Unlock()
		}
	}
}

// forget takes a generation out of the list.
func (sp *spool) forget(g *generation) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if i := slices.Index(sp.gens, g); i >= 0 {
		sp.gens = slices.Delete(sp.gens, i, i+1)
		sp.bytes.Add(-g.bytes.Load())
	}
}

// remove takes a generation out of use; sweep removes its directory.
func (sp *spool) remove(g *generation) {
	sp.forget(g)
	g.mu.Lock()
	g.gone = true
	g.tail.close() // where it was not sealed yet
	g.tail = tailFiles{}
	err := g.close()
	g.mu.Unlock()
	if err != nil {
		sp.log.Warn("a generation of the spool did not close", "path", g.dir, "err", err)
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.removed = append(sp.removed, g)
}

// sweep removes the directories of what is not in use any more, and tries those
// again that could not be removed. A start removes what is left.
func (sp *spool) sweep() error {
	sp.mu.Lock()
	list := sp.removed
	sp.removed = nil
	sp.mu.Unlock()
	var errs []error
	for _, g := range list {
		g.mu.Lock()
		closed := g.closed()
		g.mu.Unlock()
		if closed {
			err := sp.removeDir(g.dir)
			if err == nil {
				continue
			}
			errs = append(errs, err)
		}
		sp.mu.Lock()
		sp.removed = append(sp.removed, g)
		sp.mu.Unlock()
	}
	return errors.Join(errs...)
}

// removeDir removes a generation's directory. A crash in between must not leave
// one that looks damaged.
func (sp *spool) removeDir(dir string) error {
	gone := dir + goneSuffix
	if err := os.Rename(dir, gone); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove generation %s: %w", dir, err)
	}
	if err := syncDir(sp.dir); err != nil {
		return err
	}
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove generation %s: %w", dir, err)
	}
	return nil
}

// quarantine puts a generation aside that cannot be opened, and makes another of
// the segments in its files, if there are any.
func (sp *spool) quarantine(g *generation, cause error) error {
	to, err := putAside(g.dir)
	if err != nil {
		return fmt.Errorf("put aside generation %s, which cannot be read (%v): %w", g.dir, cause, err)
	}
	n, err := g.salvage(to, sp.salt, sp.room)
	sp.log.Error("a generation of the spool cannot be read and was put aside", "path", to, "err", cause, "count", n)
	if err == nil && n > 0 {
		return nil
	}
	if err != nil {
		sp.log.Error("nothing can be read from its files", "path", to, "err", err)
	}
	sp.forget(g)
	g.mu.Lock()
	g.gone = true
	g.mu.Unlock()
	return os.RemoveAll(g.dir)
}

// close closes what is open.
func (sp *spool) close() error {
	var errs []error
	for _, g := range sp.list() {
		if err := g.seal(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
