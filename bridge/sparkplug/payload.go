// Package sparkplug is the payload of Sparkplug B: metrics with their types, values
// and properties, to and from protocol buffers. [Sparkplug 3.0 6.4] It has no I/O
// and knows nothing of MQTT or of the gateway; the bridge makes messages of it.
package sparkplug

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// What Decode takes at most.
const (
	MaxBytes      = 1 << 20 // of a payload
	maxMetrics    = 10_000
	maxProperties = 1000 // of one metric
)

// Payload is one message. UUID and body are not used.
type Payload struct {
	Timestamp time.Time // of the message, in whole milliseconds; zero: none
	Seq       uint64    // 0-255
	HasSeq    bool
	Metrics   []Metric
}

// Metric is one value.
type Metric struct {
	Name       string // "": the alias alone names it
	Alias      uint64
	HasAlias   bool
	Timestamp  time.Time // when it was measured, in whole milliseconds; zero: none
	DataType   DataType  // Unknown: not said, as in data and commands
	Historical bool      // it is not the present value
	Transient  bool
	Null       bool // there is no value
	Properties []Property
	Value      Value
}

// Property says something of a metric: a key with a value of its own.
type Property struct {
	Key      string
	DataType DataType
	Null     bool
	Value    Value
}

// Fields of the messages. [Sparkplug 3.0 6.4.1]
const (
	payloadTimestamp = 1
	payloadMetrics   = 2
	payloadSeq       = 3

	metricName       = 1
	metricAlias      = 2
	metricTimestamp  = 3
	metricDataType   = 4
	metricHistorical = 5
	metricTransient  = 6
	metricNull       = 7
	metricProperties = 9
	metricValue      = 10 // int_value, and the others behind it in the order of the forms

	setKeys   = 1
	setValues = 2

	propertyType  = 1
	propertyNull  = 2
	propertyValue = 3 // int_value, and the others behind it
)

// Append appends the payload as it goes over the wire. What is not UTF-8 in a text
// becomes U+FFFD.
func (p *Payload) Append(dst []byte) []byte {
	dst = appendTime(dst, payloadTimestamp, p.Timestamp)
	var inner []byte
	for i := range p.Metrics {
		inner = p.Metrics[i].append(inner[:0])
		dst = appendBytes(dst, payloadMetrics, inner)
	}
	if p.HasSeq {
		dst = appendUint(dst, payloadSeq, p.Seq)
	}
	return dst
}

func (m *Metric) append(dst []byte) []byte {
	if m.Name != "" {
		dst = appendText(dst, metricName, m.Name)
	}
	if m.HasAlias {
		dst = appendUint(dst, metricAlias, m.Alias)
	}
	dst = appendTime(dst, metricTimestamp, m.Timestamp)
	if m.DataType != Unknown {
		dst = appendUint(dst, metricDataType, uint64(m.DataType))
	}
	dst = appendTrue(dst, metricHistorical, m.Historical)
	dst = appendTrue(dst, metricTransient, m.Transient)
	dst = appendTrue(dst, metricNull, m.Null)
	if len(m.Properties) > 0 {
		dst = appendBytes(dst, metricProperties, appendProperties(nil, m.Properties))
	}
	if m.Null {
		return dst
	}
	return m.Value.append(dst, metricValue)
}

// appendProperties appends a PropertySet: as many values as keys.
func appendProperties(dst []byte, properties []Property) []byte {
	for i := range properties {
		dst = appendText(dst, setKeys, properties[i].Key)
	}
	for i := range properties {
		p := &properties[i]
		value := appendUint(nil, propertyType, uint64(p.DataType))
		if p.Null {
			value = appendTrue(value, propertyNull, true)
		} else {
			value = p.Value.append(value, propertyValue)
		}
		dst = appendBytes(dst, setValues, value)
	}
	return dst
}

// append appends the value in its field; first is the number of int_value.
func (v Value) append(dst []byte, first protowire.Number) []byte {
	field := first + protowire.Number(v.form-intForm)
	switch v.form {
	case none:
		return dst
	case intForm, longForm, boolForm:
		return appendUint(dst, field, v.bits)
	case floatForm:
		return protowire.AppendFixed32(protowire.AppendTag(dst, field, protowire.Fixed32Type), uint32(v.bits))
	case doubleForm:
		return protowire.AppendFixed64(protowire.AppendTag(dst, field, protowire.Fixed64Type), v.bits)
	case stringForm:
		return appendText(dst, field, string(v.bytes))
	}
	return appendBytes(dst, field, v.bytes)
}

func appendUint(dst []byte, field protowire.Number, u uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), u)
}

func appendTrue(dst []byte, field protowire.Number, b bool) []byte {
	if !b {
		return dst
	}
	return appendUint(dst, field, 1)
}

func appendTime(dst []byte, field protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return appendUint(dst, field, uint64(max(0, t.UnixMilli())))
}

func appendText(dst []byte, field protowire.Number, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return protowire.AppendString(protowire.AppendTag(dst, field, protowire.BytesType), s)
}

func appendBytes(dst []byte, field protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), b)
}

var errMalformed = errors.New("malformed protocol buffer")

// Decode reads a payload. Fields that are not known are passed over. The Payload
// keeps slices of b.
func Decode(b []byte) (*Payload, error) {
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("a Sparkplug payload of %d bytes: at most %d are read", len(b), MaxBytes)
	}
	p := new(Payload)
	err := fields(b, func(field protowire.Number, in wire) error {
		switch field {
		case payloadTimestamp:
			p.Timestamp = in.time()
		case payloadMetrics:
			if len(p.Metrics) == maxMetrics {
				return fmt.Errorf("more than %d metrics", maxMetrics)
			}
			m, err := decodeMetric(in.bytes)
			if err != nil {
				return fmt.Errorf("metric %d: %w", len(p.Metrics), err)
			}
			p.Metrics = append(p.Metrics, m)
		case payloadSeq:
			p.Seq, p.HasSeq = in.bits, true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read a Sparkplug payload: %w", err)
	}
	return p, nil
}

func decodeMetric(b []byte) (m Metric, err error) {
	err = fields(b, func(field protowire.Number, in wire) (err error) {
		switch field {
		case metricName:
			m.Name, err = in.text()
		case metricAlias:
			m.Alias, m.HasAlias = in.bits, true
		case metricTimestamp:
			m.Timestamp = in.time()
		case metricDataType:
			m.DataType = DataType(uint32(in.bits))
		case metricHistorical:
			m.Historical = in.bits != 0
		case metricTransient:
			m.Transient = in.bits != 0
		case metricNull:
			m.Null = in.bits != 0
		case metricProperties:
			m.Properties, err = decodeProperties(in.bytes)
		default:
			if v, ok := in.value(field - metricValue); ok && field >= metricValue {
				m.Value = v
			}
		}
		return err
	})
	if m.Value.form == stringForm && !utf8.Valid(m.Value.bytes) {
		return m, errors.New("a text that is not UTF-8")
	}
	return m, err
}

func decodeProperties(b []byte) ([]Property, error) {
	var keys []string
	var values []Property
	err := fields(b, func(field protowire.Number, in wire) error {
		switch field {
		case setKeys:
			key, err := in.text()
			if keys = append(keys, key); len(keys) > maxProperties {
				err = fmt.Errorf("more than %d properties", maxProperties)
			}
			return err
		case setValues:
			var p Property
			err := fields(in.bytes, func(field protowire.Number, in wire) error {
				switch field {
				case propertyType:
					p.DataType = DataType(uint32(in.bits))
				case propertyNull:
					p.Null = in.bits != 0
				default:
					if v, ok := in.value(field - propertyValue); ok && field >= propertyValue && v.form <= stringForm {
						p.Value = v
					}
				}
				return nil
			})
			if values = append(values, p); len(values) > maxProperties {
				err = fmt.Errorf("more than %d properties", maxProperties)
			}
			return err
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(keys) != len(values):
		return nil, fmt.Errorf("%d keys and %d values in a set of properties", len(keys), len(values))
	}
	for i := range values {
		values[i].Key = keys[i]
	}
	return values, nil
}

// wire is a field's content: bits or, of a text, bytes or a message, bytes.
type wire struct {
	kind  protowire.Type
	bits  uint64
	bytes []byte
}

func (w wire) text() (string, error) {
	if !utf8.Valid(w.bytes) {
		return "", errors.New("a text that is not UTF-8")
	}
	return string(w.bytes), nil
}

// time gives the zero Time for what no clock shows.
func (w wire) time() time.Time {
	if w.bits > 1<<53 {
		return time.Time{}
	}
	return time.UnixMilli(int64(w.bits)).UTC()
}

// value reads the n-th of the fields that hold a value; false for another, and for
// one whose wire type does not fit.
func (w wire) value(n protowire.Number) (Value, bool) {
	if n < 0 || n > protowire.Number(templateForm-intForm) {
		return Value{}, false
	}
	v := Value{form: intForm + form(n), bits: w.bits, bytes: w.bytes}
	want := protowire.BytesType
	switch v.form {
	case intForm:
		want, v.bits = protowire.VarintType, uint64(uint32(w.bits))
	case longForm, boolForm:
		want = protowire.VarintType
	case floatForm:
		want = protowire.Fixed32Type
	case doubleForm:
		want = protowire.Fixed64Type
	}
	if v.form == boolForm {
		v.bits = min(v.bits, 1)
	}
	return v, w.kind == want
}

// fields calls each with the fields of a message, in their order.
func fields(b []byte, each func(protowire.Number, wire) error) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		in := wire{kind: kind}
		switch kind {
		case protowire.VarintType:
			in.bits, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var u uint32
			u, n = protowire.ConsumeFixed32(b)
			in.bits = uint64(u)
		case protowire.Fixed64Type:
			in.bits, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			in.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(field, kind, b)
		}
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		if err := each(field, in); err != nil {
			return err
		}
	}
	return nil
}
