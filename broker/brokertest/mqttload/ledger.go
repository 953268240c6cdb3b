package main

import (
	"sync"
	"time"
)

// ledger tells lost, doubled and out-of-order messages apart, by publisher.
type ledger struct {
	mu    sync.Mutex // protects what follows
	seen  [][]uint8  // by publisher and sequence number
	last  []int64    // highest sequence number by publisher, -1: none
	total int64
	uniq  int64
	dup   int64
	ooo   int64
	at    time.Time // when about the last 64 messages began to come
}

func newLedger(pubs int) *ledger {
	l := &ledger{seen: make([][]uint8, pubs), last: make([]int64, pubs)}
	for i := range l.last {
		l.last[i] = -1
	}
	return l
}

func (l *ledger) add(pub, seq uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if int(pub) >= len(l.seen) || seq > 1<<28 {
		return
	}
	if l.total&63 == 0 {
		l.at = time.Now()
	}
	l.total++
	s := l.seen[pub]
	for int(seq) >= len(s) {
		s = append(s, make([]uint8, max(4096, len(s)))...)
	}
	l.seen[pub] = s
	if s[seq] > 0 {
		l.dup++
		return
	}
	s[seq] = 1
	l.uniq++
	if int64(seq) < l.last[pub] {
		l.ooo++
	} else {
		l.last[pub] = int64(seq)
	}
}

// counts gives all messages, the different ones, the doubled ones and those that
// came after a later one of the same publisher.
func (l *ledger) counts() (total, uniq, dup, ooo int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total, l.uniq, l.dup, l.ooo
}

// missing counts what is marked in acked (by publisher and sequence number) and not in l.
func (l *ledger) missing(acked [][]uint8) (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, a := range acked {
		for seq, v := range a {
			if v != 0 && (seq >= len(l.seen[p]) || l.seen[p][seq] == 0) {
				n++
			}
		}
	}
	return n
}

// unique counts the different messages that have come.
func (l *ledger) unique() int64 {
	_, n, _, _ := l.counts()
	return n
}

// lastAt is when about the last message came.
func (l *ledger) lastAt() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

// ackLog marks acknowledged sequence numbers; one writer each.
type ackLog struct{ a []uint8 }

func (l *ackLog) mark(seq uint32) {
	for int(seq) >= len(l.a) {
		l.a = append(l.a, make([]uint8, max(4096, len(l.a)))...)
	}
	l.a[seq] = 1
}

// ackedSets gives what the logs hold, as ledger.missing takes it.
func ackedSets(logs []*ackLog) [][]uint8 {
	a := make([][]uint8, len(logs))
	for i, l := range logs {
		a[i] = l.a
	}
	return a
}
