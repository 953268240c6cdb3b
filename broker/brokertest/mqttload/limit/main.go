// Command limit is no broker: it answers CONNECT and SUBSCRIBE and then copies
// whole frames, unparsed beyond their length, from every other connection to
// every subscribed one. It shows what two loopback sockets and a Go process in
// between can do at best on this machine. With no subscriber it is a sink.
package main

import (
	"flag"
	"log"
	"net"
	"sync"
	"sync/atomic"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:1883", "listen address")
	size := flag.Int("buf", 64<<10, "read buffer in bytes")
	flag.Parse()
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	r := newRelay()
	for {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go r.serve(c, *size)
	}
}

// relay knows the subscribed connections; publishers read them without a lock.
type relay struct {
	mu   sync.Mutex // held to change subs
	subs atomic.Pointer[[]*sub]
}

// sub is a subscribed connection.
type sub struct {
	mu sync.Mutex // held while writing to c
	c  net.Conn
}

func newRelay() *relay {
	r := &relay{}
	r.subs.Store(&[]*sub{})
	return r
}

func (r *relay) add(c net.Conn) *sub {
	me := &sub{c: c}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := append([]*sub(nil), *r.subs.Load()...)
	l = append(l, me)
	r.subs.Store(&l)
	return me
}

func (r *relay) remove(me *sub) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keep []*sub
	for _, s := range *r.subs.Load() {
		if s != me {
			keep = append(keep, s)
		}
	}
	r.subs.Store(&keep)
}

// send copies b to every subscribed connection.
func (r *relay) send(b []byte) {
	for _, s := range *r.subs.Load() {
		s.mu.Lock()
		_, _ = s.c.Write(b)
		s.mu.Unlock()
	}
}

func (r *relay) serve(c net.Conn, size int) {
	defer c.Close()
	buf := make([]byte, size)
	w := 0
	var me *sub
	for {
		n, err := c.Read(buf[w:])
		if n == 0 || err != nil {
			break
		}
		w += n
		o := 0
		for w-o >= 2 && (buf[o]>>4 == 1 || buf[o]>>4 == 8) {
			n := frame(buf[o:w])
			if n == 0 {
				break
			}
			if buf[o]>>4 == 1 {
				_, _ = c.Write([]byte{0x20, 2, 0, 0})
			} else {
				_, _ = c.Write([]byte{0x90, 3, buf[o+2], buf[o+3], 0})
				if me == nil {
					me = r.add(c)
				}
			}
			o += n
		}
		if me != nil {
			o = w // what a subscriber says is not looked at
		} else if n := whole(buf[o:w]); n > 0 {
			r.send(buf[o : o+n])
			o += n
		}
		w = copy(buf, buf[o:w])
	}
	if me != nil {
		r.remove(me)
	}
}

// frame is the length of the whole frame at the start of b, 0: not complete.
func frame(b []byte) int {
	n := 0
	for i := 1; i < len(b) && i < 5; i++ {
		n |= int(b[i]&0x7f) << (7 * (i - 1))
		if b[i] < 0x80 {
			if t := 1 + i + n; t <= len(b) {
				return t
			}
			return 0
		}
	}
	return 0
}

// whole counts the bytes of whole frames at the start of b.
func whole(b []byte) int {
	o := 0
	for {
		n := frame(b[o:])
		if n == 0 {
			return o
		}
		o += n
	}
}
