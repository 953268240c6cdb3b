package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"headgate/broker/store"
)

// restoreCmd makes the gateway that a backup is of.
type restoreCmd struct {
	From    string `arg:"" name:"from" help:"The file that headgate backup has written."`
	Config  string `placeholder:"FILE" help:"Where the configuration file goes; by default where it was, with conf.d beside it."`
	DataDir string `placeholder:"DIR" help:"Where the data go; by default where they were. The configuration must say the same."`
	Secrets bool   `help:"Also the files with secrets that the backup has and that stand outside of the configuration's directory."`
	Force   bool   `help:"Also where there is a configuration or data already: what is there is renamed, and kept."`
}

const (
	restoringName  = ".restoring"
	replacedPrefix = "replaced-"

	// restoreSpare is what the store wants beside its data to be opened.
	restoreSpare = 64 << 20 // bytes
)

// restore is one under way.
type restore struct {
	*archive
	config, dataDir string
	secrets         bool
	replaced        string // suffix of what is kept
	outside         int    // files that were left out
}

// Run reads the whole backup before it changes anything.
func (c *restoreCmd) Run(k *kong.Kong) error {
	a, err := openArchive(c.From)
	if err != nil {
		return err
	}
	r := &restore{archive: a, config: absolute(cmp.Or(c.Config, a.Config)), dataDir: absolute(cmp.Or(c.DataDir, a.DataDir)),
		secrets: c.Secrets, replaced: replacedPrefix + time.Now().UTC().Format("20060102T150405")}
	if err := r.run(c.Force); err != nil {
		return fmt.Errorf("restore %s: %w", c.From, err)
	}
	fmt.Fprintf(k.Stdout, "The gateway %s is as it was at %s: %s, and its data in %s.\n", a.Gateway, a.Time.Local().Format(time.DateTime), r.config, r.dataDir)
	fmt.Fprintln(k.Stdout, "What it has delivered since then may be delivered once more. Start it: systemctl start headgate")
	if !a.Secrets {
		fmt.Fprintln(k.Stdout, "The backup has no files with secrets: headgate check says which the configuration misses.")
	}
	if r.outside > 0 {
		fmt.Fprintf(k.Stdout, "%d files that stand outside of the configuration's directory were left out: --secrets restores them.\n", r.outside)
	}
	return nil
}

func (r *restore) run(force bool) error {
	if err := os.MkdirAll(r.dataDir, 0o750); err != nil {
		return err
	}
	storeDir := filepath.Join(r.dataDir, storeName)
	if _, err := os.Lstat(storeDir); err == nil {
		unlock, err := store.Lock(storeDir)
		if err != nil {
			return err // a gateway runs on it
		}
		defer unlock()
	}
	if !force {
		if err := r.isFree(); err != nil {
			return err
		}
	}
	var at unix.Statfs_t
	if err := unix.Statfs(r.dataDir, &at); err != nil {
		return fmt.Errorf("free space of %s: %w", r.dataDir, err)
	}
	if free := int64(at.Bavail) * int64(at.Bsize); free < r.bytes+restoreSpare {
		return fmt.Errorf("%s are free in the file system of %s, and %s are needed: make room there", size(free), r.dataDir, size(r.bytes+restoreSpare))
	}
	fresh := filepath.Join(r.dataDir, restoringName)
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := r.unpackData(fresh); err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	if err := store.CheckFormat(filepath.Join(fresh, storeName)); err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	if err := r.putConfig(); err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	return r.exchange(fresh)
}

// isFree says what there is already. A directory in which nothing was ever kept is
// as good as none.
func (r *restore) isFree() error {
	there, err := r.present()
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return fmt.Errorf("%s is not empty, there is %s: say --force, and it is kept as %s there", r.dataDir, there[0], r.replaced)
	}
	return r.eachConfig(func(_ *tar.Header, to string, text io.Reader) error {
		same, err := holds(to, text)
		if err == nil && !same {
			err = fmt.Errorf("%s is there already, and another one: say --force, and it is kept as %s.%s", to, filepath.Base(to), r.replaced)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// present lists what is in the data directory.
func (r *restore) present() (names []string, err error) {
	entries, err := os.ReadDir(r.dataDir)
	for _, e := range entries {
		if e.Name() != restoringName && !strings.HasPrefix(e.Name(), replacedPrefix) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// holds says whether a file has just that text.
func holds(path string, text io.Reader) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	is, want := sha256.New(), sha256.New()
	_, err = io.Copy(is, f)
	if err == nil {
		_, err = io.Copy(want, text)
	}
	return bytes.Equal(is.Sum(nil), want.Sum(nil)), err
}

// eachConfig gives the files of the configuration, and where they go.
func (r *restore) eachConfig(fn func(h *tar.Header, to string, text io.Reader) error) error {
	r.outside = 0
	main := configPrefix + filepath.Base(r.Config)
	return r.each(func(h *tar.Header, text io.Reader) error {
		if h.Typeflag != tar.TypeReg {
			return nil
		}
		if h.Name == main {
			return fn(h, r.config, text)
		}
		if rel, ok := strings.CutPrefix(h.Name, configPrefix); ok {
			return fn(h, filepath.Join(filepath.Dir(r.config), filepath.FromSlash(rel)), text)
		}
		if rel, ok := strings.CutPrefix(h.Name, filesPrefix); ok {
			if !r.secrets {
				r.outside++
				return nil
			}
			return fn(h, string(filepath.Separator)+filepath.FromSlash(rel), text)
		}
		return nil
	})
}

// putConfig writes the files of the configuration, each whole or not at all. What
// differs is kept beside them under another name, and so is what stands in conf.d and
// was not there.
func (r *restore) putConfig() error {
	var placed []string
	err := r.eachConfig(func(h *tar.Header, to string, text io.Reader) error {
		placed = append(placed, to)
		if err := r.makeParents(filepath.Dir(to)); err != nil {
			return err
		}
		fresh := to + ".restoring"
		if err := unpack(h, fresh, text); err != nil {
			return err
		}
		if err := keep(to, to+"."+r.replaced); err != nil {
			return err
		}
		return os.Rename(fresh, to)
	})
	if err != nil {
		return err
	}
	others, _ := filepath.Glob(filepath.Join(filepath.Dir(r.config), "conf.d", "*.toml")) // the pattern is good
	for _, path := range others {
		if !slices.Contains(placed, path) {
			if err := keep(path, path+"."+r.replaced); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeParents makes a directory for files of the configuration, which root and the
// group of the directory above may read.
func (r *restore) makeParents(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := r.makeParents(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o750); err != nil {
		return err
	}
	var above unix.Stat_t
	if err := unix.Stat(filepath.Dir(dir), &above); err != nil || os.Geteuid() != 0 {
		return err
	}
	return os.Chown(dir, int(above.Uid), int(above.Gid))
}

// keep renames what is there.
func keep(path, to string) error {
	if err := os.Rename(path, to); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// unpackData writes the data directory to another place.
func (r *restore) unpackData(fresh string) error {
	var dirs []*tar.Header
	err := r.each(func(h *tar.Header, data io.Reader) error {
		rel, ok := strings.CutPrefix(h.Name, dataPrefix)
		if !ok {
			return nil
		}
		to := filepath.Join(fresh, filepath.FromSlash(rel))
		if h.Typeflag == tar.TypeDir {
			dirs = append(dirs, h)
			return os.MkdirAll(to, 0o700)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		return unpack(h, to, data)
	})
	if err != nil {
		return err
	}
	for _, h := range slices.Backward(dirs) {
		to := filepath.Join(fresh, filepath.FromSlash(strings.TrimPrefix(h.Name, dataPrefix)))
		if to == fresh {
			to = r.dataDir
		}
		if err := own(h, to); err != nil {
			return err
		}
	}
	return nil
}

// unpack writes a file with its owner and mode, and syncs it.
func unpack(h *tar.Header, to string, data io.Reader) error {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	return own(h, to)
}

// own gives a file or directory its mode and, where root restores, its owner: by
// name, as the numbers may be others on another system.
func own(h *tar.Header, path string) error {
	if os.Geteuid() == 0 {
		uid, gid := h.Uid, h.Gid
		if u, err := user.Lookup(h.Uname); err == nil {
			uid = idNumber(u.Uid, uid)
		}
		if g, err := user.LookupGroup(h.Gname); err == nil {
			gid = idNumber(g.Gid, gid)
		}
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, h.FileInfo().Mode().Perm())
}

func idNumber(text string, otherwise int) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return otherwise
}

// exchange puts what was there aside, and what was unpacked in its place, the store
// last: a crash in between leaves the old one or none.
func (r *restore) exchange(fresh string) error {
	there, err := r.present()
	if err != nil {
		return err
	}
	if len(there) > 0 {
		aside := filepath.Join(r.dataDir, r.replaced)
		if err := os.Mkdir(aside, 0o700); err != nil {
			return err
		}
		for _, name := range there {
			if err := os.Rename(filepath.Join(r.dataDir, name), filepath.Join(aside, name)); err != nil {
				return err
			}
		}
	}
	entries, err := os.ReadDir(fresh)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Name() != storeName {
			names = append(names, e.Name())
		}
	}
	for _, name := range append(names, storeName) {
		if err := os.Rename(filepath.Join(fresh, name), filepath.Join(r.dataDir, name)); err != nil {
			return err
		}
	}
	if err := os.Remove(fresh); err != nil {
		return err
	}
	d, err := os.Open(r.dataDir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}
