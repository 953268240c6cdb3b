package clock

import (
	"encoding/hex"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Source is where a Clock reads the time.
type Source interface {
	// BootID is random and differs from boot to boot; all 0: it is not known.
	BootID() [16]byte
	// SinceBoot is the time since the boot, suspends included.
	SinceBoot() time.Duration
	// Wall is the wall clock, and whether it can be trusted.
	Wall() (now time.Time, synced bool)
}

// System is the machine's own.
func System() Source { return system{built: built()} }

type system struct{ built time.Time }

// BootID is the kernel's, a UUID.
func (system) BootID() (id [16]byte) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id
	}
	text := strings.ReplaceAll(strings.TrimSpace(string(b)), "-", "")
	if n, err := hex.Decode(id[:], []byte(text[:min(len(text), 2*len(id))])); err != nil || n != len(id) {
		return [16]byte{}
	}
	return id
}

func (system) SinceBoot() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// Wall asks the kernel, who is told by whoever keeps the clock. Where it may not
// be asked (a seccomp filter), a clock that is later than this build will do.
func (s system) Wall() (now time.Time, synced bool) {
	now = time.Now()
	if !plausible(now, s.built) {
		return now, false
	}
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return now, true
	}
	return now, t.Status&unix.STA_UNSYNC == 0
}

// plausible says whether a wall clock may be right: an RTC with an empty battery
// shows the time before this build, or one far beyond its life.
func plausible(now, built time.Time) bool {
	return now.After(built) && now.Before(built.AddDate(30, 0, 0))
}

// built is when the source that this was built from was committed; without that,
// a time before it.
func built() time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
					return t
				}
			}
		}
	}
	return time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
}
