package broker

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

func TestTheTopicsThatWaitToBeWrittenAreBounded(t *testing.T) {
	b := inMemory(t)
	r := router{b: b}
	for i := range 30_000 {
		m := message{topic: fmt.Append(nil, "t/", i, "/", string(bytes.Repeat([]byte("x"), 100))), payload: []byte("x"), retain: true}
		r.route(&m, time.Now())
		m.payload = nil // and gone again
		r.route(&m, time.Now())
		if r.batch.bytes > maxBatchBytes {
			r.commit(func(error) {})
		}
	}
	if got := b.retained.dirtyBytes; got > maxDirtyBytes || got == 0 {
		t.Errorf("%d bytes of names wait, want at most %d", got, maxDirtyBytes)
	}
	b.writeRetained()
	if n, bytes := len(b.retained.dirty), b.retained.dirtyBytes; n != 0 || bytes != 0 {
		t.Errorf("%d names of %d bytes are left", n, bytes)
	}
}

func TestTheRetainedMessageThatCountsIsTheLastInTheLog(t *testing.T) {
	b := inMemory(t)
	first, second := router{b: b}, router{b: b}
	first.route(&message{topic: []byte("a"), payload: []byte("older"), qos: 1, retain: true}, time.Now())
	second.route(&message{topic: []byte("a"), payload: []byte("newer"), qos: 1, retain: true}, time.Now())
	done := make(chan error, 2)
	second.commit(func(err error) { done <- err })
	first.commit(func(err error) { done <- err }) // whose publisher was slower
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	again, err := New(b.cfg, b.store, b.log)
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := again.retained.tree.Get("a"); !ok || string(m.payload) != "newer" {
		t.Errorf("got %+v after a restart, want the newer one", m)
	}
}
