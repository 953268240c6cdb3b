package store

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
)

// The reserve is a file that takes space as long as there is enough. When the
// disk is full it goes, so that the store can be opened and the checkpoint
// written that lets generations go; when there is room it is made again.
type reserve struct {
	path string
	held atomic.Bool
}

const (
	reserveFile = "RESERVE"

	// reserveBytes is what opening takes at most: for each of two generations that
	// a crash has left a table, and what the state database writes.
	reserveBytes = 10 << 20

	// fullRoom is what a generation takes that is made in its place.
	fullRoom = 2 << 20
)

// find looks whether there is a reserve.
func (r *reserve) find() {
	info, err := os.Stat(r.path)
	r.held.Store(err == nil && info.Size() == reserveBytes)
}

// release gives the space back; it says whether there was some.
func (r *reserve) release() bool {
	if r.path == "" || !r.held.Swap(false) {
		return false
	}
	return os.Remove(r.path) == nil
}

// take makes the file, whole or not at all.
func (r *reserve) take() error {
	tmp := r.path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(reserveBytes)
	if err == nil {
		// Where the file system cannot allocate, the file is empty and the guard of
		// free space alone must do.
		_, err = allocate(f, reserveBytes)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, r.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	r.held.Store(true)
	return nil
}

// keepReserve makes the reserve if there is none, and room for it and for
// another generation.
func (s *Store) keepReserve() {
	r := &s.reserve
	if r.path == "" || r.held.Load() {
		return
	}
	if free, err := freeBytes(s.dir); err != nil || free-reserveBytes-memAlloc-s.spool.room < s.space.minFree {
		return
	}
	err := r.take()
	s.space.last.Store(err != nil && s.space.last.Load())
	if err != nil {
		s.log.Warn("the reserve of disk space cannot be made", "path", r.path, "err", err)
	}
}

// makeRoom says whether Badger may write so many bytes by itself. Without room
// the reserve goes.
func (s *Store) makeRoom(bytes int64) bool {
	if s.space.writable(bytes) {
		return true
	}
	if !s.reserve.release() {
		return false
	}
	s.space.last.Store(true)
	s.log.Warn("the disk is full: the reserve is given up to go on", "path", s.reserve.path)
	return s.space.writable(bytes)
}

// reserveOf gives the reserve of a store's directory.
func reserveOf(dir string) string { return filepath.Join(dir, reserveFile) }
