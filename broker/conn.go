package broker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"headgate/broker/auth"
	"headgate/broker/packet"
)

// conn is one client's network connection. Two goroutines serve it: the reader
// (run), which takes packets and routes what they publish, and the writer
// (writer.go), which is there while something is to be sent.
type conn struct {
	b     *Broker
	nc    net.Conn
	raw   syscall.RawConn // of a connection without TLS or WebSocket; else nil
	entry entry
	over  func() // to be called when it has ended
	stop  func() bool

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
	since     int64 // when it connected, in seconds since 1970
	plain     bool  // what goes to it may look as it does for others: see stage
	maxPacket int   // the largest packet that the client takes; 0: any
	limits    *Limits

	receiveMaximum int // QoS 1 and 2 messages that the client may have unanswered; 0: any number

	// The reader's own.
	router   router
	publish  *packet.Publish // to be used again; nil before the first
	enhanced enhanced
	got      tally
	acksIn   []receivedAck // for what was sent at QoS 1 and 2, until the batch ends
	owed     []ack         // answers, until the batch ends
	expected int           // messages of QoS 1 and 2 since the last settle
	allowed  int           // how many it may be until the next
	readBy   time.Time     // the deadline that is set
	props    []byte        // room for the properties that are passed on
	seldom   bool          // what has just come came half a second or more after what was before it
	deep     bool          // its stack has grown for what comes seldom

	// The writer's own: its deadline, and room for a list of pieces.
	writeBy time.Time
	wrote   time.Time // when a publisher looked last whether to write
	list    [][]byte

	writer   atomic.Int32   // its state
	written  sync.WaitGroup // until nothing is written any more
	done     chan struct{}  // closed when the connection is to end
	finished chan struct{}  // closed when it has left its session, or never had one
	once     sync.Once

	mu         sync.Mutex
	out        outbox            // packets to be written
	writing    int               // bytes that the writer has taken and not written yet
	signaled   bool              // the writer has been, or is about to be, woken
	connected  bool              // the CONNACK is in out: all that it depends on is set
	room       chan struct{}     // closed when something was written or committed; nil: the reader does not wait for that
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

// closeTimeout is how long the last packet may take.
const closeTimeout = time.Second

func newConn(b *Broker, nc net.Conn, e entry) *conn {
	c := &conn{b: b, nc: nc, entry: e, over: func() {},
		done: make(chan struct{}), finished: make(chan struct{})}
	c.written.Add(1)
	if s, ok := nc.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn()
	}
	c.tracing = b.log.Enabled(context.Background(), slog.LevelDebug)
	c.router.b = b
	c.out.rooms = &b.rooms.small
	return c
}

func (c *conn) logger() *slog.Logger {
	return c.b.log.With("remote", c.nc.RemoteAddr().String(), "client", c.clientID)
}

// start takes the connection through its handshake, and then runs it. over is
// called when it has ended.
func (c *conn) start(ctx context.Context, over func()) {
	c.over = over
	c.stop = context.AfterFunc(ctx, func() { c.end(packet.ServerShuttingDown, errShutdown) })
	r := newReader(c.nc, c.raw, &c.b.rooms, int(c.b.live.Load().MaxPacketBytes))
	if err := c.guard(func() error { return c.handshake(ctx, r) }); err != nil {
		c.logger().Info("connection refused", "err", err)
		c.b.stats.refused.Add(1)
		if c.session != nil {
			c.refused(err)
		}
		close(c.finished)
		c.stop()
		c.nc.Close()
		c.over()
		return
	}
	c.b.stats.connects.Add(1)
	if c.tracing {
		c.logger().Debug("client connected", "version", c.version)
	}
	// The handshake wants four times the stack.
	go c.run(ctx, r)
}

// run reads until the connection ends, and sees to its end. What waits for bytes
// has a stack of 2 kB as long as it calls nothing deep: from there it goes on as a
// new goroutine.
func (c *conn) run(ctx context.Context, r *reader) {
	err := c.guard(func() error { return c.read(r) })
	if err == nil {
		go c.run(ctx, r)
		return
	}
	c.finishRun(ctx, err)
}

func (c *conn) finishRun(ctx context.Context, err error) {
	c.guard(func() error {
		c.fail(err)
		c.router.flush() // a fault may have come before it
		c.router.forget()
		c.written.Wait()
		c.leave()
		return nil
	})
	close(c.finished)
	c.drain(ctx)
	if c.tracing {
		c.logger().Debug("client disconnected", "reason", c.ending())
	}
	c.stop()
	c.nc.Close()
	c.over()
}

// guard keeps a fault of ours inside the one connection that met it.
func (c *conn) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.b.stats.panics.Add(1)
			c.logger().Error("fault in the broker: connection closed", "err", p, "stack", string(debug.Stack()))
			err = &packet.Error{Reason: packet.ImplementationSpecificError, Text: "fault in the server"}
		}
	}()
	return f()
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
	// What is read from the disk holds up nobody who has something for this client.
	filled := outbox{rooms: c.out.rooms}
	var count tally
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.last {
			c.out.append(&filled)
			c.sent.add(count)
		}
	}()
	for room := outBatch - c.waiting(); room > filled.len(); {
		m, ok, err := s.out.next(now, c.waitDurable, c.dropped)
		if err != nil || !ok {
			return true, err
		}
		if m.release && !c.plain {
			c.append(packet.PUBREL, m.packetID, packet.Success)
			continue
		}
		if m.release {
			filled.buf = packet.AppendAck(filled.room(ackRoom), c.version, packet.PUBREL, m.packetID, packet.Success)
			count.packets++
			continue
		}
		m.message = *c.entry.unmount(&m.message)
		size := m.publishSize(c.version, m.delivery)
		if c.maxPacket > 0 && size > c.maxPacket {
			s.out.ack(m.packetID) // [MQTT-3.1.2-25]
			c.dropped(m, "packet too large for the client")
			continue
		}
		if c.plain {
			filled.buf = m.appendPublish(filled.room(size), c.version, m.delivery, now)
			count.message(len(m.payload))
			continue
		}
		c.mu.Lock()
		c.appendPacket(&m.message, m.delivery, now)
		room -= size
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
	if c.tracing {
		c.logger().Debug("message dropped", "topic", string(m.topic), "reason", reason)
	}
}

// waiting is how many bytes wait to be written.
func (c *conn) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.len()
}

// append adds an acknowledgement to what is to be written.
func (c *conn) append(t packet.Type, id uint16, reason packet.ReasonCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last {
		return
	}
	c.out.buf = packet.AppendAck(c.out.room(ackRoom), c.version, t, id, reason)
	c.sent.packets++
}

// waitRoom holds the reader back while too much waits for its own client, or for
// the disk on its behalf.
func (c *conn) waitRoom() error {
	for {
		c.mu.Lock()
		if c.out.len() < outPause && c.acks.outstanding < maxOutstanding && len(c.acks.queue) < maxOwed {
			c.mu.Unlock()
			return nil
		}
		room := make(chan struct{})
		c.room = room
		c.mu.Unlock()
		c.wake()
		select {
		case <-room:
		case <-c.done:
			return net.ErrClosed
		}
	}
}

// roomier lets the reader look again. The caller holds c.mu.
func (c *conn) roomier() {
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

// read is the reader: it takes packets, many a call, until the connection ends.
// The first ones may have come with the CONNECT. [MQTT-3.1.4-5] Without an error
// it is to be called again, with another stack.
func (c *conn) read(r *reader) error {
	for last := time.Now(); ; {
		now := time.Now()
		c.seldom, last = now.Sub(last) > seldomApart, now
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
		if c.deep {
			c.deep = false
			return nil
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

const (
	maxAcksIn   = 1024
	seldomApart = 500 * time.Millisecond
)
