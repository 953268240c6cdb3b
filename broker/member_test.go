package broker

import (
	"net"
	"testing"
	"time"
)

func TestAGroupsTurnIsAnIndexOnAnyMachine(t *testing.T) {
	g := &group{}
	g.turn.Store(1<<31 - 2) // where a 32-bit int ends
	for range 5 {
		if i := g.start(3); i < 0 || i > 2 {
			t.Errorf("got index %d of 3", i)
		}
	}
}

func TestWhatAnEndingMemberTookOfItsGroupGoesBack(t *testing.T) {
	b := inMemory(t)
	kept, clean := newSession("kept"), newSession("clean")
	if err := b.makePersistent(kept); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*session{kept, clean} {
		if _, _, err := b.subscribe(s, "$share/g/a", subscription{qos: 1}); err != nil {
			t.Fatal(err)
		}
	}
	r := router{b: b}
	r.route(&message{topic: []byte("a"), qos: 1}, time.Now())
	r.commit(func(error) {})
	mem := (*clean.memberships.Load())[0]
	m, ok, err := mem.g.take(mem, time.Now())
	if err != nil || !ok {
		t.Fatalf("got %v, %v; want the message", ok, err)
	}
	here, there := net.Pipe()
	defer here.Close()
	c := newConn(b, there, entry{})
	c.session = clean
	c.shut(errTakenOver) // meanwhile
	c.sendShared(mem, m, time.Now())
	if n := mem.g.s.queue.Stats().Messages; n != 1 {
		t.Errorf("%d messages are in the queue, want the one that was not sent", n)
	}
	if _, ok, err := mem.g.take(mem, time.Now()); err != nil || !ok {
		t.Errorf("got %v, %v; want it again", ok, err)
	}
}
