package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// copyDisk names a small disk to the process in which the test below does its work:
// one that has no room dies by SIGBUS.
const copyDisk = "HEADGATE_STORE_TEST_COPY_DISK"

func TestACopyForWhichThereIsNoRoomIsRefusedAndTheStoreGoesOn(t *testing.T) {
	if disk := os.Getenv(copyDisk); disk != "" {
		copyAsTheDiskFills(t, disk)
		return
	}
	wantLoop(t, "what a copy does on a full disk")
	t.Parallel()
	disk := t.TempDir()
	run(t, "mount", "-t", "tmpfs", "-o", "size=112M", "tmpfs", disk)
	t.Cleanup(func() { exec.Command("umount", "-l", disk).Run() })
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), copyDisk+"="+disk)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %.2000s", err, out)
	}
}

func copyAsTheDiskFills(t *testing.T, disk string) {
	s := open(t, filepath.Join(disk, "store"), small())
	put := func(key string) error {
		data := make([]byte, 60_000)
		for i := range data {
			data[i] = byte(rand.Uint32())
		}
		return tryCommit(s, Record{Kind: Put, Key: key, Data: data})
	}
	for n := range 350 {
		if err := put(fmt.Sprint("retained ", n)); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "a checkpoint of it", func() bool {
		n, err := takenBytes(stateDir(filepath.Join(disk, "store")))
		return err == nil && n > 20_000_000
	})
	made, refused := 0, 0
	for n := 0; refused < 3; n++ {
		if err := os.WriteFile(filepath.Join(disk, fmt.Sprint("junk", n)), make([]byte, 2<<20), 0o600); err != nil {
			t.Fatalf("after %d copies and %d that were refused: %v", made, refused, err)
		}
		if err := put("one more"); err != nil {
			t.Fatalf("after %d copies and %d that were refused: %v", made, refused, err)
		}
		_, done, err := s.Copy(t.Context())
		switch {
		case errors.Is(err, ErrFull):
			refused++
		case err != nil:
			t.Fatal(err)
		default:
			made++
			if err := done(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if made == 0 || refused == 0 {
		t.Errorf("%d copies were made and %d refused", made, refused)
	}
	closeStore(t, s)
}
