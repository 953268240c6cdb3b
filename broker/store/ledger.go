package store

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Loss is one entry of the loss ledger: what was acknowledged and cannot be read.
type Loss struct {
	Time   time.Time `json:"time"` // when it was found
	Queue  string    `json:"queue,omitempty"`
	ID     QueueID   `json:"id,omitempty"`
	First  uint64    `json:"first"` // ordinals in the queue; without a queue numbers of records
	Last   uint64    `json:"last"`
	Count  uint64    `json:"count"` // messages of the queue; 0 where queues have entries of their own
	Reason string    `json:"reason"`
}

// covers says whether l has been told with an earlier entry.
func (l *Loss) covers(o *Loss) bool {
	return l.ID == o.ID && l.Queue == o.Queue && l.First <= o.First && o.Last <= l.Last &&
		(l.Queue != "" || l.First == o.First && l.Reason == o.Reason)
}

const (
	ledgerFile  = "LOSSES"
	ledgerBytes = 64 << 10 // about 400 entries; half of it when the oldest are folded

	foldedReason = "earlier losses, together"
)

// The ledger is what was lost, for ever: a file with a JSON object in each line,
// appended to and synced. When it has grown to ledgerBytes its older half becomes
// one entry.
type ledger struct {
	path string // "": in memory only
	log  *slog.Logger

	unwritten atomic.Bool

	mu      sync.Mutex // guards what follows
	entries []Loss
	written int // of entries
	size    int
}

// load reads the file. Lines that cannot be read are left out, and said to be.
func (g *ledger) load() {
	b, err := os.ReadFile(g.path)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			g.log.Warn("the loss ledger cannot be read", "path", g.path, "err", err)
		}
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	bad := 0
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		var l Loss
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			bad++
			continue
		}
		g.entries = append(g.entries, l)
	}
	g.written, g.size = len(g.entries), len(b)
	if bad > 0 {
		g.written, g.size = 0, ledgerBytes // it is written anew
		g.unwritten.Store(true)
		g.log.Warn("lines of the loss ledger cannot be read and are left out", "path", g.path, "count", bad)
	}
}

// add enters a loss, unless an entry has it. It is on disk after flush.
func (g *ledger) add(l Loss) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.entries {
		if g.entries[i].covers(&l) {
			return
		}
	}
	l.Time = time.Now().UTC().Truncate(time.Second)
	g.entries = append(g.entries, l)
	if g.path == "" && len(g.entries) > 400 {
		g.fold()
	}
	g.unwritten.Store(true)
}

// flush writes what was added. It is tried again when it does not succeed. Calls
// come one after the other.
func (g *ledger) flush() {
	if g.path == "" || !g.unwritten.Swap(false) {
		return
	}
	if err := g.write(); err != nil {
		g.unwritten.Store(true)
		g.log.Warn("the loss ledger cannot be written", "path", g.path, "err", err)
	}
}

func (g *ledger) write() error {
	b, count, whole := g.unwrittenLines()
	var err error
	if whole {
		err = writeFile(g.path, string(b))
	} else {
		err = g.appendToFile(b)
	}
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if whole {
		g.size = 0
	}
	g.written, g.size = count, g.size+len(b)
	return nil
}

// unwrittenLines gives what is to be appended to the file, or, when that would be
// too long, what is to take its place; and how many entries there are then.
func (g *ledger) unwrittenLines() (b []byte, count int, whole bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.entries[g.written:] {
		b = append(b, l.line()...)
	}
	if whole = g.size+len(b) >= ledgerBytes; whole {
		g.fold()
		b = b[:0]
		for _, l := range g.entries {
			b = append(b, l.line()...)
		}
	}
	return b, len(g.entries), whole
}

func (g *ledger) appendToFile(b []byte) error {
	f, err := os.OpenFile(g.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = fdatasync(f)
	}
	return errors.Join(err, f.Close())
}

func (l *Loss) line() []byte {
	o := *l
	if len(o.Reason) > 200 {
		o.Reason = o.Reason[:200]
	}
	b, err := json.Marshal(&o)
	if err != nil {
		return nil // it has nothing that JSON does not take
	}
	return append(b, '\n')
}

// fold makes one entry of the older ones until the newest, which take half of
// the room at most. The caller holds mu.
func (g *ledger) fold() {
	keep, size := len(g.entries), 0
	for keep > 0 && size < ledgerBytes/2 {
		keep--
		size += len(g.entries[keep].line())
	}
	if g.path == "" {
		keep = len(g.entries) / 2
	}
	if keep == 0 {
		return
	}
	all := Loss{Reason: foldedReason}
	for _, l := range g.entries[:keep] {
		all.Count += l.Count
		all.Time = l.Time
	}
	g.entries = slices.Insert(slices.Delete(g.entries, 0, keep), 0, all)
	g.written = 0
}

// Losses gives what was lost to damage since the store was made, the oldest
// first. When there are many, the oldest are one entry.
func (s *Store) Losses() []Loss {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return slices.Clone(s.ledger.entries)
}

// total gives the messages of all entries, and the last entry.
func (g *ledger) total() (count uint64, last Loss) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.entries {
		count += g.entries[i].Count
		last = g.entries[i]
	}
	return count, last
}

func (l *Loss) String() string {
	return fmt.Sprintf("%d messages of queue %q, ordinals %d to %d: %s", l.Count, l.Queue, l.First, l.Last, l.Reason)
}
