package config

import (
	"reflect"
	"slices"
	"strings"
)

// unknown reports a key that the table at its place does not have.
func (d *decoder) unknown(n *node, path string, known []field) {
	d.excused[path] = true
	name := lastName(path)
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.name
	}
	if near := nearest(name, names); near != "" {
		d.excused[joinKey(parentPath(path), near)] = true
		d.report(n, path, "unknown key; did you mean %s?", near)
		return
	}
	if homes := homesOf(name); len(homes) > 0 {
		d.report(n, path, "unknown key here; it belongs in %s", strings.Join(homes, " or "))
		return
	}
	d.report(n, path, "unknown key; known here are %s", strings.Join(names, ", "))
}

// nearest gives the name among known that was most likely meant; "" when none
// is near enough.
func nearest(name string, known []string) string {
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	name = plain(name)
	best, least := "", 1+len(name)/3
	for _, k := range known {
		d := distance(name, plain(k))
		// A word more or less: poll_interval for interval.
		if len(k) >= 4 && d > least && (strings.HasSuffix(name, "_"+k) || strings.HasPrefix(name, k+"_") || strings.HasSuffix(k, "_"+name) || strings.HasPrefix(k, name+"_")) {
			d = least
		}
		if d < least || d == least && best == "" {
			best, least = k, d
		}
	}
	return best
}

// distance counts the letters to insert, drop, change, or swap with their
// neighbour to make b of a.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// homesOf gives the tables that have a key of this name, as they are written.
func homesOf(name string) []string {
	var homes []string
	var search func(t reflect.Type, header, path string)
	search = func(t reflect.Type, header, path string) {
		for _, f := range fieldsOf(t) {
			inner, list := f.typ, false
			for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
				list = list || inner.Kind() == reflect.Slice
				inner = inner.Elem()
			}
			if f.name == name {
				homes = append(homes, header)
			}
			if inner.Kind() != reflect.Struct {
				continue
			}
			path := joinKey(path, f.name)
			if list {
				search(inner, "[["+path+"]]", path)
			} else {
				search(inner, "["+path+"]", path)
			}
		}
	}
	search(reflect.TypeFor[File](), "the top of the file", "")
	return slices.Compact(homes)
}

// Nearest gives the name among known that was most likely meant; "" when none is
// near enough.
func Nearest(name string, known []string) string { return nearest(name, known) }
