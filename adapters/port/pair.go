package port

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// paceStep is about how long one piece of a paced write takes on the line.
const paceStep = 2 * time.Millisecond

// Pair makes a line without hardware: path is opened like a serial port, by
// Open or by any program, and far is its other end. Both ends are raw. What
// either end sends takes as long as it would in mode; the zero Mode is as fast
// as the machine. path may be opened again and again; closing far is what
// pulling the plug is: whoever has path open finds it gone, and path itself
// goes away once all have closed it.
func Pair(mode Mode) (path string, far io.ReadWriteCloser, err error) {
	master, slave, err := pty.Open()
	if err != nil {
		return "", nil, fmt.Errorf("open a pair of pseudo-terminals: %w", err)
	}
	w := &wire{mode: mode, slave: slave, closed: make(chan struct{})}
	w.master, err = polled(master)
	if err == nil {
		err = makeRaw(slave)
	}
	if err != nil {
		master.Close()
		slave.Close()
		return "", nil, fmt.Errorf("set up the pseudo-terminal %s: %w", slave.Name(), err)
	}
	return slave.Name(), w, nil
}

// polled gives f's terminal as a file that the Go runtime polls, so that Close
// ends a Read; f itself is closed.
func polled(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	p := os.NewFile(uintptr(fd), f.Name())
	return p, f.Close()
}

func makeRaw(f *os.File) error {
	fd := int(f.Fd())
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// wire is the far end of a Pair.
type wire struct {
	mode   Mode
	master *os.File
	slave  *os.File // held open: without it a Read would fail while path is not open
	once   sync.Once
	closed chan struct{}
}

// Read gives what the near end has sent, after the time it takes on the line.
func (w *wire) Read(b []byte) (int, error) {
	n, err := w.master.Read(b)
	if n > 0 && !w.wait(w.mode.WireTime(n)) {
		return 0, os.ErrClosed
	}
	if err != nil && w.isClosed() {
		err = os.ErrClosed
	}
	return n, err
}

// Write sends b, each byte at its time. It may block while nobody reads the
// near end, until Close.
func (w *wire) Write(b []byte) (int, error) {
	step := len(b)
	if one := w.mode.WireTime(1); one > 0 {
		step = max(1, int(paceStep/one))
	}
	sent := 0
	for start := time.Now(); sent < len(b); {
		n := min(step, len(b)-sent)
		// Counted from the start, so that late timers do not add up.
		if !w.wait(w.mode.WireTime(sent+n) - time.Since(start)) {
			return sent, os.ErrClosed
		}
		n, err := w.master.Write(b[sent : sent+n])
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// Close pulls the plug. It may be called more than once.
func (w *wire) Close() (err error) {
	w.once.Do(func() {
		close(w.closed)
		err = errors.Join(w.slave.Close(), w.master.Close())
	})
	return err
}

// wait is false when the wire was closed meanwhile.
func (w *wire) wait(d time.Duration) bool {
	if w.mode.Baud == 0 || d <= 0 {
		return !w.isClosed()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.closed:
		return false
	}
}

func (w *wire) isClosed() bool {
	select {
	case <-w.closed:
		return true
	default:
		return false
	}
}
