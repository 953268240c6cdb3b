package broker

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"headgate/broker/packet"
	"headgate/broker/store"
)

func TestAPUBRECThatComesAgainDoesNotHurryThePUBREL(t *testing.T) {
	b := inMemory(t)
	q, err := b.store.Queue("q")
	if err != nil {
		t.Fatal(err)
	}
	m := message{topic: []byte("a"), qos: 2}
	done := make(chan error, 1)
	b.store.Commit([]store.Record{{Kind: store.Message, Refs: []store.Ref{{Queue: q.ID(), Meta: metaOf(delivery{qos: 2})}}, Data: m.appendStored(nil)}},
		func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	o := outgoing{queue: q}
	o.start(10, nil)
	out, ok, err := o.next(time.Now(), func(uint64) {}, nil)
	if err != nil || !ok {
		t.Fatalf("got %v, %v; want a message", ok, err)
	}
	for i := range 2 {
		if known, atOnce := o.receive(out.packetID, func(err error) { done <- err }); !known || atOnce {
			t.Errorf("PUBREC %d: known %v, at once %v; want true, false", i, known, atOnce)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	o.released(out.packetID)
	if known, atOnce := o.receive(out.packetID, nil); !known || !atOnce {
		t.Errorf("once it is on disk: known %v, at once %v; want true, true", known, atOnce)
	}
}

func TestWhatAQueueHoldsBackForTheDiskIsAskedForOnce(t *testing.T) {
	o := outgoing{window: 10, message: new(outgoingMessage), flight: map[uint16]inflight{}, held: &store.Item{Number: 5, Meta: metaOf(delivery{qos: 2}), Data: (&message{topic: []byte("a"), qos: 2}).appendStored(nil)}}
	for range 3 {
		if _, ok, err := o.next(time.Now(), func(uint64) { t.Error("asked again") }, nil); ok || err != nil {
			t.Fatalf("got %v, %v; want it held back", ok, err)
		}
	}
	o.durable(4) // what an earlier connection asked for
	if _, ok, _ := o.next(time.Now(), func(uint64) {}, nil); ok {
		t.Error("it was given before it is on disk")
	}
	o.durable(5)
	if m, ok, err := o.next(time.Now(), nil, nil); !ok || err != nil || m.dup {
		t.Errorf("got %v, %v; want it, without DUP", ok, err)
	}
}

func TestAClientThatIsOwedManyAnswersIsReadNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inMemory(t)
		_, nc := net.Pipe()
		c := newConn(b, nc, entry{})
		c.version = packet.V311
		c.acks.submitted = 1 // a commit that the disk has not done
		for i := range maxOwed {
			c.owe(packet.PUBACK, uint16(i), packet.Success, false)
		}
		c.settle()
		waiting := make(chan error)
		go func() { waiting <- c.waitRoom() }()
		synctest.Wait()
		select {
		case err := <-waiting:
			t.Fatalf("it went on: %v", err)
		default:
		}
		c.committed(1, 0, nil)
		if err := <-waiting; err != nil {
			t.Error(err)
		}
	})
}
