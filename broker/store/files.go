package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	formatFile = "FORMAT"
	formatText = "headgate store "
	lockFile   = "LOCK"

	// formatVersion is raised with that of anything in the directory: segments, the
	// state, a catalogue, the ledger. What a store of each version looks like stands
	// in testdata, and is read by a test. 1 was without records of kind dropped, 2
	// without compressed segments; a directory has the lowest one that it can.
	formatVersion  = 3
	formatUnpacked = 2
)

// checkFormat reads the directory's format version and the store's salt, and
// writes them to a new one. Where the file is damaged but there is a store, it is
// written again; a newer version is refused.
func checkFormat(dir string, c Compression, log *slog.Logger) (salt uint32, err error) {
	least := formatUnpacked
	if c == Zstd {
		least = formatVersion
	}
	path := filepath.Join(dir, formatFile)
	salt, version, err := readFormat(path)
	var unread *os.PathError
	switch {
	case err == nil && version < least:
		return salt, writeFormat(path, least, salt)
	case err == nil:
		return salt, nil
	case version > formatVersion:
		return 0, err
	case errors.As(err, &unread) && !errors.Is(err, os.ErrNotExist):
		return 0, fmt.Errorf("read the format version: %w", err)
	}
	_, serr := os.Lstat(spoolDir(dir))
	switch {
	case serr == nil:
		log.Error("the file with the format version is damaged or missing and is written again", "path", path)
		least = formatVersion // there may be anything
	case unread == nil:
		return 0, fmt.Errorf("%s does not say %q and a version, and there is no spool beside it: this is no store; give another directory", path, strings.TrimSpace(formatText))
	}
	for salt == 0 {
		salt = rand.Uint32()
	}
	return salt, writeFormat(path, least, salt)
}

// readFormat reads the file with the format version.
func readFormat(path string) (salt uint32, version int, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	_, err = fmt.Sscanf(string(b), formatText+"%d\nsalt %x\n", &version, &salt)
	switch {
	case version > formatVersion:
		err = fmt.Errorf("%s says format %d: a newer headgate wrote it, this one reads format %d at most: install that release again, or give another directory", path, version, formatVersion)
	case err != nil || version < 1 || salt == 0:
		err = fmt.Errorf("%s does not say %q, a version and a salt", path, strings.TrimSpace(formatText))
	}
	return salt, version, err
}

func writeFormat(path string, version int, salt uint32) error {
	return writeFile(path, fmt.Sprintf("%s%d\nsalt %08x\n", formatText, version, salt))
}

// writeFile writes a small file whole or not at all.
func writeFile(path, text string) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", tmp, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes what was created, renamed and removed in a directory durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// lockDir keeps other processes out until the file is closed.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 20))
		f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, fmt.Errorf("directory %s is in use by process %s: stop that one first, or give this one another data directory",
			dir, strings.TrimSpace(string(holder)))
	}
	// For the one who is told to stop it; not being able to write it is no fault.
	if f.Truncate(0) == nil {
		fmt.Fprintln(f, os.Getpid())
	}
	return f, nil
}

// unlockDir lets other processes in again. Closing alone would not, while a child
// that is just being started still has the file.
func unlockDir(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	return errors.Join(err, f.Close())
}

// allocate takes the disk blocks of a file's first n bytes, which Badger maps
// and would otherwise take while it writes: a full disk would kill the process.
// ok is false where the file system cannot do that: then the free-space guard
// alone must do.
func allocate(f *os.File, n int64) (ok bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	err = syscall.Fallocate(int(f.Fd()), 0, 0, min(n, info.Size()))
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("allocate %d bytes for %s: %w", n, f.Name(), err)
	}
	return true, nil
}

// freeBytes is what the file system of a directory has left for us.
func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// putAside renames a directory that cannot be used, so that somebody may look
// into it.
func putAside(dir string) (string, error) {
	for i := 0; ; i++ {
		to := dir + ".damaged"
		if i > 0 {
			to += "-" + strconv.Itoa(i)
		}
		if _, err := os.Lstat(to); err == nil {
			continue
		}
		if err := os.Rename(dir, to); err != nil {
			return "", err
		}
		return to, syncDir(filepath.Dir(dir))
	}
}
