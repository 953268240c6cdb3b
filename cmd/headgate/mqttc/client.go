// Package mqttc is the MQTT client of the command line: one session over one
// connection after the other. It owns the protocol: the handshake, the window of
// QoS 1 and 2, keep alive, what the server's CONNACK limits. When to connect
// again, what to print and what to publish is its callers', headgate's pub and
// sub.
package mqttc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"headgate/broker/packet"
)

// Config says what to talk to, and how. Of its functions those may be nil that
// are not wanted. Serve's goroutine calls them, but Warn and Trace any. Refused,
// Warn and Trace must not call the Client.
type Config struct {
	Endpoint Endpoint

	// Connect is sent at the start of each connection. A client identifier that
	// the server assigns takes the place of an empty one.
	Connect packet.Connect

	// DisconnectProperties go with the DISCONNECT.
	DisconnectProperties packet.Properties

	// MaxInflight bounds the QoS 1 and 2 messages that wait for an
	// acknowledgement, below what the server takes. 0: no bound of ours.
	MaxInflight int

	// Message gets each message once. The packet is valid until it returns.
	// Without it no message is taken: the server keeps what it has for us.
	Message func(*packet.Publish)

	// Settle is called before acknowledgements of messages leave, and before
	// Serve waits for more: what Message has only buffered is to be made good. An
	// error ends the connection, and nothing is acknowledged.
	Settle func() error

	Suback   func(*packet.Suback)
	Unsuback func(*packet.Unsuback)

	// Refused is told of a message that the server answered with an error.
	Refused func(id uint16, topic string, reason *Refusal)

	// Warn is told what the server does not allow and was left out.
	Warn func(text string)

	// Trace gets a line for each packet, as mosquitto's clients print them.
	Trace func(line string)
}

const (
	// What is on its way, unacknowledged, at most: a message more goes when it is
	// below. In bytes it holds for QoS 0 too, which waits to be written.
	maxFlight      = 1000
	maxFlightBytes = 8 << 20

	// 3.x has no Receive Maximum, but brokers have their limit on messages of
	// QoS 2 all the same, and past it lose messages: mosquitto 2.0 by default 20.
	maxExactlyOnceV3 = 20
)

// Client is one session. Connect and Serve are called in turn by one goroutine,
// the others by any.
type Client struct {
	cfg     Config
	version packet.Version

	mu       sync.Mutex // guards what follows
	changed  chan struct{}
	clientID string
	conn     *connection // nil while there is none
	lastID   uint16
	order    uint64
	flight   flight
	incoming map[uint16]struct{} // QoS 2 messages that came and are not released
	finish   bool                // DISCONNECT when nothing is on its way any more

	// unsettled says that messages came whose acknowledgements wait for Settle.
	unsettled bool
}

// New makes one that is not connected.
func New(cfg Config) *Client {
	return &Client{
		cfg: cfg, version: cfg.Connect.Version, changed: make(chan struct{}), clientID: string(cfg.Connect.ClientID),
		flight: flight{messages: make(map[uint16]*sent)}, incoming: make(map[uint16]struct{}),
	}
}

// Connect dials, sends CONNECT and waits for its answer, all within ctx. Errors:
// a *DialError, a *Refusal, or that of the connection.
func (c *Client) Connect(ctx context.Context) (*packet.Connack, error) {
	nc, err := c.cfg.Endpoint.dial(ctx)
	if err != nil {
		return nil, err
	}
	conn := newConnection(nc, c.cfg.Endpoint.String(), c.version)
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		nc.Close()
	})
	ack, err := c.handshake(conn)
	if !stop() {
		<-closed
		err = fmt.Errorf("no answer to CONNECT from %s: %w", conn.address, context.Cause(ctx))
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	c.begin(conn, ack)
	return ack, nil
}

func (c *Client) handshake(conn *connection) (*packet.Connack, error) {
	p := c.cfg.Connect
	p.ClientID = []byte(c.clientID)
	c.trace("sending CONNECT")
	if _, err := conn.nc.Write(p.Append(nil)); err != nil {
		return nil, fmt.Errorf("write CONNECT to %s: %w", conn.address, cause(err))
	}
	h, body, err := conn.packets.next()
	if err != nil {
		return nil, conn.unanswered(err)
	}
	if h.Type == packet.AUTH && c.version == packet.V5 {
		return nil, fmt.Errorf("%s wants enhanced authentication, which this client cannot do", conn.address)
	}
	if h.Type != packet.CONNACK {
		return nil, fmt.Errorf("%s answers CONNECT with %v: is it an MQTT broker?", conn.address, h.Type)
	}
	v := c.version
	if v == packet.V5 && h.Remaining == 2 {
		v = packet.V311 // a broker without 5.0 refuses it in its own format
	}
	var ack packet.Connack
	if err := ack.Decode(v, body); err != nil {
		return nil, fmt.Errorf("read the CONNACK of %s: %w", conn.address, err)
	}
	if ack.Reason != packet.Success {
		c.trace("received CONNACK (%d)", ack.Reason)
		return nil, &Refusal{Address: conn.address, Packet: packet.CONNACK, Version: v, Reason: ack.Reason, Text: reasonText(&ack.Properties)}
	}
	if v != c.version {
		return nil, fmt.Errorf("%s accepts MQTT 5 in the format of 3.1.1: choose the version with -V 311", conn.address)
	}
	return &ack, nil
}

// begin makes conn the session's connection, and sends again what the one before
// left unfinished.
func (c *Client) begin(conn *connection, ack *packet.Connack) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn.limits = limitsFrom(c.version, time.Duration(c.cfg.Connect.KeepAlive)*time.Second, c.cfg.MaxInflight, ack)
	if ack.Properties.Has(packet.PropAssignedClientID) && c.clientID == "" {
		c.clientID = string(ack.Properties.AssignedClientID)
	}
	c.traceLocked("received CONNACK (%d)", ack.Reason)
	c.conn, c.finish, c.unsettled = conn, false, false
	// 3.1 does not say whether it has the session: it has one that is not clean.
	present := ack.SessionPresent || c.version == packet.V31 && !c.cfg.Connect.CleanStart
	if !present {
		clear(c.incoming)
	}
	c.resume(present)
	c.broadcast()
}

// NotSent is a message that the server's limits do not allow.
type NotSent struct {
	Reason packet.ReasonCode
	Text   string
}

func (e *NotSent) Error() string { return "not published: " + e.Text }

// Publish sends a message when the window has room for it, and waits for that,
// also while there is no connection. It does not wait for the acknowledgement.
// p's bytes are used until the message is acknowledged.
func (c *Client) Publish(ctx context.Context, p *packet.Publish) (id uint16, err error) {
	err = c.await(ctx, func() (bool, error) {
		if !c.hasRoom(p) {
			return false, nil
		}
		id, err = c.send(p)
		return true, err
	})
	return id, err
}

// Answer publishes at QoS 0 from within Message: it waits for room, but not for
// another connection.
func (c *Client) Answer(p *packet.Publish) error {
	return c.await(context.Background(), func() (bool, error) {
		if c.conn == nil || c.conn.err != nil || c.conn.closing || c.finish {
			return false, errNoConnection
		}
		if !c.hasRoom(p) {
			return false, nil
		}
		_, err := c.send(p)
		return true, err
	})
}

// Flush waits until every message is acknowledged and everything is written.
func (c *Client) Flush(ctx context.Context) error {
	return c.await(ctx, func() (bool, error) {
		return len(c.flight.messages) == 0 && c.conn != nil && c.conn.written(), nil
	})
}

// Subscribe sends a SUBSCRIBE.
func (c *Client) Subscribe(subs []packet.Subscription, props packet.Properties) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return errNoConnection
	}
	p := packet.Subscribe{PacketID: c.nextID(), Subscriptions: subs, Properties: props}
	for _, s := range subs {
		c.traceLocked("sending SUBSCRIBE (Mid: %d, Topic: %s, QoS: %d, Options: 0x%02x)", p.PacketID, s.Filter, s.QoS, subscribeOptions(s))
	}
	return c.append(p.Append(nil, c.version))
}

func subscribeOptions(s packet.Subscription) byte {
	o := s.RetainHandling << 4
	if s.NoLocal {
		o |= 1 << 2
	}
	if s.RetainAsPublished {
		o |= 1 << 3
	}
	return o
}

// Unsubscribe sends an UNSUBSCRIBE.
func (c *Client) Unsubscribe(filter string, props packet.Properties) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return errNoConnection
	}
	p := packet.Unsubscribe{PacketID: c.nextID(), Filters: [][]byte{[]byte(filter)}, Properties: props}
	c.traceLocked("sending UNSUBSCRIBE (Mid: %d, Topic: %s)", p.PacketID, filter)
	return c.append(p.Append(nil, c.version))
}

var errNoConnection = errors.New("not connected")

// Finish takes no message any more, lets those that are on their way come to
// their end, and then disconnects. Serve then returns nil.
func (c *Client) Finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil && !c.finish {
		c.finish = true
		close(c.conn.finishing)
	}
	c.finishIfIdle()
}

// Disconnect sends a DISCONNECT now. Serve then returns nil.
func (c *Client) Disconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disconnect(packet.NormalDisconnection)
}

func (c *Client) finishIfIdle() {
	if c.finish && len(c.flight.messages) == 0 && len(c.incoming) == 0 && !c.unsettled {
		c.disconnect(packet.NormalDisconnection)
	}
}

func (c *Client) disconnect(reason packet.ReasonCode) {
	if c.conn == nil || c.conn.closing {
		return
	}
	p := packet.Disconnect{Reason: reason}
	if reason == packet.NormalDisconnection {
		p.Properties = c.cfg.DisconnectProperties
	}
	c.traceLocked("sending DISCONNECT")
	if c.append(p.Append(nil, c.version)) == nil {
		c.conn.closing = true
		c.conn.poke()
	}
}

// await waits until ready, which is called with the mutex held, is done.
func (c *Client) await(ctx context.Context, ready func() (done bool, err error)) error {
	for {
		c.mu.Lock()
		done, err := ready()
		changed := c.changed
		c.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// broadcast wakes who waits. The mutex is held.
func (c *Client) broadcast() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// append gives bytes to the writer. The mutex is held.
func (c *Client) append(b []byte) error {
	if c.conn == nil || c.conn.closing {
		return errNoConnection
	}
	c.conn.out = append(c.conn.out, b...)
	c.conn.poke()
	return nil
}

// nextID gives a packet identifier that is not in use; QoS 0 messages have one
// too, which is not sent: that is how mosquitto counts them.
func (c *Client) nextID() uint16 {
	for {
		c.lastID++
		if c.lastID != 0 && c.flight.messages[c.lastID] == nil {
			return c.lastID
		}
	}
}
