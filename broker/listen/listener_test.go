package listen

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestPlainTCPIsHandedOutAsItComes(t *testing.T) {
	l := start(t, Config{URL: "mqtt://127.0.0.1:0"})
	nc := l.dial()
	wantEcho(t, nc, "hello")
	if p := l.peer(); p.Remote.String() != nc.LocalAddr().String() || !p.Local || p.TLS || p.WebSocket || p.HasUsername {
		t.Errorf("got %+v", p)
	}
	if got, want := l.Stats(), (Stats{Accepted: 1, Active: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestIPv6(t *testing.T) {
	probe, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no ::1")
	}
	probe.Close()
	l := start(t, Config{URL: "mqtt://[::1]:0"})
	wantEcho(t, l.dial(), "hello")
	if p := l.peer(); !p.Local || !strings.HasPrefix(p.Remote.String(), "[::1]:") {
		t.Errorf("got %+v", p)
	}
}

func TestAPeerThroughAProxyIsNotLocal(t *testing.T) {
	l := start(t, Config{URL: "mqtt://127.0.0.1:0", ProxyProtocol: true})
	cases := []struct {
		name   string
		header []byte
		remote string // "": the connection's own
	}{
		{"from elsewhere", []byte("PROXY TCP4 192.0.2.1 198.51.100.1 56324 1883\r\n"), "192.0.2.1:56324"},
		{"who says to be local", []byte("PROXY TCP4 127.0.0.1 127.0.0.1 56324 1883\r\n"), "127.0.0.1:56324"},
		{"the proxy itself", v2(0x20, 0, ""), ""},
	}
	for _, c := range cases {
		nc := l.dial()
		nc.Write(c.header)
		wantEcho(t, nc, "hello")
		if c.remote == "" {
			c.remote = nc.LocalAddr().String()
		}
		if p := l.peer(); p.Local || p.Remote.String() != c.remote {
			t.Errorf("%s: got %v, local %t, want %s", c.name, p.Remote, p.Local, c.remote)
		}
	}
	nc := l.dial()
	io.WriteString(nc, "\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00")
	wantEnd(t, nc)
	l.log.await(t, "PROXY header: there is none")
}

func TestAUnixSocketHasItsMode(t *testing.T) {
	for _, mode := range []string{"", "0600", "0666"} {
		path := socketPath(t)
		l := start(t, Config{URL: "unix://" + path, Mode: mode})
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := parseMode(mode)
		if mode == "" {
			want = 0o660
		}
		if got := info.Mode(); got.Perm() != want || got&fs.ModeSocket == 0 {
			t.Errorf("mode %q: got %v, want a socket of %v", mode, got, want)
		}
		wantEcho(t, l.dial(), "hello")
		if p := l.peer(); !p.Local {
			t.Errorf("got %+v, want a local peer", p)
		}
		l.stop()
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after the end the socket is still there: %v", err)
		}
	}
}

func TestOnlyASocketThatNobodyAnswersOnIsRemoved(t *testing.T) {
	listenOn := func(path string) error {
		cfg := Config{URL: "unix://" + path}
		cfg.SetDefaults()
		l, err := New(cfg, newRecord().logger())
		if err != nil {
			t.Fatal(err)
		}
		err = l.Listen()
		if err == nil {
			l.unbind()
		}
		return err
	}

	stale := socketPath(t)
	dead, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	if err := listenOn(stale); err != nil {
		t.Errorf("a stale socket: got %v, want it replaced", err)
	}

	l := start(t, Config{URL: "unix://" + socketPath(t)})
	if err := listenOn(l.cfg.Address()); err == nil || !strings.Contains(err.Error(), "somebody is listening there") {
		t.Errorf("a socket in use: got %v", err)
	}
	wantEcho(t, l.dial(), "hello")

	other := socketPath(t)
	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: other})
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	if err := listenOn(other); err == nil || !strings.Contains(err.Error(), "may be in use") {
		t.Errorf("a socket of another kind: got %v", err)
	}

	file := socketPath(t)
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := listenOn(file); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file: got %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file is now %q, %v", b, err)
	}
}

func TestOneConnectionMoreThanTheLimitIsClosedAtOnce(t *testing.T) {
	l := start(t, Config{URL: "mqtt://127.0.0.1:0", MaxConnections: 2})
	first, second := l.dial(), l.dial()
	wantEcho(t, first, "hello")
	wantEcho(t, second, "hello")
	wantEnd(t, l.dial())
	if got, want := l.Stats(), (Stats{Accepted: 3, Refused: 1, Active: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	first.Close()
	for l.Stats().Active == 2 {
		time.Sleep(time.Millisecond)
	}
	wantEcho(t, l.dial(), "hello")
}

func TestTheCallerAdmitsBeforeAnythingIsRead(t *testing.T) {
	var room, held atomic.Int64
	room.Store(1)
	admit := func() (func(), bool) {
		if held.Load() >= room.Load() {
			return nil, false
		}
		held.Add(1)
		return func() { held.Add(-1) }, true
	}
	l := startWith(t, newSecured(t).cfg, admit, echo)
	idle := l.dial() // in its handshake, it takes the room
	for l.Stats().Active == 0 {
		time.Sleep(time.Millisecond)
	}
	wantEnd(t, l.dial())
	if got, want := l.Stats(), (Stats{Accepted: 2, Refused: 1, Active: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	idle.Close()
	for held.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
}

func TestServeEndsWithItsConnectionsAndLeavesThePort(t *testing.T) {
	for _, cfg := range []Config{{URL: "mqtt://127.0.0.1:0"}, newSecured(t).cfg, {URL: "ws://127.0.0.1:0"}, {URL: "mqtt://127.0.0.1:0", ProxyProtocol: true}} {
		l := start(t, cfg)
		nc := l.dial() // all but the first are in their handshakes
		for l.Stats().Active == 0 {
			time.Sleep(time.Millisecond)
		}
		address := l.Addr().String()
		l.stop()
		wantEnd(t, nc)
		if l.Addr() != nil || l.Stats().Active != 0 {
			t.Errorf("%s: got %v, %+v, want nothing bound and active", cfg.URL, l.Addr(), l.Stats())
		}
		again, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("%s: %v", cfg.URL, err)
		}
		again.Close()
	}
}

func TestAFaultInOneConnectionLeavesTheOthers(t *testing.T) {
	l := startWith(t, Config{URL: "mqtt://127.0.0.1:0"}, everybody, func(ctx context.Context, nc net.Conn, p Peer, over func()) {
		b := make([]byte, 1)
		if io.ReadFull(nc, b); b[0] == '!' {
			panic("boom")
		}
		nc.Write(b)
		echo(ctx, nc, p, over)
	})
	good, bad := l.dial(), l.dial()
	wantEcho(t, good, "x")
	io.WriteString(bad, "!")
	wantEnd(t, bad)
	wantEcho(t, good, "still here")
	l.log.await(t, "fault in the listener: connection closed")
}

func TestAPortInUseIsTriedUntilItIsFree(t *testing.T) {
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	// The clock of the test stands while something waits on the network: Serve
	// does that as soon as it has the port.
	synctest.Test(t, func(t *testing.T) {
		log := newRecord()
		l, err := New(Config{URL: "mqtt://" + holder.Addr().String()}, log.logger())
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Listen(); !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("got %v, want that the address is in use", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { l.Serve(ctx, time.Second, everybody, echo) })
		time.Sleep(10*listenRetry + 1)
		if got := log.count("trying again until it can"); got != 1 || l.Addr() != nil {
			t.Errorf("got %d lines about the port, bound to %v, want 1 line and nothing bound", got, l.Addr())
		}
		holder.Close()
		log.await(t, "msg=listening")
		cancel()
		wg.Wait()
	})
}

// pipes is a listener that accepts what a test puts in.
type pipes struct {
	conns chan net.Conn
	errs  chan error
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), errs: make(chan error), done: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-p.conns:
		return nc, nil
	case err := <-p.errs:
		return nil, err
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Net: "pipe", Name: "pipe"} }

func TestASlowHandshakeEndsInTime(t *testing.T) {
	const timeout = 10 * time.Second
	request := []byte("GET /mqtt HTTP/1.1\r\nHost: h\r\nX: ")
	header := []byte("PROXY TCP4 192.0.2.1 198.51.100.1 56324 1883\r\n")
	record := []byte("\x16\x03\x01\x40\x00")
	s := newSecured(t)
	s.cfg.ProxyProtocol = true
	cases := []struct {
		name  string
		cfg   Config
		start []byte // at once; then it is a byte a second
	}{
		{"silent", s.cfg, nil},
		{"PROXY", Config{URL: "mqtt://", ProxyProtocol: true}, []byte("PROXY UNKNOWN")},
		{"PROXY v2", Config{URL: "mqtt://", ProxyProtocol: true}, v2(0x21, 0x11, v4Addrs)[:16]},
		{"TLS", s.cfg, append(header, record...)},
		{"WebSocket", Config{URL: "ws://"}, request},
		{"WebSocket after PROXY", Config{URL: "ws://", ProxyProtocol: true}, append(header, request...)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.SetDefaults()
			synctest.Test(t, func(t *testing.T) {
				l, err := New(c.cfg, newRecord().logger())
				if err != nil {
					t.Fatal(err)
				}
				p := newPipes()
				l.bound = p
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() {
					l.Serve(ctx, timeout, everybody, func(_ context.Context, _ net.Conn, _ Peer, over func()) {
						t.Error("it was handed out")
						over()
					})
				})
				client, server := net.Pipe()
				began := time.Now()
				p.conns <- server
				if c.start != nil {
					for _, err := client.Write(c.start); err == nil; _, err = client.Write([]byte("x")) {
						time.Sleep(time.Second)
					}
				} else {
					client.Read(make([]byte, 1))
				}
				// The last byte is tried within a second after the end.
				if took := time.Since(began); took < timeout || took > timeout+time.Second {
					t.Errorf("it ended after %v, want %v", took, timeout)
				}
				synctest.Wait()
				if got, want := l.Stats(), (Stats{Accepted: 1, HandshakesFailed: 1}); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
				cancel()
				wg.Wait()
			})
		})
	}
}

func TestAPeerThatIsGoneWithoutAWordIsNoticed(t *testing.T) {
	got := make(chan [4]int, 1)
	s := startWith(t, Config{URL: "mqtt://127.0.0.1:0"}, everybody, func(ctx context.Context, nc net.Conn, p Peer, over func()) {
		raw, err := nc.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Error(err)
		}
		var o [4]int
		raw.Control(func(fd uintptr) {
			o[0], _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
			o[1], _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
			o[2], _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL)
			o[3], _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT)
		})
		got <- o
		echo(ctx, nc, p, over)
	})
	nc := s.dial()
	defer nc.Close()
	if o, want := <-got, [4]int{1, 60, 15, 4}; o != want {
		t.Errorf("the connection's keep alive, idle, interval and count are %v, want %v", o, want)
	}
}

func TestAConnectionThatIsHandedOutHasNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := New(Config{URL: "mqtt://", ProxyProtocol: true}, newRecord().logger())
		if err != nil {
			t.Fatal(err)
		}
		p := newPipes()
		l.bound = p
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { l.Serve(ctx, time.Second, everybody, echo) })
		client, server := net.Pipe()
		p.conns <- server
		io.WriteString(client, "PROXY UNKNOWN\r\n")
		time.Sleep(time.Hour)
		wantEcho(t, client, "hello")
		cancel()
		wg.Wait()
	})
}

func TestAcceptErrorsPauseAndAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newRecord()
		l, err := New(Config{URL: "mqtt://"}, log.logger())
		if err != nil {
			t.Fatal(err)
		}
		p := newPipes()
		l.bound = p
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { l.Serve(ctx, time.Second, everybody, echo) })
		began := time.Now()
		for range 100 {
			p.errs <- syscall.EMFILE
		}
		// 5, 10, ... 640 ms, then a second each.
		if took := time.Since(began); took < 80*time.Second {
			t.Errorf("100 errors took %v: that is a flood", took)
		}
		client, server := net.Pipe()
		p.conns <- server
		wantEcho(t, client, "hello")
		if got := log.count("connection cannot be accepted"); got != 1 {
			t.Errorf("got %d lines, want 1", got)
		}
		p.errs <- syscall.EMFILE
		synctest.Wait()
		if got := log.count("connection cannot be accepted"); got != 2 {
			t.Errorf("at the next: got %d lines, want 2", got)
		}
		cancel()
		wg.Wait()
	})
}
