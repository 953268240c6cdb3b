package gateway

import (
	"math"
	"time"
	"unicode/utf8"

	"headgate/gateway/point"
)

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// maxReasonBytes bounds the reasons in payloads; they come from error texts.
const maxReasonBytes = 512

// appendSample appends the payload of a value:
//
//	{"value":231.4,"unit":"V","time":"2026-11-23T18:04:05.123Z","quality":"good"}
//
// unit is a JSON string already, or empty, and then left out. A sample that is
// not good has its "reason" at the end; a bad one has the value null. Where nobody
// has set the machine's clock yet, "clock":"unsynced" stands behind the time.
func appendSample(dst []byte, s *point.Sample, unit []byte, synced bool) []byte {
	dst = append(dst, `{"value":`...)
	dst = appendValue(dst, s.Value)
	if len(unit) > 0 {
		dst = append(dst, `,"unit":`...)
		dst = append(dst, unit...)
	}
	dst = appendTime(dst, s.Time)
	if !synced {
		dst = append(dst, `,"clock":"unsynced"`...)
	}
	dst = append(dst, `,"quality":"`...)
	dst = append(dst, s.Quality.String()...)
	dst = append(dst, '"')
	dst = appendReason(dst, s.Reason)
	return append(dst, '}')
}

// appendStatus appends the payload of a device's status:
//
//	{"status":"offline","reason":"no answer","time":"2026-11-23T18:04:05.123Z"}
func appendStatus(dst []byte, s point.Status) []byte {
	if s.Online {
		dst = append(dst, `{"status":"online"`...)
	} else {
		dst = append(dst, `{"status":"offline"`...)
		dst = appendReason(dst, s.Reason)
	}
	dst = appendTime(dst, s.Time)
	return append(dst, '}')
}

// appendResult appends the payload of a command's result: for outcome "ok" with
// the value that was read back, null if none was, for any other with a reason.
// id is JSON as the command had it, or empty, and then left out.
func appendResult(dst []byte, outcome string, v point.Value, reason string, id []byte, at time.Time) []byte {
	dst = append(dst, `{"status":"`...)
	dst = append(dst, outcome...)
	dst = append(dst, '"')
	if outcome == outcomeOK {
		dst = append(dst, `,"value":`...)
		dst = appendValue(dst, v)
	} else {
		dst = appendReason(dst, reason)
	}
	if len(id) > 0 {
		dst = append(dst, `,"id":`...)
		dst = append(dst, id...)
	}
	dst = appendTime(dst, at)
	return append(dst, '}')
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, `,"time":"`...)
	dst = t.UTC().AppendFormat(dst, timeLayout)
	return append(dst, '"')
}

func appendReason(dst []byte, reason string) []byte {
	if reason == "" {
		return dst
	}
	if len(reason) > maxReasonBytes {
		end := maxReasonBytes
		for !utf8.RuneStart(reason[end]) {
			end--
		}
		reason = reason[:end]
	}
	dst = append(dst, `,"reason":`...)
	return appendString(dst, reason)
}

func appendValue(dst []byte, v point.Value) []byte {
	if v.Kind() == point.String {
		return appendString(dst, v.String())
	}
	return v.AppendJSON(dst)
}

// appendString appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
// [RFC 8259 7]
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < ' ' || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
		i++
	}
	return append(dst, '"')
}

// honest makes sure that a sample claims no more than it has: a bad one has no
// value, and one without a value that JSON can carry is bad.
func honest(s point.Sample) point.Sample {
	if s.Quality != point.Bad {
		if s.Value.Kind() == point.None {
			s.Quality, s.Reason = point.Bad, "no value"
		} else if f, ok := s.Value.Float(); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			s.Quality, s.Reason = point.Bad, "the value is not a finite number"
		}
	}
	if s.Quality == point.Bad {
		s.Value = point.Value{}
		if s.Reason == "" {
			s.Reason = "not said"
		}
	}
	if s.Time.IsZero() {
		s.Time = time.Now()
	}
	return s
}
