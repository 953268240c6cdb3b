package bridge

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// needPrograms skips a test where a peer is missing, or fails where it must be
// there.
func needPrograms(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		const hint = "%s is missing: apt-get install mosquitto mosquitto-clients"
		if os.Getenv("HEADGATE_PEERS") == "required" {
			t.Fatalf(hint, name)
		}
		t.Skipf(hint, name)
	}
}

// mosquitto is a real broker on a port of its own, which it keeps over restarts.
type mosquitto struct {
	t    *testing.T
	dir  string
	port string
	cmd  *exec.Cmd
}

func newMosquitto(t *testing.T, settings ...string) *mosquitto {
	t.Helper()
	needPrograms(t, "mosquitto", "mosquitto_pub", "mosquitto_sub", "mosquitto_passwd")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	m := &mosquitto{t: t, dir: t.TempDir(), port: port}
	lines := append([]string{
		"user root", "listener " + port + " 127.0.0.1", "persistence true", "persistence_location " + m.dir + "/",
		"max_queued_messages 0", // of the subscribers: all must be counted
	}, settings...)
	if err := os.WriteFile(m.file("conf"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if m.cmd != nil {
			m.end(syscall.SIGKILL)
		}
		if t.Failed() {
			b, _ := os.ReadFile(m.file("log"))
			t.Logf("mosquitto logged:\n%s", b[max(0, len(b)-4000):])
		}
	})
	m.start()
	return m
}

func (m *mosquitto) file(name string) string { return filepath.Join(m.dir, name) }
func (m *mosquitto) addr() string            { return "127.0.0.1:" + m.port }

func (m *mosquitto) start() {
	m.t.Helper()
	log, err := os.OpenFile(m.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	m.cmd = exec.Command("mosquitto", "-c", m.file("conf"))
	m.cmd.Stdout, m.cmd.Stderr = log, log
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	eventually(m.t, "mosquitto listens", func() bool {
		c, err := net.Dial("tcp", m.addr())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (m *mosquitto) end(sig syscall.Signal) {
	m.cmd.Process.Signal(sig)
	m.cmd.Wait()
	m.cmd = nil
}

func (m *mosquitto) pub(args ...string) {
	m.t.Helper()
	out, err := exec.Command("mosquitto_pub", append([]string{"-h", "127.0.0.1", "-p", m.port}, args...)...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("mosquitto_pub %v: %v\n%s", args, err, out)
	}
}

// subscriber is a mosquitto_sub that gathers "topic payload" lines.
type subscriber struct {
	stop func() // returns when it has ended

	mu    sync.Mutex // guards lines
	lines []string
}

// subscribe starts one, and returns when its subscription stands: a retained
// message says so.
func (m *mosquitto) subscribe(filter string, args ...string) *subscriber {
	m.t.Helper()
	m.pub("-r", "-t", "ready", "-m", "1", "-q", "1")
	args = append([]string{"-h", "127.0.0.1", "-p", m.port, "-t", "ready", "-t", filter, "-q", "2", "-F", "%t %q %r %p"}, args...)
	cmd := exec.Command("mosquitto_sub", args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	s := new(subscriber)
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		in := bufio.NewScanner(out)
		for once := false; in.Scan(); {
			if strings.HasPrefix(in.Text(), "ready ") {
				if !once {
					close(ready)
				}
				once = true
				continue
			}
			s.mu.Lock()
			s.lines = append(s.lines, in.Text())
			s.mu.Unlock()
		}
	}()
	s.stop = sync.OnceFunc(func() {
		cmd.Process.Kill()
		<-ended
		cmd.Wait()
	})
	m.t.Cleanup(s.stop)
	select {
	case <-ready:
	case <-time.After(hang):
		m.t.Fatal("mosquitto_sub is not ready")
	}
	return s
}

func (s *subscriber) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

// payloads gives the last word of each line.
func (s *subscriber) payloads() []string {
	lines := s.got()
	for i, l := range lines {
		lines[i] = l[strings.LastIndexByte(l, ' ')+1:]
	}
	return lines
}

func TestMosquittoTakesWhatGoesUpAndSendsWhatComesDown(t *testing.T) {
	t.Parallel()
	for _, version := range []string{version5, version311} {
		t.Run("MQTT "+version, func(t *testing.T) {
			m := newMosquitto(t, "allow_anonymous true")
			src := newMemory(t)
			sub := m.subscribe("plant/#")
			cfg := config(m.addr())
			cfg.Version = version
			cfg.Up = nil
			for qos := range 3 {
				cfg.Up = append(cfg.Up, Up{Filter: fmt.Sprintf("field/%d/#", qos), QoS: new(qos), LocalPrefix: "field/", RemotePrefix: "plant/"})
			}
			cfg.Down = []Down{{Filter: "cmd/#", QoS: new(2), RemotePrefix: "cmd/", LocalPrefix: "field/"}}
			b := start(t, cfg, src)
			for qos := range 3 {
				src.add(Message{Topic: fmt.Sprintf("field/%d/a", qos), Payload: []byte("up"), QoS: 1}, true)
			}
			src.add(Message{Topic: "field/2/b", Payload: []byte("last"), Retain: true}, true)
			eventually(t, "all let go", func() bool { return src.left() == 0 })
			want := []string{"plant/0/a 0 0 up", "plant/1/a 1 0 up", "plant/2/a 2 0 up", "plant/2/b 2 0 last"}
			eventually(t, "all arrived", func() bool { return slices.Equal(sub.got(), want) })

			for qos := range 3 {
				m.pub("-t", fmt.Sprintf("cmd/%d", qos), "-m", "do", "-q", fmt.Sprint(qos))
			}
			eventually(t, "the commands are here", func() bool { return len(src.received()) == 3 })
			for qos, msg := range src.received() {
				if msg.Topic != fmt.Sprintf("field/%d", qos) || string(msg.Payload) != "do" || int(msg.QoS) != qos || queuedMark(msg) != "" {
					t.Errorf("got %+v", msg)
				}
			}
			if st := b.Stats(); st.Version != version || st.Reconnects != 0 || len(st.GivenUp) != 0 {
				t.Errorf("stats: %+v", st)
			}

			// What mosquitto keeps while we are away comes marked.
			b.stop()
			m.pub("-t", "cmd/kept", "-m", "old", "-q", "2")
			start(t, cfg, src)
			eventually(t, "the kept command is here", func() bool { return len(src.received()) == 4 })
			if msg := src.received()[3]; queuedMark(msg) != "1" || string(msg.Payload) != "old" {
				t.Errorf("got %+v", msg)
			}
		})
	}
}

func TestMosquittoOverTLSWithUserNameAndPassword(t *testing.T) {
	t.Parallel()
	caFile, certFile, keyFile := authority(t)
	needPrograms(t, "mosquitto_passwd")
	passwords := filepath.Join(t.TempDir(), "passwords")
	if out, err := exec.Command("mosquitto_passwd", "-b", "-c", passwords, "plant7", "horse").CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
	}
	m := newMosquitto(t, "allow_anonymous false", "password_file "+passwords,
		"cafile "+caFile, "certfile "+certFile, "keyfile "+keyFile, "require_certificate true")
	src := newMemory(t)
	src.put("field/a", "1")
	cfg := config(m.addr())
	cfg.URL = "mqtts://" + m.addr()
	cfg.TLS = TLS{CAFile: caFile, CertFile: certFile, KeyFile: keyFile}
	cfg.Credentials = Credentials{Username: "plant7", Password: "cow"}
	b := start(t, cfg, src)
	eventually(t, "refused", func() bool { return b.Stats().LastError == "refused: not authorized"+credentialsHint })
	b.stop()
	if src.left() != 1 {
		t.Fatal("the message is gone")
	}
	cfg.Credentials.Password = "horse"
	b = start(t, cfg, src)
	eventually(t, "let go", func() bool { return src.left() == 0 })
	if st := b.Stats(); st.Version != version5 || st.LastError != "" {
		t.Errorf("stats: %+v", st)
	}
}

func TestABacklogReachesAMosquittoThatWasKilled(t *testing.T) {
	t.Parallel()
	for _, version := range []string{version5, version311} {
		for qos := 1; qos <= 2; qos++ {
			t.Run(fmt.Sprintf("MQTT %s QoS %d", version, qos), func(t *testing.T) {
				m := newMosquitto(t, "allow_anonymous true")
				src := newMemory(t)
				p := proxyTo(t, m.addr())
				cfg := withQoS(config(p.Addr()), qos)
				cfg.Version = version
				b := start(t, cfg, src)
				src.put("field/a", "before")
				eventually(t, "connected", func() bool { return src.left() == 0 })
				p.Cut()
				m.end(syscall.SIGKILL)
				want := numbers(3000) // mosquitto's own window is 20
				src.put("field/a", want...)
				m.start()
				sub := m.subscribe("plant/#")
				if err := p.Mend(); err != nil {
					t.Fatal(err)
				}
				eventually(t, "all let go", func() bool { return src.left() == 0 })
				eventually(t, "all arrived", func() bool { return len(sub.got()) >= len(want) })
				if got := sub.payloads(); !slices.Equal(got, want) {
					t.Errorf("%d arrived of %d, or not in order: %s", len(got), len(want), firstDifference(got, want))
				}
				if st := b.Stats(); len(st.GivenUp) != 0 || st.Reconnects != 1 {
					t.Errorf("stats: %+v", st)
				}
			})
		}
	}
}

func TestAMosquittoRestartedInTheMiddleHasEachQoS2MessageOnce(t *testing.T) {
	t.Parallel()
	for _, version := range []string{version5, version311} {
		t.Run("MQTT "+version, func(t *testing.T) {
			m := newMosquitto(t, "allow_anonymous true")
			src := newMemory(t)
			// mosquitto's own deliveries are not what is tested: it keeps all for a
			// subscriber that asks at the end.
			m.subscribe("plant/#", "-c", "-i", "counter").stop()
			p := proxyTo(t, m.addr())
			p.Delay(time.Millisecond)
			cfg := withQoS(config(p.Addr()), 2)
			cfg.Version = version
			b := start(t, cfg, src)
			want := numbers(1000)
			src.put("field/a", want[:500]...)
			eventually(t, "some are there", func() bool { return b.Stats().Forwarded > 50 })
			m.end(syscall.SIGTERM) // it writes its sessions down
			src.put("field/a", want[500:]...)
			m.start()
			eventually(t, "all let go", func() bool { return src.left() == 0 })
			if st := b.Stats(); st.Reconnects == 0 {
				t.Error("mosquitto was not restarted in the middle")
			}
			sub := m.subscribe("plant/#", "-c", "-i", "counter")
			eventually(t, "all arrived", func() bool { return len(sub.got()) >= len(want) })
			if got := sub.payloads(); !slices.Equal(got, want) {
				t.Errorf("%d arrived of %d, or not in order: %s", len(got), len(want), firstDifference(got, want))
			}
		})
	}
}

// firstDifference shows where two lists part.
func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("from %d on got %v, want %v", i, got[i:min(i+60, len(got))], want[i:min(i+3, len(want))])
		}
	}
	return "one is the beginning of the other"
}
