package store

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Advice for madvise(2).
const (
	madvRandom        = 1
	madvDontNeed      = 4
	madvPopulateWrite = 23 // Linux 5.14
)

// A mapping is a file in the memory of this process. Badger does not give its
// mappings, so they are looked up; where that does not work, all goes on without.
type mapping struct {
	begin, end uint64
}

// populate has the kernel give n bytes from offset off on for writing. The error is
// for a disk that gives no page: to write there would end the process. A disk that
// hangs is waited for here in a system call, where it holds up nobody else; in the
// write itself it would be all goroutines at the next garbage collection.
func (m mapping) populate(off, n int64) error {
	switch errno := m.advise(off, n, madvPopulateWrite); errno {
	case syscall.EFAULT, syscall.EIO, unix.EHWPOISON:
		return fmt.Errorf("the disk gives no page to write to: %w", errno)
	}
	return nil // an old kernel, and what cannot be looked up, goes on without
}

// advise tells the kernel about n bytes from offset off on. What it does not know
// or cannot do changes nothing.
func (m mapping) advise(off, n int64, advice uintptr) (errno syscall.Errno) {
	page := uint64(os.Getpagesize())
	begin := (m.begin + uint64(off)) / page * page
	end := min((m.begin+uint64(off+n)+page-1)/page*page, m.end)
	if m.begin < m.end && begin < end {
		_, _, errno = syscall.Syscall(syscall.SYS_MADVISE, uintptr(begin), uintptr(end-begin), advice)
	}
	return errno
}

// mapped gives the mappings of the logs that Badger has in a directory, by path.
func mapped(dir string) map[string]mapping {
	found := make(map[string]mapping)
	dir, err := filepath.Abs(dir)
	if err != nil {
		return found
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return found
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		line := lines.Text()
		i := strings.IndexByte(line, '/')
		if i < 0 || filepath.Dir(line[i:]) != dir {
			continue
		}
		if ext := filepath.Ext(line); ext != ".mem" && ext != ".vlog" {
			continue
		}
		span, _, _ := strings.Cut(line, " ")
		from, to, _ := strings.Cut(span, "-")
		begin, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil {
			found[line[i:]] = mapping{begin, end}
		}
	}
	return found
}

// adviseRandom tells the kernel not to read ahead in the logs that Badger has
// mapped from a directory. Without that, the first touch of a new page brings a
// large folio with it, all of which the next sync writes: at 64 publishers 7 to 9
// bytes for each byte of payload here, instead of 3. It gives the mappings.
func adviseRandom(dir string) map[string]mapping {
	found := mapped(dir)
	for _, m := range found {
		m.advise(0, int64(m.end-m.begin), madvRandom)
	}
	return found
}
