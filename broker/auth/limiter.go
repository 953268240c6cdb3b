package auth

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

const (
	freeFailures   = 3           // the last of them is the first with a delay behind it
	firstDelay     = time.Second // doubled by each further failure
	longestDelay   = time.Minute
	forgetFailures = 10 * time.Minute // of quiet
	maxAddresses   = 4096             // past them, the longest quiet one is forgotten
)

// Limiter slows down who guesses passwords: after three failures from an address
// the next attempt has to wait a second, and twice as long after each further
// failure, a minute at most. Ten minutes of quiet, or a success, and the address
// is as good as new. An IPv6 address counts with all of its /64, which a single
// host may have. It is bounded: 4096 addresses, of which the one that has been
// quiet the longest goes. It is ready as its zero value, and starts nothing.
type Limiter struct {
	mu     sync.Mutex // guards all below
	by     map[netip.Addr]*list.Element
	oldest list.List // of *failures, by the time of the last
}

type failures struct {
	addr  netip.Addr
	n     int
	last  time.Time
	until time.Time // attempts before it are refused
}

// Blocked says how long an address has to wait for its next attempt; 0 if not at
// all. An attempt that is refused for it counts as none.
func (l *Limiter) Blocked(addr netip.Addr, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.find(block(addr), now)
	if f == nil {
		return 0
	}
	return max(0, f.until.Sub(now))
}

// Failed counts a wrong password from an address. An invalid address, such as a
// UNIX socket's, is not counted.
func (l *Limiter) Failed(addr netip.Addr, now time.Time) {
	if !addr.IsValid() {
		return
	}
	addr = block(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.find(addr, now)
	if f == nil {
		if l.by == nil {
			l.by = make(map[netip.Addr]*list.Element)
		}
		if len(l.by) >= maxAddresses {
			l.forget(l.oldest.Front())
		}
		f = &failures{addr: addr}
		l.by[addr] = l.oldest.PushBack(f)
	}
	l.oldest.MoveToBack(l.by[addr])
	f.n++
	f.last = now
	if over := f.n - freeFailures; over >= 0 {
		// Doubling stops before it could wrap.
		f.until = now.Add(min(longestDelay, firstDelay<<min(over, 16)))
	}
}

// Succeeded forgets the failures of an address.
func (l *Limiter) Succeeded(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.by[block(addr)]; e != nil {
		l.forget(e)
	}
}

// Len is how many addresses are remembered.
func (l *Limiter) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.by)
}

// find gives what is remembered of an address, unless its time is over.
func (l *Limiter) find(addr netip.Addr, now time.Time) *failures {
	e := l.by[addr]
	if e == nil {
		return nil
	}
	f := e.Value.(*failures)
	if now.Sub(f.last) >= forgetFailures {
		l.forget(e)
		return nil
	}
	return f
}

func (l *Limiter) forget(e *list.Element) {
	f := l.oldest.Remove(e).(*failures)
	delete(l.by, f.addr)
}

// block gives what an address counts as: an IPv4 address itself, also where it
// is written as IPv6, and an IPv6 address its /64.
func block(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	p, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return p.Addr()
}
