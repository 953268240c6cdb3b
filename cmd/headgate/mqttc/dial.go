package mqttc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"github.com/coder/websocket"
)

// Endpoint is where the server is.
type Endpoint struct {
	// Socket is the path of a Unix socket; then the rest does not count.
	Socket string

	// Address is host:port.
	Address string

	// Bind is the local address to connect from, without a port; "" is any.
	Bind string

	// TLS is nil for a plain connection.
	TLS *tls.Config

	// Path is that of a WebSocket, "/mqtt"; "" is plain TCP.
	Path string
}

// String gives what errors name: host:port, or the socket's path.
func (e Endpoint) String() string {
	if e.Socket != "" {
		return e.Socket
	}
	return e.Address
}

func (e Endpoint) network() string {
	switch {
	case e.Socket != "":
		return "unix"
	case e.Path != "":
		return "websocket"
	case e.TLS != nil:
		return "tls"
	}
	return "tcp"
}

// DialError says that there is no connection: nobody is there, or no TLS or no
// WebSocket comes about.
type DialError struct {
	Network, Address string
	Err              error
}

func (e *DialError) Error() string { return fmt.Sprintf("dial %s %s: %v", e.Network, e.Address, e.Err) }

func (e *DialError) Unwrap() error { return e.Err }

// Refused says whether the port, or the socket, is there and nobody listens.
func (e *DialError) Refused() bool {
	return errors.Is(e.Err, syscall.ECONNREFUSED) || errors.Is(e.Err, syscall.ENOENT)
}

// dial connects within ctx.
func (e Endpoint) dial(ctx context.Context) (net.Conn, error) {
	nc, err := e.connect(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, &DialError{Network: e.network(), Address: e.String(), Err: err}
	}
	return nc, nil
}

func (e Endpoint) connect(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	if e.Socket != "" {
		nc, err := dialer.DialContext(ctx, "unix", e.Socket)
		return nc, cause(err)
	}
	if e.Bind != "" {
		local, err := net.DefaultResolver.LookupNetIP(ctx, "ip", e.Bind)
		if err != nil {
			return nil, cause(err)
		}
		dialer.LocalAddr = &net.TCPAddr{IP: local[0].AsSlice(), Zone: local[0].Zone()}
	}
	if e.Path != "" {
		return e.upgrade(ctx, &dialer)
	}
	nc, err := dialer.DialContext(ctx, "tcp", e.Address)
	if err != nil || e.TLS == nil {
		return nc, cause(err)
	}
	conn := tls.Client(nc, e.TLS)
	if err := conn.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("TLS handshake: %w", cause(err))
	}
	return conn, nil
}

// upgrade connects over a WebSocket. [MQTT 6]
func (e Endpoint) upgrade(ctx context.Context, dialer *net.Dialer) (net.Conn, error) {
	u := url.URL{Scheme: "ws", Host: e.Address, Path: e.Path}
	if e.TLS != nil {
		u.Scheme = "wss"
	}
	ws, _, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
		Subprotocols: []string{"mqtt"}, // [MQTT-6.0.0-3]
		HTTPClient:   &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: e.TLS}},
	})
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return nil, cause(err)
		}
		var wrapped *url.Error // its text says the URL again
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("WebSocket handshake: %w", cause(err))
	}
	if ws.Subprotocol() != "mqtt" { // [MQTT-6.0.0-4]
		ws.CloseNow()
		return nil, fmt.Errorf("the WebSocket at %s does not speak the sub-protocol mqtt", e.Path)
	}
	return webConn{websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws}, nil
}

// webConn is a WebSocket as a connection. MQTT says goodbye by itself, so Close
// does not wait for the WebSocket's own.
type webConn struct {
	net.Conn
	ws *websocket.Conn
}

func (c webConn) Close() error { return c.ws.CloseNow() }

// cause takes the addresses off a network error: they stand in its line anyway.
func cause(err error) error {
	if err == nil {
		return nil
	}
	if err == io.EOF {
		return errors.New("the server closed the connection")
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	var call syscall.Errno
	var dns *net.DNSError
	switch {
	case errors.As(err, &call):
		return call
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("look up %s: no such host", dns.Name)
	case errors.As(err, &dns):
		return fmt.Errorf("look up %s: the name server does not answer", dns.Name)
	}
	return err
}
