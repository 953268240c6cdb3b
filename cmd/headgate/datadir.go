package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os/user"
	"path/filepath"
	"syscall"

	"headgate/broker/store"
)

// openStore opens the store in the data directory. Its error names the key that
// says where that is, and what to do.
func openStore(dataDir string, cfg store.Config, log *slog.Logger) (*store.Store, error) {
	dir := absolute(dataDir)
	st, err := store.Open(filepath.Join(dir, storeName), cfg, log)
	switch {
	case err == nil:
		return st, nil
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w; it must be a directory that %s may write to: make it so (sudo install -d -o USER %s), or name another one", err, who(), dir)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		err = fmt.Errorf("%w; it must be a directory: name another one, or move away the file that is there", err)
	case errors.Is(err, syscall.EROFS):
		err = fmt.Errorf("%w; it must be in a file system that can be written to: name another one", err)
	}
	return nil, fmt.Errorf("gateway.data_dir %q: %w", dataDir, err)
}

// who names the user that this process runs as.
func who() string {
	if u, err := user.Current(); err == nil {
		return "the user " + u.Username
	}
	return "this user"
}

// absolute gives a path as it is from the root on; as it is where that cannot be
// told.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
