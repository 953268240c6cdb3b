package mqttc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"headgate/broker/packet"
)

const (
	// writeTimeout is how long the server may take nothing while we have something
	// for it.
	writeTimeout = 30 * time.Second

	// lingerTime is how long the server has to close after our DISCONNECT: closing
	// first, with its bytes unread, could destroy ours on their way.
	lingerTime = time.Second

	// finishTime is how long Finish waits for what is on its way.
	finishTime = 5 * time.Second

	// maxAcks is how many bytes of acknowledgements are gathered.
	maxAcks = 16 << 10
)

var errClosed = errors.New("the connection was closed")

// Serve reads what the server sends, until the connection ends or ctx does. It
// returns nil when Disconnect or Finish ended it. The session stays: Connect may
// follow.
func (c *Client) Serve(ctx context.Context) error {
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	if conn == nil {
		return errNoConnection
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer wg.Done()
		c.fail(conn, context.Cause(ctx))
	})
	wg.Go(func() { c.write(ctx, conn) })
	wg.Go(func() { c.watch(ctx, conn) })
	c.fail(conn, c.read(conn))
	if stop() {
		wg.Done()
	}
	cancel()
	wg.Wait()

	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = nil
	c.broadcast()
	if conn.closing {
		return nil
	}
	return conn.err
}

// fail ends the connection; the first reason counts.
func (c *Client) fail(conn *connection, err error) {
	c.mu.Lock()
	if conn.err == nil {
		conn.err = err
	}
	c.broadcast()
	c.mu.Unlock()
	conn.nc.Close()
}

// write sends what is in out, until a DISCONNECT is sent.
func (c *Client) write(ctx context.Context, conn *connection) {
	var spare []byte
	for {
		c.mu.Lock()
		b, last := conn.out, conn.closing
		conn.out, conn.busy, spare = spare[:0], len(b) > 0, nil
		c.broadcast()
		c.mu.Unlock()
		if len(b) > 0 {
			if err := conn.send(b); err != nil {
				c.fail(conn, fmt.Errorf("write to %s: %w", conn.address, cause(err)))
				return
			}
			if cap(b) <= 4*readBuffer {
				spare = b
			}
			continue
		}
		if last {
			conn.endOfWriting()
			c.linger(ctx, conn)
			return
		}
		select {
		case <-conn.wake:
		case <-ctx.Done():
			return
		}
	}
}

// linger waits for the server to close, for a while.
func (c *Client) linger(ctx context.Context, conn *connection) {
	t := time.NewTimer(lingerTime)
	defer t.Stop()
	select {
	case <-t.C:
		c.fail(conn, errClosed)
	case <-ctx.Done():
	}
}

func (conn *connection) send(b []byte) error {
	for len(b) > 0 {
		if err := conn.nc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		n, err := conn.nc.Write(b[:min(len(b), readBuffer)])
		if err != nil {
			return err
		}
		b = b[n:]
		conn.said.Store(int64(conn.age()))
	}
	return nil
}

// endOfWriting tells the server that nothing follows the DISCONNECT.
func (conn *connection) endOfWriting() {
	if half, ok := conn.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // where it fails the connection is gone, and that is what is wanted
	}
}

// watch keeps the connection alive, finds out when it is dead, and bounds how
// long Finish takes.
func (c *Client) watch(ctx context.Context, conn *connection) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var pinged time.Duration // since when we wait for an answer; 0: not
	for {
		if conn.limits.keepAlive > 0 {
			pause, err := c.keepAlive(conn, &pinged)
			if err != nil {
				c.fail(conn, err)
				return
			}
			timer.Reset(pause)
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-conn.finishing:
			timer.Reset(finishTime)
			select {
			case <-ctx.Done():
			case <-timer.C:
				c.Disconnect()
			}
			return
		}
	}
}

// keepAlive sends a PINGREQ when either side has been silent for the keep alive
// time, and gives up when nothing comes within that time again. It says when it
// is to be called again. [MQTT-3.1.2-20]
func (c *Client) keepAlive(conn *connection, pinged *time.Duration) (time.Duration, error) {
	limit, now := conn.limits.keepAlive, conn.age()
	heard, said := time.Duration(conn.heard.Load()), time.Duration(conn.said.Load())
	if heard >= *pinged {
		*pinged = 0
	}
	switch {
	case *pinged > 0 && now-*pinged >= limit:
		return 0, fmt.Errorf("%s does not answer PINGREQ within %v", conn.address, limit)
	case *pinged > 0:
		return *pinged + limit - now, nil
	case now-min(heard, said) < limit:
		return min(heard, said) + limit - now, nil
	}
	*pinged = now
	c.mu.Lock()
	defer c.mu.Unlock()
	if !conn.closing {
		c.traceLocked("sending PINGREQ")
		conn.out = packet.AppendPingreq(conn.out)
		conn.poke()
	}
	return limit, nil
}

// reader is what the goroutine that reads has for itself.
type reader struct {
	*Client
	conn    *connection
	pub     packet.Publish
	ack     packet.Ack
	acks    []byte
	dirty   bool // something came that settle is to see
	aliases map[uint16][]byte
}

func (c *Client) read(conn *connection) error {
	r := &reader{Client: c, conn: conn}
	for {
		if !conn.packets.ready() || len(r.acks) >= maxAcks {
			if err := r.settle(); err != nil {
				return err
			}
		}
		h, body, err := conn.packets.next()
		if err == nil {
			err = r.handle(h, body)
		}
		if err == nil {
			continue
		}
		var wrong *packet.Error
		switch {
		case errors.As(err, &wrong):
			c.giveUp(conn, wrong.Reason)
			return fmt.Errorf("%s breaks the protocol: %w", conn.address, err)
		case err == io.EOF:
			return fmt.Errorf("%s closed the connection", conn.address)
		}
		var no *Refusal
		if errors.As(err, &no) {
			return err
		}
		return fmt.Errorf("read from %s: %w", conn.address, cause(err))
	}
}

// SettleError is Serve's when Settle failed.
type SettleError struct{ Err error }

func (e *SettleError) Error() string { return e.Err.Error() }

func (e *SettleError) Unwrap() error { return e.Err }

// giveUp tells a 5.0 server why the connection ends, if it still listens.
func (c *Client) giveUp(conn *connection, reason packet.ReasonCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version != packet.V5 || conn.closing || conn.busy {
		return
	}
	p := packet.Disconnect{Reason: reason}
	_ = conn.nc.SetWriteDeadline(time.Now().Add(lingerTime))
	_, _ = conn.nc.Write(p.Append(nil, c.version)) // the connection ends in any case
}

// settle lets the acknowledgements go for what Settle has made good.
func (r *reader) settle() error {
	if !r.dirty {
		return nil
	}
	if r.cfg.Settle != nil {
		if err := r.cfg.Settle(); err != nil {
			return &SettleError{err}
		}
	}
	r.dirty = false
	return r.await(context.Background(), func() (bool, error) {
		if r.conn.err != nil {
			return true, r.conn.err
		}
		if len(r.conn.out) > maxFlightBytes { // the server does not read: then we do not, either
			return false, nil
		}
		_ = r.append(r.acks) // a connection that ends needs none
		r.acks, r.unsettled = r.acks[:0], false
		r.finishIfIdle()
		return true, nil
	})
}

func (r *reader) handle(h packet.Header, body []byte) error {
	switch h.Type {
	case packet.PUBLISH:
		if err := r.pub.Decode(r.version, h.Flags, body); err != nil {
			return err
		}
		return r.incomingPublish()
	case packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		if err := r.ack.Decode(r.version, h.Type, body); err != nil {
			return err
		}
		if h.Type != packet.PUBREL {
			return r.acknowledged(r.conn, &r.ack)
		}
		r.incomingPubrel()
		return nil
	case packet.SUBACK:
		var ack packet.Suback
		if err := ack.Decode(r.version, body); err != nil {
			return err
		}
		r.trace("received SUBACK")
		if r.cfg.Suback != nil {
			r.cfg.Suback(&ack)
		}
		return nil
	case packet.UNSUBACK:
		var ack packet.Unsuback
		if err := ack.Decode(r.version, body); err != nil {
			return err
		}
		r.trace("received UNSUBACK")
		if r.cfg.Unsuback != nil {
			r.cfg.Unsuback(&ack)
		}
		return nil
	case packet.PINGRESP:
		r.trace("received PINGRESP")
		return packet.DecodeEmpty(h.Type, body)
	case packet.DISCONNECT:
		if r.version == packet.V5 {
			return r.disconnected(body)
		}
	}
	return &packet.Error{Reason: packet.ProtocolError, Text: fmt.Sprintf("%v from a server", h.Type)}
}

func (r *reader) disconnected(body []byte) error {
	var p packet.Disconnect
	if err := p.Decode(r.version, body); err != nil {
		return err
	}
	r.trace("received DISCONNECT (%d)", p.Reason)
	return &Refusal{Address: r.conn.address, Packet: packet.DISCONNECT, Version: r.version, Reason: p.Reason, Text: reasonText(&p.Properties)}
}

// incomingPublish hands a message on. Once the session is to end none is taken
// any more: unacknowledged it stays with the server.
func (r *reader) incomingPublish() error {
	p := &r.pub
	if err := r.resolveAlias(p); err != nil {
		return err
	}
	r.tracePublishLocking(p)
	r.mu.Lock()
	_, again := r.incoming[p.PacketID]
	again = again && p.QoS == 2
	refuse := (r.finish || r.conn.closing || r.cfg.Message == nil) && !again
	if p.QoS == 2 && !refuse {
		r.incoming[p.PacketID] = struct{}{}
	}
	r.unsettled = r.unsettled || !refuse
	r.mu.Unlock()
	if refuse {
		return nil
	}
	r.dirty = true
	if !again { // [MQTT-4.3.3-10]
		r.cfg.Message(p)
	}
	switch p.QoS {
	case 1:
		r.answer(packet.PUBACK, p.PacketID)
		r.trace("sending PUBACK (m%d, rc0)", p.PacketID)
	case 2:
		r.answer(packet.PUBREC, p.PacketID)
		r.trace("sending PUBREC (m%d, rc0)", p.PacketID)
	}
	return nil
}

// incomingPubrel ends a QoS 2 message, also one of a session before this process.
func (r *reader) incomingPubrel() {
	r.trace("received PUBREL (Mid: %d)", r.ack.PacketID)
	r.mu.Lock()
	delete(r.incoming, r.ack.PacketID)
	r.unsettled, r.dirty = true, true
	r.mu.Unlock()
	r.answer(packet.PUBCOMP, r.ack.PacketID)
	r.trace("sending PUBCOMP (m%d)", r.ack.PacketID)
}

func (r *reader) answer(t packet.Type, id uint16) {
	ack := packet.Ack{Type: t, PacketID: id}
	r.acks = ack.Append(r.acks, r.version)
}

// resolveAlias gives a message its topic. The CONNECT bounds how many there are;
// without its Topic Alias Maximum none is allowed. [MQTT-3.3.2-8] to [MQTT-3.3.2-12]
func (r *reader) resolveAlias(p *packet.Publish) error {
	if !p.Properties.Has(packet.PropTopicAlias) {
		return nil
	}
	alias := p.Properties.TopicAlias
	if alias == 0 || alias > r.cfg.Connect.Properties.TopicAliasMaximum {
		return &packet.Error{Reason: packet.TopicAliasInvalid, Clause: "MQTT-3.3.2-8", Text: fmt.Sprintf("PUBLISH: topic alias %d", alias)}
	}
	if len(p.Topic) > 0 {
		if r.aliases == nil {
			r.aliases = make(map[uint16][]byte)
		}
		r.aliases[alias] = append([]byte(nil), p.Topic...)
		return nil
	}
	if p.Topic = r.aliases[alias]; p.Topic == nil {
		return &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-3.3.2-12", Text: fmt.Sprintf("PUBLISH: topic alias %d has no topic", alias)}
	}
	return nil
}
