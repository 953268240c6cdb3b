package broker

import "headgate/broker/packet"

// trace logs a packet in a line.
func (c *conn) trace(what string, h packet.Header, body []byte) {
	c.logger().Debug(what, "packet", packet.Describe(c.version, h, body))
}

// traceSent logs packets that are about to be written.
func (c *conn) traceSent(b []byte) {
	for len(b) > 0 {
		h, err := packet.ParseHeaderOf(c.version, b)
		if err != nil || h.Size+h.Remaining > len(b) {
			c.logger().Error("fault in the broker: what is sent is no packet", "err", err)
			return
		}
		c.trace("packet sent", h, b[h.Size:h.Size+h.Remaining])
		b = b[h.Size+h.Remaining:]
	}
}
