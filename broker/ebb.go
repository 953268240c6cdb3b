package broker

import (
	"time"
)

// A publisher that is faster than a client takes its messages is slowed by TCP
// before anything is dropped: it is not read while more than crowdMark bytes wait
// for that client. But a slow client slows nobody: who has not taken what waited
// within ebbTime is not waited for any more until it has taken everything, and
// meanwhile what is past its limit is dropped and counted.
const (
	crowdMark = 256 << 10
	ebbTime   = 250 * time.Millisecond
)

// behind says that a publisher should wait for c. The caller holds c.mu.
func (c *conn) behind() bool {
	return !c.slow && !c.last && int64(c.out.len()) > min(crowdMark, int64(c.b.live.Load().MaxQueuedBytes)/4)
}

// ebb gives what is closed when c's client has taken what waits now; nil: nobody
// need wait.
func (c *conn) ebb() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.behind() {
		return nil
	}
	if c.ebbing == nil {
		c.ebbing = make(chan struct{})
	}
	return c.ebbing
}

// ebbed lets those go on who wait for c. The caller holds c.mu.
func (c *conn) ebbed() {
	if c.ebbing != nil {
		close(c.ebbing)
		c.ebbing = nil
	}
}

// waitFor holds the reader back until the clients that are behind have taken
// what waited for them, ebbTime at most.
func (c *conn) waitFor(behind []*conn) {
	var timer *time.Timer
	for _, to := range behind {
		ebb := to.ebb()
		if ebb == nil {
			continue
		}
		if timer == nil {
			timer = time.NewTimer(ebbTime)
			defer timer.Stop()
		}
		select {
		case <-ebb:
		case <-c.done:
			return
		case <-timer.C:
			to.mu.Lock()
			to.slow = to.out.len() > 0
			to.mu.Unlock()
			timer.Reset(0) // the others are not waited for
		}
	}
}
