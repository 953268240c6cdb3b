package modbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	mbapSize  = 7   // transaction and protocol identifier, length, unit id [MB-TCP 3.1.3]
	maxLength = 254 // of unit id and PDU

	dialTimeout = 5 * time.Second

	// unansweredToReopen requests in a row without a byte of answer may mean
	// that the connection leads nowhere any more, which TCP itself would notice
	// only after a quarter of an hour.
	unansweredToReopen = 3
)

// tcpLink is Modbus TCP.
type tcpLink struct {
	host   string
	delay  time.Duration
	counts *counts

	conn       net.Conn
	raw        syscall.RawConn
	buf        []byte // what came and was not taken yet
	id         uint16 // the last transaction identifier of the link
	unanswered int    // requests in a row
	last       time.Time

	ctx     context.Context // of the Sends since begin
	timeout time.Duration
}

func newTCPLink(host string, delay time.Duration, c *counts) *tcpLink {
	return &tcpLink{host: host, delay: delay, counts: c}
}

func (l *tcpLink) open(ctx context.Context) error {
	d := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}
	conn, err := d.DialContext(ctx, "tcp", l.host)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", l.host, cause(err))
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		conn.Close()
		return fmt.Errorf("connect to %s: %w", l.host, err)
	}
	l.conn, l.raw, l.buf, l.unanswered = conn, raw, l.buf[:0], 0
	return nil
}

// cause leaves out of a network error the address, which is said already.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func (l *tcpLink) close() {
	if l.conn != nil {
		l.conn.Close()
		l.conn, l.raw = nil, nil
	}
}

func (l *tcpLink) begin(ctx context.Context, timeout time.Duration) {
	l.ctx, l.timeout = ctx, timeout
}

// lateAnswers: their transaction identifiers tell them apart.
func (l *tcpLink) lateAnswers() bool { return false }

// check notices that the other side has closed the connection, before a request
// is lost to it.
func (l *tcpLink) check() error {
	if l.conn == nil {
		return &linkError{err: fmt.Errorf("connection to %s is not open", l.host)}
	}
	if l.unanswered >= unansweredToReopen {
		return &linkError{stale: true, err: fmt.Errorf("connection to %s: no answer to %d requests in a row", l.host, l.unanswered)}
	}
	err := os.ErrDeadlineExceeded
	// Again when the deadline of an earlier Send came in between.
	for errors.Is(err, os.ErrDeadlineExceeded) {
		if err = l.conn.SetDeadline(time.Time{}); err != nil {
			break
		}
		if e := l.raw.Read(func(fd uintptr) bool {
			var b [1]byte
			var n int
			n, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			if n == 0 && err == nil {
				err = io.EOF
			}
			return true
		}); e != nil {
			err = e
		}
	}
	if err == nil || errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) {
		return nil
	}
	return l.lost(err, false)
}

// Send sends the request and reads until its answer comes, within the timeout.
func (l *tcpLink) Send(request []byte) ([]byte, error) {
	if err := wait(l.ctx, time.Until(l.last.Add(l.delay))); err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	// Each unit has a packager of its own that counts for itself: the identifier
	// must be unique on the link. The packager compares with these bytes.
	l.id++
	binary.BigEndian.PutUint16(request, l.id)
	if err := l.conn.SetDeadline(time.Now().Add(l.timeout)); err != nil {
		return nil, l.lost(err, false)
	}
	conn := l.conn
	stop := context.AfterFunc(l.ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	defer func() { l.last = time.Now() }()
	if _, err := l.conn.Write(request); err != nil {
		return nil, l.failed(err)
	}
	l.counts.requests.Add(1)
	l.counts.bytesOut.Add(uint64(len(request)))
	heard := 0
	for {
		frame, err := l.frame(&heard)
		switch {
		case err == nil && binary.BigEndian.Uint16(frame) != l.id:
			// The answer to a request that was given up.
			l.counts.discarded.Add(uint64(len(frame)))
		case err == nil:
			l.unanswered = 0
			l.counts.answers.Add(1)
			if err := fits(request, frame); err != nil {
				return nil, err
			}
			return frame, nil
		case errors.Is(err, os.ErrDeadlineExceeded) && l.ctx.Err() == nil:
			l.counts.timeouts.Add(1)
			if l.unanswered++; heard > 0 {
				l.unanswered = 0
			}
			return nil, &silence{timeout: l.timeout, heard: heard}
		default:
			return nil, l.failed(err)
		}
	}
}

// frame gives the next whole frame.
func (l *tcpLink) frame(heard *int) ([]byte, error) {
	for {
		if len(l.buf) >= mbapSize {
			length := int(binary.BigEndian.Uint16(l.buf[4:]))
			if binary.BigEndian.Uint16(l.buf[2:]) != 0 || length < 2 || length > maxLength {
				return nil, fmt.Errorf("what came is not Modbus TCP: % x", l.buf[:mbapSize])
			}
			if whole := 6 + length; len(l.buf) >= whole {
				frame := bytes.Clone(l.buf[:whole])
				l.buf = append(l.buf[:0], l.buf[whole:]...)
				return frame, nil
			}
		}
		var chunk [512]byte
		n, err := l.conn.Read(chunk[:])
		l.buf = append(l.buf, chunk[:n]...)
		*heard += n
		l.counts.bytesIn.Add(uint64(n))
		if err != nil {
			return nil, err
		}
	}
}

// fits says what keeps a frame from being an answer to the request.
func fits(request, frame []byte) error {
	want, ok := expect(request[6], request[mbapSize:])
	pdu := frame[mbapSize:]
	switch {
	case !ok:
		return &wrongAnswer{"this version does not send that function"}
	case frame[6] != want.unit:
		return &wrongAnswer{fmt.Sprintf("the answer is from unit %d", frame[6])}
	case pdu[0] == want.function|exceptionBit && len(pdu) == 2:
		return nil
	case pdu[0] != want.function:
		return &wrongAnswer{fmt.Sprintf("the answer is to function %d, not %d", pdu[0], want.function)}
	case len(want.head) == 1 && len(pdu) >= 2 && len(pdu) == 2+int(pdu[1]) && pdu[1] != want.head[0]:
		return &wrongAnswer{fmt.Sprintf("the answer has %d bytes of data, not %d", pdu[1], want.head[0])}
	case !bytes.HasPrefix(pdu[1:], want.head), 3+len(pdu) != want.length:
		return &wrongAnswer{fmt.Sprintf("the answer is not to what was asked: % x", pdu[:min(len(pdu), 5)])}
	}
	return nil
}

// failed is what an error of a connection in use means: the end of our context,
// or of the link.
func (l *tcpLink) failed(err error) error {
	if l.ctx.Err() != nil {
		return l.ctx.Err()
	}
	return l.lost(err, true)
}

func (l *tcpLink) lost(err error, sent bool) error {
	if errors.Is(err, io.EOF) {
		err = errors.New("closed by the other side")
	}
	return &linkError{sent: sent, err: fmt.Errorf("connection to %s: %w", l.host, cause(err))}
}
