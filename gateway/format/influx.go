package format

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"headgate/gateway/point"
)

// appendLine appends a line of InfluxDB's line protocol, without its line end:
//
//	meter1,device=meter1,gateway=plant,unit=V voltage=231.4 1795867445123000000
//
// Tags stand in the order of their names. A number is a float, whatever it is in the
// device: InfluxDB takes a field in one type only, and a reading of 5 behind one of
// 4.9 must fit. What is stale has POINT_quality beside the value; what is bad has that
// and POINT_reason, and no value. Where nobody had set the clock, so that the time is
// no true one, POINT_clock says so. (InfluxDB docs, "Line protocol")
func appendLine(dst []byte, s *Sample, measurement string) []byte {
	if measurement == "" {
		measurement = s.Device
	}
	dst = appendName(dst, measurement, ", ")
	for _, tag := range [...]struct{ key, value string }{{"device", s.Device}, {"gateway", s.Gateway}, {"unit", s.Unit}} {
		if tag.value != "" { // an empty one is a syntax error
			dst = append(append(append(dst, ','), tag.key...), '=')
			dst = appendName(dst, tag.value, ",= ")
		}
	}
	dst = append(dst, ' ')
	if s.Quality != point.Bad {
		dst = append(appendName(dst, s.Point, ",= "), '=')
		dst = appendField(dst, s.Value)
	}
	if s.Quality != point.Good {
		if s.Quality != point.Bad {
			dst = append(dst, ',')
		}
		dst = append(appendName(dst, s.Point+"_quality", ",= "), '=')
		dst = appendQuoted(dst, s.Quality.String())
		if s.Reason != "" {
			dst = append(appendName(append(dst, ','), s.Point+"_reason", ",= "), '=')
			dst = appendQuoted(dst, briefly(s.Reason))
		}
	}
	if s.Unsynced {
		dst = append(appendName(append(dst, ','), s.Point+"_clock", ",= "), `="unsynced"`...)
	}
	dst = append(dst, ' ')
	return strconv.AppendInt(dst, s.Time.UnixNano(), 10)
}

func appendField(dst []byte, v point.Value) []byte {
	if v.Kind() == point.String {
		return appendQuoted(dst, v.String())
	}
	return v.AppendJSON(dst)
}

// appendName appends a measurement, a key or a tag's value; each of special has a
// backslash before it. A line end cannot be escaped and becomes a space, and a
// backslash at the end would escape what follows.
func appendName(dst []byte, s, special string) []byte {
	s = plain(strings.TrimRight(s, `\`))
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return dst
}

// appendQuoted appends a string field.
func appendQuoted(dst []byte, s string) []byte {
	s = plain(s)
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

// plain has spaces in place of control characters, and U+FFFD where s is not UTF-8:
// a line is a line.
func plain(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, string(utf8.RuneError))
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
