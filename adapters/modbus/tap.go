package modbus

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxTapped pieces of 2 kB at most wait for a listener who is slow; more are lost to
// him, and counted. No poll waits for one.
const maxTapped = 128

// taps are the listeners to a link: who hears what is sent and what comes. Nothing
// is done for nobody. Any goroutine may use them.
type taps struct {
	mu        sync.Mutex // guards what follows
	listeners []*listener
}

// listener is one of them.
type listener struct {
	pieces chan piece
	lost   int // pieces since the last one that he got; guarded by taps.mu
}

// piece is what was sent at once, or came at once.
type piece struct {
	bytes []byte
	at    time.Time
	sent  bool // by us
	lost  int  // pieces before it that were
}

// put gives a piece to all who listen.
func (t *taps) put(b []byte, at time.Time, sent bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.listeners) == 0 {
		return
	}
	p := piece{bytes: bytes.Clone(b), at: at, sent: sent}
	for _, l := range t.listeners {
		p.lost = l.lost
		select {
		case l.pieces <- p:
			l.lost = 0
		default:
			l.lost++
		}
	}
}

// add makes a listener; remove ends it.
func (t *taps) add() (pieces <-chan piece, remove func()) {
	l := &listener{pieces: make(chan piece, maxTapped)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listeners = append(t.listeners, l)
	return l.pieces, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.listeners = slices.DeleteFunc(t.listeners, func(other *listener) bool { return other == l })
	}
}

// Sniff calls heard with each frame that goes over the link, the adapter's own
// requests and what comes, until ctx ends. The link goes on meanwhile; a caller
// that is too slow for it misses frames, and is told so. It may be called from any
// goroutine, any number of times.
func (a *Adapter) Sniff(ctx context.Context, heard func(Heard)) {
	pieces, remove := a.transport.taps.add()
	defer remove()
	s := sniffer{framing: a.transport.link.framing}
	idle := time.NewTimer(idleLine)
	defer idle.Stop()
	for {
		var all []Heard
		select {
		case <-ctx.Done():
			return
		case p := <-pieces:
			if p.lost > 0 {
				s = sniffer{framing: s.framing}
				all = append(all, Heard{Time: p.at, Text: fmt.Sprintf("%d pieces of what was said are lost here: they came faster than they were taken", p.lost)})
			}
			if p.sent { // whatever was to come before it does not come any more
				all = append(all, s.feed(nil, p.at, true)...)
			}
			all = append(all, s.feed(p.bytes, p.at, p.sent)...)
			idle.Reset(idleLine)
		case at := <-idle.C:
			all = s.feed(nil, at, true)
		}
		for _, h := range all {
			heard(h)
		}
	}
}
