package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"headgate/broker/packet"
)

// jsonTime is the time of %j: the man page's form.
const jsonTime = "2006-01-02T15:04:05.000000-0700"

var errNotJSON = errors.New("the payload is not valid JSON")

// appendJSON appends a message as a JSON object, the payload as a string or, for
// %J, as the JSON that it is.
func appendJSON(dst []byte, m *packet.Publish, now time.Time, raw, pretty bool) ([]byte, error) {
	w := jsonWriter{b: dst, pretty: pretty}
	w.open('{')
	w.text("tst", now.Format(jsonTime))
	w.text("topic", string(m.Topic))
	w.number("qos", uint64(m.QoS))
	retain := uint64(0)
	if m.Retain {
		retain = 1
	}
	w.number("retain", retain)
	w.number("payloadlen", uint64(len(m.Payload)))
	if m.QoS > 0 {
		w.number("mid", uint64(m.PacketID))
	}
	w.properties(&m.Properties)
	w.key("payload")
	switch {
	case len(m.Payload) == 0:
		w.b = append(w.b, "null"...)
	case !raw:
		w.b = appendJSONString(w.b, string(m.Payload))
	default:
		if err := w.value(m.Payload); err != nil {
			return dst, err
		}
	}
	w.close('}')
	return w.b, nil
}

// properties writes those of MQTT 5, if there are any.
func (w *jsonWriter) properties(p *packet.Properties) {
	any := len(p.User) > 0 || len(p.SubscriptionIDs) > 0
	for _, id := range []packet.PropertyID{packet.PropPayloadFormat, packet.PropMessageExpiry, packet.PropContentType,
		packet.PropResponseTopic, packet.PropCorrelationData, packet.PropTopicAlias} {
		any = any || p.Has(id)
	}
	if !any {
		return
	}
	w.key("properties")
	w.open('{')
	if p.Has(packet.PropPayloadFormat) {
		w.number("payload-format-indicator", uint64(p.PayloadFormat))
	}
	if p.Has(packet.PropMessageExpiry) {
		w.number("message-expiry-interval", uint64(p.MessageExpiry))
	}
	if p.Has(packet.PropContentType) {
		w.text("content-type", string(p.ContentType))
	}
	if p.Has(packet.PropResponseTopic) {
		w.text("response-topic", string(p.ResponseTopic))
	}
	if p.Has(packet.PropCorrelationData) {
		w.text("correlation-data", string(p.CorrelationData))
	}
	switch len(p.SubscriptionIDs) {
	case 0:
	case 1:
		w.number("subscription-identifier", uint64(p.SubscriptionIDs[0]))
	default: // one for each subscription that matches
		w.key("subscription-identifier")
		w.open('[')
		for _, id := range p.SubscriptionIDs {
			w.element()
			w.b = strconv.AppendUint(w.b, uint64(id), 10)
		}
		w.close(']')
	}
	if p.Has(packet.PropTopicAlias) {
		w.number("topic-alias", uint64(p.TopicAlias))
	}
	if len(p.User) > 0 {
		w.key("user-properties")
		w.open('{')
		for _, u := range p.User {
			w.text(string(u.Key), string(u.Value))
		}
		w.close('}')
	}
	w.close('}')
}

// jsonWriter writes JSON as cJSON does, which mosquitto_sub prints with: pretty
// is a tab for each level, and arrays on one line.
type jsonWriter struct {
	b      []byte
	pretty bool
	depth  int
	filled bool // the object or array has something in it
}

func (w *jsonWriter) open(bracket byte) {
	w.b = append(w.b, bracket)
	w.depth++
	w.filled = false
}

func (w *jsonWriter) close(bracket byte) {
	w.depth--
	if bracket == '}' && w.pretty {
		w.newline()
	}
	w.b = append(w.b, bracket)
	w.filled = true
}

func (w *jsonWriter) newline() { w.b = append(append(w.b, '\n'), strings.Repeat("\t", w.depth)...) }

func (w *jsonWriter) key(name string) {
	if w.filled {
		w.b = append(w.b, ',')
	}
	w.filled = true
	if w.pretty {
		w.newline()
	}
	w.b = append(appendJSONString(w.b, name), ':')
	if w.pretty {
		w.b = append(w.b, '\t')
	}
}

func (w *jsonWriter) element() {
	if w.filled {
		w.b = append(w.b, ',')
		if w.pretty {
			w.b = append(w.b, ' ')
		}
	}
	w.filled = true
}

func (w *jsonWriter) text(name, value string) {
	w.key(name)
	w.b = appendJSONString(w.b, value)
}

func (w *jsonWriter) number(name string, value uint64) {
	w.key(name)
	w.b = strconv.AppendUint(w.b, value, 10)
}

// value writes JSON that came: its numbers, its order and its repeated names
// stay.
func (w *jsonWriter) value(b []byte) error {
	if !json.Valid(b) {
		return errNotJSON
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var kinds []json.Delim // the brackets around
	isName := false
	for {
		t, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errNotJSON
		}
		inObject := len(kinds) > 0 && kinds[len(kinds)-1] == '{'
		end := t == json.Delim('}') || t == json.Delim(']')
		if inObject && isName && !end {
			w.key(t.(string)) // the decoder gives nothing else for a name
			isName = false
			continue
		}
		if len(kinds) > 0 && !inObject && !end {
			w.element()
		}
		switch v := t.(type) {
		case json.Delim:
			if end {
				kinds = kinds[:len(kinds)-1]
				w.close(byte(v))
			} else {
				kinds = append(kinds, v)
				w.open(byte(v))
			}
		case string:
			w.b = appendJSONString(w.b, v)
		case nil:
			w.b = append(w.b, "null"...)
		default: // a number or a truth value
			w.b = fmt.Append(w.b, v)
		}
		isName = len(kinds) > 0 && kinds[len(kinds)-1] == '{'
	}
}

// appendJSONString appends a string with what must be escaped, and nothing else.
// Bytes that are no UTF-8 have no place in JSON: U+FFFD stands for each.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r >= ' ':
			dst = utf8.AppendRune(dst, r)
		default:
			if i := strings.IndexRune("\b\f\n\r\t", r); i >= 0 {
				dst = append(dst, '\\', "bfnrt"[i])
			} else {
				dst = fmt.Appendf(dst, `\u%04x`, r)
			}
		}
	}
	return append(dst, '"')
}
