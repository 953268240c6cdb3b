package bridge

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"headgate/bridge/sparkplug"
)

// sampleMessage is a value as the gateway publishes it.
type sampleMessage struct {
	Value   json.RawMessage `json:"value"`
	Time    time.Time       `json:"time"`
	Quality string          `json:"quality"`
	Reason  string          `json:"reason"`
}

// parseSample reads the payload of a local value: the gateway's JSON, or a bare
// JSON value, which is good at the time at. ok is false for anything else.
func parseSample(payload []byte, at time.Time) (s FieldSample, ok bool) {
	payload = bytes.TrimSpace(payload)
	if len(payload) == 0 {
		return s, false
	}
	if payload[0] != '{' {
		s = FieldSample{Quality: QualityGood, Time: at}
		s.Value, ok = parseValue(payload)
		return s, ok && s.Value != nil
	}
	var m sampleMessage
	if json.Unmarshal(payload, &m) != nil || m.Value == nil {
		return s, false
	}
	s = FieldSample{Reason: m.Reason, Time: m.Time}
	switch m.Quality {
	case "good", "":
		s.Quality = QualityGood
	case "stale":
		s.Quality = QualityStale
	}
	if s.Time.IsZero() {
		s.Time = at
	}
	s.Value, ok = parseValue(m.Value)
	if s.Value == nil {
		s.Quality = QualityBad
	}
	return s, ok
}

// parseValue reads a JSON scalar. Whole numbers stay exact to 64 bits.
func parseValue(text []byte) (v any, ok bool) {
	switch text[0] {
	case 'n':
		return nil, string(text) == "null"
	case 't', 'f':
		b := text[0] == 't'
		return b, string(text) == strconv.FormatBool(b)
	case '"':
		var s string
		err := json.Unmarshal(text, &s)
		return s, err == nil
	}
	number := string(text)
	if strings.ContainsAny(number, ".eE") {
		f, err := strconv.ParseFloat(number, 64)
		return f, err == nil && json.Valid(text)
	}
	if i, err := strconv.ParseInt(number, 10, 64); err == nil {
		return i, true
	}
	if u, err := strconv.ParseUint(number, 10, 64); err == nil {
		return u, true
	}
	f, err := strconv.ParseFloat(number, 64)
	return f, err == nil && json.Valid(text)
}

// typeOf is the type of a metric whose values are not described: numbers are
// doubles, since whole ones may be followed by others.
func typeOf(v any) sparkplug.DataType {
	switch v.(type) {
	case bool:
		return sparkplug.Boolean
	case string:
		return sparkplug.String
	case []byte:
		return sparkplug.Bytes
	case nil:
		return sparkplug.Unknown
	}
	return sparkplug.Double
}

// appendCommand appends a value of a command as the gateway takes it: JSON; bytes
// as they are.
func appendCommand(dst []byte, v any) []byte {
	if b, ok := v.([]byte); ok {
		return append(dst, b...)
	}
	b, err := json.Marshal(v)
	if err != nil { // not a number
		return append(dst, "null"...)
	}
	return append(dst, b...)
}
