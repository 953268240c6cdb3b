package format

import (
	"bytes"
	"strconv"
	"time"
)

// Where nobody has set the machine's clock, a value's payload says in which boot it
// was measured, and how long that had run:
//
//	"time":"1970-01-01T00:00:12.345Z","clock":"unsynced","boot":17,"uptime_ms":12345
//
// When the clock has been set, that is enough to know the time.
const (
	unsyncedMark  = `","clock":"unsynced","boot":`
	uptimeMark    = `,"uptime_ms":`
	correctedMark = `","clock":"corrected"`

	// restampMost is how long a payload of ours may be, in bytes.
	restampMost = 64 << 10
)

// appendUnsynced appends what stands behind the quotation mark of the time's end.
func appendUnsynced(dst []byte, boot uint32, uptime time.Duration) []byte {
	dst = append(dst, unsyncedMark[1:]...)
	dst = strconv.AppendUint(dst, uint64(boot), 10)
	dst = append(dst, uptimeMark...)
	return strconv.AppendInt(dst, uptime.Milliseconds(), 10)
}

// Restamp gives a payload in which each time of an unsynced clock has become the one
// that wall says, with "clock":"corrected" behind it. Where wall does not know it, and
// in what is no such payload, nothing changes; payload itself never does.
func Restamp(payload []byte, wall func(boot uint32, uptime time.Duration) (time.Time, bool)) []byte {
	if len(payload) == 0 || payload[0] != '{' && payload[0] != '[' || len(payload) > restampMost || !bytes.Contains(payload, []byte(unsyncedMark)) {
		return payload
	}
	var out []byte
	for rest := payload; ; {
		at := bytes.Index(rest, []byte(unsyncedMark))
		if at < 0 {
			return append(out, rest...)
		}
		before, tail := rest[:at], rest[at+len(unsyncedMark):]
		boot, tail, ok := cutNumber(tail, 32)
		if ok {
			tail, ok = bytes.CutPrefix(tail, []byte(uptimeMark))
		}
		var uptime uint64
		if ok {
			uptime, tail, ok = cutNumber(tail, 43)
		}
		stamp := len(before) - len(timeLayout)
		var when time.Time
		if ok = ok && stamp >= 0 && before[max(0, stamp-1)] == '"'; ok {
			when, ok = wall(uint32(boot), time.Duration(uptime)*time.Millisecond)
		}
		if !ok {
			end := at + len(unsyncedMark)
			out, rest = append(out, rest[:end]...), rest[end:]
			continue
		}
		out = append(out, before[:stamp]...)
		out = when.UTC().AppendFormat(out, timeLayout)
		out = append(out, correctedMark...)
		rest = tail
	}
}

// cutNumber takes a decimal number of so many bits off the begin.
func cutNumber(b []byte, bits int) (n uint64, rest []byte, ok bool) {
	end := 0
	for end < len(b) && b[end] >= '0' && b[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(string(b[:end]), 10, bits)
	return n, b[end:], err == nil
}
