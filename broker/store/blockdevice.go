package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// blockDevice is the device that holds a directory, as the kernel shows it under
// /sys: the whole one, since a card wears as a whole and not by partitions.
type blockDevice struct {
	name string // "mmcblk0"
	dir  string // under /sys
}

// findDevice gives the device of the file system that path is in; nil where the
// kernel names none, as for tmpfs, overlayfs and btrfs.
func findDevice(root, path string) *blockDevice {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	dev := uint64(st.Dev)
	return openDevice(root, fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev)))
}

// openDevice gives the device of a number: "179:2".
func openDevice(root, number string) *blockDevice {
	dir, err := filepath.EvalSymlinks(filepath.Join(root, "sys/dev/block", number))
	if err != nil {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(dir, "partition")); !errors.Is(err, fs.ErrNotExist) {
		dir = filepath.Dir(dir)
	}
	return &blockDevice{name: filepath.Base(dir), dir: dir}
}

// sectorBytes is the unit of the stat file, whatever the device's own sectors are.
const sectorBytes = 512

// written is how many bytes the device has taken since the machine started; -1
// where that is not known. [Linux Documentation/block/stat.rst]
func (d *blockDevice) written() int64 {
	if d == nil {
		return unknown
	}
	b, err := os.ReadFile(filepath.Join(d.dir, "stat"))
	fields := strings.Fields(string(b))
	if err != nil || len(fields) < 7 {
		return unknown
	}
	sectors, err := strconv.ParseInt(fields[6], 10, 64)
	if err != nil {
		return unknown
	}
	return sectors * sectorBytes
}

// life is what an eMMC says of itself: see Wear. There are two estimates, for two
// kinds of its memory: the worse one counts. [JEDEC JESD84-B51 7.4.21, 7.4.22]
func (d *blockDevice) life() (used int, spare string) {
	if d == nil {
		return unknown, ""
	}
	used = unknown
	for _, f := range d.registers("life_time") {
		if f >= 1 && f <= 11 {
			used = max(used, int(f)*10)
		}
	}
	if f := d.registers("pre_eol_info"); len(f) == 1 && f[0] >= 1 && f[0] <= 3 {
		spare = []string{"normal", "warning", "urgent"}[f[0]-1]
	}
	return used, spare
}

// registers reads a file of numbers such as "0x01 0x02".
func (d *blockDevice) registers(name string) (list []uint64) {
	b, err := os.ReadFile(filepath.Join(d.dir, "device", name))
	if err != nil {
		return nil
	}
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.ParseUint(f, 0, 8); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// writtenByUs is how many bytes of files this process has changed, by pages, as
// the kernel counts it; -1 where it does not. [Linux Documentation/filesystems/proc.rst]
func writtenByUs(selfIO string) int64 {
	b, err := os.ReadFile(selfIO)
	if err != nil {
		return unknown
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "write_bytes:"); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
				return n
			}
		}
	}
	return unknown
}
