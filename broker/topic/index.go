package topic

import (
	"strings"
	"sync"
	"sync/atomic"
)

// Index holds subscriptions: for each topic filter, a value V for each K that
// subscribed. Any number of goroutines may use it; matching takes no lock, and
// goes on while subscriptions change.
type Index[K comparable, V any] struct {
	version   atomic.Uint64
	replacing atomic.Uint64 // odd while Replace is at work
	n         atomic.Int64
	root      node[K, V]

	mu sync.Mutex // of those who change it
}

// node is one level of the filters. "+" and "#" have fields of their own, so
// that matching looks them up without a map.
type node[K comparable, V any] struct {
	children table[string, *node[K, V]]
	plus     atomic.Pointer[node[K, V]]
	hash     table[K, V] // subscribers of ".../#" here
	here     table[K, V] // subscribers whose filter ends here
}

// NewIndex makes an empty one.
func NewIndex[K comparable, V any]() *Index[K, V] { return &Index[K, V]{} }

// Version changes with every Set and Delete: a match may be remembered while it
// stands still.
func (x *Index[K, V]) Version() uint64 { return x.version.Load() }

// Changed changes it: what was made of a match must be made again.
func (x *Index[K, V]) Changed() { x.version.Add(1) }

// Len is the number of subscriptions.
func (x *Index[K, V]) Len() int { return int(x.n.Load()) }

// Set adds k's subscription to filter, or replaces its value. filter is valid.
func (x *Index[K, V]) Set(filter string, k K, v V) (isNew bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer x.version.Add(1)
	return x.set(filter, k, v)
}

// Replace puts k's subscription to filter in the place of old's: no match finds
// both, or neither.
func (x *Index[K, V]) Replace(filter string, old, k K, v V) {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer x.version.Add(1)
	x.replacing.Add(1)
	defer x.replacing.Add(1)
	x.set(filter, k, v)
	if old != k && x.root.remove(filter, true, old) {
		x.n.Add(-1)
	}
}

func (x *Index[K, V]) set(filter string, k K, v V) (isNew bool) {
	n := &x.root
	for rest, more := filter, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch level {
		case "#":
			return x.count(n.hash.set(k, v))
		case "+":
			if n.plus.Load() == nil {
				n.plus.Store(&node[K, V]{})
			}
			n = n.plus.Load()
		default:
			c, ok := n.children.get(level)
			if !ok {
				c = &node[K, V]{}
				n.children.set(strings.Clone(level), c)
			}
			n = c
		}
	}
	return x.count(n.here.set(k, v))
}

func (x *Index[K, V]) count(isNew bool) bool {
	if isNew {
		x.n.Add(1)
	}
	return isNew
}

// Delete takes k's subscription to filter away; false if there is none. Levels
// that nobody needs any more go with it.
func (x *Index[K, V]) Delete(filter string, k K) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.root.remove(filter, true, k) {
		return false
	}
	x.n.Add(-1)
	x.version.Add(1)
	return true
}

func (n *node[K, V]) remove(rest string, more bool, k K) (had bool) {
	if !more {
		return n.here.remove(k)
	}
	level, rest, more := strings.Cut(rest, "/")
	switch level {
	case "#":
		return n.hash.remove(k)
	case "+":
		c := n.plus.Load()
		if c == nil {
			return false
		}
		had = c.remove(rest, more, k)
		if c.empty() {
			n.plus.Store(nil)
		}
	default:
		c, ok := n.children.get(level)
		if !ok {
			return false
		}
		had = c.remove(rest, more, k)
		if c.empty() {
			n.children.remove(level)
		}
	}
	return had
}

func (n *node[K, V]) empty() bool {
	return n.children.empty() && n.plus.Load() == nil && n.hash.empty() && n.here.empty()
}

// Match calls fn for every subscription whose filter matches name, and may be
// used meanwhile. It allocates nothing. It is false when a Replace came between:
// what fn was told is void then, and is to be asked again.
func (x *Index[K, V]) Match(name string, fn func(k K, v V)) bool {
	before := x.replacing.Load()
	// A wildcard does not match a first level that begins with $. [MQTT-4.7.2-1]
	x.root.match(name, true, strings.HasPrefix(name, "$"), fn)
	return before%2 == 0 && before == x.replacing.Load()
}

// match visits each node at most once: a name leads to it on one way only.
func (n *node[K, V]) match(rest string, more, system bool, fn func(K, V)) {
	if !system {
		n.hash.each(fn) // ".../#" matches the level before it too
	}
	if !more {
		n.here.each(fn)
		return
	}
	level, rest, more := strings.Cut(rest, "/")
	if c, ok := n.children.get(level); ok {
		c.match(rest, more, false, fn)
	}
	if plus := n.plus.Load(); plus != nil && !system {
		plus.match(rest, more, false, fn)
	}
}
