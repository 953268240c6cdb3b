package bridge

import (
	"encoding/json"
	"strings"
	"time"
)

// The topics of ThingsBoard's gateway API. (ThingsBoard docs, "MQTT Gateway API")
const (
	boardTelemetry  = "v1/gateway/telemetry"
	boardConnect    = "v1/gateway/connect"
	boardDisconnect = "v1/gateway/disconnect"
)

// boardMessage is what is read of a JSON object that goes up: a sample of the
// gateway, the status of a device, or neither.
type boardMessage struct {
	Value   json.RawMessage `json:"value"`
	Quality string          `json:"quality"`
	Status  string          `json:"status"`
	Time    time.Time       `json:"time"`
}

// encodeBoard makes of a local message what the gateway API takes. The last level
// of the name is the key, what stands before it the device. A sample is its
// value at its time; one that is not good is its quality, as KEY_quality, and no
// value. A device's status connects or disconnects it. Any other JSON is taken as
// it is, at the time at, an object as keys and values. It fails on what is none.
func encodeBoard(local string, payload []byte, at time.Time) (remote string, encoded []byte, ok bool) {
	i := strings.LastIndexByte(local, '/')
	if i <= 0 || i == len(local)-1 || !json.Valid(payload) {
		return "", nil, false
	}
	device, key := local[:i], local[i+1:]
	var m boardMessage
	values := map[string]json.RawMessage{key: payload}
	if strings.HasPrefix(strings.TrimLeft(string(payload), " \t\r\n"), "{") {
		if json.Unmarshal(payload, &m) != nil {
			m = boardMessage{} // an object of another kind
		}
		switch {
		case key == "status" && m.Status == "online":
			return boardConnect, toJSON(map[string]string{"device": device}), true
		case key == "status" && m.Status == "offline":
			return boardDisconnect, toJSON(map[string]string{"device": device}), true
		case m.Quality == "good" && m.Value != nil:
			values[key] = m.Value
		case m.Quality != "" && m.Value != nil:
			values = map[string]json.RawMessage{key + "_quality": toJSON(m.Quality)}
		default:
			values = nil
			if json.Unmarshal(payload, &values) != nil || len(values) == 0 {
				return "", nil, false
			}
		}
	}
	if !m.Time.IsZero() {
		at = m.Time
	}
	type entry struct {
		TS     int64                      `json:"ts"`
		Values map[string]json.RawMessage `json:"values"`
	}
	return boardTelemetry, toJSON(map[string][]entry{device: {{at.UnixMilli(), values}}}), true
}

// toJSON encodes what is made of texts and of JSON that was read: that cannot fail.
func toJSON(v any) []byte {
	b, _ := json.Marshal(v)
	return b
}
