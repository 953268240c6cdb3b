package listen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	// wsReadPart is the most that one Read takes of a message. The library fills
	// what it is given, and a slow client's bytes must not wait for that.
	wsReadPart = 4 << 10

	// wsWritePart is the largest message that is sent. Between two a pong may go
	// out. MQTT packets may span messages. [MQTT-6.0.0-2]
	wsWritePart = 32 << 10

	// wsCloseTimeout bounds the closing handshake.
	wsCloseTimeout = time.Second
)

// wsConn is the byte stream in the binary messages of a WebSocket. Messages are
// read as they come, so that no size of theirs has to be limited.
//
// The library's own NetConn will not do: it closes the connection when a
// deadline passes, so that nobody could be told why. Here a deadline is that of
// the connection below. What cannot be had is to read on after one has passed,
// for it may have cut a frame in two: the error stays.
type wsConn struct {
	nc net.Conn // below the WebSocket
	ws *websocket.Conn

	readMu  sync.Mutex // guards what follows, for a whole Read
	message io.Reader  // the message that is being read; nil between two
	readErr error

	writeMu sync.Mutex // one Write at a time, so that its parts stay together

	mu      sync.Mutex // guards closing, and the deadlines against Close
	closing bool
}

func newWSConn(nc net.Conn, ws *websocket.Conn) *wsConn {
	ws.SetReadLimit(-1)
	return &wsConn{nc: nc, ws: ws}
}

func (c *wsConn) Read(p []byte) (int, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for c.readErr == nil {
		n, err := c.readSome(p[:min(len(p), wsReadPart)])
		if n > 0 {
			return n, nil
		}
		c.readErr = err
	}
	return 0, c.readErr
}

// readSome reads of the current message, or begins the next. It gives 0 bytes
// at the end of one.
func (c *wsConn) readSome(p []byte) (int, error) {
	if c.message == nil {
		kind, message, err := c.ws.Reader(context.Background())
		if err != nil {
			return 0, readFault(err)
		}
		if kind != websocket.MessageBinary { // [MQTT-6.0.0-1]
			c.closeWith(websocket.StatusUnsupportedData, "MQTT comes in binary messages")
			return 0, errors.New("read from the WebSocket: a text message: MQTT comes in binary ones")
		}
		c.message = message
	}
	n, err := c.message.Read(p)
	if err == io.EOF {
		c.message = nil
		return n, nil
	}
	if err != nil {
		// What came of a frame that was cut is still masked: it is nothing.
		return 0, readFault(err)
	}
	return n, nil
}

// readFault makes io.EOF of every proper end.
func readFault(err error) error {
	switch websocket.CloseStatus(err) {
	case websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusNoStatusRcvd:
		return io.EOF
	}
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("read from the WebSocket: %w", err)
}

func (c *wsConn) Write(p []byte) (n int, err error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	for n < len(p) {
		part := p[n:min(len(p), n+wsWritePart)]
		if err := c.ws.Write(context.Background(), websocket.MessageBinary, part); err != nil {
			return n, fmt.Errorf("write to the WebSocket: %w", err)
		}
		n += len(part)
	}
	return n, nil
}

// Close says goodbye and waits for the client's, but not long. A Read or Write
// that is under way ends with it.
func (c *wsConn) Close() error { return c.closeWith(websocket.StatusNormalClosure, "") }

func (c *wsConn) closeWith(status websocket.StatusCode, reason string) error {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.closing = true
	c.nc.SetDeadline(time.Now().Add(wsCloseTimeout))
	c.mu.Unlock()
	return c.ws.Close(status, reason)
}

func (c *wsConn) LocalAddr() net.Addr  { return c.nc.LocalAddr() }
func (c *wsConn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

func (c *wsConn) SetDeadline(t time.Time) error      { return c.set(c.nc.SetDeadline, t) }
func (c *wsConn) SetReadDeadline(t time.Time) error  { return c.set(c.nc.SetReadDeadline, t) }
func (c *wsConn) SetWriteDeadline(t time.Time) error { return c.set(c.nc.SetWriteDeadline, t) }

// set sets a deadline; once the connection closes, it has its own.
func (c *wsConn) set(deadline func(time.Time) error, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return net.ErrClosed
	}
	return deadline(t)
}
