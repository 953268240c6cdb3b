package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// A copy of a store that goes on is the log up to one record, and a checkpoint no
// newer than that: what Open makes a store of after a crash at that instant, but
// without a commit that is under way. The committer begins another generation, and
// goes on; the keeper, which alone seals, checkpoints and removes, comes to the copy
// when all before it are sealed: their files never change again, so that links to
// them are enough. The state is copied, because Badger empties its files before it
// removes them.
type copyJob struct {
	ctx  context.Context // of who waits
	tail *generation     // with which what is not in the copy begins; by the committer
	done chan error
}

// copyName is where the copy is made, in the store's own directory.
const copyName = "COPY"

var errCopying = errors.New("another copy is being made: wait until it is done")

// Copy makes a copy of all that was acknowledged until now, in a directory beside
// the data, while the store goes on. It is only to be read, as it shares files with
// the store. The caller calls done when it has read it: till then what is in it takes
// space. There is one at a time.
func (s *Store) Copy(ctx context.Context) (dir string, done func() error, err error) {
	if s.memory || s.look {
		return "", nil, errors.New("copy the store: it is not one that is written to a disk")
	}
	c := &copyJob{ctx: ctx, done: make(chan error)}
	s.mu.Lock()
	switch {
	case s.closing:
		err = ErrClosed
	case s.copying:
		err = errCopying
	default:
		s.copying, s.copyAsked = true, c
	}
	s.mu.Unlock()
	if err != nil {
		return "", nil, fmt.Errorf("copy the store: %w", err)
	}
	s.nudge()
	select {
	case err = <-c.done:
	case <-ctx.Done():
		return "", nil, fmt.Errorf("copy the store: %w", ctx.Err())
	case <-s.closed:
		return "", nil, fmt.Errorf("copy the store: %w", ErrClosed)
	}
	if err != nil {
		return "", nil, fmt.Errorf("copy the store: %w", err)
	}
	return filepath.Join(s.dir, copyName), s.endCopy, nil
}

// endCopy removes the copy.
func (s *Store) endCopy() error {
	err := os.RemoveAll(filepath.Join(s.dir, copyName))
	s.mu.Lock()
	s.copying = false
	s.mu.Unlock()
	return err
}

// answerCopy tells who waits for a copy. Where nobody does any more, it is removed.
func (s *Store) answerCopy(c *copyJob, err error) {
	if err != nil {
		err = errors.Join(err, s.endCopy())
	}
	select {
	case c.done <- err:
		return
	case <-c.ctx.Done():
	case <-s.closed:
	}
	if err == nil {
		if err := s.endCopy(); err != nil {
			s.log.Warn("a copy that nobody waits for is not removed", "path", s.dir, "err", err)
		}
	}
}

// beginCopy ends the tail for a copy that was asked for, if it has anything, and
// hands the copy to the keeper. Of the committer.
func (s *Store) beginCopy() {
	s.mu.Lock()
	c, err, first := s.copyAsked, s.err, s.logged+1
	s.copyAsked = nil
	s.mu.Unlock()
	if c == nil {
		return
	}
	if err == nil {
		err = s.cutTail(first)
	}
	if err != nil {
		s.answerCopy(c, err)
		return
	}
	c.tail = s.spool.tail
	s.jobs <- job{copy: c}
}

// cutTail begins another generation, of which first is the first record.
func (s *Store) cutTail(first uint64) error {
	t, room := s.spool.tail, s.spool.room
	switch {
	case t == nil, t.failed, len(s.failed) > 0:
		return errors.New("the disk does not take what is written")
	case t.bytes.Load() == 0:
		return nil
	case !s.space.writable(memAlloc + room):
		return fmt.Errorf("%w: %v free in the file system of %s are not enough for another generation", ErrFull, Bytes(s.space.free.Load()), s.dir)
	}
	old, err := s.spool.create(first, room)
	if err != nil {
		return err
	}
	s.space.follow(&s.spool.tail.tail)
	s.jobs <- job{seal: old}
	return nil
}

// makeCopy makes the copy. Of the keeper.
func (s *Store) makeCopy(c *copyJob) {
	err := c.ctx.Err()
	if err == nil {
		err = s.copyTo(filepath.Join(s.dir, copyName), c.tail)
	}
	s.answerCopy(c, err)
}

func (s *Store) copyTo(dir string, tail *generation) error {
	if len(s.unsealed) > 0 {
		return fmt.Errorf("%w: there is no room to end the newest generation", ErrFull)
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	st, ok := s.state.(*stateDB)
	if !ok {
		return errors.New("it has no state database")
	}
	bytes, err := takenBytes(st.dir)
	if err != nil {
		return err
	}
	if err := s.roomToCopy(bytes); err != nil {
		return err
	}
	if err := os.MkdirAll(spoolDir(dir), 0o700); err != nil {
		return err
	}
	if err := st.copyAll(stateDir(dir), s.roomToCopy); err != nil {
		return fmt.Errorf("copy the state database: %w", err)
	}
	for _, g := range s.spool.list() {
		if g.id >= tail.id {
			continue
		}
		if err := g.copyTo(filepath.Join(spoolDir(dir), filepath.Base(g.dir))); err != nil {
			return fmt.Errorf("copy generation %s: %w", g.dir, err)
		}
	}
	for _, name := range []string{formatFile, ledgerFile} {
		err := copyFile(filepath.Join(s.dir, name), filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// copyStep is after how many bytes of the state it is looked again whether there is
// room for a copy, which others may have taken.
const copyStep = 256 << 10

// roomToCopy says whether the disk has room for so many bytes of a copy, and for what
// Badger takes beside them: it dies where there is none for what it writes through a
// map. What is left is enough for another generation; the reserve is not for copies.
func (s *Store) roomToCopy(bytes int64) error {
	if s.space.writable(bytes + 3*memAlloc + s.spool.room) {
		return nil
	}
	return fmt.Errorf("%w: %v free in the file system of %s are not enough for a copy of the state", ErrFull, Bytes(s.space.free.Load()), s.dir)
}

// takenBytes is what the files of a directory take on disk.
func takenBytes(dir string) (bytes int64, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	return bytes, err
}

// copyAll writes a database with all that st holds, as long as there is room for the
// next step.
func (st *stateDB) copyAll(dir string, room func(bytes int64) error) (err error) {
	fresh := &stateDB{dir: dir, log: st.log, makeRoom: func(bytes int64) bool { return room(bytes) == nil }}
	if err := fresh.openDB(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fresh.close()) }()
	w := stateWriter{db: fresh.db, txn: fresh.db.NewTransaction(true)}
	defer func() { w.txn.Discard() }()
	err = st.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		bytes := 0
		for it.Rewind(); it.Valid(); it.Next() {
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			if bytes += len(value); bytes >= copyStep {
				if err := room(copyStep); err != nil {
					return err
				}
				bytes = 0
			}
			if w.set(it.Item().KeyCopy(nil), value); w.err != nil {
				return w.err
			}
		}
		return nil
	})
	w.commit()
	return errors.Join(err, w.err, fresh.blog.err())
}

// copyTo makes a directory with the generation's files. A write-ahead log that a
// crash has left becomes a table as soon as somebody reads it, and its file is
// emptied: that is copied.
func (g *generation) copyTo(dir string) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.gone {
		return nil
	}
	if g.closing != nil {
		return fmt.Errorf("it is still being closed: %w", syscall.EBUSY)
	}
	entries, err := os.ReadDir(g.dir)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		from, to := filepath.Join(g.dir, e.Name()), filepath.Join(dir, e.Name())
		if !strings.HasSuffix(from, ".mem") && os.Link(from, to) == nil {
			continue
		}
		if err := copyFile(from, to); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies a file that nobody writes.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Lock keeps a store's directory for the caller until unlock, so that nobody opens
// it. Where somebody has it open, the error says who.
func Lock(dir string) (unlock func() error, err error) {
	f, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	return func() error { return unlockDir(f) }, nil
}

// CheckFormat says why what is in a directory is no store that this release opens.
func CheckFormat(dir string) error {
	_, _, err := readFormat(filepath.Join(dir, formatFile))
	return err
}

// Belongs says whether a file or directory of a store's directory is part of what
// it keeps: not what says who has it open, holds space free, or is a copy of it.
func Belongs(name string) bool {
	return name != lockFile && name != reserveFile && name != copyName && name != openingFile
}
