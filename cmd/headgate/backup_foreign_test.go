package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/broker/store"
)

func TestABackupWhoseNamesLeadOutOfTheirPlaceIsDamaged(t *testing.T) {
	t.Parallel()
	for _, name := range []string{configPrefix + "../evil", dataPrefix + "../evil", filesPrefix + "a/../evil", configPrefix + "./evil", "config//evil", "/evil"} {
		dir := t.TempDir()
		backup, etc := filepath.Join(dir, "foreign.backup"), filepath.Join(dir, "etc", "headgate")
		out, err := os.Create(backup)
		if err != nil {
			t.Fatal(err)
		}
		a, err := newArchiveWriter(out, manifest{Format: archiveVersion, Gateway: "plant", Time: time.Now(),
			Config: filepath.Join(etc, "headgate.toml"), DataDir: filepath.Join(dir, "data")})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{configPrefix + "headgate.toml", name} {
			if err := a.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: 1}, strings.NewReader("\n")); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(a.close(), out.Close()); err != nil {
			t.Fatal(err)
		}
		if status, text := said("restore", backup); status != exitFailed || !strings.Contains(text, "damaged") {
			t.Errorf("%s: restore ends with %d: %s", name, status, text)
		}
	}
}

func TestABackupWithoutSecretsHasNoneOfTheDataDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, config := filepath.Join(dir, "data"), filepath.Join(dir, "headgate.toml")
	s, err := store.Open(filepath.Join(data, storeName), store.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(data, "users")
	text := strings.NewReplacer("{DIR}", data, "{USERS}", users).Replace(backupConfig)
	for path, text := range map[string]string{config: text, users: ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, secrets := range []bool{false, true} {
		backup := filepath.Join(dir, fmt.Sprint(secrets))
		if err := os.WriteFile(backup+".part", nil, 0o644); err != nil { // of a backup that was broken off
			t.Fatal(err)
		}
		args := []string{"backup", backup, "--config", config}
		if secrets {
			args = append(args, "--secrets")
		}
		if status, text := said(args...); status != 0 {
			t.Fatalf("backup ends with %d: %s", status, text)
		}
		a, err := openArchive(backup)
		if err != nil {
			t.Fatal(err)
		}
		if a.files[dataPrefix+"users"] != secrets || !a.files[dataPrefix+"store/FORMAT"] {
			t.Errorf("with secrets %v: it has %v", secrets, a.files)
		}
		if info, err := os.Stat(backup); err != nil || info.Mode() != fs.FileMode(0o600) {
			t.Errorf("got %v %v", info.Mode(), err)
		}
	}
}

func TestABackupIsNotPartOfTheNextOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, config, link := filepath.Join(dir, "data"), filepath.Join(dir, "headgate.toml"), filepath.Join(dir, "link")
	s, err := store.Open(filepath.Join(data, storeName), store.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("{DIR}", data, "{USERS}", filepath.Join(dir, "users")).Replace(backupConfig)
	err = errors.Join(s.Close(), os.WriteFile(config, []byte(text), 0o600), os.WriteFile(filepath.Join(dir, "users"), nil, 0o600),
		os.Mkdir(filepath.Join(data, "old"), 0o700), os.Symlink(filepath.Join(data, "old"), link))
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{filepath.Join(data, "plant.backup"), filepath.Join(data, "old", "plant.backup"), filepath.Join(link, "plant.backup")} {
		if status, text := said("backup", to, "--config", config); status == 0 || !strings.Contains(text, "is in the data directory") {
			t.Errorf("%s: backup ends with %d: %s", to, status, text)
		}
	}
	if status, text := said("backup", filepath.Join(dir, "data.backup"), "--config", config); status != 0 {
		t.Errorf("backup ends with %d: %s", status, text)
	}
}
