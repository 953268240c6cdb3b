package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

var (
	// ErrNotClosed is for looking into a store that a crash has left.
	ErrNotClosed = errors.New("it was not closed, and has to be recovered first, as a start does")

	errLook = errors.New("the store was opened to look into it")
)

// OpenToLook opens a store that nobody runs on, to look into it: nothing is
// committed, and nothing on disk changes but who holds its lock. Where the
// process that ran on it did not close it, the error is ErrNotClosed: Open
// recovers it.
func OpenToLook(dir string, cfg Config, log *slog.Logger) (*Store, error) {
	cfg.SetDefaults()
	if _, err := os.Lstat(filepath.Join(dir, formatFile)); err != nil {
		return nil, fmt.Errorf("look into the store: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look into the store: %w", err)
	}
	s := newStore(dir, cfg, log)
	s.lock, s.look, s.spool.look = lock, true, true
	if s.compressor, err = newCompressor(cfg.Compression); err != nil {
		return nil, errors.Join(err, unlockDir(lock))
	}
	s.ledger.path = filepath.Join(dir, ledgerFile)
	s.wear = newWear(dir, &s.cfg, &s.counters.payload, log)
	close(s.committer)
	close(s.keeper)
	close(s.watcher)
	if err := s.recoverToLook(); err != nil {
		return nil, errors.Join(fmt.Errorf("look into the store %s: %w", dir, err), s.Close())
	}
	return s, nil
}

// recoverToLook brings memory to where the log ends.
func (s *Store) recoverToLook() error {
	if err := wasClosed(s.dir); err != nil {
		return err
	}
	salt, _, err := readFormat(filepath.Join(s.dir, formatFile))
	if err != nil {
		return err
	}
	s.spool.salt = salt
	s.ledger.load()
	s.ledger.path = "" // what is found now is told, and found again
	st := &stateDB{dir: stateDir(s.dir), log: s.log, look: true}
	s.state = st
	if err := st.openDB(); err != nil {
		return err
	}
	c, err := st.load()
	if err != nil {
		return err
	}
	s.takeOver(&c)
	return s.readLog(c.applied)
}

// wasClosed says whether the databases were: one that was has no write-ahead log.
func wasClosed(dir string) error {
	gens, err := os.ReadDir(spoolDir(dir))
	if err != nil {
		return err
	}
	dirs := []string{stateDir(dir)}
	for _, g := range gens {
		if strings.HasSuffix(g.Name(), goneSuffix) {
			continue
		}
		dirs = append(dirs, filepath.Join(spoolDir(dir), g.Name()))
	}
	for _, d := range dirs {
		entries, err := os.ReadDir(d)
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: %s is missing", ErrNotClosed, d)
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if filepath.Ext(e.Name()) == ".mem" {
				return fmt.Errorf("%w: %s has a write-ahead log", ErrNotClosed, d)
			}
		}
	}
	return nil
}
