package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/coder/websocket"
)

// wsReadPart is the most that one Read takes of a message, in bytes. The library
// fills what it is given, and what a slow link has brought must not wait for that.
const wsReadPart = 4 << 10

// wsConn is the byte stream in the binary messages of a WebSocket. Deadlines and
// Close are those of the connection below: MQTT says its goodbye by itself. One
// goroutine may read and one write.
type wsConn struct {
	net.Conn
	ws      *websocket.Conn
	message io.Reader // the one that is being read; nil between two
}

// upgrade makes a WebSocket of conn, which may be TLS. [MQTT 6]
func upgrade(ctx context.Context, conn net.Conn, ep endpoint) (net.Conn, error) {
	target, err := url.Parse("http://" + ep.address + ep.path) // TLS, where there is some, is below
	if err != nil {
		return nil, fmt.Errorf("WebSocket: %w", err)
	}
	client := &http.Client{
		Transport: &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ws, answer, err := websocket.Dial(ctx, target.String(), &websocket.DialOptions{
		HTTPClient: client, Subprotocols: []string{"mqtt"}, // [MQTT-6.0.0-3]
	})
	switch {
	case err == nil:
	case answer != nil && answer.StatusCode != http.StatusSwitchingProtocols:
		return nil, fmt.Errorf("WebSocket at %s: the upstream answers %s", target.Path, answer.Status)
	default:
		var wrapped *url.Error // its text says the URL again
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("WebSocket at %s: %w", target.Path, cause(err))
	}
	if ws.Subprotocol() != "mqtt" { // [MQTT-6.0.0-4]
		return nil, fmt.Errorf("WebSocket at %s: the upstream does not speak the sub-protocol mqtt there: is the path right?", target.Path)
	}
	ws.SetReadLimit(-1) // messages are read as they come
	return &wsConn{Conn: conn, ws: ws}, nil
}

func (c *wsConn) Read(p []byte) (int, error) {
	p = p[:min(len(p), wsReadPart)]
	for {
		if c.message == nil {
			kind, message, err := c.ws.Reader(context.Background())
			if err != nil {
				return 0, wsFault(err)
			}
			if kind != websocket.MessageBinary { // [MQTT-6.0.0-1]
				return 0, errors.New("the upstream sends text over the WebSocket: MQTT comes in binary messages")
			}
			c.message = message
		}
		n, err := c.message.Read(p)
		if err == io.EOF {
			c.message, err = nil, nil
		}
		if err != nil {
			// What came of a frame that was cut is nothing.
			return 0, wsFault(err)
		}
		if n > 0 {
			return n, nil
		}
	}
}

// wsFault makes io.EOF of every proper end, and of a close the words of the
// upstream.
func wsFault(err error) error {
	var closed websocket.CloseError
	switch {
	case errors.As(err, &closed):
		switch closed.Code {
		case websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusNoStatusRcvd:
			return io.EOF
		}
		return fmt.Errorf("the upstream closed the WebSocket: %d %q", closed.Code, closed.Reason)
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return err
}

// Write sends p as one message. [MQTT-6.0.0-2]
func (c *wsConn) Write(p []byte) (int, error) {
	if err := c.ws.Write(context.Background(), websocket.MessageBinary, p); err != nil {
		return 0, fmt.Errorf("write to the WebSocket: %w", err)
	}
	return len(p), nil
}
