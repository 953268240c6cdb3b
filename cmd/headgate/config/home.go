package config

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"headgate/adapters/modbus"
)

// checkHome finds devices and points of [homeassistant] that there are not: what is
// said of them comes to nothing.
func (l *loader) checkHome() {
	h := &l.file.HomeAssistant
	points := l.homePoints()
	known := slices.Sorted(maps.Keys(points))
	isPattern := func(s string) bool { return strings.ContainsAny(s, `*?[\`) }
	fits := func(pattern string) bool {
		return slices.ContainsFunc(known, func(name string) bool {
			ok, err := path.Match(pattern, name)
			return ok || err != nil // what is no pattern is a fault already
		})
	}
	meant := func(name string, known []string) string {
		if near := nearest(name, known); near != "" {
			return "; did you mean " + near + "?"
		}
		return ""
	}
	device := func(key, name string) (there bool) {
		if isPattern(name) {
			if !fits(name) {
				l.warn(Warning, key, "no device fits %q; there are %s", name, cmp.Or(strings.Join(known, ", "), "none"))
			}
			return true
		}
		if slices.Contains(known, name) {
			return true
		}
		l.warn(Warning, key, "there is no device %q%s", name, meant(name, known))
		return false
	}
	for i, name := range h.Include {
		device(joinIndex("homeassistant.include", i), name)
	}
	for i, name := range h.Exclude {
		device(joinIndex("homeassistant.exclude", i), name)
	}
	for i := range h.Point {
		key := joinIndex("homeassistant.point", i) + ".point"
		d, p, _ := strings.Cut(h.Point[i].Point, "/")
		if !device(key, d) || isPattern(d) || isPattern(p) || points[d] == nil || slices.Contains(points[d], p) {
			continue
		}
		l.warn(Warning, key, "device %q has no point %q%s", d, p, meant(p, points[d]))
	}
}

// homePoints gives the points of each device; of one whose points are found only
// when it is heard, nil.
func (l *loader) homePoints() map[string][]string {
	points := map[string][]string{}
	for i := range l.file.Modbus {
		for _, d := range l.file.Modbus[i].Device {
			points[d.Name] = pointNames(d)
		}
	}
	for i := range l.file.Serial {
		points[l.file.Serial[i].Name] = nil
	}
	for i := range l.file.Derived {
		d := &l.file.Derived[i]
		names := []string{}
		for j := range d.Points {
			names = append(names, d.Points[j].Name)
		}
		for j := range d.Alarms {
			names = append(names, d.Alarms[j].Name)
		}
		points[d.Name] = names
	}
	return points
}

func pointNames(d modbus.Device) []string {
	names := []string{}
	for i := range d.Point {
		names = append(names, d.Point[i].Name)
	}
	return names
}
