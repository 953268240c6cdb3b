package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// tailFiles is what the committer knows of the tail's files.
type tailFiles struct {
	mem, vlog *os.File
	memUsed   int64
	vlogUsed  int64
	memRoom   int64
	vlogRoom  int64
	unlogged  int64 // bytes in the value log since the write-ahead log was synced
	allocated bool  // the file system has given the blocks

	wal, values position // in mem and in vlog
}

// position is where Badger writes next in a file that it has mapped.
type position struct {
	mapping
	at int64 // 0: not known
}

// open finds the files that Badger writes to, and takes their disk blocks as
// makeRoom gives them.
func (t *tailFiles) open(dir string, makeRoom func(bytes int64) bool) error {
	v, err := takeInventory(dir)
	if err != nil {
		return err
	}
	if len(v.mems) == 0 || len(v.vlogs) == 0 {
		return errors.New("it has no write-ahead log or no value log")
	}
	if t.mem, err = os.OpenFile(v.mems[len(v.mems)-1], os.O_RDWR, 0); err != nil {
		return err
	}
	if t.vlog, err = os.OpenFile(v.vlogs[len(v.vlogs)-1], os.O_RDWR, 0); err != nil {
		return err
	}
	maps := adviseRandom(dir)
	for f, p := range map[*os.File]*position{t.mem: &t.wal, t.vlog: &t.values} {
		if path, err := filepath.Abs(f.Name()); err == nil {
			p.mapping = maps[path]
		}
	}
	t.allocated = true
	for f, n := range map[*os.File]int64{t.mem: memAlloc, t.vlog: t.vlogRoom + 64<<10} {
		if !makeRoom(n) {
			return fmt.Errorf("allocate %d bytes for %s: %w", n, f.Name(), syscall.ENOSPC)
		}
		ok, err := allocate(f, n)
		if err != nil {
			return err
		}
		t.allocated = t.allocated && ok
	}
	if err := errors.Join(t.mem.Sync(), t.vlog.Sync()); err != nil {
		return err
	}
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

func (t *tailFiles) close() {
	for _, f := range []*os.File{t.mem, t.vlog} {
		if f != nil {
			f.Close() // it was only synced by this handle
		}
	}
	t.mem, t.vlog = nil, nil
}

// touch changes the time of the value log's last change, which has the file system
// begin a transaction and find out that its journal has ended. It writes nothing
// more: the next commit's blocks are in the same inode.
func (t *tailFiles) touch() error {
	now := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_NOW}}
	err := unix.UtimesNanoAt(int(t.vlog.Fd()), "", now, unix.AT_EMPTY_PATH)
	if errors.Is(err, unix.EINVAL) { // Linux before 5.8
		return nil
	}
	return err
}

// unused is the disk space that the tail has already and that is still empty.
func (t *tailFiles) unused() int64 {
	if !t.allocated {
		return 0
	}
	return t.vlogRoom - t.vlogUsed + t.memRoom - t.memUsed
}

// What Badger writes at the beginning of a log, and for an entry with a key of
// keyBytes and a value of n: a header, the key with its version, a checksum.
const logHeader = 20

func logEntry(keyBytes, n int) int64 {
	return int64(2+1+len(binary.AppendUvarint(nil, uint64(n)))+1+keyBytes+8+n) + crc32.Size
}

// written is how many bytes Badger writes to its two logs for one transaction: to
// the write-ahead log what is short, where the values of the others are, and at the
// end a marker with the version.
func written(segs []*segment) (wal, values int64) {
	const pointer = 12
	for _, g := range segs {
		n := len(g.buf)
		if n >= inlineBytes {
			values += logEntry(8, n)
			n = pointer
		}
		wal += logEntry(8, n)
	}
	version := strconv.FormatUint(segs[len(segs)-1].last(), 10)
	return wal + logEntry(len("!badger!txn"), len(version)), values
}

// prepare has the kernel map the pages that n bytes will be written to, all at
// once, and with them what Badger clears after an entry.
func (p *position) prepare(n int64) error {
	if p.at == 0 || n == 0 {
		return nil
	}
	return p.populate(p.at, n+32)
}

func (p *position) pass(n int64) {
	if p.at > 0 {
		p.at += n
	}
}

// release takes n bytes that were written out of this process's memory, all at
// once: the sync that follows would do it page by page, and stop the other
// processors for each.
func (p *position) release(n int64) {
	if p.at > 0 && n > 0 {
		p.advise(p.at, n, madvDontNeed)
	}
}

// unloggedMost bounds what a power cut leaves to be written again.
const unloggedMost = 4 << 20

// sync makes what was written durable: values bytes in the value log, and the
// write-ahead log where it has more than where those are. That alone can wait: a
// segment is found in the value log without it, see settle. The two flushes run at
// the same time.
func (t *tailFiles) sync(values int64, logged bool) error {
	t.unlogged += values
	if !logged && t.unlogged <= unloggedMost {
		return fdatasync(t.vlog)
	}
	ended := make(chan error, 1)
	if values > 0 {
		go func() { ended <- fdatasync(t.vlog) }()
	} else {
		ended <- nil
	}
	if err := errors.Join(fdatasync(t.mem), <-ended); err != nil {
		return err
	}
	t.unlogged = 0
	return nil
}

func fdatasync(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if err != syscall.EINTR {
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}
