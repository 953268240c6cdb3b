package main

import "sync/atomic"

// flow keeps one publisher from running more than limit deliveries ahead of
// the subscribers, so that a throughput figure is one without loss.
type flow struct {
	limit int64
	recv  atomic.Int64
	need  atomic.Int64
	ch    chan struct{}
	exp   int64 // owned by the publisher
	lost  int64 // given up for lost after a stall; owned by the publisher
}

func newFlow(limit int64) *flow {
	f := &flow{limit: limit, ch: make(chan struct{}, 1)}
	f.need.Store(1 << 62)
	return f
}

// add counts n deliveries and wakes the publisher when it has enough.
func (f *flow) add(n int64) {
	if f.recv.Add(n) >= f.need.Load() && len(f.ch) == 0 {
		select {
		case f.ch <- struct{}{}:
		default:
		}
	}
}

// credit is how many more deliveries the publisher may cause.
func (f *flow) credit() int64 { return f.limit - (f.exp - f.lost - f.recv.Load()) }
