package broker

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"headgate/broker/packet"
)

var (
	errShutdown   = errors.New("the server is shutting down")
	errTakenOver  = errors.New("another client connected with the same client identifier")
	errDisconnect = errors.New("the client disconnected")
)

// fail ends the connection because of err: with the reason in a DISCONNECT
// where the protocol has one. [MQTT-4.13.2-1]
func (c *conn) fail(err error) {
	var pe *packet.Error
	switch {
	case errors.As(err, &pe):
		c.b.stats.protocolErrors.Add(1)
		c.logger().Info("connection closed: protocol error", "err", err)
		c.end(pe.Reason, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.end(packet.KeepAliveTimeout, fmt.Errorf("nothing came for 1.5 times the keep alive of %v", c.keepAlive))
	default:
		c.shut(err)
	}
}

// end sends DISCONNECT with a reason (MQTT 5.0) and closes the connection.
func (c *conn) end(reason packet.ReasonCode, err error) {
	c.mu.Lock()
	if c.last {
		c.mu.Unlock()
		return
	}
	if c.connected {
		c.sayGoodbye(reason, err)
	} else {
		c.goodbye = reason
	}
	c.finish(err)
	c.mu.Unlock()
	c.close()
}

// sayGoodbye puts a DISCONNECT out, that says why. The caller holds c.mu.
func (c *conn) sayGoodbye(reason packet.ReasonCode, why error) {
	if c.version == packet.V5 {
		d := packet.Disconnect{Reason: reason}
		c.explain(&d.Properties, why.Error(), func() int { return len(d.Append(nil, c.version)) })
		c.out.write(d.Append(nil, c.version))
		c.sent.packets++
	}
}

// explain says in words why, to a client that takes that; size measures the packet
// that p is in. [MQTT-3.1.2-29] [MQTT-3.2.2-19] [MQTT-3.9.2-1] [MQTT-3.14.2-3]
func (c *conn) explain(p *packet.Properties, text string, size func() int) {
	if c.version != packet.V5 || c.silent {
		return
	}
	p.ReasonString = []byte(strings.ToValidUTF8(text[:min(len(text), maxReason)], ""))
	p.Set(packet.PropReasonString)
	if c.maxPacket > 0 && size() > c.maxPacket {
		p.Reset()
	}
}

// maxReason bounds a reason string, in bytes.
const maxReason = 512

// finish makes what is in out the last that is sent: after a DISCONNECT nothing
// may follow. [MQTT-3.14.4-1] The caller holds c.mu.
func (c *conn) finish(err error) {
	if c.last {
		return
	}
	c.last, c.reason = true, err
	if c.connected {
		c.final = c.out.take(nil)
	}
}

// shut closes the connection once what is in out has been written.
func (c *conn) shut(err error) {
	c.mu.Lock()
	c.finish(err)
	c.mu.Unlock()
	c.close()
}

func (c *conn) close() {
	c.once.Do(func() {
		close(c.done)
		// The reader ends now, the writer when the last packet is written, or not.
		now := time.Now()
		c.nc.SetReadDeadline(now)
		c.nc.SetWriteDeadline(now.Add(closeTimeout))
	})
	c.wake()
}

// refused ends a connection that had its session when its CONNECT was refused. It
// was never there: its will is not published.
func (c *conn) refused(err error) {
	c.shut(err)
	c.session.mu.Lock()
	c.session.will = nil
	c.session.mu.Unlock()
	c.leave()
}

// leave gives back what the connection has of its session, of its groups and of
// the memory for slow clients. Nothing writes any more, and nothing is sent to it.
func (c *conn) leave() {
	taken := c.endShared()
	c.mu.Lock()
	c.out, c.final, c.volatile.pending, c.volatile.bytes, c.writing = outbox{rooms: c.out.rooms}, nil, nil, 0, 0
	c.discharge()
	c.mu.Unlock()
	c.b.detach(c)
	taken.giveBack()
}

// ending says why the connection ends; nil: it does not.
func (c *conn) ending() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}
