package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size in a configuration: "64MB", "512kB", "1.5GiB" or a plain
// number of bytes. k, M, G and T count in thousands, Ki, Mi, Gi and Ti in 1024s.
type Bytes int64

var byteUnits = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"kiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3},
	{"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10},
	{"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"k", 1e3}, {"K", 1e3}, {"B", 1},
}

// UnmarshalText reads a size as a configuration has it.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if s == "unlimited" {
		*b = Unlimited
		return nil
	}
	number, unit := s, int64(1)
	for _, u := range byteUnits {
		if head, ok := strings.CutSuffix(s, u.name); ok {
			number, unit = strings.TrimSpace(head), u.size
			break
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n == 0 {
			return errZero
		}
		if n < 0 || n > (1<<62)/unit {
			return fmt.Errorf("%q is out of range for a size", s)
		}
		*b = Bytes(n * unit)
		return nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f != f {
		return fmt.Errorf("%q is not a size: want a number with a unit, for instance \"64MB\" or \"512kB\"", s)
	}
	if f < 0 || f*float64(unit) > 1<<62 {
		return fmt.Errorf("%q is out of range for a size", s)
	}
	*b = Bytes(f * float64(unit))
	return nil
}

// Unlimited is no limit, where a key allows that.
const Unlimited Bytes = 1 << 62

var errZero = errors.New("0 is no size: leave it out for the default, or write \"unlimited\" for no limit")

// UnmarshalTOML takes a string, as UnmarshalText does, or a number of bytes.
func (b *Bytes) UnmarshalTOML(v any) error {
	switch v := v.(type) {
	case string:
		return b.UnmarshalText([]byte(v))
	case int64:
		if v == 0 {
			return errZero
		}
		if v < 0 {
			return fmt.Errorf("%d is out of range for a size", v)
		}
		*b = Bytes(v)
		return nil
	}
	return fmt.Errorf("%v is not a size: want a number with a unit, for instance \"64MB\" or \"512kB\"", v)
}

// MarshalText gives the size as String does.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// MarshalJSON gives the number of bytes: a program reads it.
func (b Bytes) MarshalJSON() ([]byte, error) { return json.Marshal(int64(b)) }

// UnmarshalJSON reads what MarshalJSON gave.
func (b *Bytes) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, (*int64)(b)) }

// String gives the size in the largest unit that says it exactly: "64MB",
// "1MiB", "1500B".
func (b Bytes) String() string {
	if b == Unlimited {
		return "unlimited"
	}
	name, size := "B", int64(1)
	for _, u := range byteUnits {
		if u.size > size && strings.HasSuffix(u.name, "B") && b != 0 && int64(b)%u.size == 0 {
			name, size = u.name, u.size
		}
	}
	return strconv.FormatInt(int64(b)/size, 10) + name
}

// Config is the [store] table.
type Config struct {
	// MaxBytes bounds what the spool holds on disk: past it AtLimit says what
	// becomes of new messages for queues; acknowledgements and state go on.
	// Default 1GB, and 256MB on a 32-bit system.
	MaxBytes Bytes `toml:"max_bytes"`

	// AtLimit is "refuse": the publisher keeps the message and hears why;
	// "drop_oldest": of what waits the oldest GenerationBytes go, whosever they
	// are, so that new messages are taken; or "drop_newest": new messages are
	// acknowledged and left out. What is dropped is counted for its queue and
	// logged. Default "refuse".
	AtLimit AtLimit `toml:"at_limit"`

	// MinFree is how much of the file system is left to others: with less free,
	// it is as past MaxBytes, but nothing that waits is dropped. Default 64MB.
	MinFree Bytes `toml:"min_free"`

	// RingBytes is how much of the newest records is kept in memory, so that a
	// reader that keeps up reads nothing from disk. Default 4MB.
	RingBytes Bytes `toml:"ring_bytes"`

	// PendingBytes bounds what waits in memory for the disk. Past it a commit is
	// refused at once. More than three quarters of GenerationBytes counts as
	// three quarters. Default 16MB, and 12MB on a 32-bit system.
	PendingBytes Bytes `toml:"pending_bytes"`

	// GenerationBytes is the size of one directory of the spool. Space comes
	// back a whole directory at a time. More than a quarter of MaxBytes counts
	// as a quarter. Default 32MB, and 16MB on a 32-bit system.
	GenerationBytes Bytes `toml:"generation_bytes"`

	// Compression is "none" or "zstd": each segment is written by zstd at its
	// fastest, where that is shorter. The gateway's samples become a
	// quarter on the card. It costs about 1 MB of memory, and once it was on, older
	// releases do not open the directory. Default "none".
	Compression Compression `toml:"compression"`

	// CardEndurance is how much may be written to the card in its life, by its
	// maker's word: "30TB". With it the store says how long such a card lasts with
	// what is written now. Default: not known.
	CardEndurance Bytes `toml:"card_endurance"`

	// DailyWriteBudget is how much may be written to the disk on one UTC day before
	// there is an alarm: by all programs where the device says it, else by this one.
	// Nothing is refused. Default unlimited.
	DailyWriteBudget Bytes `toml:"daily_write_budget"`

	// unsynced leaves the syncs out: the control of the power-cut test.
	unsynced bool

	// Patience is how long commits are held when the disk does not take them. Zero,
	// but in tests, is 10 seconds.
	Patience time.Duration `toml:"-"`

	// root is that of the kernel's files in /proc and /sys; "", but in tests, is /.
	root string
}

const (
	is32bit = strconv.IntSize == 32

	// maxRecordBytes is the largest record that a segment takes; a generation,
	// and what waits, must have room for it.
	maxRecordBytes = 9 << 20

	minPendingBytes    = maxRecordBytes + 64<<10
	minGenerationBytes = minPendingBytes / 3 * 4
	maxGenerationBytes = 64 << 20
)

// SetDefaults fills what was left zero.
func (c *Config) SetDefaults() {
	setDefault(&c.MaxBytes, 1e9, 256e6)
	setDefault(&c.MinFree, 64e6, 64e6)
	setDefault(&c.RingBytes, 4e6, 4e6)
	setDefault(&c.PendingBytes, 16e6, 12e6)
	if c.AtLimit == "" {
		c.AtLimit = Refuse
	}
	if c.Compression == "" {
		c.Compression = NoCompression
	}
	setDefault(&c.GenerationBytes, 32e6, 16e6)
	setDefault(&c.DailyWriteBudget, Unlimited, Unlimited)
	if c.root == "" {
		c.root = "/"
	}
	if c.Patience == 0 {
		c.Patience = patience
	}
}

func setDefault(b *Bytes, on64, on32 Bytes) {
	switch {
	case *b != 0:
	case is32bit:
		*b = on32
	default:
		*b = on64
	}
}

// Check reports each fault by its key, relative to the [store] table.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	within := func(key string, v, least, most Bytes) {
		if v < least || v > most {
			fault(key, "%v is not within %v to %v", v, least, most)
		}
	}
	most := Bytes(1 << 42)
	if is32bit {
		most = 400e6 // what its address space can map beside the rest
	}
	within("max_bytes", c.MaxBytes, 4*minGenerationBytes, most)
	within("min_free", c.MinFree, 1e6, 1<<40)
	within("ring_bytes", c.RingBytes, 1, 1<<30)
	within("pending_bytes", c.PendingBytes, minPendingBytes, maxGenerationBytes)
	within("generation_bytes", c.GenerationBytes, minGenerationBytes, maxGenerationBytes)
	if c.Compression != NoCompression && c.Compression != Zstd {
		fault("compression", `%q: want "none" or "zstd"`, string(c.Compression))
	}
	if c.CardEndurance != 0 {
		within("card_endurance", c.CardEndurance, 1e9, 1<<60)
	}
	within("daily_write_budget", c.DailyWriteBudget, 1e6, Unlimited)
}
