package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/broker/store"
	"headgate/cmd/headgate/config"
	"headgate/cmd/headgate/control"
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

func TestABackupDoesNotWaitForAGatewayThatGivesNothing(t *testing.T) {
	t.Parallel()
	file := &config.File{}
	file.Gateway.DataDir = t.TempDir()
	l, err := net.Listen("unix", filepath.Join(file.Gateway.DataDir, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- control.Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Write(make([]byte, 100)) // of a header of 512
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}))
	}()
	a, err := newArchiveWriter(io.Discard, manifest{})
	if err != nil {
		t.Fatal(err)
	}
	if err := addData(a, file, nil, 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "has given nothing for 50ms") {
		t.Errorf("got %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAGatewayGivesNoBackupOfTheDataOfAnother(t *testing.T) {
	t.Parallel()
	h := &house{config: &config.File{}}
	h.config.Gateway.ID, h.config.Gateway.DataDir = "one", t.TempDir()
	answer := httptest.NewRecorder()
	h.serveBackup(answer, httptest.NewRequest("GET", backupPath+"?data_dir="+url.QueryEscape(t.TempDir()), nil))
	if answer.Code == http.StatusOK || !strings.Contains(answer.Body.String(), "the gateway that runs here, one, has its data in ") {
		t.Errorf("got %d %s", answer.Code, answer.Body)
	}
}
