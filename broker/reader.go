package broker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"headgate/broker/packet"
)

// reader cuts a connection's bytes into packets.
type reader struct {
	nc         net.Conn
	rooms      *rooms
	raw        syscall.RawConn // of a connection without TLS or WebSocket; else nil
	max        int             // a larger packet is refused
	version    packet.Version  // of the connection, 0 before its CONNECT
	buf        []byte
	start, end int
	need       int // bytes of the packet at start, when it is not whole yet

	large bool // a room was too small for what had come: the next ones are large
	short int  // reads in a row for which a small one would have done
}

// rooms are the buffers that no connection has.
type rooms struct {
	small sync.Pool // of *[readRoom]byte; also those of outboxes
	large sync.Pool // of *[largeRoom]byte
}

// fill reads what has come, at least one byte.
func (r *reader) fill() error {
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if r.end == 0 && r.raw != nil {
		return r.await()
	}
	if r.buf == nil {
		r.buf = make([]byte, readRoom)
	}
	if r.large && len(r.buf) == readRoom && r.raw != nil {
		was := r.buf
		r.take()
		copy(r.buf, was[:r.end])
		r.rooms.small.Put((*[readRoom]byte)(was))
	}
	if r.end == len(r.buf) {
		// A packet larger than the room. It grows as bytes come, not by what
		// the packet claims.
		r.buf = append(r.buf, make([]byte, min(len(r.buf), max(r.need-len(r.buf), readRoom)))...)
	}
	n, err := r.nc.Read(r.buf[r.end:])
	r.end += n
	r.judge(n)
	if n > 0 {
		return nil
	}
	return err
}

const (
	readRoom  = 16 << 10
	largeRoom = 64 << 10

	shortReads = 32 // a client that is busy no more gets small rooms again
)

// judge looks whether n bytes, just read, were all that the room took.
func (r *reader) judge(n int) {
	switch {
	case r.end == len(r.buf):
		r.large, r.short = true, 0
	case n >= readRoom:
		r.short = 0
	case r.large:
		r.short++
		r.large = r.short < shortReads
	}
}

// take gets a room.
func (r *reader) take() {
	if r.large {
		p, _ := r.rooms.large.Get().(*[largeRoom]byte)
		if p == nil {
			p = new([largeRoom]byte)
		}
		r.buf = p[:]
		return
	}
	p, _ := r.rooms.small.Get().(*[readRoom]byte)
	if p == nil {
		p = new([readRoom]byte)
	}
	r.buf = p[:]
}

func newReader(nc net.Conn, raw syscall.RawConn, rooms *rooms, most int) *reader {
	return &reader{nc: nc, raw: raw, rooms: rooms, max: most}
}

// await is fill for an empty buffer: while nothing comes, the connection has none.
func (r *reader) await() (err error) {
	n := 0
	waited := r.raw.Read(func(fd uintptr) (done bool) {
		if r.buf == nil {
			r.take()
		}
		for {
			n, err = syscall.Read(int(fd), r.buf)
			if err != syscall.EINTR {
				break
			}
		}
		if err == syscall.EAGAIN {
			r.release()
			return false
		}
		return true
	})
	switch {
	case waited != nil:
		err = waited
	case err != nil:
		err = os.NewSyscallError("read", err)
	case n <= 0:
		err = io.EOF
	default:
		r.end = n
		r.judge(n)
		return nil
	}
	r.release()
	return err
}

// release gives the buffer back; nothing is in it.
func (r *reader) release() {
	switch len(r.buf) {
	case readRoom:
		r.rooms.small.Put((*[readRoom]byte)(r.buf))
	case largeRoom:
		r.rooms.large.Put((*[largeRoom]byte)(r.buf))
	}
	r.buf = nil
}

// packet waits for a whole packet.
func (r *reader) packet() (h packet.Header, body []byte, err error) {
	for {
		h, body, ok, err := r.next()
		if err != nil || ok {
			return h, body, err
		}
		if err := r.fill(); err != nil {
			return h, nil, err
		}
	}
}

// next gives the next packet that is there as a whole; it aliases the buffer
// until the next fill.
func (r *reader) next() (h packet.Header, body []byte, ok bool, err error) {
	h, err = packet.ParseHeaderOf(r.version, r.buf[r.start:r.end])
	if errors.Is(err, packet.ErrIncomplete) {
		r.need = 0
		return h, nil, false, nil
	}
	if err != nil {
		return h, nil, false, err
	}
	size := h.Size + h.Remaining
	if size > r.max {
		return h, nil, false, &packet.Error{Reason: packet.PacketTooLarge, Clause: "MQTT-3.2.2-15",
			Text: fmt.Sprintf("%v of %d bytes: at most %d are taken", h.Type, size, r.max)}
	}
	if r.end-r.start < size {
		r.need = size
		return h, nil, false, nil
	}
	body = r.buf[r.start+h.Size : r.start+size]
	r.start += size
	if r.start == r.end && len(r.buf) > 4*readRoom {
		// A large packet has passed: its room goes with it. body keeps the old one.
		r.buf, r.start, r.end = nil, 0, 0
	}
	return h, body, true, nil
}
