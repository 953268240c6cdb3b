package web

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// archive keeps on disk what every point was in each minute, for the plot of a day:
// in blocks of 64 kB, of which the oldest goes at a limit in bytes. It writes once a
// minute, and syncs nothing: a power cut takes the last rows, and a row that is torn
// is not read. Records are little-endian:
//
//	block  magic, format (1), number of points, hash of their names, rows
//	row    minutes since 1970, least and greatest value of each point, CRC-32C
//
// A block is of one list of points; a changed configuration begins another one. The
// names are in a file beside it, once a list. One goroutine adds.
type archive struct {
	dir string

	mu    sync.Mutex // guards what follows, for plot
	names string     // of the points: see pointNames
	hash  uint32
	count int

	// Of whoever calls add.
	limit  int64    // bytes of all blocks
	file   *os.File // the newest block; nil: the next row begins one
	number int      // of it
	size   int64    // of it
}

const (
	archiveMagic  = "hghist"
	archiveFormat = 1
	archiveHead   = len(archiveMagic) + 2 + 4 + 4
	blockBytes    = 64 << 10
	blockSuffix   = ".blk"
	archiveTime   = 24 * time.Hour // that a plot shows

	// neverSet is the minute, in 2024, before which a clock was not set yet: a block of
	// such rows says nothing of how old the blocks before it are.
	neverSet = 54 * 365 * 24 * 60
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// openArchive makes the directory if it is not there. devices are those of the
// configuration.
func openArchive(dir string, limit int64, devices []Device) (*archive, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	a := &archive{dir: dir, limit: limit}
	blocks, err := a.blocks()
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	if len(blocks) > 0 {
		a.number = blocks[len(blocks)-1]
	}
	if err := a.list(pointNames(devices)); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return a, nil
}

// list has the rows from now on be of the points of that list.
func (a *archive) list(names string) error {
	a.close()
	blocks, err := a.blocks()
	if err != nil {
		return err
	}
	if err := a.forgetNames(blocks); err != nil {
		return err
	}
	hash := crc32.Checksum([]byte(names), castagnoli())
	if err := os.WriteFile(a.namesFile(hash), []byte(names), 0o640); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.names, a.hash, a.count = names, hash, strings.Count(names, "\n")
	return nil
}

// forgetNames removes the lists that no block needs any more.
func (a *archive) forgetNames(blocks []int) error {
	needed := map[string]bool{}
	for _, n := range blocks {
		file, err := os.Open(a.blockFile(n))
		if err != nil {
			return err
		}
		head := make([]byte, archiveHead)
		if _, err := io.ReadFull(file, head); err == nil {
			needed[a.namesFile(binary.LittleEndian.Uint32(head[archiveHead-4:]))] = true
		}
		file.Close()
	}
	lists, err := filepath.Glob(filepath.Join(a.dir, "points-*"))
	if err != nil {
		return err
	}
	for _, name := range lists {
		if needed[name] {
			continue
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) namesFile(hash uint32) string {
	return filepath.Join(a.dir, fmt.Sprintf("points-%08x", hash))
}

func (a *archive) blockFile(number int) string {
	return filepath.Join(a.dir, fmt.Sprintf("%010d%s", number, blockSuffix))
}

// blocks gives the numbers of the blocks, oldest first.
func (a *archive) blocks() ([]int, error) {
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, e := range entries {
		var n int
		if name, is := strings.CutSuffix(e.Name(), blockSuffix); is {
			if _, err := fmt.Sscanf(name, "%d", &n); err == nil {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func (a *archive) rowBytes() int { return rowBytes(a.count) }

func rowBytes(count int) int { return 4 + count*spanBytes + 4 }

// add writes the row of a minute, of the points of that list. After an error the next
// one begins a new block.
func (a *archive) add(minute int64, names string, row []span) (err error) {
	if names != a.names {
		if err := a.list(names); err != nil {
			return fmt.Errorf("history: %w", err)
		}
	}
	if a.file != nil && a.size+int64(a.rowBytes()) > blockBytes {
		a.close()
	}
	if a.file == nil {
		if err := a.begin(); err != nil {
			return fmt.Errorf("history: %w", err)
		}
	}
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, a.rowBytes()), uint32(minute))
	for _, s := range row {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(s.low))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(s.high))
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
	if _, err := a.file.Write(b); err != nil {
		a.close()
		return fmt.Errorf("history: %w", err)
	}
	a.size += int64(len(b))
	return nil
}

// begin makes a new block, and room for it.
func (a *archive) begin() error {
	if err := a.trim(1); err != nil {
		return err
	}
	file, err := os.OpenFile(a.blockFile(a.number+1), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if errors.Is(err, fs.ErrExist) { // of an attempt that found no room for its head
		file, err = os.OpenFile(a.blockFile(a.number+1), os.O_WRONLY|os.O_TRUNC, 0o640)
	}
	if err != nil {
		return err
	}
	head := append([]byte(archiveMagic), archiveFormat, 0)
	head = binary.LittleEndian.AppendUint32(head, uint32(a.count))
	head = binary.LittleEndian.AppendUint32(head, a.hash)
	if _, err := file.Write(head); err != nil {
		return errors.Join(err, file.Close())
	}
	a.file, a.size = file, int64(len(head))
	a.number++
	return nil
}

// trim removes the oldest blocks, until there is room below the limit for so many more.
// The newest one stays.
func (a *archive) trim(more int) error {
	blocks, err := a.blocks()
	if err != nil {
		return err
	}
	kept := int(a.limit / max(blockBytes, int64(archiveHead+a.rowBytes())))
	for ; len(blocks)+more > max(kept, 1); blocks = blocks[1:] {
		if err := os.Remove(a.blockFile(blocks[0])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (a *archive) close() {
	if a.file != nil {
		a.file.Close()
		a.file = nil
	}
}

// plot gives the last day of a point, minute by minute from its first value on. It
// may be called while add is.
func (a *archive) plot(device, name string, now time.Time) (Plot, error) {
	p := Plot{Slot: 60, Times: []int64{}, Low: []*float64{}, High: []*float64{}}
	blocks, err := a.blocks()
	if err != nil {
		return p, fmt.Errorf("history: %w", err)
	}
	newest := now.Unix() / 60
	oldest := newest - int64(archiveTime/time.Minute)
	minutes := map[int64]span{}
	places := map[uint32]int{} // of the point, by the hash of the list; -1: it is not in it
	for _, n := range slices.Backward(blocks) {
		text, err := os.ReadFile(a.blockFile(n))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return p, fmt.Errorf("history: %w", err)
		}
		if last := a.read(text, places, device+"/"+name, minutes); last < oldest && last > neverSet {
			break
		}
	}
	for m := oldest + 1; m <= newest; m++ {
		s, is := minutes[m]
		if !is {
			s = nothing()
		}
		if s.empty() && len(p.Times) == 0 {
			continue
		}
		p.Times = append(p.Times, m*60)
		p.Low, p.High = append(p.Low, number(s.low)), append(p.High, number(s.high))
	}
	return p, nil
}

// read takes a point's values out of a block, and gives the newest minute in it; 0:
// it has none. A damaged row ends it.
func (a *archive) read(text []byte, places map[uint32]int, point string, minutes map[int64]span) (newest int64) {
	if len(text) < archiveHead || !strings.HasPrefix(string(text), archiveMagic) || text[len(archiveMagic)] != archiveFormat {
		return 0
	}
	points := binary.LittleEndian.Uint32(text[archiveHead-8:])
	if uint64(points) > uint64(len(text)) { // which an int may not hold
		return 0
	}
	count := int(points)
	hash := binary.LittleEndian.Uint32(text[archiveHead-4:])
	place, known := places[hash]
	if !known {
		place = a.place(hash, count, point)
		places[hash] = place
	}
	size := rowBytes(count)
	for rows := text[archiveHead:]; len(rows) >= size; rows = rows[size:] {
		row := rows[:size]
		if binary.LittleEndian.Uint32(row[size-4:]) != crc32.Checksum(row[:size-4], castagnoli()) {
			break
		}
		minute := int64(binary.LittleEndian.Uint32(row))
		newest = max(newest, minute)
		if place >= 0 {
			at := row[4+place*spanBytes:]
			if _, later := minutes[minute]; !later { // newer blocks come first
				minutes[minute] = span{math.Float32frombits(binary.LittleEndian.Uint32(at)), math.Float32frombits(binary.LittleEndian.Uint32(at[4:]))}
			}
		}
	}
	return newest
}

// place is where a point stands in the list of that hash; -1: nowhere.
func (a *archive) place(hash uint32, count int, point string) int {
	a.mu.Lock()
	names, current := a.names, a.hash
	a.mu.Unlock()
	if hash != current {
		text, err := os.ReadFile(a.namesFile(hash))
		if err != nil {
			return -1
		}
		names = string(text)
	}
	list := strings.Split(strings.TrimSuffix(names, "\n"), "\n")
	if len(list) != count {
		return -1
	}
	return slices.Index(list, point)
}
