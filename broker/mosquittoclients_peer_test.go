package broker_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/broker"
	"headgate/broker/brokertest"
	"headgate/broker/listen"
	"headgate/broker/packet"
)

// mosquittoVersions are mosquitto's names for the protocol versions.
var mosquittoVersions = map[string]packet.Version{"mqttv31": packet.V31, "mqttv311": packet.V311, "mqttv5": packet.V5}

// running is a mosquitto_sub whose lines are gathered until it is stopped.
type running struct {
	cmd   *exec.Cmd
	ended chan struct{}

	mu    sync.Mutex // guards lines
	lines []string
}

// runSub starts a mosquitto_sub; it may not be subscribed yet.
func runSub(t *testing.T, at []string, args ...string) *running {
	t.Helper()
	needProgram(t, "mosquitto_sub", "mosquitto-clients")
	needProgram(t, "mosquitto_pub", "mosquitto-clients")
	// -W ends it, so that no test waits for ever.
	r := &running{cmd: exec.Command("mosquitto_sub", slices.Concat(at, []string{"-W", "30"}, args)...), ended: make(chan struct{})}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.ended)
		for in := bufio.NewScanner(out); in.Scan(); {
			r.mu.Lock()
			r.lines = append(r.lines, in.Text())
			r.mu.Unlock()
		}
	}()
	t.Cleanup(func() { r.end(syscall.SIGKILL) })
	return r
}

func (r *running) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

func (r *running) end(sig syscall.Signal) {
	r.cmd.Process.Signal(sig)
	<-r.ended
	r.cmd.Wait()
}

func runPub(t *testing.T, at []string, args ...string) {
	t.Helper()
	if out, err := exec.Command("mosquitto_pub", slices.Concat(at, args)...).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_pub %v: %v\n%s", args, err, out)
	}
}

// atAddress gives the arguments with which mosquitto's clients find a broker.
func atAddress(addr, version string) []string {
	host, port, _ := net.SplitHostPort(addr)
	return []string{"-h", host, "-p", port, "-V", version}
}

func subscribed(t *testing.T, s *brokertest.Server, n int64) {
	t.Helper()
	waitUntil(t, fmt.Sprintf("%d subscriptions", n), func() bool { return s.Broker.Stats().Subscriptions == n })
}

// One that is stopped sends a DISCONNECT, in 5.0 with the reason code that has the
// will published all the same.
func TestAKilledMosquittoSubLeavesItsWillAndAStoppedOneOnlyWhereItSaysSo(t *testing.T) {
	t.Parallel()
	for name, v := range mosquittoVersions {
		t.Run(name, func(t *testing.T) {
			s := brokertest.Start(t)
			watcher, _ := brokertest.Connect(t, s.Addr, v, "watcher")
			watcher.SubscribeTo("will/#", 2)
			args := []string{"-t", "x", "--will-payload", "gone", "--will-qos", "2", "--will-retain"}
			if v == packet.V5 {
				args = append(args, "-D", "will", "content-type", "text/plain", "-D", "will", "user-property", "cause", "power")
			}
			stopped := runSub(t, atAddress(s.Addr, name), append(args, "--will-topic", "will/stopped")...)
			killed := runSub(t, atAddress(s.Addr, name), append(args, "--will-topic", "will/killed")...)
			subscribed(t, s, 3)
			stopped.end(syscall.SIGTERM)
			if v == packet.V5 {
				watcher.Want("will/stopped", "gone", 2)
			}
			killed.end(syscall.SIGKILL)
			p := watcher.Want("will/killed", "gone", 2)
			if v == packet.V5 {
				props := p.Properties
				if string(props.ContentType) != "text/plain" || len(props.User) != 1 || string(props.User[0].Value) != "power" {
					t.Errorf("the will came with %v", props)
				}
			}
			watcher.Silent()
			late, _ := brokertest.Connect(t, s.Addr, v, "late")
			late.SubscribeTo("will/killed", 0)
			if p := late.Want("will/killed", "gone", 0); !p.Retain {
				t.Error("the will was not retained")
			}
		})
	}
}

func TestABacklogReachesAMosquittoSubWholeAndInOrder(t *testing.T) {
	t.Parallel()
	const many = 100 // more than mosquitto has on its way
	for name := range mosquittoVersions {
		t.Run(name, func(t *testing.T) {
			s := brokertest.Start(t, staysPut(t))
			session := []string{"-i", "away", "-c", "-q", "2", "-t", "b/#"}
			<-runSub(t, atAddress(s.Addr, name), append(session, "-E")...).ended
			subscribed(t, s, 1)
			pub, _ := brokertest.Connect(t, s.Addr, packet.V311, "pub")
			var want []string
			for i := range many {
				pub.Publish("b/x", fmt.Sprint(i), 2)
				want = append(want, fmt.Sprint(i))
			}
			s.Restart()
			sub := runSub(t, atAddress(s.Addr, name), append(session, "-C", fmt.Sprint(many))...)
			<-sub.ended
			if diff := cmp.Diff(want, sub.got()); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

func TestPropertiesPassFromMosquittoPubToMosquittoSub(t *testing.T) {
	t.Parallel()
	s := brokertest.Start(t)
	at := atAddress(s.Addr, "mqttv5")
	sub := runSub(t, at, "-t", "p/#", "-q", "2", "-F", "%j", "-D", "subscribe", "subscription-identifier", "42",
		"-D", "connect", "receive-maximum", "1", "-D", "connect", "user-property", "a", "b")
	subscribed(t, s, 1)
	runPub(t, at, "-t", "p/x", "-q", "2", "-m", "hello", "-D", "publish", "content-type", "text/plain", "-D", "publish", "response-topic", "answers",
		"-D", "publish", "correlation-data", "1234", "-D", "publish", "payload-format-indicator", "1", "-D", "publish", "message-expiry-interval", "1000",
		"-D", "publish", "user-property", "k", "1", "-D", "publish", "user-property", "ü", "2")
	// One alias for many messages, of which only the first has the topic.
	runPub(t, at, "-t", "p/alias", "-q", "1", "-m", "again", "--repeat", "3", "-D", "publish", "topic-alias", "7")
	waitUntil(t, "all came", func() bool { return len(sub.got()) == 4 })
	type message struct {
		Topic      string
		Payload    string
		QoS        int
		Properties map[string]any
	}
	var got []message
	for _, line := range sub.got() {
		var m message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e, _ := m.Properties["message-expiry-interval"].(float64); e > 0 && e <= 1000 {
			m.Properties["message-expiry-interval"] = "still good"
		}
		got = append(got, m)
	}
	alias := message{"p/alias", "again", 1, map[string]any{"subscription-identifier": 42.0}}
	want := []message{{"p/x", "hello", 2, map[string]any{
		"content-type": "text/plain", "response-topic": "answers", "correlation-data": "1234", "payload-format-indicator": 1.0,
		"message-expiry-interval": "still good", "subscription-identifier": 42.0,
		"user-properties": map[string]any{"k": "1", "ü": "2"},
	}}, alias, alias, alias}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s\n%s", diff, strings.Join(sub.got(), "\n"))
	}
}

func TestMosquittoRRHasItsAnswer(t *testing.T) {
	t.Parallel()
	needProgram(t, "mosquitto_rr", "mosquitto-clients")
	s := brokertest.Start(t)
	answerer, _ := brokertest.Connect(t, s.Addr, packet.V5, "answerer")
	answerer.SubscribeTo("ask", 1)
	answer := make(chan string, 1)
	go func() {
		out, err := exec.Command("mosquitto_rr", append(atAddress(s.Addr, "mqttv5"), "-t", "ask", "-e", "answers", "-m", "2+2", "-q", "1", "-W", "20",
			"-D", "publish", "correlation-data", "77")...).CombinedOutput()
		answer <- fmt.Sprint(string(out), err)
	}()
	p := answerer.Want("ask", "2+2", 1)
	to, data := string(p.Properties.ResponseTopic), p.Properties.CorrelationData
	answerer.Publish(to, "4", 1, func(p *packet.Publish) {
		p.Properties.CorrelationData = data
		p.Properties.Set(packet.PropCorrelationData)
	})
	if got := <-answer; to != "answers" || string(data) != "77" || got != "4\n<nil>" {
		t.Errorf("got %q on %q with %q", got, to, data)
	}
}

func TestMosquittoSubsOfEveryVersionShareASubscription(t *testing.T) {
	t.Parallel()
	const many = 60
	s := brokertest.Start(t)
	var members []*running
	for _, name := range slices.Sorted(maps.Keys(mosquittoVersions)) {
		members = append(members, runSub(t, atAddress(s.Addr, name), "-t", "$share/g/s/#", "-q", "1"))
	}
	subscribed(t, s, int64(len(members)))
	pub, _ := brokertest.Connect(t, s.Addr, packet.V5, "pub")
	for i := range many {
		pub.Publish("s/x", fmt.Sprint(i), 1)
	}
	var got []string
	waitUntil(t, "all came", func() bool {
		got = nil
		for _, m := range members {
			got = append(got, m.got()...)
		}
		return len(got) >= many
	})
	times := make(map[string]int)
	for _, payload := range got {
		times[payload]++
	}
	if len(got) != many || len(times) != many {
		t.Errorf("%d messages came, %d of them different, want %d once each", len(got), len(times), many)
	}
	for i, m := range members {
		if len(m.got()) == 0 {
			t.Errorf("member %d got nothing", i)
		}
	}
}

func TestMosquittosClientsComeThroughAUnixSocket(t *testing.T) {
	t.Parallel()
	needProgram(t, "mosquitto_pub", "mosquitto-clients")
	needProgram(t, "mosquitto_sub", "mosquitto-clients")
	dir, err := os.MkdirTemp("", "hg") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "mqtt.sock")
	s := brokertest.Start(t, func(c *broker.Config) { c.Listener = []listen.Config{{URL: "unix://" + socket}} })
	for name := range mosquittoVersions {
		at := []string{"--unix", socket, "-V", name}
		sub := runSub(t, at, "-t", "u/"+name, "-q", "2", "-v", "-C", "1")
		subscribed(t, s, 1)
		runPub(t, at, "-t", "u/"+name, "-q", "2", "-m", "hello")
		<-sub.ended
		if got := sub.got(); !slices.Equal(got, []string{"u/" + name + " hello"}) {
			t.Errorf("%s: got %q", name, got)
		}
		subscribed(t, s, 0)
	}
}
