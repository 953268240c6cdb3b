package packet

// Disconnect is a DISCONNECT. [MQTT 3.14]
type Disconnect struct {
	Reason     ReasonCode // always NormalDisconnection in 3.x
	Properties Properties
}

// Decode reads the body of a DISCONNECT.
func (p *Disconnect) Decode(v Version, b []byte) error {
	return decodeReason(v, DISCONNECT, b, &p.Reason, &p.Properties)
}

// Append appends the packet, in its shortest form.
func (p *Disconnect) Append(dst []byte, v Version) []byte {
	return appendReason(dst, v, DISCONNECT, p.Reason, &p.Properties)
}

// Auth is an AUTH, which only 5.0 has. [MQTT 3.15]
type Auth struct {
	Reason     ReasonCode
	Properties Properties
}

// Decode reads the body of an AUTH.
func (p *Auth) Decode(v Version, b []byte) error {
	if v != V5 {
		return malformed("MQTT3 2.2.1", AUTH, "packet type 15 before 5.0")
	}
	if err := decodeReason(v, AUTH, b, &p.Reason, &p.Properties); err != nil {
		return err
	}
	if len(b) > 0 && !p.Properties.Has(PropAuthMethod) {
		return protocolError("MQTT 3.15.2.2.2", AUTH, "no authentication method")
	}
	return nil
}

// Append appends the packet, in its shortest form.
func (p *Auth) Append(dst []byte, v Version) []byte {
	return appendReason(dst, v, AUTH, p.Reason, &p.Properties)
}

// decodeReason reads the body of a DISCONNECT or AUTH, whose parts may be left
// out from the end. [MQTT 3.14.2.1] [MQTT 3.15.2.1]
func decodeReason(v Version, t Type, b []byte, reason *ReasonCode, props *Properties) error {
	d := body{t, v, b}
	*reason = Success
	props.Reset()
	if v != V5 || len(b) == 0 {
		return d.end()
	}
	c, _ := d.byte("reason code")
	*reason = ReasonCode(c)
	if !reason.allowed(t) {
		return reasonFault(v, t, *reason)
	}
	if len(d.b) == 0 {
		return nil
	}
	if err := d.properties(props, v, t); err != nil {
		return err
	}
	return d.end()
}

func appendReason(dst []byte, v Version, t Type, reason ReasonCode, props *Properties) []byte {
	return appendFramed(dst, t, func(dst []byte) []byte {
		switch {
		case v != V5:
		case props.size() > 0:
			dst = props.Append(append(dst, byte(reason)))
		case reason != Success:
			dst = append(dst, byte(reason))
		}
		return dst
	})
}
