package modbussim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
)

// mbap is the length of the header before a PDU: transaction and protocol
// identifier, length, unit. [MB-TCP 3.1.3]
const mbap = 7

// ServeTCP answers in Modbus TCP on every connection that ln accepts, until ctx
// ends, Close is called, or ln fails. It closes ln, and returns nil or why ln
// failed, after everything that it has started has ended.
func (s *Server) ServeTCP(ctx context.Context, ln net.Listener) error {
	return s.ServeOverTCP(ctx, ln, MBAP)
}

// ServeOverTCP is ServeTCP in any framing.
func (s *Server) ServeOverTCP(ctx context.Context, ln net.Listener, f Framing) error {
	end, err := s.begin(ctx, func() { ln.Close() })
	if err != nil {
		ln.Close()
		return err
	}
	defer end()
	var conns sync.WaitGroup
	open := map[*line]struct{}{}
	var mu sync.Mutex // guards open
	defer func() {
		mu.Lock()
		for l := range open {
			l.rw.Close()
		}
		mu.Unlock()
		conns.Wait()
	}()
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		}
		l := s.newLine(c)
		mu.Lock()
		open[l] = struct{}{}
		mu.Unlock()
		conns.Go(func() {
			l.serve(f)
			l.end()
			mu.Lock()
			delete(open, l)
			mu.Unlock()
		})
	}
}

// takeMBAP answers the requests in the buffer, and gives what is left of it;
// false when it is none of Modbus TCP.
func (l *line) takeMBAP(buffer []byte) ([]byte, bool) {
	for len(buffer) >= mbap {
		length := int(binary.BigEndian.Uint16(buffer[4:]))
		if binary.BigEndian.Uint16(buffer[2:]) != 0 || length < 2 || length > 254 {
			return nil, false
		}
		whole := 6 + length
		if len(buffer) < whole {
			break
		}
		l.answerMBAP(buffer[:whole])
		buffer = buffer[whole:]
	}
	return buffer, true
}

func (l *line) answerMBAP(request []byte) {
	u := l.server.lookup(request[6])
	if u == nil {
		return
	}
	out, f := u.answer(request[mbap:])
	if out == nil {
		return
	}
	frame := append(append([]byte(nil), request[:mbap]...), out...)
	binary.BigEndian.PutUint16(frame[4:], uint16(1+len(out)))
	if f.WrongTransaction {
		frame[0] ^= 0xff
	}
	l.send(frame, f)
}
