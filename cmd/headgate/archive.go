package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// A backup is a tar packed by gzip, which any tar reads. Its entries:
//
//	manifest.json   a manifest; the first one
//	config/...      what stands in the directory of the configuration file
//	files/...       files that it names and that stand elsewhere, by their whole path
//	data/...        the data directory
//	checksums.json  the SHA-256 of each file before it; the last one
const (
	archiveVersion = 1

	manifestEntry = "manifest.json"
	sumsEntry     = "checksums.json"
	configPrefix  = "config/"
	filesPrefix   = "files/"
	dataPrefix    = "data/"

	maxArchiveJSON = 16 << 20 // bytes of either
)

// manifest says what a backup is of.
type manifest struct {
	Format  int       `json:"format"`
	Version string    `json:"version"` // of the headgate that made it
	Gateway string    `json:"gateway"` // its id
	Time    time.Time `json:"time"`
	Config  string    `json:"config"`   // path of the configuration file
	DataDir string    `json:"data_dir"` // path
	Secrets bool      `json:"secrets"`  // whether the files with secrets are in it
}

// archivedFile is one file of a backup.
type archivedFile struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// archiveWriter writes a backup.
type archiveWriter struct {
	zip  *gzip.Writer
	tar  *tar.Writer
	sums []archivedFile
	size int64
}

func newArchiveWriter(w io.Writer, m manifest) (*archiveWriter, error) {
	zip, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	a := &archiveWriter{zip: zip, tar: tar.NewWriter(zip)}
	return a, a.addJSON(manifestEntry, m)
}

// add appends an entry; r is read for a file only.
func (a *archiveWriter) add(h *tar.Header, r io.Reader) error {
	if err := a.tar.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(a.tar, sum), r, h.Size); err != nil {
		return err
	}
	a.sums = append(a.sums, archivedFile{h.Name, h.Size, hex.EncodeToString(sum.Sum(nil))})
	a.size += h.Size
	return nil
}

func (a *archiveWriter) addJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(b)), ModTime: time.Now().Truncate(time.Second)}
	return a.add(h, strings.NewReader(string(b)))
}

// close ends the backup: without it, it counts as damaged.
func (a *archiveWriter) close() error {
	err := a.addJSON(sumsEntry, a.sums)
	if err == nil {
		err = a.tar.Close()
	}
	return errors.Join(err, a.zip.Close())
}

// tarFile appends a file as name, as long as it is now; who appends to it meanwhile
// does no harm. One that is gone is left out.
func tarFile(add func(*tar.Header, io.Reader) error, from, name string) error {
	f, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	h.Name = name
	if err := add(h, f); err != nil {
		return fmt.Errorf("add %s: %w", from, err)
	}
	return nil
}

// tarDir appends a directory as name and all files below it for which keep says so,
// by their paths in it. Links, sockets and devices are left out.
func tarDir(add func(*tar.Header, io.Reader) error, dir, name string, keep func(rel string) bool) error {
	return filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case rel != "." && !keep(rel):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.Type().IsRegular():
			return tarFile(add, at, path.Join(name, rel))
		case !d.IsDir():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		h, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		h.Name = path.Join(name, rel) + "/"
		return add(h, nil)
	})
}

// archive is a backup that is whole.
type archive struct {
	path string
	manifest
	bytes int64           // of its files
	files map[string]bool // names
}

var errDamaged = errors.New("it is damaged, or no backup of headgate")

// openArchive reads a backup to its end and compares every checksum.
func openArchive(path string) (*archive, error) {
	a := &archive{path: path, files: map[string]bool{}}
	var sums []archivedFile
	read := map[string]archivedFile{}
	first, last := "", ""
	err := a.each(func(h *tar.Header, r io.Reader) error {
		if first == "" {
			first = h.Name
		}
		last = h.Name
		if h.Typeflag != tar.TypeReg {
			return nil
		}
		sum := sha256.New()
		r = io.TeeReader(r, sum)
		var err error
		switch h.Name {
		case manifestEntry:
			if err = readJSON(r, &a.manifest); err == nil && a.Format > archiveVersion {
				return fmt.Errorf("its format is %d, and this headgate reads format %d at most: install the release that made it, %s", a.Format, archiveVersion, a.Version)
			}
		case sumsEntry:
			err = readJSON(r, &sums)
		default:
			a.files[h.Name] = true
			a.bytes += h.Size
		}
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", errDamaged, h.Name, err)
		}
		read[h.Name] = archivedFile{h.Name, h.Size, hex.EncodeToString(sum.Sum(nil))}
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the backup %s: %w", path, err)
	case first != manifestEntry || a.Format < 1:
		return nil, fmt.Errorf("read the backup %s: %w: it does not begin with %s", path, errDamaged, manifestEntry)
	case last != sumsEntry:
		return nil, fmt.Errorf("read the backup %s: %w: its end is missing", path, errDamaged)
	}
	for _, f := range sums {
		if read[f.Name] != f {
			return nil, fmt.Errorf("read the backup %s: %w: %s is not what it was", path, errDamaged, f.Name)
		}
		delete(read, f.Name)
	}
	delete(read, sumsEntry)
	for name := range read {
		return nil, fmt.Errorf("read the backup %s: %w: %s has no checksum", path, errDamaged, name)
	}
	return a, nil
}

func readJSON(r io.Reader, v any) error {
	return json.NewDecoder(io.LimitReader(r, maxArchiveJSON)).Decode(v)
}

// each gives every entry. A name that leads out of its place is damage.
func (a *archive) each(fn func(h *tar.Header, r io.Reader) error) error {
	f, err := os.Open(a.path)
	if err != nil {
		return err
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	in := tar.NewReader(zip)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			if _, err := io.Copy(io.Discard, zip); err != nil { // to its checksum
				return fmt.Errorf("%w: %w", errDamaged, err)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		if name := strings.TrimSuffix(h.Name, "/"); !filepath.IsLocal(name) || path.Clean(name) != name || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir {
			return fmt.Errorf("%w: an entry %q of type %q", errDamaged, h.Name, h.Typeflag)
		}
		if err := fn(h, in); err != nil {
			return err
		}
	}
}
