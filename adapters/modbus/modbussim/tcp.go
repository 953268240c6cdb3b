package modbussim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// mbap is the length of the header before a PDU: transaction and protocol
// identifier, length, unit. [MB-TCP 3.1.3]
const mbap = 7

// ServeTCP answers on every connection that ln accepts, until ctx ends, Close is
// called, or ln fails. It closes ln, and returns nil or why ln failed, after
// everything that it has started has ended.
func (s *Server) ServeTCP(ctx context.Context, ln net.Listener) error {
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
			l.serveTCP()
			mu.Lock()
			delete(open, l)
			mu.Unlock()
		})
	}
}

func (l *line) serveTCP() {
	defer l.end()
	var header [mbap]byte
	for {
		if _, err := io.ReadFull(l.rw, header[:]); err != nil {
			return
		}
		length := int(binary.BigEndian.Uint16(header[4:]))
		if binary.BigEndian.Uint16(header[2:]) != 0 || length < 2 || length > 254 {
			return
		}
		pdu := make([]byte, length-1)
		if _, err := io.ReadFull(l.rw, pdu); err != nil {
			return
		}
		u := l.server.lookup(header[6])
		if u == nil {
			continue
		}
		out, f := u.answer(pdu)
		if out == nil {
			continue
		}
		frame := append(append([]byte(nil), header[:]...), out...)
		binary.BigEndian.PutUint16(frame[4:], uint16(1+len(out)))
		if f.WrongTransaction {
			frame[0] ^= 0xff
		}
		l.send(frame, f)
	}
}
