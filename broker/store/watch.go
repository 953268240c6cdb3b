package store

import (
	"errors"
	"fmt"
	"time"
)

// watch looks at the clock while the store is open. It counts what is written,
// and ends the waiting for a disk that takes nothing: the committer cannot, where
// a write does not come back.
func (s *Store) watch() {
	defer close(s.watcher)
	tick := time.NewTicker(min(time.Second, s.cfg.Patience/8))
	defer tick.Stop()
	var sampled time.Time
	for {
		select {
		case <-s.closed:
			return
		case <-s.refused:
		case <-tick.C:
		}
		now := time.Now()
		s.refuseLate(now)
		s.askDisk(now)
		if now.Sub(sampled) >= sampleInterval {
			s.wear.sample(now)
			sampled = now
		}
	}
}

// refuseLate ends the commits that wait, the oldest first, if the batch that is
// being written is not on disk after patience; later ones end at once. The records
// of those that were waiting stay: readers may have given them already.
func (s *Store) refuseLate(now time.Time) {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	if s.begun.IsZero() || now.Sub(s.begun) < s.cfg.Patience {
		s.mu.Unlock()
		return
	}
	_, cause := s.logTrouble.now()
	if cause == nil {
		cause = s.hangs()
		s.logTrouble.note(cause, s.begun)
	}
	first := s.refusing == nil
	s.refusing = fmt.Errorf("%w: %w", ErrUnavailable, cause)
	var late []waiter
	late, s.writing = splitWaiters(late, s.writing)
	late, s.waiters = splitWaiters(late, s.waiters)
	s.prompt, s.awaited = 0, 0
	for _, w := range s.waiters {
		if w.prompt {
			s.prompt++
		}
	}
	s.mu.Unlock()
	if first {
		s.log.Error("the disk has not taken anything for too long: commits end with an error until it does", "path", s.dir, "err", cause)
	}
	runWaiters(late, fmt.Errorf("%w: %w", ErrHeld, cause))
}

var errNoReturn = errors.New("does not come back")

// hangs is why nothing is known of a write.
func (s *Store) hangs() error { return fmt.Errorf("a write to %s %w", s.dir, errNoReturn) }

const (
	askInterval = 10 * time.Second
	askFile     = "ASK"
)

// askDisk has the disk take something else while a write does not come back: where it
// does, it is not the disk that the committer waits for. Nobody waits for the answer.
func (s *Store) askDisk(now time.Time) {
	_, err := s.logTrouble.now()
	if !errors.Is(err, errNoReturn) || now.UnixNano()-s.answered.Load() < int64(askInterval) || !s.asking.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer s.asking.Store(false)
		if probe(s.dir, askFile, s.lock) == nil {
			s.answered.Store(now.UnixNano())
		}
	}()
}

// stuck says whether the committer does not come back although the disk takes something.
func (s *Store) stuck(now time.Time) bool {
	_, err := s.logTrouble.now()
	return errors.Is(err, errNoReturn) && now.UnixNano()-s.answered.Load() < 3*int64(askInterval)
}

// splitWaiters takes out of a list those that are not to wait any longer.
func splitWaiters(late, list []waiter) (outOf, rest []waiter) {
	for _, w := range list {
		if w.patient {
			rest = append(rest, w)
		} else {
			late = append(late, w)
		}
	}
	return late, rest
}

// resumed says that a batch was written: if the disk has not taken it before, it
// does now. The caller holds mu.
func (s *Store) resumed(now time.Time) {
	s.refusing = nil
	if since := s.logTrouble.over(); !since.IsZero() {
		s.log.Info("the disk takes what is written again", "path", s.dir, "took", now.Sub(since))
	}
}
