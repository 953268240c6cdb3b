package derived

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// keptFormat is the first line of the file of totals; another one is refused.
const keptFormat = "headgate derived 1"

// Bounds of the file.
const (
	maxKeptBytes = 4 << 20
	maxStrangers = 200 // points that are not configured any more, whose totals are kept
)

// keptPoint is what a point must have after a restart.
type keptPoint struct {
	Calls []keptCall `json:"calls,omitempty"`
	Clear []keptCall `json:"clear,omitempty"`
	Alarm *bool      `json:"alarm,omitempty"`
}

type keptCall struct {
	Name   string    `json:"name"`
	Values []float64 `json:"values"`
}

// keptFile is the file of totals: the format, a line of JSON, and the CRC-32C of both.
type keptFile struct {
	path      string
	last      []byte // what stands in it
	written   time.Time
	strangers map[string]keptPoint
	failing   bool
}

func (f *formula) id() string { return f.name.device + "/" + f.name.point }

// collect gives what is to be kept, encoded; nil where there is nothing.
func (a *Adapter) collect() ([]byte, error) {
	all := map[string]keptPoint{}
	for id, k := range a.file.strangers {
		all[id] = k
	}
	for _, f := range a.formulas {
		var k keptPoint
		names, kept := f.expr.Kept()
		for i := range names {
			k.Calls = append(k.Calls, keptCall{names[i], kept[i]})
		}
		if f.alarm != nil {
			if f.alarm.clear != nil {
				names, kept := f.alarm.clear.Kept()
				for i := range names {
					k.Clear = append(k.Clear, keptCall{names[i], kept[i]})
				}
			}
			k.Alarm = new(f.alarm.on)
		}
		if len(k.Calls) > 0 || k.Alarm != nil {
			all[f.id()] = k
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	out := fmt.Appendf(nil, "%s\n%s\n", keptFormat, text)
	return fmt.Appendf(out, "%08x\n", checksum(out)), nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// save writes what is to be kept, if that has changed: beside the file, synced, then in
// its place, so that there is always one that is whole.
func (a *Adapter) save(now func() time.Time) {
	a.file.written = now()
	b, err := a.collect()
	if err == nil && (b == nil || bytes.Equal(b, a.file.last)) {
		return
	}
	if err == nil {
		err = replace(a.file.path, b)
	}
	if err != nil {
		if !a.file.failing {
			a.log.Error("totals are not written; they are tried again", "path", a.file.path, "err", err)
		}
		a.file.failing = true
		return
	}
	if a.file.failing {
		a.log.Info("totals are written again", "path", a.file.path)
	}
	a.file.last, a.file.failing = b, false
}

func replace(path string, b []byte) error {
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// load reads what was kept. A file that is damaged is put aside, and said.
func (a *Adapter) load() {
	b, err := os.ReadFile(a.file.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var all map[string]keptPoint
	if err == nil {
		all, err = decodeKept(b)
	}
	if err != nil {
		aside := a.file.path + ".damaged"
		a.log.Error("totals cannot be read: they begin at 0; the file is put aside", "path", aside, "err", errors.Join(err, os.Rename(a.file.path, aside)))
		return
	}
	a.file.last = b
	for _, f := range a.formulas {
		k := all[f.id()]
		delete(all, f.id())
		for i, c := range k.Calls {
			f.expr.Restore(i, c.Name, c.Values)
		}
		if f.alarm != nil {
			f.alarm.on = k.Alarm != nil && *k.Alarm
			for i, c := range k.Clear {
				if f.alarm.clear != nil {
					f.alarm.clear.Restore(i, c.Name, c.Values)
				}
			}
		}
	}
	if len(all) <= maxStrangers {
		a.file.strangers = all
	}
}

func decodeKept(b []byte) (all map[string]keptPoint, err error) {
	if len(b) > maxKeptBytes {
		return nil, fmt.Errorf("it is longer than %d bytes", maxKeptBytes)
	}
	body, rest, ok := cutLines(b, 2)
	if !ok {
		return nil, errors.New("it is cut off")
	}
	format, text, _ := bytes.Cut(body, []byte("\n"))
	if string(format) != keptFormat {
		return nil, fmt.Errorf("its format is %.40q, this release reads %q", format, keptFormat)
	}
	if want := fmt.Sprintf("%08x\n", checksum(body)); string(rest) != want {
		return nil, errors.New("its checksum is wrong")
	}
	return all, json.Unmarshal(text, &all)
}

// cutLines cuts b behind its n-th line.
func cutLines(b []byte, n int) (head, rest []byte, ok bool) {
	at := 0
	for range n {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return nil, nil, false
		}
		at += i + 1
	}
	return b[:at], b[at:], true
}
