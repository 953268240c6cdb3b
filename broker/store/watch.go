package store

import "time"

// watch looks at the clock while the store is open: it counts what is written.
func (s *Store) watch() {
	defer close(s.watcher)
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.closed:
			return
		case now := <-tick.C:
			s.wear.sample(now)
		}
	}
}
