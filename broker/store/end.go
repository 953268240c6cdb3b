package store

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// endFile says with which record a generation ends: segments from there on do not
// count. It stands where a commit was not taken, which may be in the generation's
// files all the same, whole or in parts; its records are in a later one, or were
// lost with the process and their numbers given again.
const endFile = "END"

// setEnd makes records from a number on not count, durably.
func (g *generation) setEnd(first uint64) error {
	if g.end.Load() <= first {
		return nil
	}
	if err := writeFile(filepath.Join(g.dir, endFile), strconv.FormatUint(first, 10)+"\n"); err != nil {
		return fmt.Errorf("end generation %s before record %d: %w", g.dir, first, err)
	}
	g.end.Store(first)
	return nil
}

// readEnd looks for the file of setEnd. One that cannot be read counts as none:
// what is there twice has the same numbers, and the later one is left out.
func (g *generation) readEnd() {
	g.end.Store(math.MaxUint64)
	b, err := os.ReadFile(filepath.Join(g.dir, endFile))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err == nil {
		var end uint64
		if end, err = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil {
			g.end.Store(end)
			return
		}
	}
	g.log.Warn("where a generation ends cannot be read", "path", g.dir, "err", err)
}

// cutEnd leaves out the keys that do not count.
func (g *generation) cutEnd(keys []uint64) []uint64 {
	i, _ := slices.BinarySearch(keys, g.end.Load())
	return keys[:i]
}
