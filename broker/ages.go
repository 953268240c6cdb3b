package broker

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"headgate/broker/clock"
	"headgate/broker/store"
)

// ages tell how old the log's records are: of one a minute, and of fewer the
// older they are, they know when it was still to come. It is as well known
// across restarts and boots as the clock says.
type ages struct {
	mu     sync.Mutex
	points []agePoint // ascending
}

// agePoint: all records before number are older than at, all others younger.
type agePoint struct {
	number uint64
	at     clock.Instant
}

// agePrefix begins the state keys of the points.
const agePrefix = "age/"

// ageShare is how exact the ages are: two points are apart by less than that
// part of their age, or by a minute.
const ageShare = 64

func ageKey(number uint64) string { return fmt.Sprintf("%s%016x", agePrefix, number) }

func loadAges(st *store.Store) (*ages, error) {
	a := &ages{}
	err := st.State(agePrefix, func(key string, value []byte) error {
		var p agePoint
		_, err := fmt.Sscanf(strings.TrimPrefix(key, agePrefix), "%x", &p.number)
		if err == nil {
			p.at, _, err = clock.CutInstant(value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		a.points = append(a.points, p)
		return nil
	})
	return a, err
}

// tick notes that the next record is number, and gives what the state is to have
// of that. Between two ticks without news there is nothing to note.
func (a *ages) tick(number uint64, c *clock.Clock, now time.Time) (recs []store.Record) {
	const own = 2 // records that a tick makes by itself
	a.mu.Lock()
	defer a.mu.Unlock()
	at := c.At(now)
	if n := len(a.points); n == 0 || number > a.points[n-1].number+own {
		a.points = append(a.points, agePoint{number, at})
		recs = append(recs, store.Record{Kind: store.Put, Key: ageKey(number), Data: at.Append(nil)})
	}
	var last time.Duration // age of the last one that is kept
	kept := a.points[:0]
	for i, p := range a.points {
		age := c.Elapsed(p.at, at)
		if i > 0 && i+1 < len(a.points) && last-c.Elapsed(a.points[i+1].at, at) < age/ageShare {
			recs = append(recs, store.Record{Kind: store.Delete, Key: ageKey(p.number)})
			continue
		}
		last = age
		kept = append(kept, p)
	}
	a.points = kept
	return recs
}

// before gives the number before which all records are older than age; 0: none.
func (a *ages) before(age time.Duration, c *clock.Clock, now time.Time) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range slices.Backward(a.points) {
		if c.Since(p.at, now) >= age {
			return p.number
		}
	}
	return 0
}

// of gives the age of a record, as far as it is known; next is the number of the
// next record.
func (a *ages) of(number, next uint64, c *clock.Clock, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, _ := slices.BinarySearchFunc(a.points, number, func(p agePoint, n uint64) int {
		if p.number <= n {
			return -1
		}
		return 1
	})
	// Between two points it counts as evenly spread.
	younger, end := time.Duration(0), next
	if i < len(a.points) {
		younger, end = c.Since(a.points[i].at, now), a.points[i].number
	}
	if i == 0 || number >= end {
		return younger
	}
	older, begin := c.Since(a.points[i-1].at, now), a.points[i-1].number
	return older - time.Duration(float64(older-younger)*float64(number-begin)/float64(end-begin))
}
