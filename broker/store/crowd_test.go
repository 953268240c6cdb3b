package store

import (
	"testing"
	"testing/synctest"
	"time"
)

// The publishers come back 100 us apart; so many were in the last commit, which
// took 8 ms.
func TestACommitWaitsForThoseWhoAreExpectedBackAndNotLong(t *testing.T) {
	for _, test := range []struct {
		name           string
		expected, come int
		want           int // gathered
		waits          time.Duration
		skip           int
	}{
		{"all come", 8, 8, 8, 700 * time.Microsecond, 0},
		{"one stays away", 8, 7, 7, time.Millisecond, 0},
		{"most stay away", 8, 2, 2, time.Millisecond, 2},
		{"one alone", 1, 1, 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Store{wake: make(chan struct{}, 1)}
				timer := time.NewTimer(0)
				var c crowd
				s.awaited = test.expected
				c.written(s, 8*time.Millisecond)
				go func() {
					for i := range test.come {
						if i > 0 {
							time.Sleep(100 * time.Microsecond)
						}
						s.mu.Lock()
						s.prompt++
						s.mu.Unlock()
						s.nudge()
					}
				}()
				begin := time.Now()
				c.gather(s, timer)
				s.mu.Lock()
				got := s.prompt
				s.mu.Unlock()
				if waited := time.Since(begin); got < test.want || waited != test.waits || c.skip != test.skip {
					t.Errorf("got %d after %v, then %d without waiting; want %d after %v, %d", got, waited, c.skip, test.want, test.waits, test.skip)
				}
				time.Sleep(time.Second)
			})
		})
	}
}

func TestAClosingStoreWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{wake: make(chan struct{}, 1), closing: true}
		var c crowd
		s.awaited = 8
		c.written(s, time.Second)
		begin := time.Now()
		c.gather(s, time.NewTimer(0))
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("waited %v", waited)
		}
	})
}
