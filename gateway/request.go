package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"headgate/gateway/point"
)

// Larger commands are refused unread; a value is a number or a short text.
const (
	maxRequestBytes = 16 << 10
	maxIDBytes      = 256
)

// request is the payload of a command: a bare JSON value, or
//
//	{"value": 21.5, "id": "a1", "time": "2026-11-23T18:04:05.123Z", "ttl": "5s"}
//
// with id (any JSON, given back in the result), time (RFC 3339, when the command
// was given) and ttl (how old it may be when it is carried out) as the sender
// likes.
type request struct {
	value point.Value
	id    []byte        // JSON; nil for none
	time  time.Time     // zero for none
	ttl   time.Duration // 0 for none
}

// parseFor reads the payload of a command to t, which is nil if there is none.
func parseFor(t *target, payload []byte) (request, error) {
	if t == nil || !t.point.info.Raw {
		return parseRequest(payload)
	}
	switch n := len(payload); {
	case n == 0:
		return request{}, errors.New("the payload is empty")
	case n > maxRequestBytes:
		return request{}, fmt.Errorf("the payload is larger than %d bytes", maxRequestBytes)
	}
	return request{value: point.OfString(string(payload))}, nil
}

// parseRequest reads a payload. With an error the request may still have an id,
// so that the refusal can carry it.
func parseRequest(payload []byte) (request, error) {
	var r request
	if len(payload) > maxRequestBytes {
		return r, fmt.Errorf("the payload is larger than %d bytes", maxRequestBytes)
	}
	payload = bytes.TrimSpace(payload)
	if len(payload) == 0 {
		return r, errors.New("the payload is empty")
	}
	if !json.Valid(payload) {
		return r, errors.New(`the payload is not JSON: want a value, or {"value": ...}`)
	}
	value := payload
	if payload[0] == '{' {
		var err error
		if value, err = r.parseObject(payload); err != nil {
			return r, err
		}
	}
	v, err := point.ParseJSON(value)
	r.value = v
	return r, err
}

// parseObject takes id, time and ttl from an object, and gives its value as it
// stands there.
func (r *request) parseObject(payload []byte) (value []byte, err error) {
	var object struct {
		Value json.RawMessage `json:"value"`
		ID    json.RawMessage `json:"id"`
		Time  json.RawMessage `json:"time"`
		TTL   json.RawMessage `json:"ttl"`
	}
	if err := json.Unmarshal(payload, &object); err != nil {
		return nil, fmt.Errorf("the payload is not a command: %w", err)
	}
	if id := object.ID; id != nil && string(id) != "null" {
		var compact bytes.Buffer
		if json.Compact(&compact, id) != nil || compact.Len() > maxIDBytes {
			return nil, fmt.Errorf("the id is longer than %d bytes", maxIDBytes)
		}
		r.id = compact.Bytes()
	}
	if object.Value == nil {
		return nil, errors.New(`the payload has no "value"`)
	}
	if t := object.Time; t != nil && string(t) != "null" {
		var s string
		if json.Unmarshal(t, &s) == nil {
			r.time, err = time.Parse(time.RFC3339, s)
		}
		if r.time.IsZero() || err != nil {
			return nil, fmt.Errorf(`the time %.40s is not like "2026-11-23T18:04:05.123Z"`, t)
		}
	}
	if ttl := object.TTL; ttl != nil && string(ttl) != "null" {
		var s string
		if json.Unmarshal(ttl, &s) == nil {
			r.ttl, err = time.ParseDuration(s)
		}
		if r.ttl <= 0 || err != nil {
			return nil, fmt.Errorf(`the ttl %.40s is not like "5s"`, ttl)
		}
	}
	return object.Value, nil
}

// mostAge is how old the command may become: as its ttl says, but no older than
// the config allows.
func (r *request) mostAge(maxAge time.Duration) time.Duration {
	if r.ttl > 0 {
		return min(r.ttl, maxAge)
	}
	return maxAge
}

// remaining gives how much longer the command may wait at now; the error says
// why it may not at all.
func (r *request) remaining(now time.Time, queued bool, maxAge time.Duration) (time.Duration, error) {
	maxAge = r.mostAge(maxAge)
	if r.time.IsZero() {
		if queued {
			return 0, errors.New("it was kept while the gateway was away, and has no time to tell its age from")
		}
		return maxAge, nil
	}
	age := now.Sub(r.time)
	if age > maxAge {
		return 0, fmt.Errorf("it is %v old, more than the %v that are allowed", age.Round(time.Millisecond), maxAge)
	}
	// One from the future would never grow old.
	if age < -maxAge {
		return 0, fmt.Errorf("its time is %v ahead of the gateway's clock, so that its age cannot be told", (-age).Round(time.Millisecond))
	}
	return min(maxAge-age, maxAge), nil
}
