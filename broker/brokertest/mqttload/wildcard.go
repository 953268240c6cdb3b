package main

import (
	"fmt"
	"math/rand"
	"slices"
)

// The space that topics s/A/B/C/mM and filters are drawn from.
const (
	wildA, wildB, wildC, wildM = 30, 30, 30, 4
	wildClients                = 1000
	wildFilters                = 10 // of each client
	wildPubs                   = 10
	wildTopics                 = 1000 // of each publisher
)

// wildcard has 1000 clients with ten filters each and publishes to random
// topics. It knows how many clients each topic reaches, so a delivery too many
// or too few shows.
func wildcard(e *env) (metrics, error) {
	rnd := rand.New(rand.NewSource(42))
	w := newWildFilters(rnd)
	reach := map[string]int64{}
	topics := make([][]string, wildPubs)
	for p := range topics {
		for range wildTopics {
			a, b, c, m := rnd.Intn(wildA), rnd.Intn(wildB), rnd.Intn(wildC), rnd.Intn(wildM)
			t := fmt.Sprintf("s/%d/%d/%d/m%d", a, b, c, m)
			topics[p] = append(topics[p], t)
			reach[t] = w.clients(a, b, c, m)
		}
	}
	m, err := runFlow(e, flowSpec{
		pubs: wildPubs, subs: wildClients, payload: 64, e2e: 2048, subBuf: 8 << 10,
		topics: func(i int) []string { return topics[i] }, exp: func(t string) int64 { return reach[t] },
		filters: func(i int) []string { return w.filters[i] },
	})
	if err == nil && m["sent"] > 0 {
		m["matches"] = m["expected"] / m["sent"]
		m["pub_rate"] = m["rate"] / m["matches"]
	}
	return m, err
}

// wildSet is the clients' filters, and for each kind of filter which clients have it.
type wildSet struct {
	filters [][]string
	acm     map[[3]int][]int // s/A/+/C/mM
	ab      map[[2]int][]int // s/A/B/#
	bc      map[[2]int][]int // s/+/B/C/+
}

func newWildFilters(rnd *rand.Rand) *wildSet {
	w := &wildSet{filters: make([][]string, wildClients),
		acm: map[[3]int][]int{}, ab: map[[2]int][]int{}, bc: map[[2]int][]int{}}
	for i := range w.filters {
		for len(w.filters[i]) < wildFilters {
			w.draw(rnd, i)
		}
	}
	return w
}

// draw gives client i its next filter, unless it has that one already.
func (w *wildSet) draw(rnd *rand.Rand, i int) {
	a, b, c, m := rnd.Intn(wildA), rnd.Intn(wildB), rnd.Intn(wildC), rnd.Intn(wildM)
	n := len(w.filters[i])
	var f string
	switch {
	case n < 6:
		f = fmt.Sprintf("s/%d/+/%d/m%d", a, c, m)
	case n < 9:
		f = fmt.Sprintf("s/%d/%d/#", a, b)
	default:
		f = fmt.Sprintf("s/+/%d/%d/+", b, c)
	}
	if slices.Contains(w.filters[i], f) {
		return
	}
	w.filters[i] = append(w.filters[i], f)
	switch {
	case n < 6:
		w.acm[[3]int{a, c, m}] = append(w.acm[[3]int{a, c, m}], i)
	case n < 9:
		w.ab[[2]int{a, b}] = append(w.ab[[2]int{a, b}], i)
	default:
		w.bc[[2]int{b, c}] = append(w.bc[[2]int{b, c}], i)
	}
}

// clients counts the clients that s/a/b/c/mm reaches; one with several matching
// filters gets it once.
func (w *wildSet) clients(a, b, c, m int) int64 {
	set := map[int]bool{}
	for _, l := range [][]int{w.acm[[3]int{a, c, m}], w.ab[[2]int{a, b}], w.bc[[2]int{b, c}]} {
		for _, i := range l {
			set[i] = true
		}
	}
	return int64(len(set))
}
