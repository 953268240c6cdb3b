package auth

import (
	"net/netip"
	"testing"
	"time"
)

func TestEachFurtherFailureHasTwiceTheDelay(t *testing.T) {
	var l Limiter
	now := time.Now()
	a := netip.MustParseAddr("192.0.2.1")
	for i, want := range []time.Duration{0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60} {
		want *= time.Second
		l.Failed(a, now)
		if got := l.Blocked(a, now); got != want {
			t.Errorf("after failure %d: got %v, want %v", i+1, got, want)
		}
		if want > 0 {
			if got := l.Blocked(a, now.Add(want-time.Millisecond)); got != time.Millisecond {
				t.Errorf("after failure %d, near the end: got %v, want 1ms", i+1, got)
			}
		}
		now = now.Add(want)
		if got := l.Blocked(a, now); got != 0 {
			t.Errorf("after failure %d and its delay: got %v, want 0", i+1, got)
		}
	}
	for range 1000 { // the doubling must not wrap
		l.Failed(a, now)
	}
	if got := l.Blocked(a, now); got != longestDelay {
		t.Errorf("after very many failures: got %v, want %v", got, longestDelay)
	}
}

func TestQuietAndSuccessMakeAnAddressAsGoodAsNew(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		name  string
		after func(l *Limiter, now time.Time) time.Time
		want  time.Duration
	}{
		{"nothing", func(_ *Limiter, now time.Time) time.Time { return now }, 4 * time.Second},
		{"ten minutes of quiet", func(_ *Limiter, now time.Time) time.Time { return now.Add(10 * time.Minute) }, 0},
		{"a little less", func(_ *Limiter, now time.Time) time.Time { return now.Add(10*time.Minute - 1) }, 4 * time.Second},
		{"a success", func(l *Limiter, now time.Time) time.Time { l.Succeeded(a); return now }, 0},
		{"another's success", func(l *Limiter, now time.Time) time.Time {
			l.Succeeded(netip.MustParseAddr("192.0.2.2"))
			return now
		}, 4 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l Limiter
			now := time.Now()
			for range 4 {
				l.Failed(a, now)
			}
			now = c.after(&l, now)
			l.Failed(a, now)
			if got := l.Blocked(a, now); got != c.want {
				t.Errorf("after one more failure: got %v, want %v", got, c.want)
			}
		})
	}
}

func TestAddressesOfOneHostCountTogether(t *testing.T) {
	for _, c := range []struct {
		failed, asked string
		want          bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"2001:db8::1", "2001:db8::2", true},
		{"2001:db8::1", "2001:db8:0:0:ffff::", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
	} {
		var l Limiter
		now := time.Now()
		for range freeFailures {
			l.Failed(netip.MustParseAddr(c.failed), now)
		}
		asked := netip.MustParseAddr(c.asked)
		if got := l.Blocked(asked, now) > 0; got != c.want {
			t.Errorf("failures of %s: is %s blocked? got %v, want %v", c.failed, c.asked, got, c.want)
		}
		l.Succeeded(asked)
		if got := l.Blocked(netip.MustParseAddr(c.failed), now) > 0; got == c.want {
			t.Errorf("after a success of %s: is %s blocked? got %v, want %v", c.asked, c.failed, got, !c.want)
		}
	}
}

func TestWhatHasNoAddressIsNotCounted(t *testing.T) {
	var l Limiter
	for range 10 {
		l.Failed(netip.Addr{}, time.Now())
	}
	l.Succeeded(netip.Addr{})
	if got := l.Blocked(netip.Addr{}, time.Now()); got != 0 || l.Len() != 0 {
		t.Errorf("got %v and %d addresses, want none of either", got, l.Len())
	}
}

func TestTheLimiterForgetsTheLongestQuietAddressWhenItIsFull(t *testing.T) {
	var l Limiter
	now := time.Now()
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for i := range maxAddresses {
		for range freeFailures {
			l.Failed(addr(i), now)
		}
	}
	l.Failed(addr(0), now) // now 1 is quiet the longest
	l.Failed(addr(maxAddresses), now)
	if got := l.Len(); got != maxAddresses {
		t.Errorf("got %d addresses, want %d", got, maxAddresses)
	}
	for i, want := range []bool{true, false, true} {
		if got := l.Blocked(addr(i), now) > 0; got != want {
			t.Errorf("is address %d blocked? got %v, want %v", i, got, want)
		}
	}
}
