package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// opening is a file that says, while a store is opened, which database is just
// being opened and for which time in a row. Badger may panic in a goroutine of
// its own, which nobody can catch: what did that twice is put aside. The file is
// not synced: a process's end leaves it all the same.
type opening struct {
	path  string
	what  string // as the last start has left it
	times int
}

const (
	openingFile = "OPENING"

	// maxOpenings is how often opening a database may fail in a row.
	maxOpenings = 2
)

var errTwice = errors.New("opening it has failed twice, or ended the process")

// load reads what the last start has left.
func (o *opening) load(dir string) {
	o.path = filepath.Join(dir, openingFile)
	b, err := os.ReadFile(o.path)
	if err != nil {
		return // none is the rule; one that cannot be read counts as none
	}
	times, what, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	if n, err := strconv.Atoi(times); err == nil {
		o.times, o.what = n, what
	}
}

// begin notes that a database is going to be opened. The error is errTwice for
// one that is to be put aside.
func (o *opening) begin(dir string) error {
	what, times := filepath.Base(dir), 1
	if what == o.what {
		if o.times >= maxOpenings {
			o.times = 0
			return errTwice
		}
		times += o.times
	}
	// Without it all goes on; a full disk is one reason.
	_ = os.WriteFile(o.path, fmt.Appendf(nil, "%d %s\n", times, what), 0o600)
	return nil
}

// end notes that all are open, or that the reason why not lies elsewhere.
func (o *opening) end() error {
	if err := os.Remove(o.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
