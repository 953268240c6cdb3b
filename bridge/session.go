package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"headgate/broker/packet"
)

const (
	flushAt   = 16 << 10  // bytes of packets that are written without waiting for more
	highWater = 256 << 10 // bytes that wait to be written, before no more are taken from the Source
	keepSpare = 1 << 20   // a buffer that grew larger is not kept
	writeStep = 64 << 10  // bytes of one write, which must get on within a keep alive

	// What the live has before it on a slow link, where it goes first: these bytes of
	// the backlog, and those that the kernel takes before it has sent them.
	replayWater = 32 << 10
	unsentMax   = 64 << 10

	settleTime  = time.Second            // for what is on its way, when Run is to end
	goodbyeTime = 250 * time.Millisecond // to write DISCONNECT, and for the upstream to close
)

// upstreamSession is what outlives a connection: what we know of the session
// that the upstream keeps for us.
type upstreamSession struct {
	// lost says that the upstream lost a session since the process began. From
	// then on a PUBREC that the Source remembers counts only when received has
	// its identifier: the others were given to a session that is gone.
	lost     bool
	received map[uint16]struct{}
}

// session is one connection to the upstream from CONNACK to its end.
type session struct {
	b    *Bridge
	src  Source
	link *link

	began        time.Time
	keepAlive    time.Duration
	lastRead     atomic.Int64 // time since began, as all that follow
	lastWrite    atomic.Int64
	lastProgress atomic.Int64 // an acknowledgement came, or a message was written

	fail      context.CancelCauseFunc // ends the connection; the first cause counts
	wakeWrite chan struct{}
	wakeDrain chan struct{}
	wakeRead  chan struct{}
	flushed   chan struct{} // closed when everything is written after closing was set
	readEnded chan struct{}
	leave     chan error  // of part
	stalled   atomic.Bool // reading waits for the local broker

	mu         sync.Mutex // guards what follows; never held while the Source or the socket is called
	out        []byte     // packets to write
	written    []uint16   // identifiers of queued messages in out that go at QoS 0
	unqueued   uint64     // messages in out without identifier
	closing    bool       // write what is in out, then end
	flight     flight
	emptied    bool               // the Source has no more of the backlog: the rest is on its way
	letting    int                // messages done here, of which the Source does not know yet
	full       bool               // the upstream refused messages for being full, and has taken none since
	resume     time.Time          // after an upstream that was full: when to send again
	pauses     backoff            // of those waits
	stopGet    context.CancelFunc // ends the Next that runs
	awaitsRoom bool               // that one gives nothing of the backlog for want of replayRoom
	fences     fences             // of an edge node, as all down to news
	hostOnline bool               // the primary host
	rebirth    bool               // a host wants the births again
	bornAt     time.Time          // the last NBIRTH
	told       uint64             // minutes of the backlog
	news       bool               // that is not so any more
	subs       map[uint16]int     // SUBSCRIBE without answer -> index in Config.Down
	down       downlink
}

func newSession(b *Bridge, l *link) *session {
	s := &session{
		b: b, src: b.src, link: l,
		began:     time.Now(),
		keepAlive: l.limits.keepAlive,
		wakeWrite: make(chan struct{}, 1),
		wakeDrain: make(chan struct{}, 1),
		wakeRead:  make(chan struct{}, 1),
		flushed:   make(chan struct{}),
		readEnded: make(chan struct{}),
		leave:     make(chan error, 1),
		flight:    newFlight(b.cfg.span(l.limits.receiveMaximum), min(b.cfg.MaxInFlight, l.limits.receiveMaximum)),
		pauses:    backoff{max: b.cfg.MaxBackoff},
		subs:      make(map[uint16]int),
	}
	if b.edge != nil { // at QoS 0 the upstream's Receive Maximum does not count
		s.fences.on, s.flight.limit, s.flight.window = true, b.cfg.MaxInFlight, b.cfg.MaxInFlight
	}
	l.packets.onRead = func() { s.lastRead.Store(int64(s.age())) }
	return s
}

// span is how many messages may be taken from the Source and not be let go: of
// batches, more than PUBLISHes may be on their way.
func (c *Config) span(receiveMaximum int) int {
	if slices.ContainsFunc(c.Up, func(u Up) bool { return u.collects() }) {
		return c.MaxInFlight
	}
	return min(c.MaxInFlight, receiveMaximum)
}

// age is the time since CONNACK.
func (s *session) age() time.Duration { return time.Since(s.began) }

// run stays with the connection until it ends, and gives why. When outer ends
// it finishes in order.
func (s *session) run(outer context.Context) error {
	ctx, fail := context.WithCancelCause(context.WithoutCancel(outer))
	s.fail = fail
	draining, stopDraining := context.WithCancel(ctx)
	defer stopDraining()
	if !s.link.present {
		s.src.ForgetReceived()
		s.b.upstream = upstreamSession{lost: true}
	}
	if s.b.upstream.received == nil {
		s.b.upstream.received = make(map[uint16]struct{})
	}
	var wg sync.WaitGroup
	start := func(ctx context.Context, f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				fail(err)
			}
		})
	}
	start(ctx, s.read)
	start(ctx, s.write)
	start(ctx, s.watch)
	var drained sync.WaitGroup
	drained.Go(func() {
		if err := s.drain(draining); err != nil {
			fail(err)
		}
	})
	var renew <-chan time.Time
	if s.link.holds > 0 {
		t := time.NewTimer(s.link.holds)
		defer t.Stop()
		renew = t.C
	}
	finish := func(why error) {
		stopDraining()
		drained.Wait()
		s.fence()
		wake(s.wakeWrite) // what the drain had no time to say is there
		s.settle(ctx)
		s.goodbye(ctx)
		fail(why)
	}
	select {
	case <-ctx.Done():
	case <-outer.Done():
		finish(outer.Err())
	case <-renew:
		finish(errRenew)
	case <-s.b.renew:
		s.b.log.Info("connection is made anew, with the certificates and the password that there are now")
		finish(errRenew)
	case why := <-s.leave:
		finish(why)
	}
	s.link.raw.Close()
	wg.Wait()
	drained.Wait()
	return s.words(context.Cause(ctx))
}

// words makes of a read or write error what a person can use.
func (s *session) words(err error) error {
	if err == io.EOF || isReset(err) || errors.Is(err, net.ErrClosed) {
		return errClosed
	}
	return err
}

// settle waits until everything on its way is answered, in both directions, but
// not for long.
func (s *session) settle(ctx context.Context) {
	deadline := time.NewTimer(s.b.settle)
	defer deadline.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		s.mu.Lock()
		idle := !s.flight.waiting() && s.letting == 0 && len(s.out) == 0 && !s.down.waiting()
		undone := s.flight.undone()
		s.mu.Unlock()
		if idle {
			return
		}
		select {
		case <-look.C:
		case <-deadline.C:
			s.b.log.Info("the upstream did not answer everything in time: what is open goes again after the next start", "took", s.b.settle, "count", undone)
			return
		case <-ctx.Done():
			return
		}
	}
}

// goodbye writes DISCONNECT after all that waits, and gives the upstream a
// moment to close: it need not have read all, and our closing first could throw
// away what it has not.
func (s *session) goodbye(ctx context.Context) {
	s.disconnect(ctx, packet.NormalDisconnection)
	waitFor(ctx, s.readEnded, goodbyeTime)
}

// disconnect writes DISCONNECT after all that waits, as the last packet.
func (s *session) disconnect(ctx context.Context, reason packet.ReasonCode) {
	d := packet.Disconnect{Reason: reason}
	s.mu.Lock()
	if !s.closing {
		s.sayDeath(reason)
		s.out = d.Append(s.out, s.link.version)
		s.closing = true
	}
	s.mu.Unlock()
	wake(s.wakeWrite)
	waitFor(ctx, s.flushed, goodbyeTime)
}

// write moves packets from the buffer to the socket, all that wait at once.
func (s *session) write(ctx context.Context) error {
	var spare []byte
	var spareIDs []uint16
	for {
		s.mu.Lock()
		buf, ids, unqueued, closing := s.out, s.written, s.unqueued, s.closing
		if len(buf) > 0 {
			s.out, s.written, s.unqueued = spare[:0], spareIDs[:0], 0
			s.roomAgain()
		}
		s.mu.Unlock()
		if len(buf) == 0 {
			if closing {
				close(s.flushed)
				return nil
			}
			select {
			case <-s.wakeWrite:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if len(buf) >= highWater {
			wake(s.wakeDrain)
			wake(s.wakeRead)
		}
		if err := s.writeAll(buf); err != nil {
			return err
		}
		s.b.counters.forwarded.Add(unqueued)
		s.answered(ids, writing)
		if spare, spareIDs = buf, ids; cap(spare) > keepSpare {
			spare = nil
		}
	}
}

// writeAll writes in steps, each with its own deadline: a slow link has time
// for a large message, a dead one has not.
func (s *session) writeAll(buf []byte) error {
	for len(buf) > 0 {
		step := buf[:min(len(buf), writeStep)]
		if err := s.link.raw.SetWriteDeadline(time.Now().Add(s.keepAlive)); err != nil {
			return cause(err)
		}
		n, err := s.link.conn.Write(step)
		var t net.Error
		switch {
		case err == nil:
		case !errors.As(err, &t) || !t.Timeout():
			return cause(err)
		case n == 0 || s.link.conn != s.link.raw: // TLS cannot go on after a part of a record
			return fmt.Errorf("the upstream took nothing for %v", s.keepAlive)
		}
		now := int64(s.age())
		s.lastWrite.Store(now)
		if n > 2 { // a PINGREQ alone is none
			s.lastProgress.Store(now)
		}
		buf = buf[n:]
	}
	return nil
}

// wake wakes the goroutine that waits on c, or lets its next wait end at once.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
