package broker

import (
	"encoding/binary"
	"errors"
	"time"

	"headgate/broker/clock"
	"headgate/broker/packet"
)

// message is one application message on its way through the broker. While it
// is being routed its slices may alias a connection's read buffer: whoever
// keeps it beyond that keeps a clone.
type message struct {
	topic   []byte
	payload []byte
	// props is what MQTT 5.0 passes on unaltered, as it stands on the wire but
	// without its length: payload format, content type, response topic,
	// correlation data, user properties.
	props   []byte
	qos     byte
	retain  bool
	expires *deadline // nil: never
	from    *session
}

// clone gives a message that shares nothing with m, in one allocation.
func (m *message) clone() *message {
	c := *m
	b := make([]byte, 0, len(m.topic)+len(m.payload)+len(m.props))
	b = append(b, m.topic...)
	b = append(b, m.payload...)
	b = append(b, m.props...)
	t, p := len(m.topic), len(m.topic)+len(m.payload)
	c.topic, c.payload, c.props = b[:t:t], b[t:p:p], b[p:]
	return &c
}

// bytes is what keeping m costs.
func (m *message) bytes() int64 {
	n := int64(len(m.topic)+len(m.payload)+len(m.props)) + messageOverhead
	if m.expires != nil {
		n += deadlineBytes
	}
	return n
}

const (
	messageOverhead = 128
	deadlineBytes   = 48
)

func (m *message) expired(now time.Time) bool {
	return m.expires != nil && m.expires.left(now) <= 0
}

// fromPublish fills m from a packet that a client sent; m aliases it. props is
// room for the properties that are passed on.
func (m *message) fromPublish(p *packet.Publish, c *clock.Clock, now time.Time, props []byte) {
	*m = message{topic: p.Topic, payload: p.Payload, qos: p.QoS, retain: p.Retain}
	m.setProperties(&p.Properties, c, now, props)
}

func (m *message) setProperties(p *packet.Properties, c *clock.Clock, now time.Time, room []byte) {
	// The expiry counts from when the server has the message. [MQTT-3.3.2-6]
	if p.Has(packet.PropMessageExpiry) {
		m.expires = expiresAfter(p.MessageExpiry, c, now) // 0: at once, but for those who are there
	}
	m.props = appendPassedOn(room[:0], p)
}

// appendPassedOn appends the properties that a server must forward as they
// are. [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-20]
func appendPassedOn(dst []byte, p *packet.Properties) []byte {
	if p.Has(packet.PropPayloadFormat) {
		dst = append(dst, byte(packet.PropPayloadFormat), p.PayloadFormat)
	}
	dst = appendString(dst, p, packet.PropContentType, p.ContentType)
	dst = appendString(dst, p, packet.PropResponseTopic, p.ResponseTopic)
	dst = appendString(dst, p, packet.PropCorrelationData, p.CorrelationData)
	for _, u := range p.User {
		dst = append(dst, byte(packet.PropUser))
		dst = appendBytes16(appendBytes16(dst, u.Key), u.Value)
	}
	return dst
}

func appendString(dst []byte, p *packet.Properties, id packet.PropertyID, b []byte) []byte {
	if !p.Has(id) {
		return dst
	}
	return appendBytes16(append(dst, byte(id)), b)
}

func appendBytes16(dst, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(b))), b...)
}

// properties gives the passed-on properties as a struct, for those who read
// them inside the process.
func (m *message) properties() (packet.Properties, error) {
	var p packet.Properties
	if len(m.props) == 0 {
		return p, nil
	}
	block := append(binary.AppendUvarint(nil, uint64(len(m.props))), m.props...)
	_, err := p.Decode(block, packet.PUBLISH)
	return p, err
}

// delivery is how one message goes to one receiver.
type delivery struct {
	qos      byte
	retain   bool
	dup      bool
	packetID uint16
	subIDs   []uint32

	alias uint16 // topic alias, 0: none
	bare  bool   // the alias stands for the topic, which is left out

	lease *lease // of a group's QoS 1 message
}

// appendPublish appends m as a PUBLISH packet. The passed-on properties are
// copied as bytes: what came in goes out.
func (m *message) appendPublish(dst []byte, v packet.Version, d delivery, now time.Time) []byte {
	remaining, props := m.remaining(v, d)
	first := byte(packet.PUBLISH)<<4 | d.qos<<1
	if d.dup {
		first |= 1 << 3
	}
	if d.retain {
		first |= 1
	}
	dst = binary.AppendUvarint(append(dst, first), uint64(remaining))
	if d.bare {
		dst = append(dst, 0, 0)
	} else {
		dst = appendBytes16(dst, m.topic)
	}
	if d.qos > 0 {
		dst = binary.BigEndian.AppendUint16(dst, d.packetID)
	}
	if v == packet.V5 {
		dst = binary.AppendUvarint(dst, uint64(props))
		if m.expires != nil {
			dst = binary.BigEndian.AppendUint32(append(dst, byte(packet.PropMessageExpiry)), m.expires.seconds(now))
		}
		if d.alias != 0 {
			dst = binary.BigEndian.AppendUint16(append(dst, byte(packet.PropTopicAlias)), d.alias)
		}
		for _, id := range d.subIDs {
			dst = binary.AppendUvarint(append(dst, byte(packet.PropSubscriptionID)), uint64(id))
		}
		dst = append(dst, m.props...)
	}
	return append(dst, m.payload...)
}

// publishSize is the size of the packet that appendPublish makes.
func (m *message) publishSize(v packet.Version, d delivery) int {
	n, _ := m.remaining(v, d)
	return 1 + varintLen(uint32(n)) + n
}

// remaining gives the Remaining Length of that packet, and the length of its
// properties.
func (m *message) remaining(v packet.Version, d delivery) (n, props int) {
	n = 2 + len(m.payload)
	if !d.bare {
		n += len(m.topic)
	}
	if d.qos > 0 {
		n += 2
	}
	if v != packet.V5 {
		return n, 0
	}
	props = len(m.props)
	if m.expires != nil {
		props += 5
	}
	if d.alias != 0 {
		props += 3
	}
	for _, id := range d.subIDs {
		props += 1 + varintLen(id)
	}
	return n + props + varintLen(uint32(props)), props
}

// varintLen is the length of v as a Variable Byte Integer, which for the values
// that MQTT allows is an unsigned varint of at most 4 bytes.
func varintLen(v uint32) int {
	switch {
	case v < 1<<7:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<21:
		return 3
	}
	return 4
}

// The stored form of a message: its format's version, flags, its deadline if it
// has one, then topic and properties with their lengths, and the payload to the
// end. In format 1 the expiry was a wall clock's ms, 0 for never.
const messageFormat = 2

const (
	storedQoS     = 0b0000_0011
	storedRetain  = 0b0000_0100
	storedExpires = 0b0000_1000
)

var errStoredMessage = errors.New("stored message is damaged or of a newer format")

func (m *message) appendStored(dst []byte) []byte {
	flags := m.qos
	if m.retain {
		flags |= storedRetain
	}
	if m.expires != nil {
		flags |= storedExpires
	}
	dst = append(dst, messageFormat, flags)
	if m.expires != nil {
		dst = m.expires.appendStored(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.topic)))
	dst = append(dst, m.topic...)
	dst = binary.AppendUvarint(dst, uint64(len(m.props)))
	dst = append(dst, m.props...)
	return append(dst, m.payload...)
}

// fromStored reads what appendStored wrote; m aliases b.
func (m *message) fromStored(b []byte, c *clock.Clock) (err error) {
	if len(b) < 2 || b[0] < 1 || b[0] > messageFormat {
		return errStoredMessage
	}
	format, flags := b[0], b[1]
	*m = message{qos: flags & storedQoS, retain: flags&storedRetain != 0}
	b = b[2:]
	switch {
	case format == 1:
		expires, n := binary.Uvarint(b)
		if n <= 0 {
			return errStoredMessage
		}
		if b = b[n:]; expires != 0 {
			m.expires = oldDeadline(int64(expires), c)
		}
	case flags&storedExpires != 0:
		if m.expires, b, err = cutDeadline(b, c); err != nil {
			return err
		}
	}
	var ok bool
	if m.topic, b, ok = cutBytes(b); !ok {
		return errStoredMessage
	}
	if m.props, b, ok = cutBytes(b); !ok {
		return errStoredMessage
	}
	m.payload = b
	return nil
}

func cutBytes(b []byte) (v, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	b = b[size:]
	return b[:n:n], b[n:], true
}

// A store.Ref's Meta says how its queue's message is to be delivered: granted
// QoS, retain flag, and the subscription identifiers.
const (
	metaQoS    = 0b0000_0011
	metaRetain = 0b0000_0100
)

// plainMeta holds the metas without subscription identifiers, so that the usual
// ones cost nothing.
var plainMeta = [8][]byte{{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}}

func metaOf(d delivery) []byte {
	flags := d.qos
	if d.retain {
		flags |= metaRetain
	}
	if len(d.subIDs) == 0 {
		return plainMeta[flags]
	}
	b := []byte{flags}
	for _, id := range d.subIDs {
		b = binary.AppendUvarint(b, uint64(id))
	}
	return b
}

func parseMeta(b []byte) (d delivery, err error) {
	if len(b) == 0 {
		return d, errStoredMessage
	}
	d.qos, d.retain = b[0]&metaQoS, b[0]&metaRetain != 0
	for b = b[1:]; len(b) > 0; {
		id, n := binary.Uvarint(b)
		if n <= 0 {
			return d, errStoredMessage
		}
		d.subIDs, b = append(d.subIDs, uint32(id)), b[n:]
	}
	return d, nil
}
