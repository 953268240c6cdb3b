package bridge

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/listen"
	"headgate/broker/packet"
)

// connectProxy is an HTTP proxy that opens tunnels for whoever knows the
// password.
type connectProxy struct {
	listener net.Listener
	wg       sync.WaitGroup
	tunnels  atomic.Int64
}

func newConnectProxy(t *testing.T) *connectProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &connectProxy{listener: l}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); p.wg.Wait() })
	return p
}

func (p *connectProxy) addr() string { return p.listener.Addr().String() }

func (p *connectProxy) serve(c net.Conn) {
	defer c.Close()
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
	user, password, _ := r.BasicAuth()
	switch {
	case r.Method != http.MethodConnect || r.Host != r.RequestURI:
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		return
	case user != "plant7" || password != "horse@3":
		io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno")
		return
	}
	onward, err := net.Dial("tcp", r.RequestURI)
	if err != nil {
		io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer onward.Close()
	p.tunnels.Add(1)
	io.WriteString(c, "HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
	p.wg.Go(func() { io.Copy(onward, c); onward.Close() })
	io.Copy(c, onward)
}

// goesBothWays says that messages go up and come down, small ones and one of so
// many bytes.
func goesBothWays(t *testing.T, cfg Config, large int) {
	t.Helper()
	src := newMemory(t)
	own := strings.NewReplacer("/", "-", "#", "-").Replace(t.Name()) + "/"
	cfg.Up[0].RemotePrefix = own
	// A shared subscription has no No Local: what goes up comes down.
	cfg.Down = []Down{{Filter: "$share/g/" + own + "#", RemotePrefix: own, LocalPrefix: "back/"}}
	b := start(t, cfg, src)
	eventually(t, "connected", func() bool { return b.Stats().State == Connected || b.Stats().LastError != "" })
	want := []string{"1", strings.Repeat("l", large), "3"}
	src.put("field/a", want...)
	eventually(t, "all is back", func() bool { return len(src.received()) == len(want) })
	for i, m := range src.received() {
		if m.Topic != "back/a" || string(m.Payload) != want[i] {
			t.Errorf("message %d: topic %q, %d bytes", i, m.Topic, len(m.Payload))
		}
	}
	if st := b.Stats(); st.LastError != "" || st.Reconnects != 0 {
		t.Errorf("stats: %+v", st)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func TestMosquittoIsReachedByEachSchemeAndThroughAProxy(t *testing.T) {
	t.Parallel()
	caFile, certFile, keyFile := authority(t)
	settings := []string{"allow_anonymous true"}
	ports := map[string]string{}
	for _, scheme := range []string{"mqtt", "mqtts", "ws", "wss"} {
		ports[scheme] = freePort(t)
		settings = append(settings, "listener "+ports[scheme]+" 127.0.0.1")
		if strings.HasPrefix(scheme, "ws") {
			settings = append(settings, "protocol websockets")
		}
		if strings.HasSuffix(scheme, "s") && scheme != "ws" {
			settings = append(settings, "certfile "+certFile, "keyfile "+keyFile)
		}
	}
	newMosquitto(t, settings...)
	p := newConnectProxy(t)
	t.Cleanup(func() {
		if n := p.tunnels.Load(); n != int64(len(ports)) {
			t.Errorf("%d connections went through the proxy, want %d", n, len(ports))
		}
	})
	for scheme, port := range ports {
		for _, proxy := range []string{"", "http://plant7:horse%403@" + p.addr()} {
			t.Run(fmt.Sprintf("%s, through a proxy: %v", scheme, proxy != ""), func(t *testing.T) {
				t.Parallel()
				cfg := config("")
				cfg.URL, cfg.Proxy = scheme+"://127.0.0.1:"+port, proxy
				cfg.ClientID = t.Name()
				if scheme == "mqtts" || scheme == "wss" {
					cfg.TLS.CAFile = caFile
				}
				goesBothWays(t, cfg, 10_000) // mosquitto takes 4 KB of a WebSocket each 100 ms
			})
		}
	}
}

func TestOurOwnBrokerIsReachedOverAWebSocket(t *testing.T) {
	t.Parallel()
	s := brokertest.Start(t, func(c *broker.Config) {
		c.Listener = []listen.Config{{URL: "ws://127.0.0.1:0/mqtt"}}
	})
	cfg := config("")
	cfg.URL = "ws://" + s.Addr
	goesBothWays(t, cfg, 300_000)
}

func TestWhatIsInTheWayIsSaid(t *testing.T) {
	t.Parallel()
	p := newConnectProxy(t)
	u := listenUpstream(t)
	plain := brokertest.Start(t, func(c *broker.Config) {
		c.Listener = []listen.Config{{URL: "ws://127.0.0.1:0/mqtt"}}
	})
	closed := "127.0.0.1:" + freePort(t)
	for _, test := range []struct{ name, url, proxy, want string }{
		{"a proxy that wants a password", "mqtt://" + u.addr, "http://" + p.addr(),
			"proxy " + p.addr() + ": answers 407 Proxy Authentication Required"},
		{"a proxy that has no way", "mqtt://" + closed, "http://plant7:horse%403@" + p.addr(),
			"proxy " + p.addr() + ": answers 502 Bad Gateway"},
		{"a proxy that is not there", "mqtt://" + u.addr, "http://" + closed,
			"proxy " + closed + ": dial: connect: connection refused"},
		{"another path", "ws://" + plain.Addr + "/other", "",
			"WebSocket at /other: the upstream answers 404 Not Found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config("")
			cfg.URL, cfg.Proxy = test.url, test.proxy
			b := start(t, cfg, newMemory(t))
			eventually(t, "the attempt failed", func() bool { return b.Stats().LastError != "" })
			if got := b.Stats().LastError; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if b.log.lines("horse") != 0 {
				t.Error("the log has the proxy's password")
			}
		})
	}
}

func TestAProxyOrAWebSocketThatDoesNotAnswerIsGivenUp(t *testing.T) {
	t.Parallel()
	u := listenUpstream(t)
	for _, cfg := range []Config{
		{URL: "mqtt://127.0.0.1:1", Proxy: "http://" + u.addr},
		{URL: "ws://" + u.addr},
	} {
		cfg.Name, cfg.GatewayID, cfg.ConnectTimeout = "cloud", "gw", 100*time.Millisecond
		cfg.Up = []Up{{Filter: "#"}}
		b := start(t, cfg, newMemory(t))
		eventually(t, "the attempt failed", func() bool { return b.Stats().LastError != "" })
		if got := b.Stats().LastError; !strings.HasSuffix(got, "no answer within 100ms") {
			t.Errorf("got %q", got)
		}
		b.stop()
	}
}

func TestTheNameAndTheProtocolsArriveInTheTLSHandshake(t *testing.T) {
	t.Parallel()
	_, certFile, keyFile := authority(t)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	u := listenUpstream(t)
	cfg := config("")
	cfg.URL = "mqtts://" + u.addr
	cfg.TLS = TLS{InsecureSkipVerify: true, ServerName: "things.example", ALPN: []string{"x-amzn-mqtt-ca", "mqtt"}}
	start(t, cfg, newMemory(t))
	nc, err := u.listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var hello tls.ClientHelloInfo
	server := tls.Server(nc, &tls.Config{
		Certificates: []tls.Certificate{cert}, NextProtos: []string{"x-amzn-mqtt-ca"},
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) { hello = *h; return nil, nil },
	})
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if hello.ServerName != "things.example" || !slices.Equal(hello.SupportedProtos, cfg.TLS.ALPN) {
		t.Errorf("got the name %q and the protocols %q", hello.ServerName, hello.SupportedProtos)
	}
	if got := server.ConnectionState().NegotiatedProtocol; got != "x-amzn-mqtt-ca" {
		t.Errorf("agreed on %q", got)
	}
}

func TestAfterAFailureComesTheNextAddress(t *testing.T) {
	t.Parallel()
	first, second, third := listenUpstream(t), listenUpstream(t), listenUpstream(t)
	first.listener.Close()
	cfg := config("")
	cfg.URL, cfg.URLs = "", []string{"mqtt://" + first.addr, "mqtt://" + second.addr, "mqtt://" + third.addr}
	src := newMemory(t)
	b := start(t, cfg, src, hasty)
	no := packet.Connack{Reason: packet.ServerUnavailable}
	for range 2 {
		c := second.accept()
		c.send(no.Append(nil, c.v))
		c.net.Close()
		c = third.welcome(nil)
		if got := b.Stats().Remote; got != third.addr {
			t.Errorf("the address is %s, want %s", got, third.addr)
		}
		c.net.Close()
	}
	for _, line := range []string{"remote=" + first.addr, "remote=" + second.addr} {
		eventually(t, "logged", func() bool { return b.log.lines(`msg="upstream unreachable" bridge=cloud `+line) == 1 })
	}
}

func TestAfterAStableConnectionTheFirstAddressComesFirst(t *testing.T) {
	t.Parallel()
	cfg := config("")
	cfg.URL, cfg.URLs = "", []string{"mqtt://a", "mqtt://b", "mqtt://c"}
	b, err := New(cfg, newMemory(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, stood := range []time.Duration{time.Second, time.Minute, time.Second, time.Second, time.Second} {
		b.ended(errClosed, stood)
		got = append(got, b.remote())
	}
	if want := []string{"b:1883", "a:1883", "b:1883", "c:1883", "a:1883"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
