// Package wire is a minimal MQTT 3.1.1 and 5.0 client made for generating
// load: no allocation a message, one read or write system call for as many
// packets as the socket gives. It trusts the broker it measures and checks
// only what it needs to count; broker/packet is the codec of the product, and
// neither imports the other, so that the product is not measured by its own
// code. mqttload is its only user.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

var errFrame = errors.New("malformed MQTT frame")

// Conn is one side of an MQTT connection. TryNext/Fill belong to one reader.
type Conn struct {
	NC             net.Conn
	Ver            byte // 4 or 5
	SessionPresent bool
	RecvMax        int

	buf  []byte
	r, w int
	need int
}

// Options of a client connection.
type Options struct {
	ClientID  string
	Clean     bool
	Ver       byte
	KeepAlive uint16
	ReadBuf   int
	Timeout   time.Duration
	Early     func(h byte, body []byte) // takes PUBLISH packets that come before the CONNACK
}

// NewConn wraps an accepted connection.
func NewConn(nc net.Conn, ver byte, readBuf int) *Conn {
	return &Conn{NC: nc, Ver: ver, RecvMax: 65535, buf: make([]byte, readBuf)}
}

// Dial connects, sends CONNECT and waits for the CONNACK.
func Dial(addr string, o Options) (*Conn, error) {
	if o.Ver == 0 {
		o.Ver = 4
	}
	if o.ReadBuf == 0 {
		o.ReadBuf = 64 << 10
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	nc, err := net.DialTimeout("tcp", addr, o.Timeout)
	if err != nil {
		return nil, err
	}
	c := NewConn(nc, o.Ver, o.ReadBuf)
	_ = nc.SetDeadline(time.Now().Add(o.Timeout))
	if _, err := nc.Write(AppendConnect(nil, o)); err != nil {
		nc.Close()
		return nil, err
	}
	h, b, err := c.Next()
	for err == nil && h>>4 == PUBLISH && o.Early != nil {
		o.Early(h, b)
		h, b, err = c.Next()
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("waiting for CONNACK: %w", err)
	}
	if h>>4 != CONNACK || len(b) < 2 {
		nc.Close()
		return nil, fmt.Errorf("wanted CONNACK, got packet type %d", h>>4)
	}
	if b[1] != 0 {
		nc.Close()
		return nil, fmt.Errorf("connection refused, code 0x%02x", b[1])
	}
	c.SessionPresent = b[0]&1 != 0
	if c.Ver == 5 && len(b) > 2 {
		c.connackProps(b[2:])
	}
	_ = nc.SetDeadline(time.Time{})
	return c, nil
}

// connackProps looks only for Receive Maximum; unknown properties end the walk.
func (c *Conn) connackProps(b []byte) {
	n, l := varint(b)
	if l == 0 || len(b) < l+n {
		return
	}
	b = b[l : l+n]
	for len(b) > 0 {
		id := b[0]
		b = b[1:]
		size := 0
		switch id {
		case 0x24, 0x25, 0x28, 0x29, 0x2a: // byte
			size = 1
		case 0x13, 0x21, 0x22: // two bytes
			size = 2
		case 0x11, 0x27: // four bytes
			size = 4
		case 0x12, 0x15, 0x16, 0x1a, 0x1c, 0x1f: // string
			if len(b) < 2 {
				return
			}
			size = 2 + int(binary.BigEndian.Uint16(b))
		case 0x26: // pair
			if len(b) < 2 {
				return
			}
			size = 2 + int(binary.BigEndian.Uint16(b))
			if len(b) < size+2 {
				return
			}
			size += 2 + int(binary.BigEndian.Uint16(b[size:]))
		default:
			return
		}
		if len(b) < size {
			return
		}
		if id == 0x21 {
			c.RecvMax = int(binary.BigEndian.Uint16(b))
		}
		b = b[size:]
	}
}

// TryNext gives the next packet already buffered; body is valid until Fill.
func (c *Conn) TryNext() (h byte, body []byte, ok bool) {
	b := c.buf[c.r:c.w]
	if len(b) < 2 {
		c.need = 2
		return 0, nil, false
	}
	n, hl := int(b[1]), 2
	if n >= 0x80 {
		v, l := varint(b[1:])
		if l == 0 {
			c.need = len(b) + 1
			return 0, nil, false
		}
		n, hl = v, 1+l
	}
	if len(b) < hl+n {
		c.need = hl + n
		return 0, nil, false
	}
	c.r += hl + n
	return b[0], b[hl : hl+n], true
}

// Fill reads once from the socket.
func (c *Conn) Fill() error {
	if c.r == c.w {
		c.r, c.w = 0, 0
	} else if c.r > 0 {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.need > len(c.buf) {
		if c.need > 300<<20 {
			return errFrame
		}
		nb := make([]byte, c.need+4096)
		copy(nb, c.buf[:c.w])
		c.buf = nb
	}
	n, err := c.NC.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// Next gives the next packet, reading as needed.
func (c *Conn) Next() (byte, []byte, error) {
	for {
		if h, b, ok := c.TryNext(); ok {
			return h, b, nil
		}
		if err := c.Fill(); err != nil {
			return 0, nil, err
		}
	}
}

// Subscribe sends one SUBSCRIBE and waits for its SUBACK. Only for a
// connection whose reader has not started; PUBLISH packets that arrive first
// go to early (may be nil).
func (c *Conn) Subscribe(filters []string, qos byte, early func(h byte, body []byte)) error {
	body := []byte{0, 1}
	if c.Ver == 5 {
		body = append(body, 0)
	}
	for _, f := range filters {
		body = appendString(body, f)
		body = append(body, qos)
	}
	pk := appendVarint([]byte{SUBSCRIBE<<4 | 2}, len(body))
	pk = append(pk, body...)
	_ = c.NC.SetDeadline(time.Now().Add(20 * time.Second))
	defer c.NC.SetDeadline(time.Time{})
	if _, err := c.NC.Write(pk); err != nil {
		return err
	}
	for {
		h, b, err := c.Next()
		if err != nil {
			return fmt.Errorf("waiting for SUBACK: %w", err)
		}
		if h>>4 == PUBLISH && early != nil {
			early(h, b)
			continue
		}
		if h>>4 != SUBACK {
			continue
		}
		if len(b) < len(filters) {
			return errFrame
		}
		for _, rc := range b[len(b)-len(filters):] {
			if rc >= 0x80 {
				return fmt.Errorf("subscription refused, code 0x%02x", rc)
			}
		}
		return nil
	}
}

// Disconnect says goodbye and closes.
func (c *Conn) Disconnect() {
	_, _ = c.NC.Write([]byte{DISCONNECT << 4, 0})
	_ = c.NC.Close()
}
