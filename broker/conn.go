package broker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"headgate/broker/auth"
	"headgate/broker/packet"
)

// conn is one client's network connection. Two goroutines serve it: the reader
// (serve), which takes packets and routes what they publish, and the writer,
// which sends what has gathered in out, many packets a call.
type conn struct {
	b      *Broker
	nc     net.Conn
	log    *slog.Logger
	remote string
	entry  entry

	// Set by the handshake, unchanged after it.
	version   packet.Version
	bridge    bool // it says that it is one, in 3.x
	clientID  string
	user      string       // whose rights it has; "": nothing proves a name
	silent    bool         // it wants no reason strings
	rights    *auth.Rights // at the start; then session.rights are in force
	tracing   bool
	session   *session
	keepAlive time.Duration
	plain     bool // what goes to it may look as it does for others: see stage
	maxPacket int  // the largest packet that the client takes; 0: any
	limits    *Limits

	receiveMaximum int // QoS 1 and 2 messages that the client may have unanswered; 0: any number

	// The reader's own.
	router   router
	publish  packet.Publish
	enhanced enhanced
	got      tally
	acksIn   []packet.Ack // for what was sent at QoS 1 and 2, until the batch ends
	owed     []ack        // answers, until the batch ends
	expected int          // messages of QoS 1 and 2 since the last settle
	allowed  int          // how many it may be until the next
	readBy   time.Time    // the deadline that is set
	props    []byte       // room for the properties that are passed on

	// The writer's own: what it writes in one call, and its deadline.
	part    net.Buffers
	writeBy time.Time

	wakeup   chan struct{} // tells the writer that there is something to do
	room     chan struct{} // tells the reader that something was written or committed
	done     chan struct{} // closed when the connection is to end
	finished chan struct{} // closed when it has left its session, or never had one
	once     sync.Once

	mu         sync.Mutex
	out        outbox            // packets to be written
	writing    int               // bytes that the writer has taken and not written yet
	signaled   bool              // the writer has been, or is about to be, woken
	connected  bool              // the CONNACK is in out: all that it depends on is set
	ebbing     chan struct{}     // closed when out is taken; nil: nobody waits for that
	slow       bool              // nobody waits for its client: see ebb
	last       bool              // the connection ends: write final, then close
	final      [][]byte          // what goes before the end, a DISCONNECT with it
	reason     error             // why the connection ends
	goodbye    packet.ReasonCode // of the DISCONNECT, if it ends before its CONNACK is out
	charged    int64             // of the broker's memory for slow clients: see charge
	volatile   volatile
	acks       ackQueue
	sent       tally
	unanswered int // of the client's QoS 1 and 2 messages
	aliases    aliases

	moving atomic.Int64 // QoS 2 messages on their way out of a group's queue
}

// outBatch is how many bytes a writer takes from a session's queue before it
// writes them; outPause is how much may wait for a client before its own
// requests are no longer read.
const (
	outBatch = 64 << 10
	outPause = 1 << 20
)

// writeTimeout is how long the writing of one part may take, or an eighth less, as
// deadlines are not set anew each time: a client that takes nothing for so long
// is gone.
const writeTimeout = 30 * time.Second

// closeTimeout is how long the last packet may take.
const closeTimeout = time.Second

func newConn(b *Broker, nc net.Conn, e entry) *conn {
	c := &conn{b: b, nc: nc, remote: nc.RemoteAddr().String(), entry: e,
		wakeup: make(chan struct{}, 1), room: make(chan struct{}, 1),
		done: make(chan struct{}), finished: make(chan struct{})}
	c.log = b.log.With("remote", c.remote)
	c.tracing = c.log.Enabled(context.Background(), slog.LevelDebug)
	c.router.b = b
	c.out.rooms = &b.rooms
	return c
}

// serve runs the connection until it ends.
func (c *conn) serve(ctx context.Context) {
	left := sync.OnceFunc(func() { close(c.finished) })
	defer left()
	stop := context.AfterFunc(ctx, func() { c.end(packet.ServerShuttingDown, errShutdown) })
	defer stop()
	defer c.nc.Close()

	r := newReader(c.nc, &c.b.rooms, int(c.b.live.Load().MaxPacketBytes))
	if err := c.guard(func() error { return c.handshake(ctx, r) }); err != nil {
		c.log.Info("connection refused", "client", c.clientID, "err", err)
		c.b.stats.refused.Add(1)
		if c.session != nil {
			c.refused(err)
		}
		return
	}
	c.log = c.log.With("client", c.clientID)
	c.log.Debug("client connected", "version", c.version)

	var writer sync.WaitGroup
	writer.Go(c.write)
	err := c.guard(func() error { return c.read(r) })
	c.fail(err)
	c.router.flush() // a fault may have come before it
	c.router.forget()
	writer.Wait()
	c.leave()
	left()
	c.drain(ctx)
	c.log.Debug("client disconnected", "reason", c.ending())
}

// guard keeps a fault of ours inside the one connection that met it.
func (c *conn) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.b.stats.panics.Add(1)
			c.log.Error("fault in the broker: connection closed", "client", c.clientID, "err", p, "stack", string(debug.Stack()))
			err = &packet.Error{Reason: packet.ImplementationSpecificError, Text: "fault in the server"}
		}
	}()
	return f()
}

func (c *conn) wake() {
	select {
	case c.wakeup <- struct{}{}:
	default:
	}
}

// drain takes what the client still had on its way when the connection was ended:
// closing with that unread would reset it, and lose the DISCONNECT that says why.
// A broker that stops does not wait for it.
func (c *conn) drain(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { c.nc.Close() })
	defer stop()
	c.nc.SetReadDeadline(time.Now().Add(closeTimeout))
	buf := make([]byte, 4096)
	for n := 0; n < maxDrain; {
		m, err := c.nc.Read(buf)
		if err != nil {
			return
		}
		n += m
	}
}

const maxDrain = 4 << 20

// write is the writer: it sends what has gathered, and what the session's queue
// holds, until the connection ends.
func (c *conn) write() {
	defer func() {
		if w, ok := c.nc.(interface{ CloseWrite() error }); ok {
			w.CloseWrite()
			return
		}
		c.nc.Close()
	}()
	var list [][]byte // room
	for {
		select {
		case <-c.wakeup:
		case <-c.done:
		}
		for {
			if c.ending() == nil {
				if err := c.fill(); err != nil {
					c.log.Error("session's queue cannot be read", "err", err)
					c.shut(err)
				}
			}
			pieces, last := c.take(list)
			if len(pieces) > 0 {
				if c.tracing {
					c.traceSent(slices.Concat(pieces...))
				}
				if err := c.writeAll(pieces, last); err != nil {
					c.shut(err)
					return
				}
				list = c.giveBack(pieces)
				continue
			}
			list = pieces // the other one is out's now
			if last {
				return
			}
			break
		}
	}
}

// writeAll writes pieces in parts, so that a slow client that takes bytes all the
// time is not taken for a dead one.
func (c *conn) writeAll(pieces [][]byte, last bool) error {
	if last { // the deadline of the write before may have passed
		c.nc.SetWriteDeadline(time.Now().Add(closeTimeout))
	}
	var rest []byte // of a piece that is larger than a part
	for len(pieces) > 0 || len(rest) > 0 {
		if !last {
			if by := time.Now().Add(writeTimeout); by.Sub(c.writeBy) > writeTimeout/8 {
				c.writeBy = by
				c.nc.SetWriteDeadline(by)
			}
			select {
			case <-c.done: // who waits for its end does not wait for a slow client
				c.nc.SetWriteDeadline(time.Now().Add(closeTimeout))
				last = true
			default:
			}
		}
		c.part = c.part[:0]
		for size := 0; size < writePart; {
			if len(rest) == 0 {
				if len(pieces) == 0 {
					break
				}
				rest, pieces = pieces[0], pieces[1:]
			}
			p := rest[:min(len(rest), writePart-size)]
			c.part, rest, size = append(c.part, p), rest[len(p):], size+len(p)
		}
		n, err := c.writeOnce(c.part)
		c.b.stats.bytesOut.Add(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// writeOnce writes all pieces in one call, where the connection is one of the
// kernel's.
func (c *conn) writeOnce(part net.Buffers) (int64, error) {
	if len(part) == 1 {
		n, err := c.nc.Write(part[0])
		return int64(n), err
	}
	return part.WriteTo(c.nc)
}

const writePart = 256 << 10

// take gives what is to be written now; list is room.
func (c *conn) take(list [][]byte) (pieces [][]byte, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signaled = false
	c.ebbed()
	s := &c.b.stats
	c.sent.addTo(&s.packetsOut, &s.messagesOut, &s.payloadOut)
	if c.last {
		pieces, c.final = c.final, nil
		return pieces, true
	}
	c.writing = c.out.len()
	return c.out.take(list), false
}

// giveBack takes written pieces for the next packets, and the room of their list.
func (c *conn) giveBack(pieces [][]byte) (list [][]byte) {
	c.mu.Lock()
	for _, p := range pieces {
		c.out.giveBack(p)
	}
	c.writing = 0
	c.slow = c.slow && c.out.len() > 0
	c.discharge()
	c.mu.Unlock()
	select {
	case c.room <- struct{}{}:
	default:
	}
	clear(pieces)
	if cap(pieces) > 64 {
		return nil
	}
	return pieces
}

// fill takes from the queue of a persistent session as much as the client may
// have in flight, up to one good write, and then from those of its groups.
func (c *conn) fill() error {
	now := time.Now()
	if c.session.persistent() {
		if drained, err := c.fillOwn(now); err != nil || !drained {
			return err
		}
	}
	return c.fillShared(now)
}

func (c *conn) fillOwn(now time.Time) (drained bool, err error) {
	s := c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	for c.waiting() < outBatch {
		m, ok, err := s.out.next(now, c.waitDurable, c.dropped)
		if err != nil || !ok {
			return true, err
		}
		if m.release {
			c.append(packet.PUBREL, m.packetID, packet.Success)
			continue
		}
		m.message = *c.entry.unmount(&m.message)
		if c.tooLarge(m) {
			s.out.ack(m.packetID) // [MQTT-3.1.2-25]
			c.dropped(m, "packet too large for the client")
			continue
		}
		c.mu.Lock()
		c.appendPacket(&m.message, m.delivery, now)
		c.mu.Unlock()
	}
	return false, nil
}

func (c *conn) tooLarge(m *outgoingMessage) bool {
	return c.maxPacket > 0 && m.publishSize(c.version, m.delivery) > c.maxPacket
}

// waitDurable calls the writer again once all that is in the log now is on disk.
// The caller holds the session's mutex.
func (c *conn) waitDurable(number uint64) {
	s := c.session
	c.b.store.Commit(nil, func(err error) {
		if err != nil {
			return // the store closes
		}
		s.mu.Lock()
		s.out.durable(number)
		s.mu.Unlock()
		c.wake()
	})
}

func (c *conn) dropped(m *outgoingMessage, reason string) {
	c.b.stats.dropped.Add(1)
	c.log.Debug("message dropped", "topic", string(m.topic), "reason", reason)
}

// waiting is how many bytes wait to be written.
func (c *conn) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.len()
}

// append adds an acknowledgement to what is to be written.
func (c *conn) append(t packet.Type, id uint16, reason packet.ReasonCode) {
	a := packet.Ack{Type: t, PacketID: id, Reason: reason}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last {
		return
	}
	c.out.buf = a.Append(c.out.room(ackRoom), c.version)
	c.sent.packets++
}

// waitRoom holds the reader back while too much waits for its own client, or for
// the disk on its behalf.
func (c *conn) waitRoom() error {
	for {
		c.mu.Lock()
		free := c.out.len() < outPause && c.acks.outstanding < maxOutstanding && len(c.acks.queue) < maxOwed
		c.mu.Unlock()
		if free {
			return nil
		}
		c.wake()
		select {
		case <-c.room:
		case <-c.done:
			return net.ErrClosed
		}
	}
}

// read is the reader: it takes packets, many a call, until the connection ends.
// The first ones may have come with the CONNECT. [MQTT-3.1.4-5]
func (c *conn) read(r *reader) error {
	for {
		now := time.Now()
		for {
			h, body, ok, err := r.next()
			if err == nil && ok {
				if c.tracing {
					c.trace("packet received", h, body)
				}
				err = c.handle(h, body, now)
			}
			if err == nil && (!ok || len(c.acksIn) >= maxAcksIn) {
				err = c.takeAcks(now)
			}
			if err != nil {
				c.takeAcks(now) // what came before the fault counts
				c.endBatch()
				return err
			}
			if !ok {
				break
			}
			if c.router.full() {
				c.endBatch()
			}
		}
		c.endBatch()
		if err := c.waitRoom(); err != nil {
			return err
		}
		if err := c.readMore(r); err != nil {
			return err
		}
	}
}

// readMore waits for bytes, as long as the keep alive allows: half as long again.
// [MQTT-3.1.2-22] The deadline that is set may be a little earlier, so that not
// every read sets one.
func (c *conn) readMore(r *reader) error {
	silence := c.keepAlive * 3 / 2
	until := time.Now().Add(silence)
	for {
		if silence > 0 && (until.Sub(c.readBy) > silence/8 || r.raw == nil) {
			c.readBy = until
			c.nc.SetReadDeadline(until)
		}
		select {
		case <-c.done: // its deadline stands
			return net.ErrClosed
		default:
		}
		before := r.end - r.start
		err := r.fill()
		if early := silence > 0 && c.readBy.Before(until); early && errors.Is(err, os.ErrDeadlineExceeded) {
			c.readBy = time.Time{}
			continue
		}
		c.b.stats.bytesIn.Add(int64(r.end - r.start - before))
		return err
	}
}

const maxAcksIn = 1024
