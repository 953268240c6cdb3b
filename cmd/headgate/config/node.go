package config

import (
	"maps"
	"slices"
	"strings"
)

// node is one value of the configuration, with the file and the place that it
// comes from. The files' trees are merged into one before they are decoded.
type node struct {
	from  *source
	at    place
	table map[string]*node // of a table
	items []*node          // of an array
	list  bool             // it is an array
	value any              // of anything else: string, int64, float64, bool, time.Time; nil when it is at fault

	expanded bool // value is a text that came from the environment: it may stand for a number too
}

// tree puts the places to what the TOML package has read.
func (s *source) tree(value any, path string) *node {
	n := &node{from: s, at: s.index.places[path]}
	switch value := value.(type) {
	case map[string]any:
		n.table = map[string]*node{}
		for key, v := range value {
			n.table[key] = s.tree(v, joinKey(path, key))
		}
	case []map[string]any:
		n.list = true
		for i, v := range value {
			n.items = append(n.items, s.tree(v, joinIndex(path, i)))
		}
	case []any:
		n.list = true
		for i, v := range value {
			n.items = append(n.items, s.tree(v, joinIndex(path, i)))
		}
	default:
		n.value = value
	}
	return n
}

// isTables says whether n is an array that may be continued in another file.
func (n *node) isTables() bool {
	return n.list && !slices.ContainsFunc(n.items, func(item *node) bool { return item.table == nil })
}

// merge puts the tables of other, a later file, to n: tables are joined, arrays
// of tables continued; anything else may be given once.
func (n *node) merge(other *node, path string, report func(*node, string, string, ...any)) {
	for _, key := range slices.Sorted(maps.Keys(other.table)) {
		theirs, path := other.table[key], joinKey(path, key)
		ours, both := n.table[key]
		switch {
		case !both:
			n.table[key] = theirs
		case ours.table != nil && theirs.table != nil:
			ours.merge(theirs, path, report)
		case ours.isTables() && theirs.isTables():
			ours.items = append(ours.items, theirs.items...)
		default:
			report(theirs, path, "stands here a second time: first in %s:%d", ours.from.path, ours.from.line(ours.at.key))
		}
	}
}

// walk calls visit for n and everything in it, with the paths.
func (n *node) walk(path string, visit func(path string, n *node)) {
	visit(path, n)
	for key, child := range n.table {
		child.walk(joinKey(path, key), visit)
	}
	for i, item := range n.items {
		item.walk(joinIndex(path, i), visit)
	}
}

// plain gives n as the TOML package gives it.
func (n *node) plain() any {
	switch {
	case n.table != nil:
		m := make(map[string]any, len(n.table))
		for key, child := range n.table {
			m[key] = child.plain()
		}
		return m
	case n.list:
		a := make([]any, len(n.items))
		for i, item := range n.items {
			a[i] = item.plain()
		}
		return a
	}
	return n.value
}

// lastName gives the last name in a path, without its quotes or index.
func lastName(path string) string {
	path = strings.TrimRight(path[strings.LastIndexByte(path, '.')+1:], "]0123456789")
	return strings.Trim(strings.TrimSuffix(path, "["), `"`)
}

// parentPath cuts the last name or index off a path; "" at the top.
func parentPath(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

// displayKey gives a path as a person reads it: modbus.device.unit instead of
// modbus[0].device[1].unit. The line says which one it is; only the index of a
// value in a plain list stays.
func displayKey(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '[' {
			if end := strings.IndexByte(path[i:], ']'); end > 0 && i+end+1 < len(path) && path[i+end+1] == '.' {
				i += end
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}
