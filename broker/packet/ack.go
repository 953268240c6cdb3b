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

// Append appends the packet, in its shortest form.
func (p *Ack) Append(dst []byte, v Version) []byte {
	props := 0
	if v == V5 {
		props = p.Properties.size()
	}
	if props == 0 && (v != V5 || p.Reason == Success) {
		dst = append(dst, byte(p.Type)<<4|fixedFlags(p.Type), 2)
		return binary.BigEndian.AppendUint16(dst, p.PacketID)
	}
	remaining := 3
	if props > 0 {
		remaining += uvarintLen(props) + props
	}
	dst = appendHeader(dst, p.Type, fixedFlags(p.Type), remaining)
	dst = append(binary.BigEndian.AppendUint16(dst, p.PacketID), byte(p.Reason))
	if props > 0 {
		dst = p.Properties.Append(dst)
	}
	return dst
}
