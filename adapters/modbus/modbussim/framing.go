package modbussim

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
)

// Framing is how a PDU stands on a line.
type Framing uint8

const (
	RTU   Framing = iota // [MB-RTU 2.5.1]
	ASCII                // [MB-RTU 2.5.2]
	MBAP                 // as Modbus TCP has it [MB-TCP 3.1]
)

// ServeRTU answers on a serial line, until ctx ends, Close is called, or the
// line ends. It closes rw, and returns nil or why the line failed, after
// everything that it has started has ended.
func (s *Server) ServeRTU(ctx context.Context, rw io.ReadWriteCloser) error {
	return s.serveLine(ctx, rw, RTU)
}

// ServeASCII is ServeRTU in the other framing of serial lines.
func (s *Server) ServeASCII(ctx context.Context, rw io.ReadWriteCloser) error {
	return s.serveLine(ctx, rw, ASCII)
}

func (s *Server) serveLine(ctx context.Context, rw io.ReadWriteCloser, f Framing) error {
	end, err := s.begin(ctx, func() { rw.Close() })
	if err != nil {
		rw.Close()
		return err
	}
	defer end()
	l := s.newLine(rw)
	defer l.end()
	return l.serve(f)
}

// take answers the requests in the buffer, and gives what is left of it; false
// when nothing sensible can come any more.
func (l *line) take(f Framing, buffer []byte) ([]byte, bool) {
	switch f {
	case RTU:
		return l.takeRTU(buffer)
	case ASCII:
		return l.takeASCII(buffer)
	}
	return l.takeMBAP(buffer)
}

// serve answers until the line ends.
func (l *line) serve(f Framing) error {
	var buffer []byte
	chunk := make([]byte, maxFrame)
	for ok := true; ok; {
		n, err := l.rw.Read(chunk)
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		buffer, ok = l.take(f, append(buffer, chunk[:n]...))
	}
	return nil
}

// ServeUDP answers each datagram that holds a request, in any framing, until ctx
// ends, Close is called, or pc fails. It closes pc, and returns nil or why pc
// failed, after everything that it has started has ended.
func (s *Server) ServeUDP(ctx context.Context, pc net.PacketConn, f Framing) error {
	end, err := s.begin(ctx, func() { pc.Close() })
	if err != nil {
		pc.Close()
		return err
	}
	defer end()
	far := &datagrams{PacketConn: pc}
	l := s.newLine(far)
	defer l.end()
	chunk := make([]byte, maxLine)
	for {
		n, from, err := pc.ReadFrom(chunk)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		l.writing.take()
		far.to = from
		l.writing.pass()
		l.take(f, chunk[:n])
	}
}

// datagrams sends each answer to whoever asked last.
type datagrams struct {
	net.PacketConn
	to net.Addr // guarded by line.writing
}

func (d *datagrams) Read([]byte) (int, error)    { return 0, io.EOF }
func (d *datagrams) Write(b []byte) (int, error) { return d.WriteTo(b, d.to) }
