package listen

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// dialWS connects as a client of the library's.
func (s *served) dialWS(scheme string, client *http.Client, change ...func(*websocket.DialOptions)) (*websocket.Conn, *http.Response, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	opts := &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{"mqtt"}}
	for _, f := range change {
		f(opts)
	}
	ws, resp, err := websocket.Dial(ctx, scheme+"://"+s.Addr().String()+"/mqtt", opts)
	if err == nil {
		s.t.Cleanup(func() { ws.CloseNow() })
	}
	return ws, resp, err
}

func (s *served) mustDialWS() *websocket.Conn {
	s.t.Helper()
	ws, _, err := s.dialWS("ws", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return ws
}

func stream(t testing.TB, ws *websocket.Conn) net.Conn {
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	t.Cleanup(cancel)
	return websocket.NetConn(ctx, ws, websocket.MessageBinary)
}

func TestBytesGoBothWaysOverAWebSocket(t *testing.T) {
	l := start(t, Config{URL: "ws://127.0.0.1:0"})
	ws := l.mustDialWS()
	nc := stream(t, ws)
	if got := ws.Subprotocol(); got != "mqtt" {
		t.Errorf("got the sub-protocol %q, want mqtt", got)
	}
	wantEcho(t, nc, "hello")
	wantEcho(t, nc, "again")
	if p := l.peer(); !p.WebSocket || !p.Local || p.TLS {
		t.Errorf("got %+v", p)
	}
	nc.Close()
	for l.Stats().Active > 0 {
		time.Sleep(time.Millisecond)
	}
}

func TestOverTLSAWebSocketHasItsCertificatesUser(t *testing.T) {
	s := newSecured(t)
	s.cfg.URL = "wss://127.0.0.1:0"
	s.askClients()
	s.cfg.UsernameFrom = "cn"
	l := start(t, s.cfg)
	cfg := s.client(s.ca.issue(subject("panel")))
	ws, _, err := l.dialWS("wss", &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}})
	if err != nil {
		t.Fatal(err)
	}
	wantEcho(t, stream(t, ws), "hello")
	if p := l.peer(); !p.WebSocket || !p.TLS || p.Username != "panel" {
		t.Errorf("got %+v, want panel over TLS", p)
	}
}

func TestAMessageMayBeOfAnySizeAndCutAnywhere(t *testing.T) {
	l := start(t, Config{URL: "ws://127.0.0.1:0"})
	ws := l.mustDialWS()
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	nc := stream(t, ws)
	large := bytes.Repeat([]byte("0123456789"), 300_000)
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			w, err := ws.Writer(ctx, websocket.MessageBinary) // one message in many frames, some of them empty
			if err != nil {
				return err
			}
			for part := range slices.Chunk(large, 70_001) {
				if _, err := w.Write(part); err != nil {
					return err
				}
				if _, err := w.Write(nil); err != nil {
					return err
				}
			}
			return errors.Join(w.Close(), ws.Write(ctx, websocket.MessageBinary, nil), ws.Write(ctx, websocket.MessageBinary, large))
		}()
	}()
	got := make([]byte, 2*len(large))
	if _, err := io.ReadFull(nc, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, append(bytes.Clone(large), large...)) {
		t.Error("what came back differs")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAPingIsAnswered(t *testing.T) {
	l := start(t, Config{URL: "ws://127.0.0.1:0"})
	ws := l.mustDialWS()
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	ws.CloseRead(ctx)
	if err := ws.Ping(ctx); err != nil {
		t.Error(err)
	}
}

func TestATextMessageEndsTheConnection(t *testing.T) {
	l := start(t, Config{URL: "ws://127.0.0.1:0"})
	ws := l.mustDialWS()
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	ws.Write(ctx, websocket.MessageText, []byte("hello"))
	_, _, err := ws.Read(ctx)
	if got := websocket.CloseStatus(err); got != websocket.StatusUnsupportedData {
		t.Errorf("got %v, want the status of unsupported data", err)
	}
}

// ask sends a request by hand and gives the answer, with its text.
func (s *served) ask(request string) (*http.Response, string) {
	s.t.Helper()
	nc := s.dial()
	go io.WriteString(nc, request)
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(text)
}

func TestARequestThatIsNoWebSocketOfOursIsToldSo(t *testing.T) {
	l := start(t, Config{URL: "ws://127.0.0.1:0", Origins: []string{"*.example.com"}})
	const upgrade = "Host: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
	const ours = upgrade + "Sec-WebSocket-Protocol: mqtt\r\n"
	cases := []struct {
		name    string
		request string
		status  int
		text    string
	}{
		{"a browser", "GET /mqtt HTTP/1.1\r\nHost: h\r\n\r\n", 426, "This is an MQTT broker"},
		{"another path", "GET / HTTP/1.1\r\n" + ours + "\r\n", 404, "it is at \"/mqtt\""},
		{"no sub-protocol", "GET /mqtt HTTP/1.1\r\n" + upgrade + "\r\n", 400, "the sub-protocol must be \"mqtt\""},
		{"another sub-protocol", "GET /mqtt HTTP/1.1\r\n" + upgrade + "Sec-WebSocket-Protocol: chat, mqtt2\r\n\r\n", 400, "must be \"mqtt\""},
		{"POST", "POST /mqtt HTTP/1.1\r\n" + ours + "\r\n", 405, "GET"},
		{"another version", "GET /mqtt HTTP/1.1\r\n" + strings.Replace(ours, "13", "8", 1) + "\r\n", 400, "version"},
		{"another site's page", "GET /mqtt HTTP/1.1\r\n" + ours + "Origin: https://evil.example\r\n\r\n", 403, "not authorized"},
		{"no HTTP", "\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00\r\n\r\n", 400, "no HTTP request"},
		{"the right one", "GET /mqtt?token=x HTTP/1.1\r\n" + strings.Replace(ours, "mqtt", "chat, mqtt", 1) + "\r\n", 101, ""},
		{"MQTT 3.1's name", "GET /mqtt HTTP/1.1\r\n" + strings.Replace(ours, "mqtt", "mqttv3.1", 1) + "\r\n", 101, ""},
		{"the same site's page", "GET /mqtt HTTP/1.1\r\n" + ours + "Origin: https://h\r\n\r\n", 101, ""},
		{"a page that is allowed", "GET /mqtt HTTP/1.1\r\n" + ours + "Origin: https://panel.example.com\r\n\r\n", 101, ""},
	}
	refused := 0
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.status == 101 {
				nc := l.dial()
				io.WriteString(nc, c.request)
				resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
				if err != nil || resp.StatusCode != 101 {
					t.Fatalf("got %v, %v, want 101", resp, err)
				}
				return
			}
			refused++
			resp, text := l.ask(c.request)
			if resp.StatusCode != c.status || !strings.Contains(text, c.text) {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, text, c.status, c.text)
			}
			if !resp.Close {
				t.Errorf("got %v, want Connection: close", resp.Header)
			}
		})
	}
	if got := l.Stats().HandshakesFailed; got != int64(refused) {
		t.Errorf("got %d failed handshakes, want %d", got, refused)
	}
}

func TestARequestWithoutEndIsRefused(t *testing.T) {
	l := start(t, Config{URL: "ws://127.0.0.1:0"})
	nc := l.dial()
	io.WriteString(nc, "GET /mqtt HTTP/1.1\r\nX: "+strings.Repeat("x", maxRequestBytes))
	wantEnd(t, nc)
	l.log.await(t, "the request is larger than 16384 bytes")
}

// frame makes one as a client sends it, masked, of a message that is whole.
func frame(payload string) []byte {
	const mask = "\x01\x02\x03\x04"
	b := append([]byte{0x82, 0x80 | byte(len(payload))}, mask...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

// raw upgrades by hand, so that a test can send half a frame.
func (s *served) raw() net.Conn {
	s.t.Helper()
	nc := s.dial()
	fmt.Fprintf(nc, "GET /mqtt HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")
	// Byte by byte up to the empty line: what follows it is the test's.
	for head := ""; !strings.HasSuffix(head, "\r\n\r\n"); {
		b := make([]byte, 1)
		if _, err := io.ReadFull(nc, b); err != nil {
			s.t.Fatal(err)
		}
		head += string(b)
	}
	return nc
}

// handed serves with a handle of the test's, which gets the connection.
func handed(t testing.TB) (l *served, conns chan net.Conn) {
	conns = make(chan net.Conn)
	return startWith(t, Config{URL: "ws://127.0.0.1:0"}, everybody, func(ctx context.Context, nc net.Conn, _ Peer, over func()) {
		defer over()
		select {
		case conns <- nc:
			<-ctx.Done() // the test has it
		case <-ctx.Done():
		}
	}), conns
}

func TestAfterAReadDeadlineTheClientCanBeToldWhy(t *testing.T) {
	l, conns := handed(t)
	nc := l.raw()
	server := <-conns
	nc.Write(frame("hello")[:8]) // two of five bytes
	server.SetReadDeadline(time.Now().Add(time.Millisecond))
	buf := make([]byte, 10)
	if n, err := server.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %d bytes %q, %v, want the deadline", n, buf[:n], err)
	}
	// The rest comes, but the frame was cut in two.
	nc.Write(frame("hello")[8:])
	server.SetReadDeadline(time.Time{})
	if n, err := server.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("afterwards: got %d bytes, %v, want the deadline again", n, err)
	}
	if _, err := server.Write([]byte("bye")); err != nil {
		t.Fatalf("afterwards nothing can be written: %v", err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(nc, got); err != nil || string(got) != "\x82\x03bye" {
		t.Errorf("got %q, %v, want the frame of \"bye\"", got, err)
	}
}

func TestAWriteDeadlineEndsTheWriteToAClientThatTakesNothing(t *testing.T) {
	l, conns := handed(t)
	l.raw()
	server := <-conns
	server.SetWriteDeadline(time.Now().Add(time.Millisecond))
	for {
		if _, err := server.Write(make([]byte, 1<<20)); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v, want the deadline", err)
			}
			return
		}
	}
}

func TestAReadEndsAsTheClientDoes(t *testing.T) {
	closing := func(status string) []byte { // a close frame, masked with zeros
		return append([]byte{0x88, 0x80 | byte(len(status)), 0, 0, 0, 0}, status...)
	}
	cases := []struct {
		name string
		sent []byte
		want string // of the error; "EOF" is a proper end
	}{
		{"normal closure", closing("\x03\xe8"), "EOF"},
		{"going away", closing("\x03\xe9"), "EOF"},
		{"no status", closing(""), "EOF"},
		{"a fault of the protocol", closing("\x03\xea"), "read from the WebSocket: "},
		{"gone", nil, "EOF"},
		{"gone amid a frame", frame("hello")[:8], "read from the WebSocket: "},
		{"gone amid a frame's head", frame("hello")[:1], "EOF"},
		{"a frame without mask", []byte("\x82\x05hello"), "read from the WebSocket: "},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l, conns := handed(t)
			nc := l.raw()
			server := <-conns
			nc.Write(c.sent)
			nc.(*net.TCPConn).CloseWrite()
			n, err := server.Read(make([]byte, 10))
			if n != 0 || err == nil || !strings.HasPrefix(err.Error(), c.want) || (c.want == "EOF") != (err == io.EOF) {
				t.Errorf("got %d bytes, %v, want %q", n, err, c.want)
			}
		})
	}
}

func TestCloseSaysGoodbyeAndEndsReadAndWrite(t *testing.T) {
	l, conns := handed(t)
	nc := l.raw() // does not answer
	server := <-conns
	ended := make(chan error, 2)
	go func() { _, err := server.Read(make([]byte, 1)); ended <- err }()
	go func() {
		for {
			if _, err := server.Write(make([]byte, 1<<20)); err != nil {
				ended <- err
				return
			}
		}
	}()
	server.Close()
	for range 2 {
		select {
		case err := <-ended:
			if err == nil {
				t.Error("it ended without an error")
			}
		case <-time.After(hang):
			t.Fatal("Read or Write goes on")
		}
	}
	if err := server.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second Close: got %v, want that it is closed", err)
	}
	if err := server.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a deadline afterwards: got %v, want that it is closed", err)
	}
	nc.Close()

	ws := l.mustDialWS()
	server = <-conns
	closed := make(chan error, 1)
	go func() { closed <- server.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	if _, _, err := ws.Read(ctx); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the client: got %v, want a normal closure", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("with a client that answers: got %v, want nil", err)
	}
}
