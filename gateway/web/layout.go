package web

import "strings"

// layoutOf is a number that changes when devices or points come, go or change
// places, as a reload of the configuration makes them: FNV-1a of their names.
func layoutOf(devices []Device) uint32 {
	h := uint32(2166136261)
	add := func(s string) {
		for i := range len(s) {
			h = (h ^ uint32(s[i])) * 16777619
		}
		h = (h ^ '\n') * 16777619
	}
	for i := range devices {
		add(devices[i].Name)
		for j := range devices[i].Points {
			add(devices[i].Points[j].Name)
		}
	}
	return h
}

// pointNames gives DEVICE/POINT of each point, a line each.
func pointNames(devices []Device) string {
	var b strings.Builder
	for i := range devices {
		for j := range devices[i].Points {
			b.WriteString(devices[i].Name + "/" + devices[i].Points[j].Name + "\n")
		}
	}
	return b.String()
}
