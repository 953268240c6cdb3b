package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/bridge/faultnet"
	"headgate/broker"
	"headgate/broker/auth"
	"headgate/broker/brokertest"
	"headgate/broker/listen"
	"headgate/broker/packet"
)

// inside is a pub or sub that runs inside the test.
type inside struct {
	t    *testing.T
	stop context.CancelFunc // as a signal does
	done chan struct{}
	err  error // after done

	mu       sync.Mutex // guards what follows
	out, log bytes.Buffer
}

// lockedWriter writes into one of a command's buffers.
type lockedWriter struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

// start runs "pub ..." or "sub ..." with the words of line.
func start(t *testing.T, in io.Reader, line string, more ...string) *inside {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := &inside{t: t, stop: stop, done: make(chan struct{})}
	words := append(strings.Fields(line), more...)
	run := map[string]func(context.Context, []string, streams) error{"pub": runPub, "sub": runSub}[words[0]]
	go func() {
		defer close(c.done)
		c.err = run(ctx, words[1:], streams{in, lockedWriter{&c.mu, &c.out}, lockedWriter{&c.mu, &c.log}})
	}()
	t.Cleanup(func() {
		stop()
		<-c.done
		if t.Failed() {
			t.Logf("%s: %v\n%s", line, c.err, c.log.String())
		}
	})
	return c
}

// wait waits for the end and gives the exit status and the standard output.
func (c *inside) wait() (status int, out string) {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(hang):
		c.t.Fatal("the command did not end")
	}
	var end *ended
	switch {
	case errors.As(c.err, &end):
		status = end.status
	case c.err != nil:
		c.t.Fatalf("got an error without a status: %v", c.err)
	}
	return status, c.out.String()
}

func (c *inside) printed() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

func (c *inside) complaints() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

// subscribed waits for the subscription of a sub with -d.
func (c *inside) subscribed(times int) {
	c.t.Helper()
	eventually(c.t, "it subscribes", func() bool { return strings.Count(c.printed(), "Subscribed (") >= times })
}

// run runs one to its end.
func run(t *testing.T, in io.Reader, line string, more ...string) (status int, out string) {
	t.Helper()
	return start(t, in, line, more...).wait()
}

// at gives the flags for an address.
func at(address string) string {
	host, port, _ := net.SplitHostPort(address)
	return " -h " + host + " -p " + port
}

func TestPubReachesSubInEveryVersionAtEveryQoS(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for _, version := range []string{"31", "311", "5"} {
		for qos := range 3 {
			t.Run(fmt.Sprintf("MQTT %s, QoS %d", version, qos), func(t *testing.T) {
				flags := fmt.Sprintf("%s -V %s -q %d", at(b.Addr), version, qos)
				sub := start(t, nil, "sub -t a/+ -t b -C 4 -F %t=%p=%q -d"+flags)
				sub.subscribed(1)
				for _, line := range []string{"pub -t a/1 -m one", "pub -t a/2 -n", "pub -t b -s", "pub -t a/3 -m four"} {
					if status, _ := run(t, strings.NewReader("th\nree"), line+flags); status != 0 {
						t.Fatalf("%s: exit status %d", line, status)
					}
				}
				status, out := sub.wait()
				var got []string
				for _, line := range strings.Split(out, "\n") {
					if !strings.HasPrefix(line, "Client ") && !strings.HasPrefix(line, "Subscribed ") {
						got = append(got, line)
					}
				}
				want := strings.ReplaceAll("a/1=one=Q a/2==Q b=th ree=Q a/3=four=Q ", "Q", fmt.Sprint(qos))
				if got := strings.Join(got, " "); status != 0 || got != want {
					t.Errorf("got %q and exit status %d, want %q and 0", got, status, want)
				}
			})
		}
	}
}

func TestManyLinesArriveInOrder(t *testing.T) {
	t.Parallel()
	const count = 5000
	b := brokertest.Start(t)
	var lines strings.Builder
	for i := range count {
		fmt.Fprintf(&lines, "line %d\n", i)
	}
	for qos := range 3 {
		sub := start(t, nil, fmt.Sprintf("sub -t lines%d -q %d -C %d%s", qos, qos, count, at(b.Addr)))
		eventually(t, "it subscribes", func() bool { return b.Broker.Stats().Subscriptions == 1 })
		status, _ := run(t, strings.NewReader(lines.String()), fmt.Sprintf("pub -t lines%d -l -q %d%s", qos, qos, at(b.Addr)))
		if status != 0 {
			t.Fatalf("QoS %d: pub ended with %d", qos, status)
		}
		if status, out := sub.wait(); status != 0 || out != lines.String() {
			t.Errorf("QoS %d: got exit status %d and %d bytes, want 0 and %d bytes", qos, status, len(out), lines.Len())
		}
		eventually(t, "its subscription is gone", func() bool { return b.Broker.Stats().Subscriptions == 0 })
	}
}

// proxied puts a network that can be cut before a broker.
func proxied(t *testing.T, address string) *faultnet.Proxy {
	t.Helper()
	p, err := faultnet.Listen("127.0.0.1:0", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestSubComesBackWhenItsConnectionIsLost(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	network := proxied(t, b.Addr)
	sub := start(t, nil, "sub -t a -q 1 -C 2 -d -c -i me"+at(network.Addr()))
	sub.subscribed(1)
	run(t, nil, "pub -t a -m before -q 1"+at(b.Addr))
	eventually(t, "the first message is acknowledged", func() bool { return strings.Contains(sub.printed(), "PUBACK") })
	network.Cut()
	eventually(t, "it says so", func() bool {
		return strings.Contains(sub.complaints(), "connection refused: connecting again every second")
	})
	run(t, nil, "pub -t a -m meanwhile -q 1"+at(b.Addr)) // which the broker stores
	if err := network.Mend(); err != nil {
		t.Fatal(err)
	}
	status, out := sub.wait()
	if status != 0 || !strings.Contains(out, "before\n") || !strings.Contains(out, "meanwhile\n") {
		t.Errorf("got exit status %d and %q, want 0 and both messages", status, out)
	}
}

func TestPubOfLinesComesBackAndLosesNone(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	network := proxied(t, b.Addr)
	sub := start(t, nil, "sub -t a -q 2 -C 9"+at(b.Addr))
	eventually(t, "it subscribes", func() bool { return b.Broker.Stats().Subscriptions == 1 })
	in, feed := io.Pipe()
	pub := start(t, in, "pub -t a -l -q 2 -d -c -i me"+at(network.Addr()))
	fmt.Fprint(feed, "1\n2\n3\n")
	eventually(t, "three arrive", func() bool { return sub.printed() == "1\n2\n3\n" })
	network.Freeze() // what is published now does not arrive
	fmt.Fprint(feed, "4\n5\n6\n")
	eventually(t, "three more leave", func() bool { return strings.Count(pub.printed(), "sending PUBLISH") == 6 })
	network.Cut()
	network.Thaw()
	eventually(t, "the loss is seen", func() bool { return pub.complaints() != "" })
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		fmt.Fprint(feed, "7\n8\n9\n") // it is read when there is a connection again
		feed.Close()
	}()
	if err := network.Mend(); err != nil {
		t.Fatal(err)
	}
	if status, _ := pub.wait(); status != 0 {
		t.Errorf("pub ended with %d, want 0", status)
	}
	<-fed
	if status, out := sub.wait(); status != 0 || out != "1\n2\n3\n4\n5\n6\n7\n8\n9\n" {
		t.Errorf("got exit status %d and %q, want 0 and each line once, in order", status, out)
	}
}

func TestPubOfOneMessageDoesNotComeBack(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	network := proxied(t, b.Addr)
	network.Freeze()
	pub := start(t, nil, "pub -t a -m x -q 1"+at(network.Addr()))
	eventually(t, "it connects", func() bool { open, _ := network.Connections(); return open > 0 })
	network.Break()
	// On a slow machine the connection breaks while it is still being made.
	if status, _ := pub.wait(); status != exitLost && status != exitFailed {
		t.Errorf("got exit status %d, want %d", status, exitLost)
	}
}

func TestACountLeavesTheRestToTheNextOfTheSession(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for qos := 1; qos <= 2; qos++ {
		flags := fmt.Sprintf(" -t a -c -i me%d -q %d%s", qos, qos, at(b.Addr))
		run(t, nil, "sub -E"+flags)
		run(t, strings.NewReader("1\n2\n3\n4\n5\n"), fmt.Sprintf("pub -t a -l -q %d%s", qos, at(b.Addr)))
		for _, want := range []string{"1\n2\n", "3\n4\n5\n"} {
			status, out := run(t, nil, fmt.Sprintf("sub -C %d", strings.Count(want, "\n"))+flags)
			if status != 0 || out != want {
				t.Errorf("QoS %d: got exit status %d and %q, want 0 and %q", qos, status, out, want)
			}
		}
		if status, out := run(t, nil, "sub -W 1"+flags); status != exitTimedOut || out != "" {
			t.Errorf("QoS %d: got exit status %d and %q, want %d and nothing more", qos, status, out, exitTimedOut)
		}
	}
}

func TestRetainedMessagesAreRemoved(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for _, topic := range []string{"r/1", "r/2", "keep"} {
		run(t, nil, "pub -r -m x -q 1 -t "+topic+at(b.Addr))
	}
	status, out := run(t, nil, "sub -t r/# -v --remove-retained --retained-only"+at(b.Addr))
	if lines := strings.Count(out, "\n"); status != 0 || lines != 2 {
		t.Errorf("got exit status %d and %q, want 0 and two messages", status, out)
	}
	run(t, nil, "sub -t keep --remove-retained -R -W 1"+at(b.Addr))
	eventually(t, "nothing is retained", func() bool { return b.Broker.Stats().Retained == 0 })
}

func TestHowPubAndSubEnd(t *testing.T) {
	t.Parallel()
	nobody := quietAddress(t)
	b := brokertest.Start(t, func(c *broker.Config) {
		c.User = []auth.UserConfig{{Name: "me", Password: "secret"}}
		c.MaxPacketBytes = 1000
	})
	large := strings.Repeat("x", 1100)
	for _, c := range []struct {
		line   string
		status int
		says   string
	}{
		{"sub -t a -W 1" + at(b.Addr), 27, "headgate: timed out"},
		{"sub -t a" + at(nobody), 1, "dial tcp " + nobody + ": connection refused: is the broker running? -h and -p name another"},
		{"pub -t a -m x" + at(nobody), 1, "connection refused: is the broker running?"},
		{"pub -t a -m x --unix /nothing", 1, "dial unix /nothing: no such file or directory: is the broker running, and is that its socket?"},
		{"pub -t a -m x --quiet" + at(nobody), 1, ""},
		{"sub -t a -u me -P wrong" + at(b.Addr), 4, b.Addr + " refused the connection: bad user name or password: check -u and -P"},
		{"sub -t a -u me -P wrong -V 5" + at(b.Addr), 134, "bad user name or password"},
		{"pub -t a -m x -u me -P wrong -V 5 --quiet" + at(b.Addr), 134, ""},
		{"pub -t a -V 5 -m " + large + at(b.Addr), 25, "takes 1000 at most"},
		{"pub -t a -q 1 -m " + large + at(b.Addr), 7, "closed the connection"},
		{"pub -t a -s" + at(b.Addr), 1, "the standard input is empty: an empty message is sent with -n"},
		{"pub -t a -f /nothing" + at(b.Addr), 1, "-f: open /nothing: no such file"},
		{"pub -t a", 1, "pub: the message is missing"},
	} {
		command := start(t, strings.NewReader(""), c.line)
		status, _ := command.wait()
		said := command.complaints()
		if command.err != nil && command.err.(*ended).err != nil {
			said += "headgate: " + command.err.Error()
		}
		// A broker that closes may do so with a reset.
		if c.says == "closed the connection" && strings.Contains(said, "reset by peer") {
			said = c.says
		}
		if status != c.status || !strings.Contains(said, c.says) || c.says == "" && said != "" {
			t.Errorf("%.80s: got exit status %d and %q, want %d and %q", c.line, status, said, c.status, c.says)
		}
	}
}

func TestAnotherClientOfTheSameNameEndsSub(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	sub := start(t, nil, "sub -t a -i me -V 5 -d"+at(b.Addr))
	sub.subscribed(1)
	run(t, nil, "pub -t b -m x -i me"+at(b.Addr))
	if status, _ := sub.wait(); status != int(packet.SessionTakenOver) {
		t.Errorf("got exit status %d, want %d", status, packet.SessionTakenOver)
	}
}

func TestASignalEndsSubWell(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	will, _ := brokertest.Connect(t, b.Addr, packet.V5, "watcher")
	will.SubscribeTo("w", 0)
	sub := start(t, nil, "sub -t a -d --will-topic w --will-payload broken"+at(b.Addr))
	sub.subscribed(1)
	sub.stop()
	if status, _ := sub.wait(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	eventually(t, "the connection is gone", func() bool { return b.Broker.Stats().Connections == 1 })
	will.Silent() // the will was not published
}

func TestWhatCannotBePrintedIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	flags := " -t a -c -i me -q 1" + at(b.Addr)
	run(t, nil, "sub -E"+flags)
	run(t, nil, "pub -t a -m x -q 1"+at(b.Addr))
	err := runSub(t.Context(), strings.Fields("-C 1"+flags), streams{nil, fullDisk{}, io.Discard})
	var end *ended
	if !errors.As(err, &end) || end.status != exitFailed || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v, want a failure that says no space left", err)
	}
	if status, out := run(t, nil, "sub -C 1"+flags); status != 0 || out != "x\n" {
		t.Errorf("got exit status %d and %q, want the message again", status, out)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestTLSChecksWhoTheBrokerIs(t *testing.T) {
	t.Parallel()
	certFile, keyFile := exampleCertificate(t)
	b := brokertest.Start(t, func(c *broker.Config) {
		c.Listener = []listen.Config{{URL: "mqtts://127.0.0.1:0", CertFile: certFile, KeyFile: keyFile}}
	})
	_, port, _ := net.SplitHostPort(b.Addr)
	capath := " --capath " + filepath.Dir(certFile)
	for line, want := range map[string]string{
		"pub -t a -m x -h 127.0.0.1 --cafile " + certFile + " -p " + port:        "",
		"pub -t a -m x -h 127.0.0.1 -p " + port + capath:                         "",
		"pub -m x --cafile " + certFile + " -L mqtts://127.0.0.1:" + port + "/a": "",
		"pub -t a -m x --insecure -p " + port + capath:                           "", // localhost, which it is not for
		"pub -t a -m x -p " + port + capath:                                      "not localhost",
		"pub -t a -m x -h 127.0.0.1 --tls-use-os-certs -p " + port:               "unknown authority",
		"pub -t a -m x --insecure --tls-use-os-certs -p " + port:                 "unknown authority",
		"pub -t a -m x -h 127.0.0.1 --tls-version tlsv1.1 -p " + port + capath:   "TLS handshake",
		"pub -t a -m x -h 127.0.0.1 --tls-version tlsv1.3 -p " + port + capath:   "",
	} {
		command := start(t, nil, line)
		status, _ := command.wait()
		said := ""
		if command.err != nil {
			said = command.err.Error()
		}
		if (status == 0) != (want == "") || !strings.Contains(said, want) {
			t.Errorf("%s: got exit status %d and %q, want %q", line, status, said, want)
		}
	}
}

// exampleCertificate writes the certificate of net/http/httptest, which is for
// example.com and 127.0.0.1, and its key.
func exampleCertificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	key, err := x509.MarshalPKCS8PrivateKey(web.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: web.Certificate().Raw}, keyFile: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
