package bridge

import (
	"fmt"
	"strings"
	"time"

	"headgate/bridge/sparkplug"
)

const (
	maxReason = 256 // bytes of a reason in a property

	// These bound the names that are kept, in number and in bytes, for whoever may
	// publish to the topics of values can invent them.
	maxNodeMetrics = 50_000
	maxNodeNames   = 4 << 20
)

// nodeDevice is a device in one connection.
type nodeDevice struct {
	name    string
	model   [2]string // manufacturer and model
	born    bool      // its DBIRTH was sent, and no DDEATH
	online  bool      // as the gateway said at the birth
	tooBig  bool      // its DBIRTH is too large for the upstream
	metrics []*nodeMetric
	byName  map[string]*nodeMetric
}

// nodeMetric is a point in one connection.
type nodeMetric struct {
	point FieldPoint
	alias uint64
	typ   sparkplug.DataType // as the birth says; Unknown: no value has shown it, and it is in no birth
	shown bool               // a value has shown it, whatever the description says

	// The present value, as the upstream was told it last.
	told      time.Time // in whole milliseconds; zero: nothing was told
	ofBirth   bool      // it was told in a birth
	value     sparkplug.Value
	quality   Quality
	wasReason string
}

// millis is a time as the wire has it.
func millis(t time.Time) time.Time { return t.Truncate(time.Millisecond) }

// learn takes what the gateway says of the device now.
func (d *nodeDevice) learn(n *node, f FieldDevice) {
	d.online, d.model = f.Online, [2]string{f.Manufacturer, f.Model}
	for _, p := range f.Points {
		m := d.metric(n, p.Name)
		if m == nil {
			continue
		}
		m.point = p
		switch {
		case m.shown:
		case p.Type != sparkplug.Unknown:
			m.typ = p.Type
		case p.Last.Value != nil && m.typ == sparkplug.Unknown:
			m.typ = typeOf(p.Last.Value)
		}
	}
}

// metric gives the metric of a point, and makes it; nil when there are too many.
func (d *nodeDevice) metric(n *node, name string) *nodeMetric {
	if m := d.byName[name]; m != nil {
		return m
	}
	alias, ok := n.edge.alias(d.name, name)
	if !ok {
		return nil
	}
	m := &nodeMetric{point: FieldPoint{Name: name}, alias: alias}
	d.metrics = append(d.metrics, m)
	d.byName[name] = m
	return m
}

// alias gives the alias of a point, the same as long as the program runs; false
// when there are too many. [tck-id-payloads-alias-uniqueness]
func (e *edgeNode) alias(device, point string) (alias uint64, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	points := e.aliases[device]
	if alias, ok = points[point]; ok {
		return alias, true
	}
	cost := len(device) + len(point)
	if e.last == maxNodeMetrics || e.bytes+cost > maxNodeNames {
		return 0, false
	}
	e.bytes += cost
	if points == nil {
		points = make(map[string]uint64)
		e.aliases[device] = points
	}
	e.last++
	points[point] = e.last
	return e.last, true
}

// aliasOf gives the alias of a point, 0 for none.
func (e *edgeNode) aliasOf(device, point string) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.aliases[device][point]
}

// birth gives the metric as DBIRTH has it: with everything that there is to know.
// [tck-id-topics-dbirth-metrics]
func (m *nodeMetric) birth(now time.Time) sparkplug.Metric {
	out := sparkplug.Metric{Name: m.point.Name, Alias: m.alias, HasAlias: true, DataType: m.typ}
	out.Properties = append(out.Properties, property("readOnly", sparkplug.Boolean, m.point.Set == ""))
	if m.point.Unit != "" {
		out.Properties = append(out.Properties, property("engUnit", sparkplug.String, m.point.Unit))
	}
	last := m.point.Last
	if last.Time.IsZero() {
		last = FieldSample{Quality: QualityStale, Reason: "not measured yet", Time: now}
	} else {
		m.told, m.ofBirth = millis(last.Time), true
	}
	m.put(&out, last)
	m.value, m.quality, m.wasReason = out.Value, last.Quality, last.Reason
	return out
}

// put puts a value into the metric: null where there is none, with its quality where
// it is not good. [tck-id-operational-behavior-data-publish-dbirth-values]
func (m *nodeMetric) put(out *sparkplug.Metric, s FieldSample) {
	out.Timestamp = millis(s.Time)
	v, err := sparkplug.Of(m.typ, m.coerce(s.Value))
	if s.Value == nil || err != nil {
		out.Null = true
		if s.Quality == QualityGood {
			s.Quality = QualityBad
		}
	}
	out.Value = v
	if s.Quality == QualityGood {
		return
	}
	out.Properties = append(out.Properties, property("Quality", sparkplug.Int32, int64(s.Quality)))
	if s.Reason != "" {
		out.Properties = append(out.Properties, property("Reason", sparkplug.String, strings.ToValidUTF8(s.Reason[:min(len(s.Reason), maxReason)], "")))
	}
}

func property(key string, t sparkplug.DataType, v any) sparkplug.Property {
	value, err := sparkplug.Of(t, v)
	return sparkplug.Property{Key: key, DataType: t, Null: err != nil, Value: value}
}

// fits says whether the value can be told of the metric as it was born.
func (m *nodeMetric) fits(v any) bool {
	if v == nil || m.typ == sparkplug.Unknown {
		return m.typ != sparkplug.Unknown
	}
	_, err := sparkplug.Of(m.typ, m.coerce(v))
	return err == nil
}

// retype gives the metric the type of a value that does not fit; without a value
// that of a text.
func (m *nodeMetric) retype(v any) {
	if m.typ, m.shown = typeOf(v), true; m.typ == sparkplug.Unknown {
		m.typ, m.shown = sparkplug.String, false
	}
}

// coerce makes a text of a number where the metric is one: an enum may have a
// number that is none of its texts.
func (m *nodeMetric) coerce(v any) any {
	switch v.(type) {
	case nil, string, []byte:
		return v
	}
	if m.typ == sparkplug.String {
		return fmt.Sprint(v)
	}
	return v
}

// Ways of a sample.
type tense uint8

const (
	present    tense = iota
	historical       // it is sent, and is not the present value
	told             // the upstream knows it
)

// tense says what a sample is to the upstream, by its time and by what was told.
// Data that is not historical must be in the order of its time, and is sent when it
// says something new. [tck-id-operational-behavior-data-publish-dbirth-order]
// [tck-id-operational-behavior-data-publish-dbirth-change]
func (m *nodeMetric) tense(n *node, device string, s FieldSample, replay bool) tense {
	at := millis(s.Time)
	v, _ := sparkplug.Of(m.typ, m.coerce(s.Value)) // the zero Value for none
	same := !m.told.IsZero() && v.Equal(m.value) && s.Quality == m.quality && s.Reason == m.wasReason
	switch {
	case same && at.Equal(m.told):
		return told
	case replay:
		return historical
	case at.Before(m.told) && m.ofBirth && !n.clockSetBack(device, m):
		return historical // it was measured before the birth, which had a newer one
	case same:
		m.told = at
		return told
	}
	m.told, m.ofBirth, m.value, m.quality, m.wasReason = at, false, v, s.Quality, s.Reason
	return present
}
