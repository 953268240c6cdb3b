package topic

import (
	"strings"
	"sync"
)

// Tree holds a value for each topic name, and finds those that a filter
// matches: the retained messages. Any number of goroutines may use it.
type Tree[V any] struct {
	mu   sync.RWMutex // guards all below
	root branch[V]
	n    int
}

type branch[V any] struct {
	children map[string]*branch[V]
	name     string // the whole name; set where there is a value
	value    V
	has      bool
}

// NewTree makes an empty one.
func NewTree[V any]() *Tree[V] { return &Tree[V]{} }

// Len is the number of names.
func (t *Tree[V]) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.n
}

// Get gives the value of name.
func (t *Tree[V]) Get(name string) (v V, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	b := &t.root
	for rest, more := name, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if b = b.children[level]; b == nil {
			return v, false
		}
	}
	return b.value, b.has
}

// Set gives name a value.
func (t *Tree[V]) Set(name string, v V) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := &t.root
	for rest, more := name, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		c := b.children[level]
		if c == nil {
			c = &branch[V]{}
			if b.children == nil {
				b.children = make(map[string]*branch[V])
			}
			b.children[strings.Clone(level)] = c
		}
		b = c
	}
	if !b.has {
		t.n++
		b.name, b.has = strings.Clone(name), true
	}
	b.value = v
}

// Delete takes name away; false if it is not there.
func (t *Tree[V]) Delete(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.root.remove(name, true) {
		return false
	}
	t.n--
	return true
}

func (b *branch[V]) remove(rest string, more bool) (had bool) {
	if !more {
		had = b.has
		*b = branch[V]{children: b.children}
		return had
	}
	level, rest, more := strings.Cut(rest, "/")
	c := b.children[level]
	if c == nil {
		return false
	}
	had = c.remove(rest, more)
	if !c.has && len(c.children) == 0 {
		delete(b.children, level)
	}
	return had
}

// Match calls fn for every name that filter matches, in no particular order. fn
// must not call the Tree.
func (t *Tree[V]) Match(filter string, fn func(name string, v V)) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	t.root.match(filter, true, true, fn)
}

func (b *branch[V]) match(rest string, more, first bool, fn func(string, V)) {
	if !more {
		if b.has {
			fn(b.name, b.value)
		}
		return
	}
	level, rest, more := strings.Cut(rest, "/")
	switch level {
	case "#":
		b.all(first, fn)
	case "+":
		for name, c := range b.children {
			if !first || !strings.HasPrefix(name, "$") { // [MQTT-4.7.2-1]
				c.match(rest, more, false, fn)
			}
		}
	default:
		if c := b.children[level]; c != nil {
			c.match(rest, more, false, fn)
		}
	}
}

// all visits b and everything under it.
func (b *branch[V]) all(first bool, fn func(string, V)) {
	if b.has {
		fn(b.name, b.value)
	}
	for name, c := range b.children {
		if !first || !strings.HasPrefix(name, "$") {
			c.all(false, fn)
		}
	}
}
