package store

import (
	"encoding/binary"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Wear is what is written to the disk, and how long a card lasts with it. The
// counts are those of a UTC day, from the first start on that day and without the
// times when nothing ran; all sizes are in bytes, and -1 is one that is not known
// here.
type Wear struct {
	Day     time.Time // the beginning of the day
	Payload int64     // data of the records that were committed
	Files   int64     // what this process wrote to files, in whole pages, its log among it
	Disk    int64     // what the device took, from everybody

	// Device is the one that holds the store's directory, as a whole: "mmcblk0".
	// "" where that is not known, as on tmpfs, overlayfs and btrfs.
	Device string

	// Amplification is what is written for each byte of Payload: of Disk where that
	// is known, and else of Files. Zero: not known.
	Amplification float64

	// PerDay is what is written in 24 hours at the rate of this day and the one
	// before it. LifeDays is how many days a new card of Config.CardEndurance lasts
	// at that, 36,500 at most. Both are -1 in the first ten minutes.
	PerDay   int64
	LifeDays int64

	// EMMCUsed is how much of an eMMC's life is used by its own account, in percent
	// and rounded up to tens; above 100 it is past its end; -1: it does not say.
	// EMMCSpare is "normal", "warning" or "urgent": how many of its reserved blocks
	// are used up; "": it does not say.
	EMMCUsed  int
	EMMCSpare string

	Endurance, Budget int64 // Config.CardEndurance and Config.DailyWriteBudget, as they are in force
	BudgetPassed      bool  // more than Budget on this day
}

const (
	unknown = -1

	sampleInterval = 10 * time.Second
	rateAfter      = 10 * time.Minute // a rate of less than that says nothing
	maxLifeDays    = 36500
)

// day is what was written on one UTC day.
type day struct {
	number               int64         // days since 1970
	ran                  time.Duration // how much of it was watched
	payload, files, disk int64
}

// written is what counts: what the device took where that is known.
func (d *day) written(disk bool) int64 {
	if disk {
		return d.disk
	}
	return d.files
}

// wear counts what is written. It needs no write of its own: what it has to know
// after a restart is part of each checkpoint.
type wear struct {
	log    *slog.Logger
	dir    string
	device *blockDevice // nil: not known
	selfIO string       // the kernel's file about this process

	payload *atomic.Int64 // of records since the start

	mu           sync.Mutex // guards what follows
	endurance    int64
	budget       int64
	today, last  day // last: the day before that something ran
	sampled      time.Time
	paid         int64 // payload, as it was then
	files, disk  int64 // the kernel's counters, as they were then; -1: not known
	emmcUsed     int
	emmcSpare    string
	emmcAt       time.Time
	budgetSaidOn int64 // the day on which the budget's end was logged
}

// newWear makes one for a store in dir, of whose records payload counts the bytes.
func newWear(dir string, cfg *Config, payload *atomic.Int64, log *slog.Logger) *wear {
	w := &wear{log: log, dir: dir, endurance: int64(cfg.CardEndurance), budget: int64(cfg.DailyWriteBudget),
		selfIO: filepath.Join(cfg.root, "proc/self/io"), device: findDevice(cfg.root, dir),
		payload: payload, budgetSaidOn: unknown}
	return w
}

// begin sets out from what the last checkpoint had.
func (w *wear) begin(saved []byte, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files, w.disk = writtenByUs(w.selfIO), w.device.written()
	w.today, w.sampled = day{number: dayOf(now)}, now
	if today, last, ok := decodeDays(saved); ok {
		w.today, w.last = today, last
		if w.budgetPassed() { // it was logged then
			w.budgetSaidOn = today.number
		}
	}
	w.lookAtEMMC(now)
	w.turn(now)
}

func dayOf(t time.Time) int64 { return int64(math.Floor(float64(t.Unix()) / 86400)) }

// turn begins a new day if it is one. A clock that was set back begins one too.
// The caller holds mu.
func (w *wear) turn(now time.Time) {
	if n := dayOf(now); n != w.today.number {
		w.last, w.today = w.today, day{number: n}
	}
}

// sample adds what was written since the last one.
func (w *wear) sample(now time.Time) {
	w.mu.Lock() // also for reading them: of two at once the older would count once more
	defer w.mu.Unlock()
	files, disk := writtenByUs(w.selfIO), w.device.written()
	d := &w.today
	payload := w.payload.Load()
	d.payload += payload - w.paid
	d.ran += max(now.Sub(w.sampled), 0)
	d.files += grown(w.files, files)
	d.disk += grown(w.disk, disk)
	w.sampled, w.paid, w.files, w.disk = now, payload, files, disk
	if now.Sub(w.emmcAt) >= time.Hour {
		w.lookAtEMMC(now)
	}
	if w.budgetPassed() && w.budgetSaidOn != d.number {
		w.budgetSaidOn = d.number
		w.log.Warn("more is written on this day than daily_write_budget allows", "path", w.dir,
			"written", Bytes(d.written(w.disk >= 0)), "limit", Bytes(w.budget))
	}
	w.turn(now)
}

// grown is how far a counter has come, where both readings are known. One that has
// fallen has begun anew: the device is another one.
func grown(from, to int64) int64 {
	if from < 0 || to < from {
		return 0
	}
	return to - from
}

// lookAtEMMC asks an eMMC for its life. The caller holds mu.
func (w *wear) lookAtEMMC(now time.Time) {
	w.emmcUsed, w.emmcSpare = w.device.life()
	w.emmcAt = now
}

// budgetPassed says whether more is written than the budget allows. The caller
// holds mu.
func (w *wear) budgetPassed() bool {
	return w.budget > 0 && w.today.written(w.disk >= 0) > w.budget
}

// stats gives the figures up to now.
func (w *wear) stats(now time.Time) Wear {
	w.sample(now)
	w.mu.Lock()
	defer w.mu.Unlock()
	d := &w.today
	st := Wear{Day: time.Unix(d.number*86400, 0).UTC(), Payload: d.payload, Files: d.files, Disk: d.disk,
		PerDay: unknown, LifeDays: unknown, EMMCUsed: w.emmcUsed, EMMCSpare: w.emmcSpare, Endurance: w.endurance, Budget: w.budget, BudgetPassed: w.budgetPassed()}
	if w.device != nil {
		st.Device = w.device.name
	}
	if w.files < 0 {
		st.Files = unknown
	}
	if w.disk < 0 {
		st.Disk = unknown
	}
	if w.files < 0 && w.disk < 0 {
		return st
	}
	onDisk := w.disk >= 0
	written := d.written(onDisk)
	if d.payload > 0 {
		st.Amplification = float64(written) / float64(d.payload)
	}
	if ran := d.ran + w.last.ran; ran >= rateAfter {
		perDay := float64(written+w.last.written(onDisk)) / ran.Hours() * 24
		st.PerDay = int64(perDay)
		if w.endurance > 0 {
			st.LifeDays = maxLifeDays
			if perDay > 0 {
				st.LifeDays = int64(min(float64(w.endurance)/perDay, maxLifeDays))
			}
		}
	}
	return st
}

// encode gives what a restart has to know.
func (w *wear) encode(now time.Time) []byte {
	w.sample(now)
	w.mu.Lock()
	defer w.mu.Unlock()
	b := []byte{wearVersion}
	for _, d := range []*day{&w.today, &w.last} {
		for _, v := range []int64{d.number, int64(d.ran / time.Second), d.payload, d.files, d.disk} {
			b = binary.AppendVarint(b, v)
		}
	}
	return b
}

const wearVersion = 1

// decodeDays reads what encode gave; what it cannot read is not ok.
func decodeDays(b []byte) (today, last day, ok bool) {
	if len(b) == 0 || b[0] != wearVersion {
		return today, last, false
	}
	b = b[1:]
	for _, d := range []*day{&today, &last} {
		var seconds int64
		for _, v := range []*int64{&d.number, &seconds, &d.payload, &d.files, &d.disk} {
			n, w := binary.Varint(b)
			if w <= 0 {
				return day{}, day{}, false
			}
			*v, b = n, b[w:]
		}
		d.ran = time.Duration(min(max(seconds, 0), 86400)) * time.Second
	}
	return today, last, true
}
