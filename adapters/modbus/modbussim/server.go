package modbussim

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// ErrClosed is what the serving methods give after Close.
var ErrClosed = errors.New("the Modbus server is closed")

// Server answers for its units on every line that it is given. Make one with
// New, and Close it.
type Server struct {
	mu    sync.Mutex // guards what follows
	units map[byte]*Unit
	lines map[*line]struct{}
	stops map[int]func() // ends one serving method each
	next  int
	ended bool

	serving sync.WaitGroup // serving methods
}

// New makes a server without units. It serves nothing yet.
func New() *Server {
	return &Server{units: map[byte]*Unit{}, lines: map[*line]struct{}{}, stops: map[int]func(){}}
}

// Unit gives the unit of that id, which is made the first time. A unit that
// has not been made never answers.
func (s *Server) Unit(id byte) *Unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.units[id]
	if u == nil {
		u = newUnit()
		s.units[id] = u
	}
	return u
}

// Disconnect closes every connection and every line that is served now, as if
// their plugs were pulled. TCP listeners stay.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.lines {
		l.rw.Close()
	}
}

// Close ends all serving, and returns once it has ended.
func (s *Server) Close() error {
	s.mu.Lock()
	s.ended = true
	for _, stop := range s.stops {
		stop()
	}
	s.mu.Unlock()
	s.serving.Wait()
	return nil
}

// begin notes that a serving method runs until ctx ends or Close; then stop is
// called, once at least. end must be called when it has ended.
func (s *Server) begin(ctx context.Context, stop func()) (end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, ErrClosed
	}
	key := s.next
	s.next++
	s.stops[key] = stop
	s.serving.Add(1)
	unhook := context.AfterFunc(ctx, stop)
	return func() {
		unhook()
		stop()
		s.mu.Lock()
		delete(s.stops, key)
		s.mu.Unlock()
		s.serving.Done()
	}, nil
}

// line is one connection or serial line that is served.
type line struct {
	server *Server
	rw     io.ReadWriteCloser

	writing turn           // one answer at a time
	late    sync.WaitGroup // answers that are still to come
	done    chan struct{}  // closed when the line is
}

func (s *Server) newLine(rw io.ReadWriteCloser) *line {
	l := &line{server: s, rw: rw, done: make(chan struct{}), writing: newTurn()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines[l] = struct{}{}
	return l
}

// end closes the line and waits for what it has started.
func (l *line) end() {
	close(l.done)
	l.rw.Close()
	l.late.Wait()
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	delete(l.server.lines, l)
}

func (s *Server) lookup(id byte) *Unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.units[id]
}

// send sends an answer as f has it: in pieces, late, after noise.
func (l *line) send(frame []byte, f Fault) {
	if f.Delay <= 0 {
		l.put(frame, f)
		return
	}
	l.late.Go(func() {
		if l.wait(f.Delay) {
			l.put(frame, f)
		}
	})
}

func (l *line) put(frame []byte, f Fault) {
	l.writing.take()
	defer l.writing.pass()
	flip(frame, f.FlipBits)
	frame = append(append([]byte(nil), f.Before...), frame...)
	if f.SplitAt > 0 && f.SplitAt < len(frame) {
		l.rw.Write(frame[:f.SplitAt])
		if !l.wait(f.SplitFor) {
			return
		}
		frame = frame[f.SplitAt:]
	}
	// A line that does not take it is noticed by the next read from it.
	l.rw.Write(frame)
}

// turn is a lock that may be held for long. It is no sync.Mutex because time does
// not pass in a simulation while one of those is waited for.
type turn chan struct{}

func newTurn() turn  { return make(turn, 1) }
func (t turn) take() { t <- struct{}{} }
func (t turn) pass() { <-t }

// flip turns n bits of the frame over, at places that its bytes decide.
func flip(frame []byte, n int) {
	bits := 8 * len(frame)
	place := int(checksum(frame))
	for range n {
		frame[place%bits/8] ^= 1 << (place % 8)
		place += bits/2 + 1
	}
}

// wait is false when the line was closed meanwhile.
func (l *line) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}
