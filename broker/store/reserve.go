package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// The reserve is a file that takes space as long as there is enough. On a full
// disk it shrinks by just what the store is about to take, so that acknowledgements
// can be logged, the checkpoint written that lets generations go, and the store
// opened. What comes free goes to it first: another process that fills the disk
// would have it at once.
type reserve struct {
	path string // "": there is none

	mu    sync.Mutex
	bytes int64 // that it has
}

const (
	reserveFile = "RESERVE"

	// reserveBytes is enough to open the store and begin a small generation: the logs
	// of both databases, and a table for each of two generations that a crash has left.
	reserveBytes = 16 << 20

	// reserveLeast is what comes before messages on a full disk.
	reserveLeast = 10 << 20

	// fullRoom is what a generation takes that is made from it.
	fullRoom = 2 << 20

	// reserveStep is what it grows and shrinks by, at least.
	reserveStep = 64 << 10
)

// find looks how much there is.
func (r *reserve) find() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if info, err := os.Stat(r.path); err == nil {
		r.bytes = info.Size()
	}
}

func (r *reserve) held() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}

// shrink gives so many bytes back; it says whether there were as many.
func (r *reserve) shrink(n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.path == "" || n > r.bytes {
		return false
	}
	left := max(r.bytes-n-reserveStep, 0) / reserveStep * reserveStep
	if os.Truncate(r.path, left) != nil {
		return false
	}
	r.bytes = left
	return true
}

// grow takes so many bytes more, all or none.
func (r *reserve) grow(n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	// Where the file system cannot allocate, the file is empty and the guard of free
	// space alone must do.
	if err = f.Truncate(r.bytes + n); err == nil {
		_, err = allocate(f, r.bytes+n)
	}
	if err != nil {
		return errors.Join(err, f.Truncate(r.bytes), f.Close())
	}
	r.bytes += n
	return f.Close()
}

// keepReserve has the reserve grow to its size, as far as there is room: beside
// another generation and what others shall have, and what was taken from it before
// that.
func (s *Store) keepReserve() {
	r := &s.reserve
	if r.path == "" {
		return
	}
	free, err := freeBytes(s.dir)
	if err != nil {
		return
	}
	ample := free - memAlloc - s.spool.room - s.space.minFree
	n := min(reserveBytes-r.held(), ample)
	if s.space.last.Load() {
		n = max(n, min(reserveLeast-r.held(), free-2*s.space.margin()))
	}
	if n = n / reserveStep * reserveStep; n > 0 {
		if err := r.grow(n); err != nil && !noRoom(err) {
			s.log.Warn("the reserve of disk space cannot be made", "path", r.path, "err", err)
		}
	}
	if ample > 0 {
		s.space.last.Store(false)
	}
}

// makeRoom says whether Badger may write so many bytes by itself. Without room
// the reserve shrinks by what is missing; who asks then takes it at once.
func (s *Store) makeRoom(bytes int64) bool {
	if s.space.writable(bytes) {
		return true
	}
	for {
		lack := bytes + s.space.promised.Load() + s.space.margin() - s.space.free.Load()
		if lack <= 0 {
			return true
		}
		if !s.reserve.shrink(lack) {
			return false
		}
		if !s.space.last.Swap(true) {
			s.log.Warn("the disk is full: the reserve is used to go on", "path", s.reserve.path)
		}
		if s.space.writable(bytes) {
			return true
		}
	}
}

// roomToOpen has makeRoom make room for what Badger writes when it opens a
// directory: its own files, and a table of what stands in write-ahead logs.
func roomToOpen(dir string, makeRoom func(bytes int64) bool) error {
	bytes := int64(64 << 10)
	v, _ := takeInventory(dir) // what cannot be read is for the opening to tell
	for _, path := range v.mems {
		n, err := writtenBytes(path)
		if err != nil {
			n = memTableBytes
		}
		bytes += n + n/4
	}
	if !makeRoom(bytes) {
		return fmt.Errorf("%d bytes for what a crash has left: %w", bytes, syscall.ENOSPC)
	}
	return nil
}

// writtenBytes is where the zeros begin that a file ends with.
func writtenBytes(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	b := make([]byte, 64<<10)
	for end := info.Size(); end > 0; {
		at := max(end-int64(len(b)), 0)
		n, err := f.ReadAt(b[:end-at], at)
		if err != nil && err != io.EOF {
			return 0, err
		}
		if n := len(bytes.TrimRight(b[:n], "\x00")); n > 0 {
			return at + int64(n), nil
		}
		end = at
	}
	return 0, nil
}

// reserveOf gives the reserve of a store's directory.
func reserveOf(dir string) string { return filepath.Join(dir, reserveFile) }
