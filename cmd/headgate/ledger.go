package main

import (
	"sync"
	"time"
)

// ledger follows every message of the demo from the gateway's broker to the
// cloud's, topic by topic, and so knows what was lost: a message is, when one
// that was published after it on its topic has arrived, or when nothing is
// waiting any more and it has not.
type ledger struct {
	mu       sync.Mutex
	waiting  map[string][]string // by topic: payloads that have not arrived, in order
	open     int                 // how many those are
	sent     int
	arrived  int
	lost     int
	repeated int // QoS 1 may deliver one twice after a cut
	closed   bool
	last     map[string]arrival
}

// arrival is the newest message of a topic in the cloud.
type arrival struct {
	payload string
	at      time.Time
}

func newLedger() *ledger {
	return &ledger{waiting: make(map[string][]string), last: make(map[string]arrival)}
}

func (l *ledger) publish(topic, payload string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.sent++
	l.open++
	l.waiting[topic] = append(l.waiting[topic], payload)
}

func (l *ledger) arrive(topic, payload string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last[topic] = arrival{payload, time.Now()}
	for i, p := range l.waiting[topic] {
		if p == payload {
			l.lost += i
			l.open -= i + 1
			l.arrived++
			l.waiting[topic] = l.waiting[topic][i+1:]
			return
		}
	}
	if !l.closed {
		l.repeated++
	}
}

// close takes no more messages: those until now are to arrive.
func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// tally is the ledger at one moment.
type tally struct{ sent, arrived, open, lost, repeated int }

func (l *ledger) tally() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return tally{l.sent, l.arrived, l.open, l.lost, l.repeated}
}

func (l *ledger) newest(topic string) (arrival, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.last[topic]
	return a, ok
}
