package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"headgate/broker/packet"
)

// handshake takes the CONNECT, gives the connection its session, and answers.
func (c *conn) handshake(ctx context.Context, r *reader) error {
	limits := &c.b.live.Load().Limits
	c.limits = limits
	c.nc.SetReadDeadline(time.Now().Add(limits.ConnectTimeout))
	p, err := c.readConnect(r)
	if err != nil {
		return err
	}
	c.version, r.version = p.Version, p.Version
	c.bridge = p.Bridge
	c.clientID = string(p.ClientID)
	now := time.Now()
	c.since = now.Unix()
	assigned := c.clientID == ""
	if p.Properties.Has(packet.PropMaximumPacketSize) {
		c.maxPacket = int(p.Properties.MaximumPacketSize)
	}
	c.silent = p.Properties.Has(packet.PropRequestProblemInfo) && p.Properties.RequestProblemInfo == 0
	if err := c.checkConnect(p); err != nil {
		return c.refuse(err)
	}
	if err := c.authenticate(ctx, r, p); err != nil { // [MQTT-3.1.4-2]
		return c.refuse(err)
	}
	if assigned {
		c.clientID = assignedID() // [MQTT-3.1.3-6] [MQTT-3.1.3-7]
	}
	c.rights = c.b.live.Load().policy.Rights(c.user, c.clientID)
	c.keepAlive = time.Duration(p.KeepAlive) * time.Second
	if p.Version == packet.V5 {
		c.receiveMaximum = int(limits.ReceiveMaximum.wire())
		if most := limits.MaxKeepAlive; most > 0 && (c.keepAlive == 0 || c.keepAlive > most) {
			c.keepAlive = most
		}
	}
	window := int(min(limits.MaxInflight, identifiers))
	if p.Bridge {
		window = min(window, bridgeWindow)
	}
	if p.Properties.Has(packet.PropReceiveMaximum) {
		window = min(window, int(p.Properties.ReceiveMaximum)) // [MQTT-3.3.4-9]
	}
	if p.Properties.Has(packet.PropTopicAliasMaximum) && p.Properties.TopicAliasMaximum > 0 {
		c.aliases.outMax = int(min(p.Properties.TopicAliasMaximum, maxOutAliases)) // [MQTT-3.1.2-26]
		c.aliases.out = make(map[string]uint16)
	}
	c.volatile.window = window
	c.plain = c.aliases.outMax == 0 && c.entry.mount == ""

	var expiry uint32
	switch {
	case p.Version == packet.V5 && p.Properties.Has(packet.PropSessionExpiry):
		expiry = p.Properties.SessionExpiry
	case p.Version != packet.V5 && !p.CleanStart:
		expiry = expiryNever
	}
	w, err := c.willOf(p)
	if err != nil {
		return c.refuse(err)
	}
	present, durable, err := c.b.attach(c, attachment{clean: p.CleanStart, expiry: c.b.expiryOf(expiry), will: w, window: window}, now)
	if err != nil {
		return c.refuse(err)
	}
	peer := peerOf(&p.Properties)
	c.session.setPeer(peer)
	if err := c.await(durable); err != nil {
		return c.refuse(&packet.Error{Reason: packet.ServerUnavailable, Text: "CONNECT: " + err.Error()})
	}
	ack := packet.Connack{SessionPresent: present} // [MQTT-3.2.2-2] [MQTT-3.2.2-3]
	if c.version == packet.V5 {
		c.announce(&ack.Properties, p.KeepAlive)
		if c.enhanced.method != "" {
			setAuth(&ack.Properties, c.enhanced.method, c.enhanced.data)
		}
		if peer != "" && c.b.cfg.GatewayID != "" {
			ack.Properties.User = []packet.UserProperty{{Key: []byte(PeerProperty), Value: []byte(c.b.cfg.GatewayID)}}
		}
		if assigned {
			ack.Properties.AssignedClientID = []byte(c.clientID)
			ack.Properties.Set(packet.PropAssignedClientID) // [MQTT-3.2.2-16]
		}
		if c.session.expiry != expiry {
			ack.Properties.SessionExpiry = c.session.expiry
			ack.Properties.Set(packet.PropSessionExpiry)
		}
	}
	b := ack.Append(nil, c.version)
	if c.maxPacket > 0 && len(b) > c.maxPacket {
		return fmt.Errorf("the client takes packets of at most %d bytes: the CONNACK has %d", c.maxPacket, len(b)) // [MQTT-3.1.2-24]
	}
	// Nothing goes before the CONNACK. [MQTT-3.2.0-1]
	c.mu.Lock()
	c.out.prepend(b)
	c.sent.packets++
	c.got.packets++ // the CONNECT
	c.connected = true
	if c.last { // already: the deadline for that stands
		c.sayGoodbye(c.goodbye, c.reason)
		c.final = c.out.take(nil)
	} else {
		c.nc.SetReadDeadline(time.Time{})
	}
	c.mu.Unlock()
	c.writer.Store(writerIdle)
	c.wakeHere(0)
	return nil
}

// await waits until what the CONNACK promises is on disk.
func (c *conn) await(durable <-chan error) error {
	select {
	case err := <-durable:
		return err // most often there is nothing to wait for
	default:
	}
	limit := time.NewTimer(c.limits.ConnectTimeout)
	defer limit.Stop()
	select {
	case err := <-durable:
		return err
	case <-c.done:
		return c.ending()
	case <-limit.C:
		return errors.New("the disk does not answer")
	}
}

// bridgeWindow is the Receive Maximum of mosquitto's bridges, which they can say
// only in 5.0. In 3.x mosquitto acknowledges QoS 2 messages past it, and drops them.
const bridgeWindow = 20

// announce says what this server limits. [MQTT 3.2.2.3]
func (c *conn) announce(p *packet.Properties, keepAlive uint16) {
	p.MaximumPacketSize = uint32(c.limits.MaxPacketBytes)
	p.Set(packet.PropMaximumPacketSize)
	p.TopicAliasMaximum = c.limits.TopicAliasMaximum.wire()
	p.Set(packet.PropTopicAliasMaximum)
	if c.receiveMaximum < math.MaxUint16 {
		p.ReceiveMaximum = uint16(c.receiveMaximum)
		p.Set(packet.PropReceiveMaximum)
	}
	if k := uint16(c.keepAlive / time.Second); k != keepAlive {
		p.ServerKeepAlive = k // [MQTT-3.1.2-21]
		p.Set(packet.PropServerKeepAlive)
	}
}

// readConnect reads until the first packet is whole. [MQTT-3.1.0-1]
func (c *conn) readConnect(r *reader) (*packet.Connect, error) {
	h, body, err := r.packet()
	if err != nil {
		return nil, fmt.Errorf("no CONNECT came: %w", err)
	}
	if h.Type != packet.CONNECT {
		return nil, &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT-3.1.0-1", Text: fmt.Sprintf("%v before CONNECT", h.Type)}
	}
	p := new(packet.Connect)
	// A copy: authentication may read on into the same buffer.
	if err := p.Decode(bytes.Clone(body)); err != nil {
		var pe *packet.Error
		if !errors.As(err, &pe) {
			return nil, err
		}
		c.version = p.Version
		if pe.Reason == packet.UnsupportedProtocolVersion && c.version != packet.V5 {
			c.version = packet.V311 // answered in the oldest form
		}
		return nil, c.refuse(err)
	}
	if c.tracing {
		c.trace("packet received", h, body)
	}
	return p, nil
}

// refuse answers a CONNECT with its reason, and gives the error back.
func (c *conn) refuse(err error) error {
	var pe *packet.Error
	if !errors.As(err, &pe) {
		return err
	}
	ack := packet.Connack{Reason: pe.Reason}
	if c.version != packet.V5 {
		ack.Reason = pe.Reason.V3()
		if ack.Reason == 0 {
			return err // 3.1.1 has no word for it: close [MQTT3-3.2.2-6]
		}
	}
	if pe.Reason != packet.BadUserNameOrPassword { // who guesses learns nothing
		c.explain(&ack.Properties, pe.Text, func() int { return len(ack.Append(nil, c.version)) })
	}
	b := ack.Append(nil, c.version)
	if c.tracing {
		c.traceSent(b)
	}
	c.nc.SetWriteDeadline(time.Now().Add(closeTimeout))
	c.nc.Write(b)
	return err
}

// checkConnect looks whether the client may come in at all.
func (c *conn) checkConnect(p *packet.Connect) error {
	id := string(p.ClientID)
	switch {
	case id == "" && p.Version == packet.V31:
		return &packet.Error{Reason: packet.ClientIdentifierNotValid, Text: "CONNECT: MQTT 3.1 wants a client identifier of 1 to 23 characters"}
	case id == "" && p.Version == packet.V311 && !p.CleanStart:
		return &packet.Error{Reason: packet.ClientIdentifierNotValid, Clause: "MQTT3-3.1.3-8", Text: "CONNECT: no client identifier, but not a clean session"}
	case len(id) > maxClientID:
		return &packet.Error{Reason: packet.ClientIdentifierNotValid, Text: fmt.Sprintf("CONNECT: client identifier of %d bytes: at most %d are taken", len(id), maxClientID)}
	case strings.HasPrefix(id, localPrefix):
		return &packet.Error{Reason: packet.ClientIdentifierNotValid, Text: "CONNECT: client identifier " + id + " is the gateway's own"}
	case !c.entry.allows(p.Version):
		return &packet.Error{Reason: packet.UnsupportedProtocolVersion, Text: fmt.Sprintf("CONNECT: this listener does not take %v", p.Version)}
	case c.b.stats.connections.Load() > int64(c.b.live.Load().MaxConnections):
		return &packet.Error{Reason: packet.ServerBusy, Text: fmt.Sprintf("CONNECT: %d clients are connected already", c.b.live.Load().MaxConnections)}
	}
	return nil
}

// maxClientID is the longest client identifier in bytes. It begins the keys of all
// that is stored of its session.
const maxClientID = 1024

// localPrefix begins the client identifiers of sessions inside the process.
const localPrefix = "$"

func assignedID() string {
	var b [12]byte
	rand.Read(b[:])
	return "auto-" + hex.EncodeToString(b[:])
}

// expiryOf bounds what a client asked for.
func (b *Broker) expiryOf(asked uint32) uint32 {
	most := b.live.Load().MaxSessionExpiry / time.Second
	if most >= expiryNever {
		return asked
	}
	return min(asked, uint32(most))
}
