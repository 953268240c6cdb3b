package broker

import (
	"cmp"
	"net"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A connection's writer sends what has gathered in out, and what the session's
// queue holds, until nothing is left. It is a goroutine only while it has
// something to do. These are its states.
const (
	writerHeld    int32 = iota // nothing goes before the CONNACK
	writerIdle                 // there is none
	writerRunning              // there is one
	writerAgain                // and something came that it may not have seen
	writerEnded                // nothing is written any more
)

// writeTimeout is how long the writing of one part may take, or an eighth less, as
// deadlines are not set anew each time: a client that takes nothing for so long
// is gone.
const writeTimeout = 30 * time.Second

// wake sees to it that what is in out is written.
func (c *conn) wake() {
	for {
		switch c.writer.Load() {
		case writerIdle:
			if c.writer.CompareAndSwap(writerIdle, writerRunning) {
				go c.write(nil, false)
				return
			}
		case writerRunning:
			if c.writer.CompareAndSwap(writerRunning, writerAgain) {
				return
			}
		default:
			return
		}
	}
}

// wakeHere is wake for a publisher's goroutine, which may write by itself what the
// kernel takes at once, if the last write was not less than apart ago: under load
// a writer finds more to send when its turn comes.
func (c *conn) wakeHere(apart time.Duration) {
	if !c.claim() {
		c.wake()
		return
	}
	if apart > 0 {
		now := time.Now()
		if now.Sub(c.wrote) < apart {
			c.wrote = now
			go c.write(nil, false)
			return
		}
		c.wrote = now
	}
	c.writeHere()
}

// claim is true when the caller is c's writer now, for one writeHere.
func (c *conn) claim() bool {
	return c.maySome() && c.writer.CompareAndSwap(writerIdle, writerRunning)
}

// maySome says that what there is for the client is in out, and that writeSome may
// write it.
func (c *conn) maySome() bool {
	return c.raw != nil && !c.tracing && !c.session.persistent() && c.session.memberships.Load() == nil
}

// writeHere writes what the kernel takes at once. It waits for nothing: what else
// there is to do is left to a writer's goroutine.
func (c *conn) writeHere() error {
	c.writer.Store(writerRunning) // what comes from now on is another round's
	if !c.maySome() {             // any more
		go c.write(nil, false)
		return nil
	}
	pieces, last := c.take()
	if last {
		go c.write(pieces, last)
		return nil
	}
	if len(pieces) > 0 {
		rest := cut(pieces, c.writeSome(pieces))
		if len(rest) > 0 {
			go c.write(rest, false)
			return nil
		}
		c.giveBack(pieces)
	}
	if !c.writer.CompareAndSwap(writerRunning, writerIdle) {
		go c.write(nil, false)
	}
	return nil
}

// cut gives what is left of pieces when n bytes have been written.
func cut(pieces [][]byte, n int) [][]byte {
	for i, p := range pieces {
		if n < len(p) {
			pieces[i] = after(p, n)
			return pieces[i:]
		}
		n -= len(p)
	}
	return nil
}

// writeSome writes what the kernel takes at once, and says how much that is. An
// error shows at the next write.
func (c *conn) writeSome(pieces [][]byte) (n int) {
	c.raw.Write(func(fd uintptr) bool {
		var err error
		for {
			if len(pieces) == 1 {
				n, err = syscall.Write(int(fd), pieces[0])
			} else {
				n, err = unix.Writev(int(fd), pieces[:min(len(pieces), maxPieces)])
			}
			if err != syscall.EINTR {
				return true
			}
		}
	})
	n = max(n, 0)
	c.b.stats.bytesOut.Add(int64(n))
	return n
}

const maxPieces = 1024 // of one writev(2)

const writeApart = 200 * time.Microsecond

// write is the writer. It begins with pieces, which have been taken already.
func (c *conn) write(pieces [][]byte, last bool) {
	if len(pieces) == 0 {
		runtime.Gosched() // what others have for this client goes with it
	}
	if err := c.guard(func() error { return c.writeOut(pieces, last) }); err != nil {
		c.endWriting(err)
	}
}

func (c *conn) endWriting(err error) {
	c.shut(err)
	if w, ok := c.nc.(interface{ CloseWrite() error }); ok {
		w.CloseWrite()
	} else {
		c.nc.Close()
	}
	c.writer.Store(writerEnded)
	c.written.Done()
}

// writeOut writes until nothing is left; the error is why nothing may follow.
func (c *conn) writeOut(pieces [][]byte, last bool) error {
	for {
		if len(pieces) == 0 && !last {
			c.writer.Store(writerRunning) // what comes from now on is another round's
			if c.ending() == nil {
				if err := c.fill(); err != nil {
					c.logger().Error("session's queue cannot be read", "err", err)
					c.shut(err)
				}
			}
			pieces, last = c.take()
		}
		if len(pieces) > 0 {
			if c.tracing {
				c.traceSent(slices.Concat(pieces...))
			}
			rest := pieces
			if c.raw != nil && !last {
				rest = cut(pieces, c.writeSome(pieces))
			}
			if len(rest) > 0 {
				if err := c.writeAll(rest, last); err != nil {
					return err
				}
			}
			c.giveBack(pieces)
			pieces = nil
			if !last {
				continue
			}
		}
		if last {
			return cmp.Or(c.ending(), net.ErrClosed)
		}
		if c.writer.CompareAndSwap(writerRunning, writerIdle) {
			return nil
		}
	}
}

// writeAll writes pieces in parts, so that a slow client that takes bytes all the
// time is not taken for a dead one.
func (c *conn) writeAll(pieces [][]byte, last bool) error {
	if last { // the deadline of the write before may have passed
		c.nc.SetWriteDeadline(time.Now().Add(closeTimeout))
	}
	var rest []byte // of a piece that is larger than a part
	for len(pieces) > 0 || len(rest) > 0 {
		if !last {
			if by := time.Now().Add(writeTimeout); by.Sub(c.writeBy) > writeTimeout/8 {
				c.writeBy = by
				c.nc.SetWriteDeadline(by)
			}
			select {
			case <-c.done: // who waits for its end does not wait for a slow client
				c.nc.SetWriteDeadline(time.Now().Add(closeTimeout))
				last = true
			default:
			}
		}
		var part net.Buffers
		for size := 0; size < writePart; {
			if len(rest) == 0 {
				if len(pieces) == 0 {
					break
				}
				rest, pieces = pieces[0], pieces[1:]
			}
			p := rest[:min(len(rest), writePart-size)]
			part, rest, size = append(part, p), rest[len(p):], size+len(p)
		}
		n, err := part.WriteTo(c.nc)
		c.b.stats.bytesOut.Add(n)
		if err != nil {
			return err
		}
	}
	return nil
}

const writePart = 256 << 10

// take gives what is to be written now.
func (c *conn) take() (pieces [][]byte, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signaled = false
	c.ebbed()
	s := &c.b.stats
	c.sent.addTo(&s.packetsOut, &s.messagesOut, &s.payloadOut)
	if c.last {
		pieces, c.final = c.final, nil
		return pieces, true
	}
	c.writing = c.out.len()
	list := c.list
	c.list = nil
	pieces = c.out.take(list)
	if len(pieces) == 0 {
		c.list = pieces
	}
	return pieces, false
}

// giveBack takes written pieces for the next packets, and the room of their list.
func (c *conn) giveBack(pieces [][]byte) {
	c.mu.Lock()
	for _, p := range pieces {
		c.out.giveBack(p)
	}
	c.writing = 0
	more := c.out.len() > 0
	c.slow = c.slow && more
	c.discharge()
	c.roomier()
	c.mu.Unlock()
	clear(pieces)
	if more && cap(pieces) <= 64 || cap(pieces) <= 4 {
		c.list = pieces
	}
}
