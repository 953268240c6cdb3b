package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzArchive: whatever a tar says, a backup is whole or refused, and no entry of it
// has a place outside of its own.
func FuzzArchive(f *testing.F) {
	var packed bytes.Buffer
	a, err := newArchiveWriter(&packed, manifest{Format: archiveVersion, Config: "/etc/headgate/headgate.toml", DataDir: "/var/lib/headgate"})
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{configPrefix + "headgate.toml", dataPrefix + "store/FORMAT"} {
		if err := a.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: 2}, strings.NewReader("1\n")); err != nil {
			f.Fatal(err)
		}
	}
	if err := a.close(); err != nil {
		f.Fatal(err)
	}
	zip, err := gzip.NewReader(&packed)
	if err != nil {
		f.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)/2])
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "b")
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		zip.Write(text)
		zip.Close()
		if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := openArchive(path)
		if err != nil {
			return
		}
		for name := range a.files {
			if !filepath.IsLocal(name) {
				t.Errorf("it has %q", name)
			}
		}
		if a.bytes < 0 || a.bytes > int64(len(text)) {
			t.Errorf("%d bytes of %d", a.bytes, len(text))
		}
	})
}
