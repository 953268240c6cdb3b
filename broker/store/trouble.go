package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

var (
	// ErrUnavailable is for a commit while the disk has taken nothing for 10 seconds;
	// nothing of it is kept. What wraps it says why.
	ErrUnavailable = errors.New("the store's disk does not take what is written")

	// ErrHeld is an ErrUnavailable for a commit that had begun to wait before: its
	// records stay, and become durable when the disk takes them again.
	ErrHeld = fmt.Errorf("%w, and what waits for it is held", ErrUnavailable)
)

const (
	// patience is how long commits are held when the disk does not take them;
	// after that they end with ErrUnavailable.
	patience = 10 * time.Second

	retryFirst = 50 * time.Millisecond // the pause after a write that was not taken
	retryMost  = 2 * time.Second       // it doubles up to this

	// maxFailed is how many generations may have failed and not be sealed yet: a
	// disk that takes the making of each, and no commit, gets no more.
	maxFailed = 3
)

// trouble is what is known of writes that the disk does not take.
type trouble struct {
	mu    sync.Mutex // guards what follows
	since time.Time  // zero: there is none
	last  error
}

// note takes a failure; first says that there was none before it.
func (t *trouble) note(err error, now time.Time) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first = t.since.IsZero()
	if first {
		t.since = now
	}
	t.last = err
	return first
}

// over ends it, and gives since when it was; zero if it was not.
func (t *trouble) over() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	since := t.since
	t.since, t.last = time.Time{}, nil
	return since
}

// now gives the failure that lasts, or nil.
func (t *trouble) now() (since time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.since, t.last
}

// Err is why nothing is acknowledged at the moment, or why no checkpoint is
// written; nil if all is well. It ends by itself when the disk takes writes again.
func (s *Store) Err() error {
	s.mu.Lock()
	err := s.err
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if _, err = s.logTrouble.now(); err != nil {
		return err
	}
	_, err = s.stateTrouble.now()
	return err
}

// recommit commits a batch that the disk has not taken again, under the same
// numbers, until it is taken. How long commits wait for that, refuseLate says. The
// error says that the store closes before the disk has come back.
func (s *Store) recommit(b *batch, err error) error {
	s.logTrouble.note(err, time.Now())
	s.log.Error("the disk does not take what is written: nothing is acknowledged until it does", "path", s.dir, "err", err)
	pause := retryFirst
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		s.mu.Lock()
		closing := s.closing
		s.mu.Unlock()
		if !closing {
			select {
			case <-s.wake: // it may be the end
				continue
			case <-timer.C:
			}
		}
		if err = s.attempt(b); err == nil {
			break
		}
		s.logTrouble.note(err, time.Now())
		if closing {
			return s.giveUp(err)
		}
		pause = min(2*pause, retryMost)
		timer.Reset(pause)
	}
	for _, g := range s.failed {
		s.jobs <- job{seal: g}
	}
	s.failed = nil
	return nil
}

// attempt tries to write a batch that was not taken before.
func (s *Store) attempt(b *batch) error {
	if err := probe(s.dir, probeFile, s.lock); err != nil {
		return err
	}
	return s.write(b)
}

// giveUp ends all writing: what was not taken is lost with the process.
func (s *Store) giveUp(cause error) error {
	err := fmt.Errorf("%w: %w", ErrUnavailable, cause)
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	return err
}

func runWaiters(waiters []waiter, err error) {
	for _, w := range waiters {
		if w.err == nil {
			w.err = err
		}
		w.done(w.err)
	}
}

// setFailed takes the tail out of use, of which a commit was not taken: its pages
// may be marked as written and not be on the disk, so that nothing tells what is.
// What the commit held goes to another generation, and end hides it in this one.
func (s *Store) setFailed(g *generation) {
	g.failed = true
	s.failed = append(s.failed, g)
}

// takesWrites says whether the file system still lets files be written; it writes
// nothing. Where the kernel has found an error, it does not.
func takesWrites(dir string) error {
	path := filepath.Join(dir, formatFile)
	// In half the time that os.OpenFile takes: each commit waits for it.
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	for err == syscall.EINTR {
		fd, err = syscall.Open(path, syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	return syscall.Close(fd)
}

const probeFile = "PROBE"

// probe says whether the disk takes writes: a small file is written, synced and
// removed. It must be the directory that was opened: where a disk was pulled,
// what it was mounted on is still there.
func probe(dir, name string, lock *os.File) error {
	opened, err := lock.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(filepath.Join(dir, lockFile)); err != nil {
		return err
	} else if !os.SameFile(opened, there) {
		return fmt.Errorf("%s is another directory than the one that was opened: mount that one again, or restart", dir)
	}
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 4096))
	if err == nil {
		err = fdatasync(f)
	}
	return errors.Join(err, f.Close(), os.Remove(path))
}
