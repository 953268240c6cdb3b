package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"headgate/broker/topic"
	"headgate/gateway/point"
)

// statusPoint is the name in a point's place that makes a device's status
// topic; setLevel and resultLevel are what commands and their results have
// behind the point's topic.
const (
	statusPoint = "status"
	setLevel    = "set"
	resultLevel = "result"
)

// template makes topics. Its levels are fixed but for one {device} and one
// {point}, each a level of its own, which is what lets a topic be read back.
type template struct {
	levels        []string
	device, point int // where they stand in levels
}

// parseTemplate reads s, with the gateway's name filled in.
func parseTemplate(s, gateway string) (template, error) {
	t := template{device: -1, point: -1}
	if len(s) > 1024 {
		return t, errors.New("is longer than 1024 bytes")
	}
	for i, level := range strings.Split(s, "/") {
		switch level {
		case "{device}":
			if t.device >= 0 {
				return t, errors.New("has {device} twice")
			}
			t.device = i
		case "{point}":
			if t.point >= 0 {
				return t, errors.New("has {point} twice")
			}
			t.point = i
		default:
			var err error
			if level, err = fixedLevel(level, gateway); err != nil {
				return t, err
			}
		}
		t.levels = append(t.levels, level)
	}
	if t.device < 0 {
		return t, errors.New("has no {device}")
	}
	if t.point < 0 {
		return t, errors.New("has no {point}")
	}
	return t, nil
}

// fixedLevel fills the gateway's name into a level that is the same in every
// topic.
func fixedLevel(level, gateway string) (string, error) {
	if strings.Contains(level, "{device}") || strings.Contains(level, "{point}") {
		return "", fmt.Errorf("has %q: {device} and {point} must each be a whole level", level)
	}
	if strings.ContainsAny(strings.ReplaceAll(level, "{gateway}", ""), "{}") {
		return "", fmt.Errorf("has %q: the placeholders are {gateway}, {device} and {point}", level)
	}
	filled := strings.ReplaceAll(level, "{gateway}", gateway)
	if err := point.CheckDeviceName(filled); err != nil {
		return "", fmt.Errorf("has the level %q, which %w", level, err)
	}
	return filled, nil
}

// value gives the topic of a point's values.
func (t template) value(device, pointName string) string {
	levels := append([]string(nil), t.levels...)
	levels[t.device], levels[t.point] = device, pointName
	return strings.Join(levels, "/")
}

// ofDevice gives the topic of a whole device: that of a point, without the point.
func (t template) ofDevice(device string) string {
	levels := append([]string(nil), t.levels...)
	levels[t.device] = device
	return strings.Join(slices.Delete(levels, t.point, t.point+1), "/")
}

// origin reads back what a value's topic says; false for one that is none. Whether
// there is such a device it does not say.
func (t template) origin(name string) (device, pointName string, ok bool) {
	levels := strings.Split(name, "/")
	if len(levels) != len(t.levels) {
		return "", "", false
	}
	for i, level := range levels {
		if i != t.device && i != t.point && level != t.levels[i] {
			return "", "", false
		}
	}
	pointName = levels[t.point]
	return levels[t.device], pointName, pointName != statusPoint && pointName != setLevel
}

func (t template) status(device string) string { return t.value(device, statusPoint) }

func (t template) set(device, pointName string) string {
	return t.value(device, pointName) + "/" + setLevel
}

// deviceSet is where a device takes bytes as they are.
func (t template) deviceSet(device string) string { return t.value(device, setLevel) }

// ValueTopic is where the values of a point are published.
func (g *Gateway) ValueTopic(device, point string) string { return g.topics.value(device, point) }

// StatusTopic is where a device's status is.
func (g *Gateway) StatusTopic(device string) string { return g.topics.status(device) }

// SetTopic is where commands to a point come.
func (g *Gateway) SetTopic(device, point string) string { return g.topics.set(device, point) }

// setFilters match every set topic, and no result topic: that has a level more.
func (t template) setFilters() []string { return []string{t.set("+", "+"), t.deviceSet("+")} }

func resultTopic(set string) string { return set + "/" + resultLevel }

// names reads device and point back from a set topic; the point is "" in that of
// a device.
func (t template) names(set string) (device, pointName string) {
	levels := strings.Split(set, "/")
	switch len(levels) {
	case len(t.levels):
		return levels[t.device], ""
	case len(t.levels) + 1:
		return levels[t.device], levels[t.point]
	}
	return "", ""
}

// own says whether name is a topic that this gateway alone publishes to, or
// takes commands from.
func (t template) own(name string) bool {
	filters := []string{t.value("+", "+")}
	for _, set := range t.setFilters() {
		filters = append(filters, set, resultTopic(set))
	}
	return slices.ContainsFunc(filters, func(filter string) bool { return topic.Match(filter, name) })
}

// StatusPoint says that a name that Origin gives is no point: the topic is that of a
// device's status.
func StatusPoint(pointName string) bool { return pointName == statusPoint }
