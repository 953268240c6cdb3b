package mqttc

import (
	"errors"
	"io"
	"net"

	"headgate/broker/packet"
)

const readBuffer = 64 << 10

// packetReader cuts a connection's bytes into packets, many per read. Its memory
// is that of the largest packet that waits: 256 MB, by the protocol, unless the
// CONNECT names a Maximum Packet Size.
type packetReader struct {
	conn    net.Conn
	version packet.Version
	heard   func() // called after each read that gave bytes

	buf  []byte
	r, w int // buf[r:w] is not yet taken
}

// ready says whether next would give a packet, or an error, without reading.
func (p *packetReader) ready() bool {
	h, err := packet.ParseHeaderOf(p.version, p.buf[p.r:p.w])
	if err != nil {
		return !errors.Is(err, packet.ErrIncomplete)
	}
	return p.w-p.r >= h.Size+h.Remaining
}

// next gives the next packet, whose body is valid until the next call. Errors: a
// *packet.Error for what is no packet, else the connection's; io.EOF also in the
// middle of a packet.
func (p *packetReader) next() (packet.Header, []byte, error) {
	for {
		h, err := packet.ParseHeaderOf(p.version, p.buf[p.r:p.w])
		if err == nil && p.w-p.r >= h.Size+h.Remaining {
			body := p.buf[p.r+h.Size : p.r+h.Size+h.Remaining]
			p.r += h.Size + h.Remaining
			return h, body, nil
		}
		if err != nil && !errors.Is(err, packet.ErrIncomplete) {
			return h, nil, err
		}
		if err := p.fill(h.Size + h.Remaining); err != nil {
			return h, nil, err
		}
	}
}

// fill reads once. The buffer grows with what has come, not with what a header
// only promises.
func (p *packetReader) fill(packetSize int) error {
	switch {
	case p.r == p.w && len(p.buf) > readBuffer && packetSize <= readBuffer, p.buf == nil:
		p.buf, p.r, p.w = make([]byte, readBuffer), 0, 0 // a large packet is past
	case p.r > 0:
		p.w = copy(p.buf, p.buf[p.r:p.w])
		p.r = 0
	case p.w == len(p.buf):
		buf := make([]byte, min(2*len(p.buf), max(packetSize, len(p.buf)+1)))
		p.w = copy(buf, p.buf[:p.w])
		p.buf = buf
	}
	n, err := p.conn.Read(p.buf[p.w:])
	p.w += n
	if n > 0 {
		p.heard()
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}
