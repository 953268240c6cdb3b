package main

import "testing"

func TestTheLedgerCountsWhatIsMissing(t *testing.T) {
	l := newLedger()
	for _, p := range []string{"1", "2", "3", "4"} {
		l.publish("a", p)
	}
	l.publish("b", "1")
	l.arrive("a", "1")
	l.arrive("a", "3") // 2 is lost
	l.arrive("a", "3") // again
	if got, want := l.tally(), (tally{sent: 5, arrived: 2, open: 2, lost: 1, repeated: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	l.arrive("b", "1")
	l.arrive("a", "4")
	if got := l.tally(); got.open != 0 || got.lost != 1 {
		t.Errorf("got %+v", got)
	}
}
