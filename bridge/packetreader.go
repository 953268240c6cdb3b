package bridge

import (
	"errors"
	"io"
	"net"
	"syscall"

	"headgate/broker/packet"
	"headgate/broker/topic"
)

const (
	readBuffer = 64 << 10

	// cutBody is what is kept of a packet above the limit: the topic name and the
	// packet identifier of a PUBLISH fit.
	cutBody = 2 + topic.MaxBytes + 2
)

// incomingPacket is one packet as it came. Its body is valid until the next call.
type incomingPacket struct {
	packet.Header
	body []byte
	cut  bool // it was above the limit: body is its first cutBody bytes
}

// packetReader cuts a connection's bytes into packets, many per read. It takes
// packets up to limit whole, and of larger ones the beginning.
type packetReader struct {
	conn   net.Conn
	limit  int
	onRead func() // called after each read that gave bytes; may be nil

	buf  []byte
	r, w int // buf[r:w] is not yet taken
	drop int // bytes of the last packet that are still to come, and not wanted
}

func newPacketReader(conn net.Conn, limit int) *packetReader {
	return &packetReader{conn: conn, limit: limit, buf: make([]byte, readBuffer)}
}

// ready says whether next would give a packet, or an error, without reading.
func (p *packetReader) ready() bool {
	if p.drop > 0 {
		return false
	}
	h, err := packet.ParseHeader(p.buf[p.r:p.w])
	if err != nil {
		return !errors.Is(err, packet.ErrIncomplete)
	}
	return p.w-p.r >= h.Size+p.wanted(h)
}

// next gives the next packet. Errors: a *packet.Error for what is no packet,
// else the connection's; io.EOF also in the middle of a packet.
func (p *packetReader) next() (incomingPacket, error) {
	for {
		if p.drop > 0 {
			n := min(p.drop, p.w-p.r)
			p.r += n
			p.drop -= n
		}
		if p.drop == 0 {
			h, err := packet.ParseHeader(p.buf[p.r:p.w])
			if err == nil && p.w-p.r >= h.Size+p.wanted(h) {
				return p.take(h), nil
			}
			switch {
			case err == nil:
				p.grow(h.Size + p.wanted(h))
			case !errors.Is(err, packet.ErrIncomplete):
				return incomingPacket{}, err
			}
		}
		if err := p.fill(); err != nil {
			return incomingPacket{}, err
		}
	}
}

// wanted is how much of a packet's body is kept.
func (p *packetReader) wanted(h packet.Header) int {
	if h.Size+h.Remaining > p.limit {
		return min(cutBody, h.Remaining)
	}
	return h.Remaining
}

func (p *packetReader) take(h packet.Header) incomingPacket {
	n := p.wanted(h)
	start := p.r + h.Size
	p.r = start + n
	p.drop = h.Remaining - n
	return incomingPacket{Header: h, body: p.buf[start:p.r], cut: h.Size+h.Remaining > p.limit}
}

// grow makes room for a packet of n bytes at the front of the buffer.
func (p *packetReader) grow(n int) {
	if n > len(p.buf) {
		buf := make([]byte, n)
		p.w = copy(buf, p.buf[p.r:p.w])
		p.r, p.buf = 0, buf
	}
}

// fill reads once, after moving what is left to the front.
func (p *packetReader) fill() error {
	if p.r > 0 {
		p.w = copy(p.buf, p.buf[p.r:p.w])
		p.r = 0
	}
	if p.w == 0 && len(p.buf) > readBuffer {
		p.buf = make([]byte, readBuffer) // a large packet is past
	}
	n, err := p.conn.Read(p.buf[p.w:])
	p.w += n
	if n > 0 {
		if p.onRead != nil {
			p.onRead()
		}
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// isReset says whether the peer, or something between, broke the connection off.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrUnexpectedEOF)
}
