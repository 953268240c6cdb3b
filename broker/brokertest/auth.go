package brokertest

import "headgate/broker/packet"

// SendConnect is Connect without waiting for the answer.
func (c *Client) SendConnect(id string, change ...func(*packet.Connect)) {
	c.tb.Helper()
	p := packet.Connect{Version: c.v, CleanStart: true, ClientID: []byte(id)}
	for _, f := range change {
		f(&p)
	}
	c.Send(p.Append(nil))
}

// WantConnack waits for the answer.
func (c *Client) WantConnack() packet.Connack {
	c.tb.Helper()
	var ack packet.Connack
	c.decode(packet.CONNACK, func(_ byte, body []byte) error { return ack.Decode(c.v, body) })
	return ack
}

// SendAuth sends an AUTH.
func (c *Client) SendAuth(reason packet.ReasonCode, method string, data []byte) {
	c.tb.Helper()
	a := packet.Auth{Reason: reason}
	a.Properties.AuthMethod, a.Properties.AuthData = []byte(method), data
	a.Properties.Set(packet.PropAuthMethod)
	a.Properties.Set(packet.PropAuthData)
	c.Send(a.Append(nil, c.v))
}

// WantAuth waits for an AUTH and gives its data.
func (c *Client) WantAuth(reason packet.ReasonCode) []byte {
	c.tb.Helper()
	var a packet.Auth
	c.decode(packet.AUTH, func(_ byte, body []byte) error { return a.Decode(c.v, body) })
	if a.Reason != reason {
		c.tb.Fatalf("AUTH with %v, want %v", a.Reason, reason)
	}
	return a.Properties.AuthData
}
