package topic

import (
	"maps"
	"sync/atomic"
)

// table is a map that any number of goroutines read without a lock while one
// changes it: they see it as it was before the change or after. A change copies
// only what has changed lately, which is merged now and then. Most tables have few
// entries: they are no map. The zero table is empty.
type table[K comparable, V any] struct {
	current atomic.Pointer[contents[K, V]]
}

// contents never change.
type contents[K comparable, V any] struct {
	few    []entry[K, V] // all there are, if that is at most maxFew; else in the maps
	base   map[K]V
	recent map[K]change[V] // in the place of what base has
	n      int
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

const maxFew = 8

type change[V any] struct {
	value V
	gone  bool
}

func (t *table[K, V]) get(k K) (v V, ok bool) {
	c := t.current.Load()
	if c == nil {
		return v, false
	}
	return c.get(k)
}

func (c *contents[K, V]) get(k K) (v V, ok bool) {
	for i := range c.few {
		if c.few[i].key == k {
			return c.few[i].value, true
		}
	}
	if len(c.recent) > 0 {
		if r, changed := c.recent[k]; changed {
			return r.value, !r.gone
		}
	}
	v, ok = c.base[k]
	return v, ok
}

func (t *table[K, V]) len() int {
	if c := t.current.Load(); c != nil {
		return c.n
	}
	return 0
}

// each calls fn with every entry, in no order.
func (t *table[K, V]) each(fn func(K, V)) {
	c := t.current.Load()
	if c == nil {
		return
	}
	if c.n <= maxFew {
		for i := range c.few {
			fn(c.few[i].key, c.few[i].value)
		}
		return
	}
	for k, v := range c.base {
		if _, changed := c.recent[k]; !changed {
			fn(k, v)
		}
	}
	for k, r := range c.recent {
		if !r.gone {
			fn(k, r.value)
		}
	}
}

// set puts v in k's place. One goroutine at a time may change a table.
func (t *table[K, V]) set(k K, v V) (isNew bool) {
	_, had := t.get(k)
	n := t.len()
	if !had {
		n++
	}
	t.change(k, change[V]{value: v}, n)
	return !had
}

// remove takes k away.
func (t *table[K, V]) remove(k K) (had bool) {
	if _, had = t.get(k); !had {
		return false
	}
	t.change(k, change[V]{gone: true}, t.len()-1)
	return true
}

func (t *table[K, V]) change(k K, ch change[V], n int) {
	if n == 0 {
		t.current.Store(nil)
		return
	}
	next := &contents[K, V]{n: n}
	if n <= maxFew {
		next.few = t.without(k, n)
		if !ch.gone {
			next.few = append(next.few, entry[K, V]{k, ch.value})
		}
		t.current.Store(next)
		return
	}
	c := t.current.Load()
	// With base's root of entries a change costs about that many copies, however
	// they are shared out between copying and merging.
	if most := len(c.recent) + 1; most*most <= len(c.base) {
		next.base, next.recent = c.base, make(map[K]change[V], most)
		maps.Copy(next.recent, c.recent)
		next.recent[k] = ch
		t.current.Store(next)
		return
	}
	next.base = maps.Clone(c.base)
	if next.base == nil {
		next.base = make(map[K]V, n)
		for _, e := range c.few {
			next.base[e.key] = e.value
		}
	}
	apply := func(k K, ch change[V]) {
		if ch.gone {
			delete(next.base, k)
			return
		}
		next.base[k] = ch.value
	}
	for k, ch := range c.recent {
		apply(k, ch)
	}
	apply(k, ch)
	t.current.Store(next)
}

// without gives the entries but k's, with room for n.
func (t *table[K, V]) without(k K, n int) []entry[K, V] {
	few := make([]entry[K, V], 0, n)
	t.each(func(o K, v V) {
		if o != k {
			few = append(few, entry[K, V]{o, v})
		}
	})
	return few
}
