package derived

import (
	"sync"
	"time"

	"headgate/gateway/point"
)

// maxInbox bounds what waits to be computed, in bytes: past it the oldest is dropped
// and counted.
const maxInbox = 1 << 20

// news is what came at one time: samples of one device, or one message.
type news struct {
	slots   []int
	samples []point.Sample // for each slot
	offline string         // why the device is offline; "" when it is not news
	device  string

	topic   int // index of the topic input, when payload is not nil
	payload []byte
	at      time.Time
}

func (n *news) bytes() int {
	size := 128 + len(n.offline) + len(n.payload)
	for i := range n.samples {
		size += 128 + len(n.samples[i].Reason) + len(n.samples[i].Value.String())
	}
	return size
}

// inbox holds what came until it is computed. Nobody who puts something in waits.
type inbox struct {
	wake chan struct{} // holds one token when something came

	mu      sync.Mutex // guards what follows
	waiting []news
	bytes   int
	dropped uint64
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (b *inbox) put(n news) {
	b.mu.Lock()
	b.waiting = append(b.waiting, n)
	b.bytes += n.bytes()
	for b.bytes > maxInbox {
		b.bytes -= b.waiting[0].bytes()
		b.waiting[0] = news{}
		b.waiting = b.waiting[1:]
		b.dropped++
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take gives all that waits, oldest first.
func (b *inbox) take() (list []news, dropped uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list, dropped = b.waiting, b.dropped
	b.waiting, b.bytes = nil, 0
	return list, dropped
}
