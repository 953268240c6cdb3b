package broker

import (
	"runtime"
	"slices"
	"sync"
)

// flusher writes to the clients that batches were handed to, as many as are
// waiting in one go: while it has not come to a client, others may have more for it,
// which goes out in the same call. It writes what the kernel takes at once, so
// that no client holds it up; what is left, and all that may wait for something,
// is for a writer of the connection's own.
type flusher struct {
	mu      sync.Mutex
	waiting []*conn // for each of them its state is writerRunning
	first   int     // of waiting: those before it are done with
	working int     // goroutines
}

// flushEach is how many connections are worth a goroutine.
const flushEach = 32

// add has cs written to, and keeps nothing of the list.
func (f *flusher) add(cs []*conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first > len(f.waiting)/2 {
		f.waiting, f.first = slices.Delete(f.waiting, 0, f.first), 0
	}
	for _, c := range cs {
		if c.claim() {
			f.waiting = append(f.waiting, c)
		} else {
			c.wake()
		}
	}
	for n := min(runtime.GOMAXPROCS(0), (len(f.waiting)-f.first+flushEach-1)/flushEach); f.working < n; f.working++ {
		go f.work()
	}
}

func (f *flusher) work() {
	runtime.Gosched() // whoever has something for these clients goes first
	for c := f.next(); c != nil; c = f.next() {
		if err := c.guard(c.writeHere); err != nil {
			c.endWriting(err)
		}
	}
}

// next gives the connection that has waited longest, or nil, for the goroutine to
// end.
func (f *flusher) next() *conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first == len(f.waiting) {
		f.waiting, f.first = f.waiting[:0], 0
		f.working--
		return nil
	}
	c := f.waiting[f.first]
	f.waiting[f.first] = nil
	f.first++
	return c
}
