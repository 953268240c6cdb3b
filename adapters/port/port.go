package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// What a Port's methods wrap beside the errors of package fs and of the context.
var (
	// ErrGone: the device behind the port is not there any more, or the port
	// has been closed. Close it and open it again.
	ErrGone = errors.New("the port is gone")

	// ErrBusy: somebody else has the port open.
	ErrBusy = errors.New("the port is in use")
)

// writeGrace is how much longer than its time on the wire a Write may take when
// its context has no deadline.
const writeGrace = time.Second

// Port is an open serial port. One goroutine may read while another writes, and
// any may Close.
//
// Two descriptors stand behind it. go.bug.st/serial holds one, and sets up and
// flushes the line through it. The bytes go over the other one, which does not
// block and is waited for at two gates: so a read can be given up at any time, a
// write cannot block for ever, Close wakes both, and none of it uses select(2),
// in which a descriptor above 1023 is a panic.
type Port struct {
	path    string
	mode    Mode
	in, out *gate

	readBy time.Time // the deadline that ReadBy has set; of the one who reads

	// mu guards line, which is nil once closed: the library would use the
	// number of a closed descriptor, and that may be somebody else's by then;
	// and fd, which is that of the gates, and -1 once closed.
	mu   sync.Mutex
	line serial.Port
	fd   int
}

// Open opens the port at path, for us alone; path may also be the "usb:..." of an
// Address. What had come in before is discarded. The error wraps fs.ErrNotExist, fs.ErrPermission or ErrBusy where
// one of these is the cause, and says what to do.
func Open(path string, mode Mode) (*Port, error) {
	p := &Port{path: path, mode: mode, fd: -1}
	device, err := device(path)
	if err == nil {
		err = p.open(device)
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("open serial port %s: %w", path, err)
	}
	return p, nil
}

// open opens the port by the path of its device.
func (p *Port) open(path string) error {
	// Without O_NONBLOCK it would wait for a modem's carrier.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return explain(path, err)
	}
	p.fd = fd
	// TIOCEXCL, which the library sets, does not stop root, and root is what a
	// gateway may run as. The lock does, and it is gone with its holder.
	switch err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return fmt.Errorf("%w: another link of this gateway, or another program, has locked it", ErrBusy)
	case err != nil:
		return fmt.Errorf("lock it: %w", err)
	}
	lowLatency(fd, path)
	if err := p.mode.RS485.apply(fd); err != nil {
		return err
	}
	if p.line, err = serial.Open(path, p.mode.library()); err != nil {
		return explainLibrary(path, p.mode, err)
	}
	if p.in, err = newGate(fd, unix.EPOLLIN); err != nil {
		return err
	}
	if p.out, err = newGate(fd, unix.EPOLLOUT); err != nil {
		return err
	}
	return p.Flush()
}

// library gives the mode as the library names it.
func (m Mode) library() *serial.Mode {
	l := &serial.Mode{BaudRate: m.Baud, DataBits: m.DataBits}
	switch m.Parity {
	case Even:
		l.Parity = serial.EvenParity
	case Odd:
		l.Parity = serial.OddParity
	case Mark:
		l.Parity = serial.MarkParity
	case Space:
		l.Parity = serial.SpaceParity
	}
	switch m.StopBits {
	case 1.5:
		l.StopBits = serial.OnePointFiveStopBits
	case 2:
		l.StopBits = serial.TwoStopBits
	}
	if m.DTROff || m.RTSOff {
		l.InitialStatusBits = &serial.ModemOutputBits{DTR: !m.DTROff, RTS: !m.RTSOff}
	}
	return l
}

// Path gives the path that the port was opened by.
func (p *Port) Path() string { return p.path }

// Mode gives the mode that the port was opened in.
func (p *Port) Mode() Mode { return p.mode }

// Read waits until something has come, and gives at least one byte of it, or an
// error: that of ctx when it ended first, or one that wraps ErrGone.
func (p *Port) Read(ctx context.Context, b []byte) (int, error) {
	p.readBy = time.Time{}
	n, err := p.within(ctx, p.in, func() (int, error) { return p.read(b) })
	if err != nil {
		return n, p.failed("read from", err)
	}
	return n, nil
}

// ReadBy is Read with a time in place of a context: then the error is
// context.DeadlineExceeded. It costs less where the time is the same again and
// again, as of one who reads what may come at any moment; Close ends it too.
func (p *Port) ReadBy(deadline time.Time, b []byte) (int, error) {
	if p.readBy != deadline {
		if err := p.in.setDeadline(deadline); err != nil {
			return 0, p.failed("read from", err)
		}
		p.readBy = deadline
	}
	n, err := p.read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, context.DeadlineExceeded
	}
	if err != nil {
		return n, p.failed("read from", err)
	}
	return n, nil
}

// read waits for something, until the deadline of the gate.
func (p *Port) read(b []byte) (n int, err error) {
	err = p.in.do(func() (err error) {
		n, err = unix.Read(p.in.fd, b)
		return err
	})
	if err != nil {
		return 0, err
	}
	if n == 0 {
		err = io.EOF // a terminal that was hung up
	}
	return n, err
}

// Write sends b. It returns once the system has taken it, which is before the
// last byte is on the line. When ctx ends first the error is that of ctx and
// some of b may have been sent; without a deadline in ctx it may take a second
// longer than b takes on the line, then the error is
// context.DeadlineExceeded.
func (p *Port) Write(ctx context.Context, b []byte) (int, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 2*p.mode.WireTime(len(b))+writeGrace)
		defer cancel()
	}
	sent := 0
	_, err := p.within(ctx, p.out, func() (int, error) {
		err := p.out.do(func() error {
			for sent < len(b) {
				n, err := unix.Write(p.out.fd, b[sent:])
				if err != nil {
					return err
				}
				sent += n
			}
			return nil
		})
		return sent, err
	})
	if err != nil {
		return sent, p.failed("write to", err)
	}
	return sent, nil
}

// within runs one read or write that ends when ctx does.
func (p *Port) within(ctx context.Context, g *gate, do func() (int, error)) (int, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		deadline, bounded := ctx.Deadline()
		if err := g.setDeadline(deadline); err != nil {
			return 0, err
		}
		stop := context.AfterFunc(ctx, func() { g.setDeadline(time.Unix(1, 0)) })
		n, err := do()
		stop()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if bounded && !time.Now().Before(deadline) {
			return n, context.DeadlineExceeded
		}
		// Either ctx has been cancelled, or this was the late end of the
		// context of a call before.
	}
}

// Flush discards what has come in and what has not gone out yet.
func (p *Port) Flush() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line == nil {
		return p.failed("flush", os.ErrClosed)
	}
	if err := p.line.ResetInputBuffer(); err != nil {
		return p.failed("flush", err)
	}
	if err := p.line.ResetOutputBuffer(); err != nil {
		return p.failed("flush", err)
	}
	return nil
}

// Close closes the port; a Read or Write under way ends with ErrGone. It may be
// called more than once.
func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	if p.line != nil {
		// What could not be sent must not keep the close waiting for it.
		p.line.ResetOutputBuffer()
		errs = append(errs, p.line.Close())
		p.line = nil
	}
	if p.fd < 0 {
		return errors.Join(errs...)
	}
	for _, g := range []*gate{p.in, p.out} {
		if g != nil {
			errs = append(errs, g.close())
		}
	}
	errs = append(errs, unix.Close(p.fd))
	p.fd = -1
	return errors.Join(errs...)
}

// failed says which port it was. What is no end of a context is the end of the
// port: EIO, ENODEV, end of file, closed.
func (p *Port) failed(what string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s serial port %s: %w", what, p.path, err)
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("%s serial port %s: %w (%w)", what, p.path, ErrGone, err)
}

// explain makes of the system's error one that says what to do.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		if !errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
		}
		return fmt.Errorf("no such port: is it plugged in? \"headgate serial list\" lists those that are (%w)", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("not allowed: add the user that runs headgate to the group %s (\"sudo usermod -aG %[1]s USER\") and start it again (%w)", groupOf(path), err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: another program has it for itself: %w", ErrBusy, err)
	}
	return err
}

func explainLibrary(path string, mode Mode, err error) error {
	var e *serial.PortError
	if !errors.As(err, &e) {
		return explain(path, err)
	}
	switch e.Code() {
	case serial.PortBusy:
		return explain(path, unix.EBUSY)
	case serial.PermissionDenied:
		return explain(path, unix.EACCES)
	case serial.InvalidSpeed, serial.InvalidDataBits, serial.InvalidParity, serial.InvalidStopBits:
		return fmt.Errorf("it cannot do %s: %w", mode, err)
	case serial.InvalidSerialPort:
		// The library unwraps nothing: of its layers only the system's word helps.
		text := err.Error()
		return fmt.Errorf("it is not a serial port, or cannot do %s:%s", mode, text[strings.LastIndex(text, ":")+1:])
	}
	return err
}

// groupOf names the group that may open path; it is dialout on Debian.
func groupOf(path string) string {
	const usual = "dialout"
	info, err := os.Stat(path)
	if err != nil {
		return usual
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Gid == 0 {
		return usual
	}
	g, err := user.LookupGroupId(strconv.FormatUint(uint64(st.Gid), 10))
	if err != nil {
		return usual
	}
	return g.Name
}
