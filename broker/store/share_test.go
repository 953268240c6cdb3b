package store

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// sharing gives a store with two queues and a third that is of a later group,
// which share a quota.
func sharing(t *testing.T, open func(Config) *Store, quota Quota) (s *Store, a, b, last *Queue) {
	t.Helper()
	s = open(small())
	a, b, last = queue(t, s, "a"), queue(t, s, "b"), queue(t, s, "last")
	s.ShareQuota([]*Queue{a, b}, []*Queue{last})
	for _, q := range []*Queue{a, b, last} {
		q.SetQuota(quota)
	}
	return s, a, b, last
}

func TestOfQueuesThatShareAQuotaTheOldestOfAllMakesRoom(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s, a, b, last := sharing(t, open, messages(6, DropOldest))
		fill(t, s, last, 0, 1, 0)
		fill(t, s, a, 1, 2, 0)
		fill(t, s, b, 3, 2, 0)
		fill(t, s, a, 5, 2, 0) // 1 goes: a's oldest
		wantPeek(t, a, 2, 5, 6)
		fill(t, s, b, 7, 2, 0) // 2, then b's
		wantPeek(t, a, 5, 6)
		wantPeek(t, b, 4, 7, 8)
		wantPeek(t, last, 0) // older than all, but of a later group
		fill(t, s, last, 9, 6, 0)
		wantPeek(t, a)
		wantPeek(t, b)
		wantPeek(t, last, 9, 10, 11, 12, 13, 14)
		fill(t, s, b, 15, 1, 0)
		wantPeek(t, b)
		if d := b.Stats().Dropped; d != (Drops{Oldest: 4, Newest: 1}) {
			t.Errorf("dropped of b: %+v", d)
		}
	})
}

func TestALowerQuotaIsThatOfAllQueuesThatShareIt(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s, a, b, last := sharing(t, open, Quota{})
		for i := range 10 {
			fill(t, s, []*Queue{a, b}[i%2], i, 1, 0)
		}
		fill(t, s, last, 10, 1, 0)
		for _, q := range []*Queue{a, b, last} {
			q.SetQuota(Quota{Bytes: 52, Messages: UnlimitedMessages, AtLimit: DropOldest}) // 16 for last, 13 a message
		}
		wantPeek(t, a, 8)
		wantPeek(t, b, 9)
		wantPeek(t, last, 10)
	})
}

func TestQueuesThatShareAQuotaRefuseAndLeaveOutTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Config) *Store) {
		s, a, b, last := sharing(t, open, messages(3, Refuse))
		fill(t, s, a, 0, 1, 0)
		if err := tryCommit(s, message("0000001", a), message("0000002", b), message("0000003", last)); !errors.Is(err, ErrFull) {
			t.Errorf("three more to a queue each: got %v, want %v", err, ErrFull)
		}
		if err := tryCommit(s, message("0000001", a), message("0000002", b)); err != nil {
			t.Errorf("two more: %v", err)
		}
		if err := tryCommit(s, message("0000003", last)); !errors.Is(err, ErrFull) {
			t.Errorf("one more: got %v, want %v", err, ErrFull)
		}
		for _, q := range []*Queue{a, b, last} {
			q.SetQuota(messages(3, DropNewest))
		}
		fill(t, s, b, 4, 1, 0)
		wantPeek(t, b, 2)
		wantPeek(t, a, 0, 1)
	})
}

func TestQueuesThatShareAQuotaNeverHoldMoreAndNeverLessThanTheNewest(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	s, a, b, _ := sharing(t, func(cfg Config) *Store { return open(t, t.TempDir(), cfg) }, messages(40, DropOldest))
	both := []*Queue{a, b}
	for i := range 600 {
		if rnd.IntN(20) == 0 {
			slices.Reverse(both)
		}
		fill(t, s, both[0], i, 1, rnd.IntN(100))
		left := slices.Concat(peeked(t, a), peeked(t, b))
		slices.Sort(left)
		want := min(i+1, 40)
		if len(left) != want || left[0] != i+1-want {
			t.Fatalf("after %d: %d wait, from %d to %d", i, len(left), left[0], left[len(left)-1])
		}
	}
}
