package store

import (
	"fmt"
	"log/slog"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// settle opens a generation that a crash has left, so that its write-ahead log
// becomes a table. What Badger leaves out, because that log is damaged or was not
// synced, is found in the files and written again. The commit that was under way, of which there may be parts, is
// left out: it was not acknowledged. One that the database has had whole, and of which
// something is damaged, ends there.
func (g *generation) settle() error {
	found, err := findSegments(g.dir, g.salt)
	if err == nil {
		err = roomToOpen(g.dir, g.makeRoom)
	}
	if err != nil {
		return fmt.Errorf("recover generation %s: %w", g.dir, err)
	}
	// What cannot be read here is expected.
	blog := &badgerLog{log: slog.New(slog.DiscardHandler), dir: g.dir}
	db, err := openBadger(spoolOptions(g.dir, blog, 1<<20), true)
	if err != nil {
		return fmt.Errorf("recover generation %s: %w", g.dir, err)
	}
	err = g.compare(db, found)
	if cerr := discardBadger(db); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("recover generation %s: %w", g.dir, err)
	}
	return nil
}

// compare brings together what Badger has and what was found in its files.
func (g *generation) compare(db *badger.DB, found map[uint64][]byte) error {
	keys, err := readKeys(db)
	if err != nil {
		return err
	}
	keys = g.own(keys) // what was evacuated has another place until it is durable here
	maps.DeleteFunc(found, func(first uint64, _ []byte) bool { return first < g.first })
	last := make(map[uint64]uint64) // of the segments that are readable; 0: of others
	begin, of := uint64(0), 0       // the last commit of which something is there, and its segments
	note := func(first uint64, v *segmentView) {
		last[first] = v.last()
		if v.place == 0 && first >= begin {
			begin, of = first, int(v.of)
		}
	}
	extra := maps.Clone(found)
	for _, key := range keys {
		last[key] = 0
		if readable(db, key, func(v *segmentView) { note(key, v) }) {
			delete(extra, key)
		}
	}
	for first, seg := range extra {
		v, err := parseSegment(seg)
		if err != nil {
			return err
		}
		note(first, &v)
	}
	all := slices.Sorted(maps.Keys(last))
	end, at, there := uint64(math.MaxUint64), uint64(0), 0
	for _, first := range all {
		if first >= begin && (last[first] == 0 || first > begin && first != at+1) {
			end = first
			break
		}
		at = last[first]
		if first >= begin {
			there++
		}
	}
	taken := len(keys) > 0 && keys[len(keys)-1] >= begin // the database has had all of it
	if begin > 0 && !taken && (end != math.MaxUint64 || there < of && of < 255) {
		end = min(end, begin)
	}
	maps.DeleteFunc(extra, func(first uint64, _ []byte) bool { return first >= end })
	if len(extra) > 0 {
		g.log.Info("segments that only the value log has are written again", "path", g.dir, "count", len(extra))
		var bytes int64
		for _, seg := range extra {
			bytes += int64(len(seg)) + vlogEntryOverhead
		}
		if !g.makeRoom(bytes) {
			return fmt.Errorf("%d bytes for what a crash has left: %w", bytes, syscall.ENOSPC)
		}
		if err := writeSegments(db, extra); err != nil {
			return err
		}
	}
	if end >= g.end.Load() {
		return nil
	}
	g.log.Info("a commit that a crash has interrupted was left out", "path", g.dir, "first", end)
	return g.setEnd(end)
}

// readable says whether a segment can be read, and gives it to fn.
func readable(db *badger.DB, key uint64, fn func(v *segmentView)) (ok bool) {
	defer catch(debug.SetPanicOnFault(true), func(any) { ok = false })
	txn := db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	item, err := txn.Get(segmentKey(key))
	if err != nil {
		return false
	}
	err = item.Value(func(b []byte) error {
		v, err := parseSegment(b)
		if ok = err == nil && v.first == key && v.checkBody() == nil; ok {
			fn(&v)
		}
		return nil
	})
	return ok && err == nil
}
