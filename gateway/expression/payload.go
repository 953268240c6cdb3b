package expression

import (
	"bytes"
	"encoding/json"
	"errors"
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

// maxPayload bounds what ToPayload gives, in bytes: a list may have an input more than
// once.
const maxPayload = 1 << 20

var errPayload = errors.New("what comes of it is longer than 1 MB")

// ToPayload gives a result as a message says it: a text as it is, everything else as
// JSON; 1 MB at most.
func ToPayload(v any) ([]byte, error) {
	if left(v, maxPayload) < 0 {
		return nil, errPayload
	}
	if s, ok := v.(string); ok {
		return []byte(s), nil
	}
	if value, ok := ToValue(v); ok {
		return value.AppendJSON(nil), nil
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	if out.Len() > maxPayload+1 { // with a line's end
		return nil, errPayload
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// left is what is left of some bytes behind a value in JSON, which takes as many at
// least; negative: they are not enough.
func left(v any, bytes int) int {
	switch v := v.(type) {
	case string:
		return bytes - len(v)
	case []any:
		for i := 0; i < len(v) && bytes >= 0; i++ {
			bytes = left(v[i], bytes)
		}
	case map[string]any:
		for name, member := range v {
			if bytes = left(member, bytes-len(name)); bytes < 0 {
				break
			}
		}
	}
	return bytes - 1
}
