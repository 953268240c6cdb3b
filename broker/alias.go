package broker

import (
	"fmt"
	"time"

	"headgate/broker/packet"
)

// aliases are a connection's topic aliases, one table a direction. [MQTT 3.3.2.3.4]
type aliases struct {
	// in is the reader's own: what the client's aliases stand for.
	in      map[uint16][]byte
	inBytes int64

	// out is guarded by conn.mu: the topics that have an alias for the client.
	// The first ones keep theirs.
	out    map[string]uint16
	outMax int // how many the client takes, and we give
}

// maxOutAliases bounds how many topics of one client have an alias.
const maxOutAliases = 64

// resolveAlias gives p the topic that its alias stands for, or notes what it
// stands for from now on.
func (c *conn) resolveAlias(p *packet.Publish) error {
	alias := p.Properties.TopicAlias
	if most := c.limits.TopicAliasMaximum.wire(); alias == 0 || alias > most {
		return &packet.Error{Reason: packet.TopicAliasInvalid, Clause: "MQTT-3.3.2-9",
			Text: fmt.Sprintf("PUBLISH: topic alias %d: 1 to %d are allowed", alias, most)}
	}
	known := c.aliases.in[alias]
	if len(p.Topic) == 0 {
		if known == nil {
			return &packet.Error{Reason: packet.ProtocolError, Clause: "MQTT 3.3.2.3.4", Text: fmt.Sprintf("PUBLISH: topic alias %d stands for no topic yet", alias)}
		}
		p.Topic = known
		return nil
	}
	if c.aliases.in == nil {
		c.aliases.in = make(map[uint16][]byte)
	}
	c.aliases.inBytes += int64(len(p.Topic) - len(known))
	if c.aliases.inBytes > maxAliasBytes {
		return &packet.Error{Reason: packet.QuotaExceeded, Text: fmt.Sprintf("PUBLISH: the topics of the aliases have more than %d bytes", maxAliasBytes)}
	}
	c.aliases.in[alias] = append([]byte(nil), p.Topic...)
	return nil
}

// maxAliasBytes bounds the topics that one client's aliases stand for.
const maxAliasBytes = 128 << 10

// appendPacket writes a PUBLISH out, with the alias of its topic where the
// client takes one. At QoS 2 there is none: MQTT.js 5.16 gives its user no topic
// then, as it hands such a message out only with its PUBREL. The caller holds c.mu and has looked for room.
func (c *conn) appendPacket(m *message, d delivery, now time.Time) {
	if c.last {
		return // nothing follows a DISCONNECT
	}
	if a := &c.aliases; a.outMax > 0 && d.qos < 2 {
		if alias, known := a.out[string(m.topic)]; known {
			if c.maxPacket == 0 || len(m.topic) > aliasSize { // the packet may not grow
				d.alias, d.bare = alias, true
			}
		} else if len(a.out) < a.outMax && (c.maxPacket == 0 || m.publishSize(c.version, d)+aliasSize <= c.maxPacket) {
			d.alias = uint16(len(a.out) + 1) // [MQTT-3.3.2-8]
			a.out[string(m.topic)] = d.alias
		}
	}
	c.out.buf = m.appendPublish(c.out.room(m.publishSize(c.version, d)), c.version, d, now)
	c.sent.message(len(m.payload))
}

// aliasSize bounds what an alias adds to a packet.
const aliasSize = 3 + 2
