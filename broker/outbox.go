package broker

import (
	"slices"
	"sync"
)

// outbox is the bytes that wait to be written to a client, in pieces that go out
// in one call. Those of readRoom bytes come from a pool and go back to it; what
// an idle client has is small.
type outbox struct {
	rooms *sync.Pool // of *[readRoom]byte
	full  [][]byte   // pieces that nothing is added to any more
	buf   []byte     // what follows them
	size  int        // bytes in full
}

// idleRoom is the largest piece that is not one of the pool's, but for single
// packets that are larger than those.
const idleRoom = 1 << 10

func (o *outbox) len() int { return o.size + len(o.buf) }

// room gives buf with room for n bytes more. What is appended to it is to become
// buf.
func (o *outbox) room(n int) []byte {
	need := len(o.buf) + n
	switch {
	case need <= cap(o.buf) || need <= idleRoom:
		return o.buf
	case need <= readRoom:
		o.buf = append(o.pooled(), o.buf...)
		return o.buf
	}
	o.seal()
	if n > readRoom {
		return make([]byte, 0, n)
	}
	return o.pooled()
}

// expect makes room at once for what comes in several parts, n bytes in all.
func (o *outbox) expect(n int) {
	switch need := len(o.buf) + n; {
	case need <= cap(o.buf):
	case need <= idleRoom:
		o.buf = slices.Grow(o.buf, n)
	case cap(o.buf) < readRoom && len(o.buf) < readRoom:
		o.buf = append(o.pooled(), o.buf...)
	}
}

// write adds b.
func (o *outbox) write(b []byte) {
	for len(b) > 0 {
		if len(o.buf) == cap(o.buf) || cap(o.buf) < readRoom {
			o.buf = o.room(min(len(b), readRoom-len(o.buf)))
		}
		n := len(b)
		if cap(o.buf) >= readRoom {
			n = min(n, cap(o.buf)-len(o.buf))
		}
		o.buf = append(o.buf, b[:n]...)
		b = b[n:]
		if len(b) > 0 {
			o.seal()
		}
	}
}

// share adds b without a copy: it must not change any more.
func (o *outbox) share(b []byte) {
	if cap(b) == readRoom {
		o.write(b) // or it would go to the pool
		return
	}
	o.seal()
	o.full = append(o.full, b)
	o.size += len(b)
}

// after gives what of a piece is left when n bytes of it have been written. What
// has the size of the pool's pieces is copied, for it is not one of them.
func after(piece []byte, n int) []byte {
	rest := piece[n:]
	if n > 0 && cap(rest) == readRoom {
		return append(make([]byte, 0, len(rest)+1), rest...)
	}
	return rest
}

// append adds what more holds.
func (o *outbox) append(more *outbox) {
	if more.len() == 0 {
		return
	}
	if more.size == 0 && cap(o.buf)-len(o.buf) >= len(more.buf) {
		o.buf = append(o.buf, more.buf...)
		more.giveBack(more.buf)
		return
	}
	o.seal()
	o.full = append(o.full, more.full...)
	o.size += more.size
	o.buf = more.buf
}

// prepend puts b before all else.
func (o *outbox) prepend(b []byte) {
	o.full = append([][]byte{b}, o.full...)
	o.size += len(b)
}

// seal ends the piece that is being filled.
func (o *outbox) seal() {
	if len(o.buf) > 0 {
		o.full = append(o.full, o.buf)
		o.size += len(o.buf)
	}
	o.buf = nil
}

func (o *outbox) pooled() []byte {
	p, _ := o.rooms.Get().(*[readRoom]byte)
	if p == nil {
		p = new([readRoom]byte)
	}
	return p[:0]
}

// take gives all pieces and leaves it empty; list is room for the next ones.
func (o *outbox) take(list [][]byte) [][]byte {
	o.seal()
	pieces := o.full
	o.full, o.size = list[:0], 0
	return pieces
}

// giveBack takes a written piece for others. What is not of the pool's size may be
// shared, or the end of such a piece, and is let go.
func (o *outbox) giveBack(piece []byte) {
	if cap(piece) == readRoom {
		o.rooms.Put((*[readRoom]byte)(piece[:readRoom]))
	}
}
