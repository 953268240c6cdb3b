package topic

import (
	"hash/maphash"
	"sync/atomic"
)

// table is a map that any number of goroutines read without a lock while one
// changes it: of each key they see the value before a change or after. A change
// costs a few entries, however many there are. The zero table is empty.
type table[K comparable, V any] struct {
	current atomic.Pointer[contents[K, V]]
}

// contents are one chain that never changes while the entries are few, and else
// buckets.
type contents[K comparable, V any] struct {
	few  *link[K, V]
	many *buckets[K, V]
}

// maxFew entries are found faster one by one than by their hashes.
const maxFew = 8

// buckets are chains by the hash of the key, two to four entries each on average.
// A chain never changes: another one is put in its place.
type buckets[K comparable, V any] struct {
	seed   maphash.Seed
	chains []atomic.Pointer[link[K, V]] // a power of two of them
	n      int                          // entries, for the one who changes them
}

type link[K comparable, V any] struct {
	next  *link[K, V]
	key   K
	value V
}

const (
	minLoad = 1 // entries a chain, below which the chains become fewer
	setLoad = 2
	maxLoad = 4
)

func (t *table[K, V]) get(k K) (v V, ok bool) {
	c := t.current.Load()
	if c == nil {
		return v, false
	}
	l := c.few
	if c.many != nil {
		l = c.many.of(k).Load()
	}
	for ; l != nil; l = l.next {
		if l.key == k {
			return l.value, true
		}
	}
	return v, false
}

func (t *table[K, V]) empty() bool { return t.current.Load() == nil }

// each calls fn with every entry, in no order. One that is put in or taken out
// meanwhile may be seen or not.
func (t *table[K, V]) each(fn func(K, V)) {
	if c := t.current.Load(); c != nil {
		c.each(fn)
	}
}

func (c *contents[K, V]) each(fn func(K, V)) {
	if c.many == nil {
		c.few.each(fn)
		return
	}
	for i := range c.many.chains {
		c.many.chains[i].Load().each(fn)
	}
}

// set puts v in k's place. One goroutine at a time may change a table.
func (t *table[K, V]) set(k K, v V) (isNew bool) {
	_, had := t.get(k)
	n := t.len()
	if !had {
		n++
	}
	t.change(k, &link[K, V]{key: k, value: v}, n)
	return !had
}

// remove takes k away.
func (t *table[K, V]) remove(k K) (had bool) {
	if _, had = t.get(k); had {
		t.change(k, nil, t.len()-1)
	}
	return had
}

// len is for the one who changes it.
func (t *table[K, V]) len() int {
	c := t.current.Load()
	switch {
	case c == nil:
		return 0
	case c.many != nil:
		return c.many.n
	}
	n := 0
	c.few.each(func(K, V) { n++ })
	return n
}

// change puts l, or nothing if it is nil, in k's place, which makes n entries.
func (t *table[K, V]) change(k K, l *link[K, V], n int) {
	c := t.current.Load()
	if c == nil {
		c = &contents[K, V]{}
	}
	switch {
	case n == 0:
		t.current.Store(nil)
	case c.many == nil && n <= maxFew:
		t.current.Store(&contents[K, V]{few: c.few.with(k, l)})
	case c.many != nil && n >= minLoad*len(c.many.chains) && n <= maxLoad*len(c.many.chains):
		chain := c.many.of(k)
		chain.Store(chain.Load().with(k, l))
		c.many.n = n
	default:
		t.current.Store(c.rebuilt(k, l, n))
	}
}

// rebuilt is c with the change, and as many chains as n entries want.
func (c *contents[K, V]) rebuilt(k K, l *link[K, V], n int) *contents[K, V] {
	next := &contents[K, V]{}
	if n > maxFew {
		size := 1
		for setLoad*size < n {
			size *= 2
		}
		next.many = &buckets[K, V]{seed: maphash.MakeSeed(), chains: make([]atomic.Pointer[link[K, V]], size), n: n}
	}
	c.each(func(o K, v V) {
		if o != k {
			next.add(&link[K, V]{key: o, value: v})
		}
	})
	if l != nil {
		next.add(l)
	}
	return next
}

// add puts in an entry that is not there, before anybody reads c.
func (c *contents[K, V]) add(l *link[K, V]) {
	if c.many == nil {
		l.next, c.few = c.few, l
		return
	}
	chain := c.many.of(l.key)
	l.next = chain.Load()
	chain.Store(l)
}

// of is where the chain is that k belongs to.
func (b *buckets[K, V]) of(k K) *atomic.Pointer[link[K, V]] {
	return &b.chains[maphash.Comparable(b.seed, k)&uint64(len(b.chains)-1)]
}

func (l *link[K, V]) each(fn func(K, V)) {
	for ; l != nil; l = l.next {
		fn(l.key, l.value)
	}
}

// with is the chain with put, or nothing if it is nil, in k's place.
func (l *link[K, V]) with(k K, put *link[K, V]) *link[K, V] {
	rest := l.without(k)
	if put == nil {
		return rest
	}
	put.next = rest
	return put
}

func (l *link[K, V]) without(k K) *link[K, V] {
	if l == nil {
		return nil
	}
	if l.key == k {
		return l.next
	}
	rest := l.next.without(k)
	if rest == l.next {
		return l // it is not there
	}
	return &link[K, V]{next: rest, key: l.key, value: l.value}
}
