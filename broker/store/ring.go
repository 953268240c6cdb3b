package store

// The ring holds the newest segments in memory, bounded by bytes. The oldest
// leave first, and only once they are on disk. Guarded by Store.mu.
type ring struct {
	limit int64
	segs  []*segment
	begin int // segs before it have left
	bytes int64
	costs []int64
}

func (r *ring) push(g *segment) {
	if r.begin > 64 && r.begin > len(r.segs)/2 {
		r.segs = append(r.segs[:0], r.segs[r.begin:]...)
		r.costs = append(r.costs[:0], r.costs[r.begin:]...)
		clear(r.segs[len(r.segs):cap(r.segs)])
		r.begin = 0
	}
	c := g.memory()
	r.segs = append(r.segs, g)
	r.costs = append(r.costs, c)
	r.bytes += c
}

// shrink lets segments go until the ring is within its limit, as far as they are
// durable.
func (r *ring) shrink(durable uint64) {
	for r.bytes > r.limit && r.begin < len(r.segs) {
		g := r.segs[r.begin]
		if g.last() > durable {
			return
		}
		r.drop()
	}
}

// drop lets the oldest segment go.
func (r *ring) drop() {
	g := r.segs[r.begin]
	for i := range g.queues {
		g.queues[i].q.evict(g)
	}
	r.bytes -= r.costs[r.begin]
	r.segs[r.begin] = nil
	r.begin++
}
