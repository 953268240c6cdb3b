package topic

import (
	"strings"
	"sync"
	"sync/atomic"
)

// Index holds subscriptions: for each topic filter, a value V for each K that
// subscribed. Any number of goroutines may use it.
type Index[K comparable, V any] struct {
	version atomic.Uint64

	mu   sync.RWMutex // guards all below
	root node[K, V]
	n    int
}

// node is one level of the filters. "+" and "#" have fields of their own, so
// that matching looks them up without a map.
type node[K comparable, V any] struct {
	children map[string]*node[K, V]
	plus     *node[K, V]
	hash     map[K]V // subscribers of ".../#" here
	here     map[K]V // subscribers whose filter ends here
}

// NewIndex makes an empty one.
func NewIndex[K comparable, V any]() *Index[K, V] { return &Index[K, V]{} }

// Version changes with every Set and Delete: a match may be remembered while it
// stands still.
func (x *Index[K, V]) Version() uint64 { return x.version.Load() }

// Changed changes it: what was made of a match must be made again.
func (x *Index[K, V]) Changed() { x.version.Add(1) }

// Len is the number of subscriptions.
func (x *Index[K, V]) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.n
}

// Set adds k's subscription to filter, or replaces its value. filter is valid.
func (x *Index[K, V]) Set(filter string, k K, v V) (isNew bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.set(filter, k, v)
}

// Replace puts k in old's place under filter: no match gives both or neither.
func (x *Index[K, V]) Replace(filter string, old, k K, v V) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.root.remove(filter, true, old) {
		x.n--
	}
	x.set(filter, k, v)
}

// set is Set. The caller holds mu.
func (x *Index[K, V]) set(filter string, k K, v V) (isNew bool) {
	defer x.version.Add(1)
	n := &x.root
	for rest, more := filter, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch level {
		case "#":
			isNew = put(&n.hash, k, v)
			x.count(isNew)
			return isNew
		case "+":
			if n.plus == nil {
				n.plus = &node[K, V]{}
			}
			n = n.plus
		default:
			c := n.children[level]
			if c == nil {
				c = &node[K, V]{}
				if n.children == nil {
					n.children = make(map[string]*node[K, V])
				}
				n.children[strings.Clone(level)] = c
			}
			n = c
		}
	}
	isNew = put(&n.here, k, v)
	x.count(isNew)
	return isNew
}

func (x *Index[K, V]) count(isNew bool) {
	if isNew {
		x.n++
	}
}

func put[K comparable, V any](m *map[K]V, k K, v V) (isNew bool) {
	if *m == nil {
		*m = make(map[K]V, 1)
	}
	_, had := (*m)[k]
	(*m)[k] = v
	return !had
}

// Delete takes k's subscription to filter away; false if there is none. Levels
// that nobody needs any more go with it.
func (x *Index[K, V]) Delete(filter string, k K) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.root.remove(filter, true, k) {
		return false
	}
	x.n--
	x.version.Add(1)
	return true
}

func (n *node[K, V]) remove(rest string, more bool, k K) (had bool) {
	if !more {
		_, had = n.here[k]
		delete(n.here, k)
		return had
	}
	level, rest, more := strings.Cut(rest, "/")
	switch level {
	case "#":
		_, had = n.hash[k]
		delete(n.hash, k)
	case "+":
		if n.plus == nil {
			return false
		}
		had = n.plus.remove(rest, more, k)
		if n.plus.empty() {
			n.plus = nil
		}
	default:
		c := n.children[level]
		if c == nil {
			return false
		}
		had = c.remove(rest, more, k)
		if c.empty() {
			delete(n.children, level)
		}
	}
	return had
}

func (n *node[K, V]) empty() bool {
	return len(n.children) == 0 && n.plus == nil && len(n.hash) == 0 && len(n.here) == 0
}

// Match calls fn for every subscription whose filter matches name. fn must not
// call the Index. It allocates nothing.
func (x *Index[K, V]) Match(name string, fn func(k K, v V)) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	// A wildcard does not match a first level that begins with $. [MQTT-4.7.2-1]
	x.root.match(name, true, strings.HasPrefix(name, "$"), fn)
}

// match visits each node at most once: a name leads to it on one way only.
func (n *node[K, V]) match(rest string, more, system bool, fn func(K, V)) {
	if !system {
		for k, v := range n.hash { // ".../#" matches the level before it too
			fn(k, v)
		}
	}
	if !more {
		for k, v := range n.here {
			fn(k, v)
		}
		return
	}
	level, rest, more := strings.Cut(rest, "/")
	if c := n.children[level]; c != nil {
		c.match(rest, more, false, fn)
	}
	if n.plus != nil && !system {
		n.plus.match(rest, more, false, fn)
	}
}
