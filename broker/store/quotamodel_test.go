package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// quotaModel is a queue with a quota as it should be.
type quotaModel struct {
	quota  Quota
	wait   []modelMessage
	passed int // ordinal after the last that a reader was given
	next   int
	drops  Drops
}

type modelMessage struct{ n, size int }

func (m *quotaModel) bytes() (b int64) {
	for _, w := range m.wait {
		b += int64(w.size)
	}
	return b
}

func (m *quotaModel) over(more int64, bytes int) bool {
	return m.quota.over(int64(len(m.wait))+more, m.bytes()+int64(bytes))
}

// unsent is the index of the first that nobody was given.
func (m *quotaModel) unsent() int {
	i := slices.IndexFunc(m.wait, func(w modelMessage) bool { return w.n >= m.passed })
	if i < 0 {
		return len(m.wait)
	}
	return i
}

func (m *quotaModel) add(size int) {
	if m.quota.AtLimit == DropOldest && int64(size) <= int64(m.quota.Bytes) {
		for i := m.unsent(); m.over(1, size) && i < len(m.wait); {
			m.passed = m.wait[i].n + 1 // nobody is given it any more
			m.wait = slices.Delete(m.wait, i, i+1)
			m.drops.Oldest++
		}
	}
	if m.over(1, size) {
		m.drops.Newest++
		return
	}
	m.wait = append(m.wait, modelMessage{m.next, size})
	m.next++
}

func (m *quotaModel) ack(n int) bool {
	i := slices.IndexFunc(m.wait, func(w modelMessage) bool { return w.n == n })
	if i < 0 {
		return false
	}
	m.wait = slices.Delete(m.wait, i, i+1)
	return true
}

func TestAQueueWithAQuotaIsAsItsModel(t *testing.T) {
	seeds := uint64(2)
	if proof() {
		seeds = 100
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { compareWithModel(t, seed) })
	}
}

func compareWithModel(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	s := open(t, dir, small())
	q := queue(t, s, "q")
	m := &quotaModel{}
	setQuota := func() {
		at := DropOldest
		if rnd.IntN(4) == 0 {
			at = DropNewest
		}
		m.quota = Quota{Bytes: Bytes(2000 + rnd.IntN(8000)), Messages: int64(10 + rnd.IntN(40)), AtLimit: at}
		q.SetQuota(m.quota)
		for i := m.unsent(); at == DropOldest && m.over(0, 0) && i < len(m.wait); {
			m.passed = m.wait[i].n + 1
			m.wait = slices.Delete(m.wait, i, i+1)
			m.drops.Oldest++
		}
	}
	setQuota()
	var r *Reader
	given := map[int]uint64{} // numbers of records, by ordinal
	at := 0                   // ordinal at which r goes on
	reader := func() {
		r, at, given = q.Reader(nil), 0, map[int]uint64{}
	}
	reader()
	for step := range 400 {
		switch op := rnd.IntN(40); {
		case op < 20:
			size := 20 + rnd.IntN(300)
			if rnd.IntN(50) == 0 {
				size = 12_000
			}
			meta := len("meta of q")
			commit(t, s, message(strings.Repeat("x", size-meta), q))
			m.add(size)
		case op < 28:
			it, ok, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(m.wait, func(w modelMessage) bool { return w.n >= at })
			if ok != (i >= 0) || ok && (int(it.Ordinal) != m.wait[i].n || len(it.Data)+len(it.Meta) != m.wait[i].size) {
				t.Fatalf("step %d: read %d of %d bytes, %v; want the one at %d of %v", step, it.Ordinal, len(it.Data), ok, i, m.wait)
			}
			if ok {
				at = int(it.Ordinal) + 1
				given[int(it.Ordinal)] = it.Number
				m.passed = max(m.passed, at)
			}
		case op < 34:
			for n, number := range given {
				q.Ack(number)
				m.ack(n)
				delete(given, n)
				break
			}
		case op < 36:
			reader()
		case op < 37:
			setQuota()
		case op < 38 && rnd.IntN(4) == 0:
			q.Purge()
			m.drops.Purged += uint64(len(m.wait))
			m.wait, m.passed = nil, m.next
		case rnd.IntN(6) == 0:
			// What was given is forgotten, but for what lies before something acknowledged.
			if rnd.IntN(2) == 0 {
				closeStore(t, s)
				s = open(t, dir, small())
			} else {
				commit(t, s, Record{Kind: Delete, Key: "no such key"})
				copied := copyDir(t, dir)
				closeStore(t, s)
				dir = copied
				s = open(t, dir, small())
			}
			q = queue(t, s, "q")
			q.mu.Lock()
			m.passed = int(q.win.end())
			q.mu.Unlock()
			reader()
			q.SetQuota(m.quota)
		}
		var got []modelMessage
		if err := q.Peek(func(it Item) error {
			got = append(got, modelMessage{int(it.Ordinal), len(it.Data) + len(it.Meta)})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		st := q.Stats()
		if !slices.Equal(got, m.wait) || st.Bytes != m.bytes() || st.Messages != int64(len(m.wait)) || st.Dropped != m.drops {
			t.Fatalf("step %d: the queue has %v, %+v\nwant %v, %d bytes, %+v", step, got, st, m.wait, m.bytes(), m.drops)
		}
	}
	if n := s.Stats().LostRecords; n != 0 {
		t.Errorf("%d count as lost", n)
	}
}
