package mqttc

import (
	"fmt"

	"headgate/broker/packet"
)

// trace tells of a packet, in the words of mosquitto's clients.
func (c *Client) trace(format string, args ...any) {
	if c.cfg.Trace == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.traceLocked(format, args...)
}

// traceLocked is trace with the mutex held.
func (c *Client) traceLocked(format string, args ...any) {
	if c.cfg.Trace == nil {
		return
	}
	id := c.clientID
	if id == "" {
		id = "(null)"
	}
	c.cfg.Trace("Client " + id + " " + fmt.Sprintf(format, args...))
}

func (c *Client) tracePublish(verb string, id uint16, p *packet.Publish) {
	if c.cfg.Trace == nil {
		return
	}
	c.traceLocked("%s PUBLISH (d%d, q%d, r%d, m%d, '%s', ... (%d bytes))",
		verb, number(p.Dup), p.QoS, number(p.Retain), id, p.Topic, len(p.Payload))
}

func (c *Client) tracePublishLocking(p *packet.Publish) {
	if c.cfg.Trace == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tracePublish("received", p.PacketID, p)
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
