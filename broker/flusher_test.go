package broker

import (
	"net"
	"runtime"
	"syscall"
	"testing"
)

func TestAFlusherThatIsNeverDoneTakesTurnsAndKeepsNothing(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	raw, err := ln.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	f := flusher{working: runtime.GOMAXPROCS(0)} // the test is all of them
	conns := make([]*conn, 3)
	for i := range conns {
		conns[i] = &conn{raw: raw, session: newSession("c")}
		conns[i].writer.Store(writerIdle)
	}
	f.add(conns)
	for i := range 10_000 {
		c := f.next()
		if want := conns[i%len(conns)]; c != want {
			t.Fatal("a client was written to before its turn")
		}
		c.writer.Store(writerIdle)
		f.add([]*conn{c})
	}
	if cap(f.waiting) > 10*len(conns) {
		t.Errorf("there is room for %d where %d wait", cap(f.waiting), len(conns))
	}
}
