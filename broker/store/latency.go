package store

import (
	"math/bits"
	"sync"
	"time"
)

// latencies says how long commits took in the last one to two hours, to within a
// quarter. A tail that grows is how a card says that it is dying.
type latencies struct {
	mu        sync.Mutex // guards what follows
	now, last histogram  // of this hour and of the one before it
	since     time.Time  // of now
}

// histogram counts by microseconds: the highest bit and the two after it.
type histogram struct {
	count   uint64
	buckets [4 * 31]uint32
}

const latencyPeriod = time.Hour

func (l *latencies) add(took time.Duration, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	l.now.count++
	l.now.buckets[bucketOf(took)]++
}

// turn begins a new period when one is over. The caller holds mu.
func (l *latencies) turn(now time.Time) {
	switch past := now.Sub(l.since); {
	case past < latencyPeriod:
	case past < 2*latencyPeriod:
		l.now, l.last, l.since = histogram{}, l.now, l.since.Add(latencyPeriod)
	default:
		l.now, l.last, l.since = histogram{}, histogram{}, now
	}
}

// percentiles gives the times within which half of the commits, and 99 of 100
// were done; zero: there was none.
func (l *latencies) percentiles(now time.Time) (p50, p99 time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	all := l.now
	all.count += l.last.count
	for i, n := range l.last.buckets {
		all.buckets[i] += n
	}
	return all.within(50), all.within(99)
}

// within gives the upper end of the bucket in which percent of all are reached.
func (h *histogram) within(percent uint64) time.Duration {
	want := (h.count*percent + 99) / 100
	if want == 0 {
		return 0
	}
	var sum uint64
	for i, n := range h.buckets {
		if sum += uint64(n); sum >= want {
			return bucketEnd(i)
		}
	}
	return bucketEnd(len(h.buckets) - 1)
}

func bucketOf(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < 4 {
		return int(us)
	}
	shift := bits.Len64(us) - 3
	return min(4*shift+int(us>>shift), 4*31-1)
}

// bucketEnd is what bucketOf gives i for, rounded up.
func bucketEnd(i int) time.Duration {
	if i < 4 {
		return time.Duration(i+1) * time.Microsecond
	}
	shift := i/4 - 1
	return time.Duration(i%4+5) << shift * time.Microsecond
}
