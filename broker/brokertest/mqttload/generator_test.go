package main

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"headgate/broker/brokertest/mqttload/wire"
)

// dialSink gives a sink with an empty ledger for one publisher, and a client of it.
func dialSink(t *testing.T) (*sink, *ledger, *wire.Conn) {
	t.Helper()
	s, err := newSink()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.down)
	l := newLedger(1)
	s.set(l)
	c, err := wire.Dial(s.addr(), wire.Options{ClientID: "x", Clean: true})
	if err != nil {
		t.Fatal(err)
	}
	return s, l, c
}

func TestEveryAcknowledgedSequenceNumberIsInTheLedger(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			_, l, c := dialSink(t)
			const n = 70000 // past the last packet identifier
			log := &ackLog{}
			p := &publisher{c: c, qos: qos, win: 64, batch: 4096, onAck: log.mark,
				tmpl: []*wire.Template{wire.NewTemplate(4, qos, "t", 64)}}
			p.start()
			p.run(make(chan struct{}), n)
			p.waitAcks(20 * time.Second)
			p.close()
			total, unique, dup, ooo := l.counts()
			if total != n || unique != n || dup != 0 || ooo != 0 || p.acked.Load() != n {
				t.Fatalf("got total %d, unique %d, dup %d, out of order %d, acked %d; want %d, %d, 0, 0, %d",
					total, unique, dup, ooo, p.acked.Load(), n, n, n)
			}
			marked := 0
			for _, v := range log.a {
				marked += int(v)
			}
			if missing := l.missing([][]uint8{log.a}); marked != n || missing != 0 {
				t.Fatalf("got %d marked and %d of them missing, want %d and 0", marked, missing, n)
			}
		})
	}
}

func TestAnAcknowledgementNamesTheNearestSequenceNumber(t *testing.T) {
	for _, c := range []struct {
		base uint32
		pid  uint16
		want uint32
	}{
		{0, 1, 0},
		{5, 6, 5},
		{5, 4, 3},             // late
		{65534, 65535, 65534}, // the last packet identifier
		{65534, 1, 65535},     // and round
		{65536, 65535, 65534}, // late, round
		{200000, uint16(200010%65535) + 1, 200010},
	} {
		if got := sequenceOf(c.base, c.pid); got != c.want {
			t.Errorf("sequenceOf(%d, %d): got %d, want %d", c.base, c.pid, got, c.want)
		}
	}
}

func TestTheLedgerTellsLostDoubledAndUnorderedApart(t *testing.T) {
	l := newLedger(2)
	for _, s := range []uint32{0, 1, 3, 2, 3, 5} {
		l.add(1, s)
	}
	total, unique, dup, ooo := l.counts()
	if total != 6 || unique != 5 || dup != 1 || ooo != 1 {
		t.Errorf("got total %d, unique %d, dup %d, out of order %d; want 6, 5, 1, 1", total, unique, dup, ooo)
	}
	acked := [][]uint8{{1}, {1, 1, 1, 1, 1, 1, 1}} // missing: 0 of the first; 4 and 6 of the second
	if n := l.missing(acked); n != 3 {
		t.Errorf("got %d missing, want 3", n)
	}
}

func TestAPublisherStopsAtItsWindowAndGoesOnWithNewCredit(t *testing.T) {
	_, l, c := dialSink(t)
	f := newFlow(100)
	p := &publisher{c: c, batch: 4096, f: f, tmpl: []*wire.Template{wire.NewTemplate(4, 0, "t", 64)}}
	p.start()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { p.run(stop, 0) })
	settle(t.Context(), l.unique, 100, 10*time.Second, 10*time.Second)
	settle(t.Context(), l.unique, 101, 50*time.Millisecond, 10*time.Second) // time to go on, wrongly
	if n := l.unique(); n != 100 {
		t.Errorf("got %d messages with a window of 100", n)
	}
	f.add(100)
	settle(t.Context(), l.unique, 200, 10*time.Second, 10*time.Second)
	if n := l.unique(); n < 200 {
		t.Errorf("got %d messages after 100 credits more, want 200", n)
	}
	close(stop)
	wg.Wait()
	p.close()
}

func TestASinkRemembersThePersistentSessionAcrossAnOutage(t *testing.T) {
	s, _, c := dialSink(t)
	c.Disconnect()
	for i, want := range []bool{false, true} {
		c, err := wire.Dial(s.addr(), wire.Options{ClientID: "kept", Clean: false, Ver: 5})
		if err != nil {
			t.Fatal(err)
		}
		if c.SessionPresent != want {
			t.Errorf("connection %d: got session present %v, want %v", i, c.SessionPresent, want)
		}
		s.down()
		if err := s.up(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALosslessTargetFailsByWhatItLost(t *testing.T) {
	for _, c := range []struct {
		m    metrics
		want string
	}{
		{metrics{"lost": 0, "ooo": 0, "dup": 3, "rate": 1}, ""},
		{metrics{"ratio_dlv": 1}, ""},
		{metrics{"ratio_dlv": 0.5, "ooo": 2}, "not lossless: ooo 2, delivered/sent 0.500000"},
		{metrics{"lost": 1, "undrained": 4}, "not lossless: lost 1, undrained 4"},
	} {
		got := ""
		if err := c.m.losses(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v: got %q, want %q", c.m, got, c.want)
		}
	}
}
