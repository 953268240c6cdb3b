package bridge

import (
	"sync"
	"testing"
	"time"

	"headgate/broker/packet"
)

func TestTheLogSaysHowAnOutageEnded(t *testing.T) {
	t.Parallel()
	s, src := newSink(t, true), newMemory(t)
	p := proxyTo(t, s.addr())
	b := start(t, config(p.Addr()), src, hasty)
	eventually(t, "connected", func() bool { return b.Stats().State == Connected })
	p.Cut()
	src.put("field/a", "1", "2")
	eventually(t, "refused", func() bool { return b.log.lines("upstream unreachable") == 1 })
	for range 3 { // the later attempts are not logged
		last := b.Stats().LastErrorAt
		eventually(t, "another attempt", func() bool { return b.Stats().LastErrorAt.After(last) })
	}
	if err := p.Mend(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all arrived", func() bool { return src.left() == 0 })
	if n := b.log.lines(`level=INFO msg="connected to the upstream"`); n != 2 {
		t.Errorf("%d lines of a connection, want 2", n)
	}
	if b.log.lines("backlog=2") != 1 || b.log.lines("away=") != 2 {
		t.Error("no line says how long it was and what waited")
	}
}

func TestALinkThatFlapsIsNotLoggedEachTimeAndHintsAtTheClientID(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	b := start(t, config(u.addr), src, hasty)
	for range 10 {
		u.welcome(nil).net.Close()
	}
	u.welcome(nil)
	for with, want := range map[string]int{
		"upstream connection lost":              2, // and when the cause is clear
		"connected to the upstream":             3, // at first, and after each of these
		`does another client use the client_id`: 1,
	} {
		if got := b.log.lines(with); got != want {
			t.Errorf("lines with %q: got %d, want %d", with, got, want)
		}
	}
}

func TestALongConnectionThatIsClosedIsNoHintAtAnotherClient(t *testing.T) {
	t.Parallel()
	b := &Bridge{}
	for range 10 {
		if err := b.suspect(errClosed, briefTime); err != errClosed {
			t.Fatalf("got %v", err)
		}
		if err := b.suspect(errClosed, 0); err != errClosed {
			t.Fatalf("after one that was short: got %v", err)
		}
	}
}

func TestRetryEndsTheWaitForTheNextAttempt(t *testing.T) {
	t.Parallel()
	s, src := newSink(t, true), newMemory(t)
	p := proxyTo(t, s.addr())
	p.Cut()
	b := start(t, config(p.Addr()), src, func(b *Bridge) { b.backoff = backoff{max: 24 * time.Hour, attempt: 30} })
	eventually(t, "it waits", func() bool { return b.Stats().State == Waiting })
	if err := p.Mend(); err != nil {
		t.Fatal(err)
	}
	b.Retry()
	eventually(t, "connected", func() bool { return b.Stats().State == Connected })
}

// lastWord is a Source whose message "last" comes when the bridge is just told
// to stop.
type lastWord struct {
	*memory
	stop func()
	once sync.Once
}

func (l *lastWord) TryNext(backlog bool) (Outgoing, bool, error) {
	o, ok, err := l.memory.TryNext(backlog)
	if ok && string(o.Payload) == "last" {
		l.once.Do(l.stop)
	}
	return o, ok, err
}

func TestWhatIsTakenFromTheQueueAtTheEndIsSentAndAnswered(t *testing.T) {
	t.Parallel()
	u, src := listenUpstream(t), newMemory(t)
	var b *running
	stopped := make(chan struct{})
	word := &lastWord{memory: src, stop: func() {
		go func() { b.stop(); close(stopped) }()
		time.Sleep(10 * time.Millisecond) // until Run has seen it; without it the test could pass by luck
	}}
	b = start(t, config(u.addr), word, func(b *Bridge) { b.settle = hang })
	src.put("field/a", "first", "last")
	c := u.welcome(resumed)
	for range 2 {
		p := c.expectPublish()
		c.ack(packet.PUBACK, p.PacketID, 0)
	}
	c.expect(packet.DISCONNECT)
	c.net.Close()
	<-stopped
	if n := src.left(); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}
