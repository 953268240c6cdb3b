package main

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"headgate/broker/store"
	"headgate/cmd/headgate/config"
	"headgate/cmd/headgate/control"
)

// backupCmd writes all that makes this gateway to one file.
type backupCmd struct {
	To      string `arg:"" name:"to" help:"The file to write, such as headgate.backup; - is the standard output."`
	Config  string `placeholder:"FILE" default:"${default_config}" help:"The configuration file; by default ${default_config}."`
	Secrets bool   `help:"With the files with passwords, keys and certificates that the configuration names."`
}

const backupPath = "/api/v1/backup"

// Run writes it. What the gateway that runs has acknowledged by now is in it.
func (c *backupCmd) Run(k *kong.Kong) error {
	file, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	if c.To == "-" {
		_, _, err = c.write(file, k.Stdout)
		return err
	}
	if within(file.Gateway.DataDir, c.To) {
		return fmt.Errorf("backup: %s is in the data directory, and each backup would have all those before it: want a place outside of %s", c.To, file.Gateway.DataDir)
	}
	// One that was broken off may be a link, or have another mode.
	if err := os.Remove(c.To + ".part"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup: %w", err)
	}
	out, err := os.OpenFile(c.To+".part", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	bytes, left, err := c.write(file, out)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(out.Name(), c.To)
	}
	if err != nil {
		return fmt.Errorf("backup: %w", errors.Join(err, os.Remove(out.Name())))
	}
	info, err := os.Stat(c.To)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	fmt.Fprintf(k.Stdout, "%s has the gateway %s: %s, packed to %s.\n", c.To, file.Gateway.ID, size(bytes), size(info.Size()))
	if left > 0 {
		fmt.Fprintf(k.Stdout, "Without the files with secrets that the configuration names, %d of them: --secrets takes them too.\n", left)
	}
	return nil
}

// within says whether a file that may not be there yet is in a directory or below it.
func within(dir, file string) bool {
	dir, err := filepath.EvalSymlinks(absolute(dir))
	parent, other := filepath.EvalSymlinks(filepath.Dir(absolute(file)))
	if err != nil || other != nil {
		return false
	}
	rel, err := filepath.Rel(dir, parent)
	return err == nil && filepath.IsLocal(rel)
}

// write writes the backup; left is how many files with secrets it does not have.
func (c *backupCmd) write(file *config.File, out io.Writer) (bytes int64, left int, err error) {
	to := bufio.NewWriterSize(out, 64<<10)
	a, err := newArchiveWriter(to, manifest{Format: archiveVersion, Version: version(), Gateway: file.Gateway.ID, Time: time.Now().UTC(),
		Config: absolute(c.Config), DataDir: absolute(file.Gateway.DataDir), Secrets: c.Secrets})
	if err != nil {
		return 0, 0, err
	}
	secrets := secretFiles(file)
	for _, f := range configFiles(file) {
		if !slices.Contains(secrets, f) {
			err = errors.Join(err, tarFile(a.add, f, c.entry(f)))
		}
	}
	if err != nil {
		return 0, 0, err
	}
	for _, f := range secrets {
		if _, serr := os.Stat(f); serr != nil {
			continue // a gateway runs without it
		}
		if !c.Secrets {
			left++
		} else if err := tarFile(a.add, f, c.entry(f)); err != nil {
			return 0, 0, err
		}
	}
	var without []string // of the data directory
	if !c.Secrets {
		without = secrets
	}
	if err := addData(a, file, without, answerPatience); err != nil {
		return 0, 0, err
	}
	return a.size, left, errors.Join(a.close(), to.Flush())
}

// entry gives the name in the backup for a file with a whole path.
func (c *backupCmd) entry(file string) string {
	rel, err := filepath.Rel(filepath.Dir(absolute(c.Config)), file)
	if err == nil && filepath.IsLocal(rel) {
		return configPrefix + filepath.ToSlash(rel)
	}
	return filesPrefix + strings.TrimPrefix(filepath.ToSlash(file), "/")
}

// configFiles are the files that are the configuration, with the profiles beside it,
// by their whole paths.
func configFiles(file *config.File) (list []string) {
	for _, p := range file.Paths {
		list = append(list, absolute(p))
	}
	profiles, _ := filepath.Glob(filepath.Join(absolute(file.Gateway.ProfileDir), "*.toml")) // the pattern is good
	return append(list, profiles...)
}

// secretFiles are the files that keys of the configuration name, by their whole
// paths: passwords, keys, and the certificates beside them.
func secretFiles(file *config.File) (list []string) {
	var look func(v reflect.Value)
	look = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				look(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				look(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				f := v.Type().Field(i)
				if !f.IsExported() {
					continue
				}
				if name := v.Field(i).String(); f.Type.Kind() == reflect.String && strings.HasSuffix(f.Tag.Get("toml"), "_file") && name != "" {
					list = append(list, absolute(name))
				}
				look(v.Field(i))
			}
		}
	}
	look(reflect.ValueOf(file))
	slices.Sort(list)
	return slices.Compact(list)
}

// addData appends the data directory: as the gateway that runs gives it, or from the
// directory of one that does not; without the files of some paths. A gateway that
// gives nothing for patience is given up.
func addData(a *archiveWriter, file *config.File, without []string, patience time.Duration) error {
	from, to := io.Pipe()
	defer from.Close()
	ended := make(chan error, 1)
	// The gateway at the usual socket may be another one.
	paths := control.Paths(file.Gateway.DataDir)
	slices.Reverse(paths)
	client := control.New(paths)
	asked := backupPath + "?data_dir=" + url.QueryEscape(absolute(file.Gateway.DataDir))
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	quiet := time.AfterFunc(patience, func() { cancel(fmt.Errorf("the gateway has given nothing for %v", patience)) })
	defer quiet.Stop()
	go func() {
		// Who has the store open is the gateway that is meant: only without one, the
		// directory is read as it stands.
		began, err := writeIdleData(file.Gateway.DataDir, to)
		if err != nil && !began {
			idle := err
			err = client.Stream(ctx, asked, answerWriter{to, quiet, patience})
			if errors.Is(err, control.ErrNoGateway) {
				err = idle
			}
		}
		if why := context.Cause(ctx); err != nil && why != nil {
			err = why
		}
		to.CloseWithError(err)
		ended <- err
	}()
	in := tar.NewReader(from)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, from)
			return errors.Join(err, <-ended)
		}
		if err == nil {
			at := filepath.Join(absolute(file.Gateway.DataDir), filepath.FromSlash(strings.TrimPrefix(h.Name, dataPrefix)))
			if slices.Contains(without, at) {
				continue
			}
			err = a.add(h, in)
		}
		if err != nil {
			from.CloseWithError(err)
			<-ended
			return err
		}
	}
}

// answerPatience is how long a gateway may give nothing: first it makes a copy of its
// state and ends a generation.
const answerPatience = 10 * time.Minute

// answerWriter puts off the end of who waits for the gateway with all that it gives.
type answerWriter struct {
	io.Writer
	quiet    *time.Timer
	patience time.Duration
}

func (p answerWriter) Write(b []byte) (int, error) {
	p.quiet.Reset(p.patience)
	return p.Writer.Write(b)
}

// writeIdleData writes the data directory of a gateway that does not run as a tar,
// and keeps one from starting meanwhile. began is false where one runs, or there is none.
func writeIdleData(dataDir string, w io.Writer) (began bool, err error) {
	dir := filepath.Join(absolute(dataDir), storeName)
	if err := store.CheckFormat(dir); err != nil {
		return false, fmt.Errorf("no gateway runs here, and in gateway.data_dir %q there is no store: %w", dataDir, err)
	}
	unlock, err := store.Lock(dir)
	if err != nil {
		return false, err
	}
	return true, errors.Join(writeData(dataDir, dir, w), unlock())
}

// storeName is the store's directory in the data directory.
const storeName = "store"

// writeData writes a data directory as a tar, with the store from where it stands
// still.
func writeData(dataDir, storeDir string, w io.Writer) error {
	out := tar.NewWriter(w)
	add := func(h *tar.Header, r io.Reader) error {
		if err := out.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
			return err
		}
		_, err := io.CopyN(out, r, h.Size)
		return err
	}
	err := tarDir(add, dataDir, strings.TrimSuffix(dataPrefix, "/"), func(rel string) bool {
		first, _, _ := strings.Cut(rel, "/")
		return first != storeName && first != restoringName && !strings.HasPrefix(first, replacedPrefix)
	})
	if err == nil {
		err = tarDir(add, storeDir, dataPrefix+storeName, func(rel string) bool {
			first, _, _ := strings.Cut(rel, "/")
			return store.Belongs(first)
		})
	}
	return errors.Join(err, out.Close())
}

// backupPatience is how long a tool may take for what it was given.
const backupPatience = time.Minute

// serveBackup gives the data directory as a tar, while the gateway goes on, if it is
// the one that is asked for.
func (h *house) serveBackup(w http.ResponseWriter, r *http.Request) {
	if asked := r.FormValue("data_dir"); asked != "" && !sameFile(asked, h.config.Gateway.DataDir) {
		control.Answer(w, nil, fmt.Errorf("the gateway that runs here, %s, has its data in %s, not in %s: name its configuration with --config",
			h.config.Gateway.ID, absolute(h.config.Gateway.DataDir), asked))
		return
	}
	dir, done, err := h.store.Copy(r.Context())
	if err != nil {
		control.Answer(w, nil, err)
		return
	}
	defer func() {
		if err := done(); err != nil {
			h.log.Warn("the copy of the store for a backup is not removed", "path", dir, "err", err)
		}
	}()
	begin := time.Now()
	if err := writeData(h.config.Gateway.DataDir, dir, patientWriter{w, http.NewResponseController(w)}); err != nil {
		h.log.Warn("backup not made", "err", err)
		panic(http.ErrAbortHandler) // who reads sees that it is not all
	}
	h.log.Info("backup made", "path", path.Clean(h.config.Gateway.DataDir), "took", time.Since(begin).Round(time.Millisecond))
}

func sameFile(one, other string) bool {
	a, err := os.Stat(one)
	b, noB := os.Stat(other)
	return err == nil && noB == nil && os.SameFile(a, b)
}

// patientWriter ends an answer that nobody takes any more.
type patientWriter struct {
	w       io.Writer
	control *http.ResponseController
}

func (p patientWriter) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(backupPatience)); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}
