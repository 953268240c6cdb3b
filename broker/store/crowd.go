package store

import (
	"runtime"
	"time"
)

// crowd lets the publishers of the last commit come back before the next one.
// Those who wait for their acknowledgements send again as soon as they have them:
// a committer that went on with the first of them would write a half of them each
// time, with twice the syncs. Waiting takes an eighth of what the last commit
// took, and where nobody comes, the next commits do not wait. Those with a Window
// do not count.
type crowd struct {
	expected int           // commits that wait, once they are back; 0: do not wait
	limit    time.Duration // for them
	skip     int           // commits that do not wait
	missed   int           // times in a row that most did not come
}

const (
	gatherShare = 8
	gatherMost  = 2 * time.Millisecond
	maxMissed   = 6 // 64 commits without waiting
)

// written notes what is known when a batch has been written and nobody told yet.
func (c *crowd) written(s *Store, took time.Duration) {
	s.mu.Lock()
	waiting := s.prompt + s.awaited
	s.mu.Unlock()
	c.expected, c.limit = 0, min(took/gatherShare, gatherMost)
	if c.skip > 0 {
		c.skip--
	} else if waiting > 1 {
		c.expected = waiting
	}
}

// gather waits for the publishers.
func (c *crowd) gather(s *Store, timer *time.Timer) {
	if c.expected == 0 {
		return
	}
	begin := time.Now()
	for try := 0; ; try++ {
		s.mu.Lock()
		waiting, closing := s.prompt, s.closing
		s.mu.Unlock()
		rest := c.limit - time.Since(begin)
		switch {
		case closing || waiting >= c.expected:
			c.expected, c.missed = 0, 0
			return
		case rest <= 0:
			if waiting < c.expected/2 {
				c.missed = min(c.missed+1, maxMissed)
				c.skip = 1 << c.missed
			}
			c.expected = 0
			return
		}
		if try < 4 { // those in this process need no more than that
			runtime.Gosched()
			continue
		}
		timer.Reset(rest)
		select {
		case <-s.wake:
		case <-timer.C:
		}
	}
}
