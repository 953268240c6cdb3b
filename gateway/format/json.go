package format

import (
	"bytes"
	"encoding/json"
	"time"
	"unicode/utf8"

	"headgate/gateway/point"
)

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// maxReasonBytes bounds the reasons in payloads; they come from error texts.
const maxReasonBytes = 512

// AppendJSON appends the gateway's own payload of a value:
//
//	{"value":231.4,"unit":"V","time":"2026-11-23T18:04:05.123Z","quality":"good"}
//
// Without a unit that is left out. A sample that is not good has its "reason" at the
// end; a bad one has the value null. Where nobody has set the machine's clock yet,
// "clock":"unsynced" stands behind the time, and from when it can be told: see Restamp.
func AppendJSON(dst []byte, s *Sample) []byte {
	dst = append(dst, `{"value":`...)
	dst = AppendValue(dst, s.Value)
	if s.Unit != "" {
		dst = append(dst, `,"unit":`...)
		dst = AppendString(dst, s.Unit)
	}
	dst = appendWhen(dst, s)
	dst = append(dst, `,"quality":"`...)
	dst = append(dst, s.Quality.String()...)
	dst = append(dst, '"')
	dst = AppendReason(dst, s.Reason)
	return append(dst, '}')
}

// Parse reads what AppendJSON wrote into s. It is false for anything else, and
// leaves s as it was.
func Parse(payload []byte, s *Sample) bool {
	if len(payload) == 0 || payload[0] != '{' {
		return false
	}
	var read struct {
		Value   json.RawMessage `json:"value"`
		Unit    string          `json:"unit"`
		Time    time.Time       `json:"time"`
		Clock   string          `json:"clock"`
		Quality string          `json:"quality"`
		Reason  string          `json:"reason"`
	}
	if json.Unmarshal(payload, &read) != nil || read.Value == nil || read.Time.IsZero() {
		return false
	}
	p := point.Sample{Point: s.Point, Unit: read.Unit, Reason: read.Reason, Time: read.Time}
	switch read.Quality {
	case "good":
	case "stale":
		p.Quality = point.Stale
	case "bad":
		p.Quality = point.Bad
	default:
		return false
	}
	if p.Quality != point.Bad {
		var err error
		if p.Value, err = point.ParseJSON(read.Value); err != nil {
			return false
		}
	} else if !bytes.Equal(read.Value, []byte("null")) {
		return false
	}
	s.Sample, s.Unsynced = p, read.Clock == "unsynced"
	return true
}

// AppendDevice appends the payload of samples of one device and one time, of which
// there is at least one:
//
//	{"time":"2026-11-23T18:04:05.123Z","values":{"voltage":231.4,"current":null},
//	 "units":{"voltage":"V"},"quality":"bad","reasons":{"current":"no answer"}}
//
// quality is the worst of them; which points are not good and why is in "stale", a list,
// and "reasons". What is there of a point twice, counts as it is there last.
func AppendDevice(dst []byte, samples []Sample) []byte {
	samples = latest(samples)
	dst = append(dst, '{')
	dst = appendWhen(dst, &samples[0])
	dst = append(dst, `,"values":`...)
	dst = appendMap(dst, samples, func(dst []byte, s *Sample) []byte { return AppendValue(dst, s.Value) }, func(*Sample) bool { return true })
	if hasUnit := func(s *Sample) bool { return s.Unit != "" }; has(samples, hasUnit) {
		dst = append(dst, `,"units":`...)
		dst = appendMap(dst, samples, func(dst []byte, s *Sample) []byte { return AppendString(dst, s.Unit) }, hasUnit)
	}
	worst := point.Good
	for i := range samples {
		worst = max(worst, samples[i].Quality)
	}
	dst = append(dst, `,"quality":"`...)
	dst = append(dst, worst.String()...)
	dst = append(dst, '"')
	if isStale := func(s *Sample) bool { return s.Quality == point.Stale }; has(samples, isStale) {
		dst = append(dst, `,"stale":`...)
		open := byte('[')
		for i := range samples {
			if isStale(&samples[i]) {
				dst = AppendString(append(dst, open), samples[i].Point)
				open = ','
			}
		}
		dst = append(dst, ']')
	}
	if hasReason := func(s *Sample) bool { return s.Reason != "" }; has(samples, hasReason) {
		dst = append(dst, `,"reasons":`...)
		dst = appendMap(dst, samples, func(dst []byte, s *Sample) []byte { return AppendString(dst, briefly(s.Reason)) }, hasReason)
	}
	return append(dst, '}')
}

// latest leaves out what comes of the same point once more.
func latest(samples []Sample) []Sample {
	at := make(map[string]int, len(samples))
	for i := range samples {
		at[samples[i].Point] = i
	}
	if len(at) == len(samples) {
		return samples
	}
	kept := make([]Sample, 0, len(at))
	for i := range samples {
		if at[samples[i].Point] == i {
			kept = append(kept, samples[i])
		}
	}
	return kept
}

func has(samples []Sample, which func(*Sample) bool) bool {
	for i := range samples {
		if which(&samples[i]) {
			return true
		}
	}
	return false
}

// appendMap appends an object by point, of which samples.
func appendMap(dst []byte, samples []Sample, what func([]byte, *Sample) []byte, which func(*Sample) bool) []byte {
	open := byte('{')
	for i := range samples {
		if s := &samples[i]; which(s) {
			dst = AppendString(append(dst, open), s.Point)
			dst = what(append(dst, ':'), s)
			open = ','
		}
	}
	return append(dst, '}')
}

// appendWhen appends the time, and that nobody had set the clock.
func appendWhen(dst []byte, s *Sample) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = AppendTime(append(dst, `"time":`...), s.Time)
	switch {
	case s.Unsynced && s.Boot != 0:
		dst = appendUnsynced(dst, s.Boot, s.Uptime)
	case s.Unsynced:
		dst = append(dst, `,"clock":"unsynced"`...)
	}
	return dst
}

// AppendTime appends a time as a JSON string.
func AppendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, timeLayout)
	return append(dst, '"')
}

// AppendReason appends a "reason" to an object that has something already, nothing
// where there is none. It is cut where it is long.
func AppendReason(dst []byte, reason string) []byte {
	if reason == "" {
		return dst
	}
	dst = append(dst, `,"reason":`...)
	return AppendString(dst, briefly(reason))
}

func briefly(reason string) string {
	if len(reason) <= maxReasonBytes {
		return reason
	}
	end := maxReasonBytes
	for !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end]
}

// AppendValue appends a value as JSON; the zero Value is null.
func AppendValue(dst []byte, v point.Value) []byte {
	if v.Kind() == point.String {
		return AppendString(dst, v.String())
	}
	return v.AppendJSON(dst)
}

// AppendString appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
// [RFC 8259 7]
func AppendString(dst []byte, s string) []byte {
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
