package port

import (
	"os"
	"path/filepath"
	"testing"
)

// tree is a directory that stands for /sys and /dev: at gives a path in it, file
// and link make what is there.
func tree(t *testing.T) (at func(parts ...string) string, file func(path, text string), link func(to, path string)) {
	t.Helper()
	root := t.TempDir()
	at = func(parts ...string) string { return filepath.Join(append([]string{root}, parts...)...) }
	file = func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link = func(to, path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	return at, file, link
}
