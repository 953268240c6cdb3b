package packet

import (
	"encoding/binary"
	"fmt"
)

// Publish is a PUBLISH. [MQTT 3.3]
type Publish struct {
	Dup        bool
	QoS        byte
	Retain     bool
	Topic      []byte // empty only with a topic alias
	PacketID   uint16 // 0 at QoS 0
	Properties Properties
	Payload    []byte
}

// Decode reads the body of a PUBLISH; flags are those of its fixed header. A
// Publish that is used again allocates nothing.
func (p *Publish) Decode(v Version, flags byte, b []byte) (err error) {
	p.Dup, p.QoS, p.Retain = flags&flagDup != 0, flags>>1&3, flags&1 != 0
	p.PacketID = 0
	switch {
	case p.QoS == 3:
		return malformed(v.clause("MQTT-3.3.1-4", "MQTT3-3.3.1-4"), PUBLISH, "QoS 3")
	case p.QoS == 0 && p.Dup:
		return malformed(v.clause("MQTT-3.3.1-2", "MQTT3-3.3.1-2"), PUBLISH, "DUP at QoS 0")
	}
	d := body{PUBLISH, v, b}
	if p.Topic, err = d.string("topic name"); err != nil {
		return err
	}
	if hasWildcard(p.Topic) {
		return &Error{Reason: TopicNameInvalid, Clause: v.clause("MQTT-3.3.2-2", "MQTT3-3.3.2-2"),
			Text: fmt.Sprintf("PUBLISH: topic name %.100q has a wildcard", p.Topic)}
	}
	if p.QoS > 0 {
		if p.PacketID, err = d.packetID(); err != nil {
			return err
		}
	}
	if err := d.properties(&p.Properties, v, PUBLISH); err != nil {
		return err
	}
	if len(p.Topic) == 0 && !p.Properties.Has(PropTopicAlias) {
		return protocolError(v.clause("MQTT-4.7.3-1", "MQTT3-4.7.3-1"), PUBLISH, "topic name is empty")
	}
	p.Payload = d.b
	return nil
}

// Append appends the packet. With room in dst it allocates nothing.
func (p *Publish) Append(dst []byte, v Version) []byte {
	remaining := 2 + len(p.Topic) + len(p.Payload)
	if p.QoS > 0 {
		remaining += 2
	}
	if v == V5 {
		size := p.Properties.size()
		remaining += uvarintLen(size) + size
	}
	flags := p.QoS << 1
	if p.Dup {
		flags |= flagDup
	}
	if p.Retain {
		flags |= 1
	}
	dst = appendHeader(dst, PUBLISH, flags, remaining)
	dst = appendField(dst, p.Topic)
	if p.QoS > 0 {
		dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	}
	if v == V5 {
		dst = p.Properties.Append(dst)
	}
	return append(dst, p.Payload...)
}
