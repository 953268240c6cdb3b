package expression

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"headgate/gateway/point"
)

// OfPayload gives what a message says: JSON, or a text where it is none. Name and Time
// are left to the caller.
func OfPayload(payload []byte) Input {
	var v any
	switch {
	case len(payload) == 0:
		return Input{Quality: point.Bad, Reason: "the payload is empty"}
	case json.Unmarshal(payload, &v) == nil:
		if v == nil {
			return Input{Quality: point.Bad, Reason: "the payload is null"}
		}
		return Input{Value: v}
	case utf8.Valid(payload):
		return Input{Value: string(payload)}
	}
	return Input{Quality: point.Bad, Reason: "the payload is neither JSON nor a text"}
}

// ToPayload gives a result as a message says it: a text as it is, everything else as
// JSON.
func ToPayload(v any) ([]byte, error) {
	if s, ok := v.(string); ok {
		return []byte(s), nil
	}
	if value, ok := ToValue(v); ok {
		return value.AppendJSON(nil), nil
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(out.Bytes()), err
}
