package port

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// gate waits until a descriptor can be read from, or written to. The runtime's
// own poller would wake the process with each piece that a driver hands over,
// whether anybody waits for it or not, and a line at full rate has some 500 a
// second. So the runtime polls an epoll instead, in which the descriptor is only
// while somebody waits.
type gate struct {
	fd     int
	events uint32
	epoll  *os.File
	raw    syscall.RawConn
	armed  bool // of the one who is in do
}

// newGate makes a gate for events, EPOLLIN or EPOLLOUT, of the descriptor, which has
// to be open, and not to block, until the gate is closed.
func newGate(fd int, events uint32) (*gate, error) {
	g := &gate{fd: fd, events: events | unix.EPOLLONESHOT}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// It polls what does not block only.
	if err := unix.SetNonblock(epoll, true); err != nil {
		unix.Close(epoll)
		return nil, err
	}
	g.epoll = os.NewFile(uintptr(epoll), "epoll")
	g.raw, err = g.epoll.SyscallConn()
	if err == nil {
		err = g.control(unix.EPOLL_CTL_ADD, unix.EPOLLONESHOT)
	}
	if err != nil {
		g.epoll.Close()
		return nil, err
	}
	return g, nil
}

// do runs f, and again each time that it gives EAGAIN and the descriptor may be
// ready then. The error is that of f, os.ErrDeadlineExceeded, or that the gate
// has been closed.
func (g *gate) do(f func() error) error {
	var err error
	waiting := g.raw.Read(func(epoll uintptr) bool {
		g.disarm(int(epoll))
		for err = f(); errors.Is(err, unix.EINTR); {
			err = f()
		}
		if !errors.Is(err, unix.EAGAIN) {
			return true
		}
		err = g.control(unix.EPOLL_CTL_MOD, g.events)
		g.armed = true
		return err != nil
	})
	if waiting != nil {
		return waiting
	}
	return err
}

// disarm takes the event, and with it the descriptor out of the epoll.
func (g *gate) disarm(epoll int) {
	if !g.armed {
		return
	}
	var event [1]unix.EpollEvent
	if n, err := unix.EpollWait(epoll, event[:], 0); n > 0 && err == nil {
		g.armed = false
	}
}

func (g *gate) control(op int, events uint32) error {
	var err error
	if e := g.raw.Control(func(epoll uintptr) {
		err = unix.EpollCtl(int(epoll), op, g.fd, &unix.EpollEvent{Events: events})
	}); e != nil {
		return e
	}
	return os.NewSyscallError("epoll_ctl", err)
}

// setDeadline bounds do; a zero time does not.
func (g *gate) setDeadline(t time.Time) error { return g.epoll.SetReadDeadline(t) }

// close ends do, and returns when nobody is in it any more.
func (g *gate) close() error { return g.epoll.Close() }
