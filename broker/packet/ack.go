package packet

import "encoding/binary"

// Ack is a PUBACK, PUBREC, PUBREL or PUBCOMP. [MQTT 3.4 to 3.7]
type Ack struct {
	Type       Type
	PacketID   uint16
	Reason     ReasonCode // always Success in 3.x
	Properties Properties
}

// Decode reads the body of the one of the four that t says.
func (p *Ack) Decode(v Version, t Type, b []byte) (err error) {
	d := body{t, v, b}
	p.Type, p.Reason = t, Success
	p.Properties.Reset()
	if p.PacketID, err = d.packetID(); err != nil {
		return err
	}
	// Reason code and properties may be left out. [MQTT 3.4.2.1] [MQTT 3.4.2.2.1]
	if v != V5 || len(d.b) == 0 {
		return d.end()
	}
	reason, _ := d.byte("reason code")
	p.Reason = ReasonCode(reason)
	if !p.Reason.allowed(t) {
		return reasonFault(v, t, p.Reason)
	}
	if len(d.b) == 0 {
		return nil
	}
	if err := d.properties(&p.Properties, v, t); err != nil {
		return err
	}
	return d.end()
}

// AppendAck appends the acknowledgement of type t without properties, in its
// shortest form.
func AppendAck(dst []byte, v Version, t Type, id uint16, reason ReasonCode) []byte {
	first := byte(t)<<4 | fixedFlags(t)
	if v != V5 || reason == Success {
		return append(dst, first, 2, byte(id>>8), byte(id))
	}
	return append(dst, first, 3, byte(id>>8), byte(id), byte(reason))
}

// Append appends the packet, in its shortest form.
func (p *Ack) Append(dst []byte, v Version) []byte {
	props := 0
	if v == V5 {
		props = p.Properties.size()
	}
	if props == 0 {
		return AppendAck(dst, v, p.Type, p.PacketID, p.Reason)
	}
	remaining := 3 + uvarintLen(props) + props
	dst = appendHeader(dst, p.Type, fixedFlags(p.Type), remaining)
	dst = append(binary.BigEndian.AppendUint16(dst, p.PacketID), byte(p.Reason))
	return p.Properties.Append(dst)
}
