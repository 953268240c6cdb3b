package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// passing gives a message that need not be written once its queues have it.
func passing(window time.Duration, data string, qs ...*Queue) Record {
	r := message(data, qs...)
	r.Window, r.Spare = window, true
	return r
}

func TestWhatEveryQueueHasAcknowledgedWithinItsWindowIsNeverWritten(t *testing.T) {
	for _, c := range []struct {
		name    string
		recs    func(q, other *Queue) []Record
		acks    []time.Duration // of q, and of other: after so long; 0: never
		told    time.Duration
		written bool
	}{
		{"acknowledged", func(q, _ *Queue) []Record { return []Record{passing(time.Second, "x", q)} },
			[]time.Duration{50 * time.Millisecond}, 50 * time.Millisecond, false},
		{"not acknowledged", func(q, _ *Queue) []Record { return []Record{passing(time.Second, "x", q)} },
			nil, time.Second, true},
		{"too late", func(q, _ *Queue) []Record { return []Record{passing(time.Second, "x", q)} },
			[]time.Duration{2 * time.Second}, time.Second, true},
		{"by both", func(q, other *Queue) []Record { return []Record{passing(time.Second, "x", q, other)} },
			[]time.Duration{50 * time.Millisecond, 90 * time.Millisecond}, 90 * time.Millisecond, false},
		{"by one of two", func(q, other *Queue) []Record { return []Record{passing(time.Second, "x", q, other)} },
			[]time.Duration{50 * time.Millisecond}, time.Second, true},
		{"with a message that must be", func(q, other *Queue) []Record {
			return []Record{passing(time.Second, "x", q), within(time.Second, "y", other)}
		}, []time.Duration{50 * time.Millisecond, 50 * time.Millisecond}, time.Second, true},
		{"with state", func(q, _ *Queue) []Record {
			return []Record{passing(time.Second, "x", q), {Kind: Put, Key: "k", Window: time.Second}}
		}, []time.Duration{50 * time.Millisecond}, time.Second, true},
		{"behind state", func(q, _ *Queue) []Record {
			return []Record{{Kind: Put, Key: "k", Window: time.Second}, passing(time.Second, "x", q)}
		}, []time.Duration{50 * time.Millisecond}, time.Second, true},
	} {
		inMemory(t, func(t *testing.T, s *Store, q *Queue) {
			other := queue(t, s, "other")
			commit(t, s)
			time.Sleep(time.Minute)
			before, begin := s.Stats(), time.Now()
			for i, r := range []*Reader{q.Reader(nil), other.Reader(nil)} {
				if i >= len(c.acks) {
					break
				}
				time.AfterFunc(c.acks[i], func() {
					for it, ok, _ := r.Next(); ok; it, ok, _ = r.Next() {
						r.q.Ack(it.Number)
					}
				})
			}
			done := make(chan error, 1)
			s.Commit(c.recs(q, other), func(err error) { done <- err })
			if err := <-done; err != nil || time.Since(begin) != c.told {
				t.Errorf("%s: told after %v, want %v: %v", c.name, time.Since(begin), c.told, err)
			}
			st := s.Stats()
			if written := st.Commits > before.Commits; written != c.written || (st.Spared == 0) != c.written {
				t.Errorf("%s: written %v, want %v; %d messages were spared", c.name, written, c.written, st.Spared)
			}
		})
	}
}

func TestWhatComesBehindWhatWasLeftOutStillWaitsForItsWindow(t *testing.T) {
	inMemory(t, func(t *testing.T, s *Store, q *Queue) {
		r := q.Reader(nil)
		s.mu.Lock()
		s.earlyAt = time.Now()
		s.mu.Unlock()
		s.Commit([]Record{passing(time.Second, "x", q)}, nil)
		time.Sleep(900 * time.Millisecond) // in another segment, so late
		begin, done := time.Now(), make(chan time.Duration, 1)
		s.Commit([]Record{passing(time.Second, "y", q)}, nil)
		s.Commit([]Record{{Kind: Put, Key: "k", Window: 500 * time.Millisecond}}, func(error) { done <- time.Since(begin) })
		q.Ack(next(t, r).Number)
		if took := <-done; took != 500*time.Millisecond || s.Stats().Spared != 1 {
			t.Errorf("it was written after %v, and %d messages were spared", took, s.Stats().Spared)
		}
	})
}

// uplink acknowledges what comes to a queue a round trip later, unless it is down.
type uplink struct {
	q    *Queue
	mu   sync.Mutex // guards down
	down bool
	stop chan struct{}
}

func (u *uplink) run(roundTrip time.Duration) {
	wake := make(chan struct{}, 1)
	r := u.q.Reader(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	for {
		it, ok, _ := r.Next()
		for u.isDown() {
			time.Sleep(100 * time.Millisecond)
		}
		switch {
		case ok:
			time.AfterFunc(roundTrip, func() { u.q.Ack(it.Number) })
			continue
		}
		select {
		case <-wake:
		case <-u.stop:
			return
		}
	}
}

func (u *uplink) isDown() bool { u.mu.Lock(); defer u.mu.Unlock(); return u.down }
func (u *uplink) set(down bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.down = down
}

// TestWhileTheUplinkIsUpAStreamIsNearlyNeverWritten: 100 messages a second with a
// round trip of 80 ms, of which some are always on their way; and all of it while
// the uplink is down.
func TestWhileTheUplinkIsUpAStreamIsNearlyNeverWritten(t *testing.T) {
	inMemory(t, func(t *testing.T, s *Store, q *Queue) {
		u := &uplink{q: q, stop: make(chan struct{})}
		var wg sync.WaitGroup
		wg.Go(func() { u.run(80 * time.Millisecond) })
		defer func() { u.set(false); close(u.stop); wg.Wait() }()
		var mu sync.Mutex
		told, latest := 0, time.Duration(0)
		period := func(what string, d time.Duration, leastCommits, mostCommits, leastSpared, mostSpared int64) {
			t.Helper()
			before := s.Stats()
			latest = 0
			n := int(d / (10 * time.Millisecond))
			for range n {
				begin := time.Now()
				s.Commit([]Record{passing(time.Second, strings.Repeat("x", 200), q)}, func(err error) {
					mu.Lock()
					defer mu.Unlock()
					told, latest = told+1, max(latest, time.Since(begin))
					if err != nil {
						t.Error(err)
					}
				})
				time.Sleep(10 * time.Millisecond)
			}
			st := s.Stats()
			commits, spared := st.Commits-before.Commits, st.Spared-before.Spared
			if commits < leastCommits || commits > mostCommits || spared < leastSpared || spared > mostSpared {
				t.Errorf("%s: %d commits, %d of %d messages were spared", what, commits, spared, n)
			}
			t.Logf("%s: %d commits of %d bytes, %d of %d messages were spared, the last was told after %v", what, commits, st.Bytes-before.Bytes, spared, n, latest)
			mu.Lock()
			defer mu.Unlock()
			if latest > time.Second {
				t.Errorf("%s: somebody was told after %v", what, latest)
			}
		}
		period("up", 10*time.Minute, 0, 2, 59_000, 60_000)
		if latest > 300*time.Millisecond {
			t.Errorf("while it is up somebody was told after %v", latest)
		}
		u.set(true)
		period("down", time.Minute, 55, 70, 0, 200)
		u.set(false)
		period("up again", 10*time.Minute, 1, 25, 59_000, 60_000)
		time.Sleep(2 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if told != 126_000 {
			t.Errorf("%d were told", told)
		}
	})
}

// TestAcknowledgementsOfWhatIsNeverWrittenTakeNoRoom even if they come out of order
// for ever.
func TestAcknowledgementsOfWhatIsNeverWrittenTakeNoRoom(t *testing.T) {
	inMemory(t, func(t *testing.T, s *Store, q *Queue) {
		r := q.Reader(nil)
		for range 2000 {
			for range 4 {
				s.Commit([]Record{passing(time.Second, "x", q)}, nil)
			}
			items := []Item{next(t, r), next(t, r), next(t, r), next(t, r)}
			for _, i := range []int{2, 0, 3, 1} {
				q.Ack(items[i].Number)
			}
			synctest.Wait()
		}
		if st := s.Stats(); st.Spared != 8000 {
			t.Errorf("%d of 8000 messages were spared", st.Spared)
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if n := len(q.newAcked); n > 512 {
			t.Errorf("%d ranges are kept", n)
		}
	})
}

// TestAGenerationThatBeginsBehindWhatWasLeftOutIsNotTakenForLaterThanTheCheckpoint.
func TestAGenerationThatBeginsBehindWhatWasLeftOutIsNotTakenForLaterThanTheCheckpoint(t *testing.T) {
	s := open(t, t.TempDir(), small())
	q := queue(t, s, "client")
	fill(t, s, q, 0, 100, 16_000)
	r := q.Reader(nil)
	for _, it := range expect(t, r, 0, 100) {
		q.Ack(it.Number)
	}
	checkpointNow(t, s)
	for range 50 {
		s.Commit([]Record{passing(10*time.Second, "x", q)}, nil)
		q.Ack(next(t, r).Number)
	}
	await(t, "50 messages to be left out", func() bool { return s.Stats().Spared == 50 })
	fill(t, s, q, 150, 1, 900_000)
	commit(t, s)
	await(t, "the first generation to go", func() bool { commit(t, s); return s.Stats().Generations == 1 })
	dir := copyDir(t, s.dir)
	log, text := listen()
	s, err := Open(dir, small(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if st := s.Stats(); st.Lost+uint64(st.LostRecords) > 0 || strings.Contains(text.String(), "older") || strings.Contains(text.String(), "missing") {
		t.Errorf("damage is reported: %+v\n%s", st, text)
	}
	expect(t, queue(t, s, "client").Reader(nil), 150, 151)
}

// spareModel is what is known of messages that go to some of three queues, and of a
// store that is killed again and again.
type spareModel struct {
	t       *testing.T
	random  *rand.Rand
	s       *Store
	queues  []*Queue
	readers []*Reader
	given   []map[int]uint64 // by queue: messages not acknowledged, with their numbers
	to      map[int][]bool   // by message: the queues that it is in, and has not left

	mu   sync.Mutex // guards told
	told map[int]bool
	last int
}

func (m *spareModel) use(s *Store) {
	m.s, m.queues, m.readers, m.given = s, nil, nil, nil
	for i := range 3 {
		q := queue(m.t, s, fmt.Sprint("client ", i))
		m.queues, m.given = append(m.queues, q), append(m.given, map[int]uint64{})
		m.readers = append(m.readers, q.Reader(nil))
	}
}

func (m *spareModel) publish() {
	m.last++
	n, which := m.last, make([]bool, 3)
	var qs []*Queue
	for i := range which {
		if which[i] = m.random.IntN(2) == 0; which[i] {
			qs = append(qs, m.queues[i])
		}
	}
	m.to[n] = which
	m.s.Commit([]Record{passing(10*time.Second, fmt.Sprintf("%07d", n), qs...)}, func(err error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.told[n] = err == nil
	})
}

// receive takes what there is, and acknowledges some of it in any order.
func (m *spareModel) receive(share float64) {
	for i, r := range m.readers {
		for it, ok, err := r.Next(); ok || err != nil; it, ok, err = r.Next() {
			if err != nil {
				m.t.Fatal(err)
			}
			m.given[i][number(it)] = it.Number
		}
		for n, at := range m.given[i] { // in no order
			if m.random.Float64() < share {
				m.to[n][i] = false
				delete(m.given[i], n)
				m.queues[i].Ack(at)
			}
		}
	}
}

// crash goes on with what a kill has left.
func (m *spareModel) crash() {
	m.mu.Lock()
	told := make(map[int]bool)
	for n, yes := range m.told {
		told[n] = yes
	}
	m.mu.Unlock()
	await(m.t, "the end of a checkpoint", func() bool {
		m.s.mu.Lock()
		defer m.s.mu.Unlock()
		return !m.s.ckpt.busy
	})
	dir := copyDir(m.t, m.s.dir)
	closeStore(m.t, m.s)
	log, text := listen()
	s, err := Open(dir, small(), log)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { s.Close() })
	if st := s.Stats(); st.DamagedSegments+st.DamagedGenerations+st.LostRecords > 0 || st.Lost > 0 || strings.Contains(text.String(), "missing") {
		m.t.Fatalf("damage is reported: %+v\n%s", st, text)
	}
	m.use(s)
	there := make([]map[int]bool, 3)
	for i, q := range m.queues {
		there[i] = map[int]bool{}
		before := 0
		if err := q.Peek(func(it Item) error {
			n := number(it)
			if n <= before || m.to[n] == nil {
				m.t.Fatalf("queue %d has %d behind %d", i, n, before)
			}
			before, there[i][n] = n, true
			return nil
		}); err != nil {
			m.t.Fatal(err)
		}
	}
	for n, which := range m.to {
		for i, wanted := range which {
			if wanted && told[n] && !there[i][n] {
				m.t.Fatalf("message %d is not in queue %d, which has not acknowledged it", n, i)
			}
			which[i] = there[i][n] // what was acknowledged may come again
		}
		if which[0] || which[1] || which[2] {
			m.told[n] = true
		} else {
			delete(m.to, n)
		}
	}
}

// TestWhatAKillLeavesOfMessagesThatAreNotAllWritten is all that is not acknowledged
// and of which somebody was told, in order, and no damage.
func TestWhatAKillLeavesOfMessagesThatAreNotAllWritten(t *testing.T) {
	t.Parallel()
	rounds := uint64(1)
	if proof() {
		rounds = 50
	}
	var spared int64
	for seed := range rounds {
		m := &spareModel{t: t, random: rand.New(rand.NewPCG(seed, 8)), to: map[int][]bool{}, told: map[int]bool{}}
		m.use(open(t, t.TempDir(), small()))
		for range 2 {
			for range 50 + m.random.IntN(200) {
				switch n := m.random.IntN(100); {
				case n < 60:
					m.publish()
				case n < 90:
					m.receive(m.random.Float64())
				case n < 97:
					m.receive(1) // all is acknowledged
					time.Sleep(time.Millisecond)
				default:
					commit(t, m.s, Record{Kind: Put, Key: "k", Data: []byte("v")}) // takes all along
					if n == 97 {
						failSync(t, m.s) // the next is written again
					}
				}
			}
			spared += m.s.Stats().Spared
			m.s.mu.Lock()
			m.s.earlyAt = time.Now() // nothing is written while the directory is copied
			m.s.mu.Unlock()
			m.crash()
		}
	}
	if spared < 40*int64(rounds) {
		t.Errorf("only %d messages were spared: the test proves nothing", spared)
	}
}
