package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
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

func TestCtrlCEndsInitAtAQuestion(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("headgate", "init", filepath.Join(t.TempDir(), "first.toml")) // TestMain puts it into PATH
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	if _, err := bufio.NewReader(out).ReadString(':'); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var status *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &status) || status.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT {
		t.Errorf("got %v, want its end by SIGINT", err)
	}
}
