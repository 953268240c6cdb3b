package listen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// maxRequestBytes bounds the HTTP request that asks for a WebSocket.
const maxRequestBytes = 16 << 10

// subprotocols are the names of MQTT in the WebSocket handshake: today's, and
// that of 3.1. [MQTT-6.0.0-3] [MQTT-6.0.0-4]
var subprotocols = []string{"mqtt", "mqttv3.1"}

// upgrade makes a WebSocket of a connection. It answers one request, without an
// http.Server: so the deadline on nc bounds it all, and nothing runs beside it.
func (l *Listener) upgrade(nc net.Conn) (net.Conn, error) {
	limited := &io.LimitedReader{R: nc, N: maxRequestBytes}
	w := &response{nc: nc, header: make(http.Header),
		rw: bufio.NewReadWriter(bufio.NewReader(limited), bufio.NewWriter(nc))}
	r, err := http.ReadRequest(w.rw.Reader)
	if err != nil {
		switch {
		case limited.N <= 0:
			err = fmt.Errorf("the request is larger than %d bytes", maxRequestBytes)
			w.refuse(http.StatusRequestHeaderFieldsTooLarge, err.Error())
		case !errors.Is(err, io.EOF):
			w.refuse(http.StatusBadRequest, "this is no HTTP request")
		}
		return nil, err
	}
	if status, reason := l.fault(r); status != 0 {
		w.refuse(status, reason)
		return nil, errors.New(reason)
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: subprotocols, OriginPatterns: l.cfg.Origins, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		w.rw.Flush() // Accept has written why
		return nil, err
	}
	return newWSConn(nc, ws), nil
}

// fault says what is wrong with a request before the WebSocket protocol itself
// is looked at; status 0: nothing.
func (l *Listener) fault(r *http.Request) (status int, reason string) {
	switch {
	case r.URL.Path != l.address.path:
		return http.StatusNotFound, fmt.Sprintf("no WebSocket at %q: it is at %q", r.URL.Path, l.address.path)
	case !hasToken(r.Header["Upgrade"], "websocket"):
		return http.StatusUpgradeRequired, "the request asks for no WebSocket"
	case !hasToken(r.Header["Sec-Websocket-Protocol"], subprotocols...):
		return http.StatusBadRequest, fmt.Sprintf("the sub-protocol must be \"mqtt\", the request has %q", r.Header["Sec-Websocket-Protocol"])
	}
	return 0, ""
}

// response writes the answer to one request. It is what websocket.Accept needs
// of an http.ResponseWriter, which can be hijacked.
type response struct {
	nc      net.Conn
	rw      *bufio.ReadWriter
	header  http.Header
	written bool
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if w.written {
		return
	}
	w.written = true
	if status != http.StatusSwitchingProtocols {
		w.header.Add("Connection", "close")
	}
	fmt.Fprintf(w.rw, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	w.header.Write(w.rw)
	w.rw.WriteString("\r\n")
}

func (w *response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.rw.Write(b)
}

func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.nc, w.rw, w.rw.Flush()
}

// refuse answers what is no WebSocket of ours, so that whoever looks with a
// browser learns where they are.
func (w *response) refuse(status int, reason string) {
	if status == http.StatusUpgradeRequired {
		w.header.Set("Upgrade", "websocket")
		w.header.Set("Connection", "Upgrade")
	}
	http.Error(w, "This is an MQTT broker, which speaks MQTT over WebSocket: "+reason+".", status)
	w.rw.Flush()
}
