package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestInitOffersADirectoryThatItsUserMayWriteTo(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for packaged, want := range map[string]string{
		dir:                             dir,
		filepath.Join(dir, "a", "b"):    filepath.Join(dir, "a", "b"), // can be made
		filepath.Join(file, "headgate"): "data",                       // cannot, nor by root
	} {
		if got := offeredDataDir(packaged); got != want {
			t.Errorf("%s: got %s, want %s", packaged, got, want)
		}
	}
}
