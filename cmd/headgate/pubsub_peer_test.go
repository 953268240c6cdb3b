package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"headgate/broker"
	"headgate/broker/auth"
	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// needMosquitto skips a test where the peer is missing, or fails where it must be
// there.
func needMosquitto(t *testing.T) {
	t.Helper()
	for _, name := range []string{"mosquitto", "mosquitto_pub", "mosquitto_sub", "mosquitto_passwd"} {
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

// startMosquitto runs a mosquitto on a free port until the test ends.
func startMosquitto(t *testing.T, settings ...string) (port string) {
	t.Helper()
	address := quietAddress(t)
	_, port, _ = net.SplitHostPort(address)
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	lines := append([]string{"user root", "listener " + port + " 127.0.0.1"}, settings...)
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("mosquitto", "-c", conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	eventually(t, "mosquitto listens", func() bool {
		nc, err := net.Dial("tcp", address)
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
	return port
}

// brokers gives the port of ours and of mosquitto. Both want user and password.
func brokers(t *testing.T) map[string]string {
	t.Helper()
	ours := brokertest.Start(t, func(c *broker.Config) {
		c.User = []auth.UserConfig{{Name: "me", Password: "secret"}}
	})
	_, port, _ := net.SplitHostPort(ours.Addr)
	return map[string]string{"headgate": port, "mosquitto": startMosquitto(t, "allow_anonymous true", "password_file "+passwordFile(t))}
}

func passwordFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "passwords")
	if out, err := exec.Command("mosquitto_passwd", "-b", "-c", name, "me", "secret").CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
	}
	return name
}

// program is one that runs, or has run.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr bytes.Buffer

	mu     sync.Mutex // guards stdout
	stdout bytes.Buffer
}

// Write takes the program's standard output.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stdout.Write(b)
}

func (p *program) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stdout.String()
}

func startProgram(t *testing.T, stdin string, args ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(args[0], args[1:]...)}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = strings.NewReader(stdin), p, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	return p
}

// wait waits for its end and gives the exit status.
func (p *program) wait() int {
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *program) waitFor(word string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%s says %q", strings.Join(p.cmd.Args, " "), word), func() bool { return strings.Contains(p.output(), word) })
}

// twins are the same command of mosquitto's, which writes into a pipe only when
// it is told to, and ours.
func twins(command string) [][]string {
	return [][]string{{"stdbuf", "-o0", "mosquitto_" + command}, {"headgate", command}}
}

// result is what is compared: the lines of -d in an order of their own, because
// acknowledgements leave after what they stand for was printed, and times made
// equal.
type result struct {
	stdout string
	debug  string
	status int
}

func newResult(p *program, status int) result {
	r := result{status: status}
	var debug []string
	r.stdout = regexp.MustCompile(`(Client \S+ (sending|received)|Subscribed) .*\n`).ReplaceAllStringFunc(p.output(), func(line string) string {
		debug = append(debug, line) // after -N within a line
		return ""
	})
	slices.Sort(debug)
	r.debug = strings.Join(debug, "")
	r.stdout = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6}Z?)?[+-]\d{4}`).ReplaceAllString(r.stdout, "TIME")
	return r
}

// publishSamples publishes what a subscriber is to print. All have one QoS:
// mosquitto_sub prints a message of QoS 2 only when it is released, behind others
// that came later; headgate sub keeps the order.
func publishSamples(t *testing.T, address string, qos byte) {
	c, _ := brokertest.Connect(t, address, packet.V5, "samples", signIn)
	for _, p := range []packet.Publish{
		{Topic: []byte("s/text"), Payload: []byte("hello")},
		{Topic: []byte("s/empty")},
		{Topic: []byte("s/binary"), Payload: []byte("\x00\x01\xff\r\n")},
		{Topic: []byte("s/json"), Payload: []byte(`{"a": [1, 2, {"b": null}], "c": "é"}`)},
		{Topic: []byte("s/exact"), Payload: []byte("twice nothing")},
		{Topic: []byte("other"), Payload: []byte("last")},
	} {
		c.Publish(string(p.Topic), string(p.Payload), qos)
	}
	c.Disconnect()
}

func signIn(p *packet.Connect) {
	p.HasUsername, p.HasPassword, p.Username, p.Password = true, true, []byte("me"), []byte("secret")
}

// What differs on purpose is not in the lists of these tests: %p and %x are padded
// and never cut, as the man page says; a payload with a zero byte is whole in %j;
// --remove-retained holds with -R, as the man page says; a message that the broker
// refuses, and one that its limits do not allow, gives an exit status.

func TestSubPrintsAndEndsAsMosquittoSubDoes(t *testing.T) {
	needMosquitto(t)
	t.Parallel()
	lines := []string{
		"-t #", "-t # -v", "-t # -v -N", "-t # -N", "-t # -q 1 -v", "-t # -q 2 -v", "-t # -q 2 -v -V 31", "-t # -q 2 -v -V 5",
		"-t s/+ -t other -T +/text -T s/binary -v", "-t s/# -T # -t other", "-t # -q 1 -C 3", "-t # -q 2 -C 5 -v -V 5", "-t # -C 2 -N",
		"-t # -q 2 -F %t:%q:%r:%m:%l:%p:%%", "-t # -q 1 -F %-10t|%060p|%05l|%.3t|%X", `-t # -F \t%t\0%x@Y@@`, "-t # -F @%@n -C 1 -R", "-t # -T s/binary -F %j", "-t # -T s/binary -F %j --pretty -q 2",
		"-t s/json -F %J", "-t s/json -F %J --pretty", "-t # -T s/binary -q 2 -F %j -V 5", "-t # -R -V 5", "-t # --retain-as-published -V 5 -F %r",
		"-t # --retained-only", "-t s/text -U s/text", "-t # -k 20 -u me -P secret",
	}
	for name, port := range brokers(t) {
		address := net.JoinHostPort("127.0.0.1", port)
		for _, line := range lines {
			t.Run(name+": "+line, func(t *testing.T) {
				var programs []*program
				for i, twin := range twins("sub") {
					args := append(slices.Clone(twin), "-p", port, "-d", "-i", fmt.Sprint("twin", i), "-W", "20")
					p := startProgram(t, "", append(args, strings.Fields(line)...)...)
					p.waitFor("Subscribed (mid: 1)")
					if strings.Contains(line, "-U") {
						p.waitFor("received UNSUBACK")
					}
					programs = append(programs, p)
				}
				qos := byte(0)
				if _, after, ok := strings.Cut(line, "-q "); ok {
					qos = after[0] - '0'
				}
				publishSamples(t, address, qos)
				// Those that do not end by themselves are ended when they have it all.
				if !strings.Contains(line, "-C") && !strings.Contains(line, "--retained-only") {
					for _, p := range programs {
						if strings.Contains(line, "s/json") {
							p.waitFor("'s/json'")
						} else if !strings.Contains(line, "-U") {
							p.waitFor("'other', ... (4 bytes))")
						}
					}
					for _, p := range programs {
						p.waitForQuiet(t)
						p.cmd.Process.Signal(syscall.SIGINT)
					}
				}
				compareTwins(t, programs)
			})
		}
	}
}

// waitForQuiet waits until every message that came is acknowledged in full.
func (p *program) waitForQuiet(t *testing.T) {
	eventually(t, "the last message is acknowledged", func() bool {
		out := p.output()
		count := strings.Count
		return count(out, "received PUBLISH (d0, q1") == count(out, "sending PUBACK") && count(out, "received PUBLISH (d0, q2") == count(out, "sending PUBCOMP")
	})
}

// compareTwins waits for the two and wants the same of them.
func compareTwins(t *testing.T, programs []*program) {
	t.Helper()
	var results []result
	for i, p := range programs {
		r := newResult(p, p.wait())
		r.debug = strings.ReplaceAll(r.debug, fmt.Sprint("twin", i), "twin")
		results = append(results, r)
	}
	theirs, ours := results[0], results[1]
	if ours.status != theirs.status {
		t.Errorf("exit status %d, mosquitto's is %d\n%s", ours.status, theirs.status, programs[1].stderr.String())
	}
	if ours.stdout != theirs.stdout {
		t.Errorf("printed  %q\nmosquitto %q", ours.stdout, theirs.stdout)
	}
	// What still comes, and is not taken, after the end by -C differs with the time.
	line := strings.Join(programs[0].cmd.Args, " ")
	if ours.debug != theirs.debug && !strings.Contains(line, " -C ") && !strings.Contains(line, "--retained-only") {
		t.Errorf("packets:\n%s\nmosquitto's:\n%s", ours.debug, theirs.debug)
	}
}

func TestSubFindsWhatIsRetainedAsMosquittoSubDoes(t *testing.T) {
	needMosquitto(t)
	t.Parallel()
	for name, port := range brokers(t) {
		address := net.JoinHostPort("127.0.0.1", port)
		for _, line := range []string{
			"-t r/1 -C 1", "-t r/1 -C 1 -v -q 1", "-t r/1 -C 1 -F %r%q%t -V 5 -q 2", "-t r/1 -R -W 1", "-t r/1 -W 1 --retained-only -v", "-t r/1 -E", "-t r/1 -C 1 -N --quiet",
			"-t r/1 -T r/# --remove-retained -W 1",
			"-t r/1 -C 1 -V 5 -F %C|%D|%E|%F|%P|%R|%S|%A|%10C|%-10R|%010E", "-t r/1 -C 1 -V 5 -D subscribe subscription-identifier 7 -F %S", "-t r/1 -C 1 -u me -P wrong", "-t r/1 -C 1 -u me -P wrong -V 5",
			"-t r/1 -U r/1 -E -c", "-t r/1 -C 1 -i other",
		} {
			t.Run(name+": "+line, func(t *testing.T) {
				var programs []*program
				for _, twin := range twins("sub") {
					retain(t, address)
					args := append(append(slices.Clone(twin), "-p", port, "-i", "twin"), strings.Fields(line)...)
					if strings.Contains(line, "-i other") {
						args = append(slices.Clone(twin), append([]string{"-p", port}, strings.Fields(line)...)...)
					}
					p := startProgram(t, "", args...)
					programs = append(programs, p)
					p.cmd.Wait()
					// Whether it is still there is a part of what is compared.
					fmt.Fprintf(p, "retained: %v\n", isRetained(t, address))
				}
				results := []result{newResult(programs[0], programs[0].cmd.ProcessState.ExitCode()), newResult(programs[1], programs[1].cmd.ProcessState.ExitCode())}
				if results[0] != results[1] {
					t.Errorf("got %+v\nmosquitto's %+v\n%s", results[1], results[0], programs[1].stderr.String())
				}
			})
		}
	}
}

// retain puts a message with all its properties at r/1.
func retain(t *testing.T, address string) {
	t.Helper()
	c, _ := brokertest.Connect(t, address, packet.V5, "retainer", signIn)
	c.Publish("r/1", "kept", 1, brokertest.Retained, func(p *packet.Publish) {
		props := &p.Properties
		props.ContentType, props.CorrelationData, props.ResponseTopic = []byte("text/plain"), []byte("42"), []byte("r/answer")
		props.PayloadFormat = 1
		for _, id := range []packet.PropertyID{packet.PropContentType, packet.PropCorrelationData, packet.PropResponseTopic, packet.PropPayloadFormat} {
			props.Set(id)
		}
		props.User = []packet.UserProperty{{Key: []byte("a"), Value: []byte("b")}, {Key: []byte("c"), Value: []byte("d")}}
	})
	c.Disconnect()
}

func isRetained(t *testing.T, address string) bool {
	t.Helper()
	c, _ := brokertest.Connect(t, address, packet.V311, "looker", signIn)
	defer c.Close()
	c.SubscribeTo("r/1", 0)
	c.Send(packet.AppendPingreq(nil))
	h, _, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	return h.Type == packet.PUBLISH
}

func TestPubPublishesAndEndsAsMosquittoPubDoes(t *testing.T) {
	needMosquitto(t)
	t.Parallel()
	file := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(file, []byte("from\na file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const stdin = "one\r\ntwo\n\nlast"
	for name, port := range brokers(t) {
		address := net.JoinHostPort("127.0.0.1", port)
		for _, line := range []string{
			"-t p/a -m hello", "-t p/a -m hello -q 1", "-t p/a -m hello -q 2", "-t p/a -m hello -q 2 -V 31", "-t p/a -m hello -q 2 -V 5", "-t p/a -n -q 1", "-t p/a -f FILE -q 1",
			"-t p/a -l", "-t p/a -l -q 1", "-t p/a -l -q 2 -V 5", "-t p/a -s -q 1", "-t p/a -m x --repeat 3 -q 1", "-t p/a -t p/b -m last-one-counts", "-t p/a -m x -r -q 1", "-t p/a -n -r",
			"-t p/a -m x -u me -P secret", "-t p/a -m x -u me -P wrong", "-t p/a -m x -u me -P wrong -V 5", "-t p/a -m x -u me -P wrong -V 31", "-t p/a -m x -q 1 -c", "-t p/a -m x --will-topic p/w --will-payload gone",
			"-t p/a -m x -q 1 -D publish content-type text -D publish user-property k v -D publish response-topic p/r -D publish correlation-data 7 -D publish payload-format-indicator 1",
			"-t p/a -m x -D connect session-expiry-interval 5 -D disconnect session-expiry-interval 3 -D connect receive-maximum 9",
			"-t p/# -m x", "-t p/a", "-m x", "-t p/a -m", "-t p/a -m x -q 3", "-t p/a -m x --nope", "-t p/a -m x -D publish receive-maximum 3", "-t p/a -m x -D publish user-property k", "-t p/a -f /nothing", "-t p/a -m x -n", "-t p/a -m x -p 1", "-t p/a -m x -k 2", "-t p/a -m x -V 9",
			"-L mqtt://me:secret@127.0.0.1:PORT/p/a -m x -q 1", "-L mqtt://me:wrong@127.0.0.1:PORT/p/a -m x", "-L amqp://127.0.0.1/p -m x",
		} {
			t.Run(name+": "+line, func(t *testing.T) {
				watcher, _ := brokertest.Connect(t, address, packet.V5, "watcher", signIn)
				defer watcher.Close()
				watcher.Publish("p/a", "", 1, brokertest.Retained) // what the case before left
				watcher.SubscribeTo("p/#", 2)
				words := strings.Fields(strings.NewReplacer("FILE", file, "PORT", port).Replace(line))
				var programs []*program
				for i, twin := range twins("pub") {
					p := startProgram(t, stdin, append(append(slices.Clone(twin), "-p", port, "-d", "-i", fmt.Sprint("twin", i)), words...)...)
					p.cmd.Wait()
					awaitRead(t, port)
					fmt.Fprint(p, arrived(t, watcher))
					programs = append(programs, p)
				}
				var results []result
				for i, p := range programs {
					r := newResult(p, p.cmd.ProcessState.ExitCode())
					r.debug = strings.ReplaceAll(r.debug, fmt.Sprint("twin", i), "twin")
					if _, help, ok := strings.Cut(r.stdout, "Usage: mosquitto_pub"); ok && help != "" {
						r.stdout = r.stdout[strings.Index(r.stdout, "arrived:"):] // it prints its help for some mistakes
					}
					results = append(results, r)
				}
				if results[0] != results[1] {
					t.Errorf("got %+v\nmosquitto's %+v\n%s", results[1], results[0], programs[1].stderr.String())
				}
			})
		}
	}
}

// awaitRead waits until a broker has read what all clients but one had sent when
// they ended, and has closed its end of their connections.
func awaitRead(t *testing.T, port string) {
	t.Helper()
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	local := fmt.Sprintf(":%04X ", number)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		open := 0
		for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
			table, _ := os.ReadFile(file)
			for line := range strings.Lines(string(table)) {
				f := strings.Fields(line) // number, local address, remote address, state: 01 established, 08 close wait
				if len(f) > 3 && strings.HasSuffix(f[1]+" ", local) && (f[3] == "01" || f[3] == "08") {
					open++
				}
			}
		}
		if open <= 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d connections are open", open)
		}
	}
}

// arrived gives what came to a subscriber, which sends a message to itself to
// know the end.
func arrived(t *testing.T, c *brokertest.Client) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("arrived:\n")
	end := packet.Publish{Topic: []byte("p/end")}
	c.Send(end.Append(nil, packet.V5))
	for {
		p := c.Receive()
		switch p.QoS {
		case 1:
			c.SendAck(packet.PUBACK, p.PacketID)
		case 2:
			c.SendAck(packet.PUBREC, p.PacketID)
			c.WantAck(packet.PUBREL, p.PacketID)
			c.SendAck(packet.PUBCOMP, p.PacketID)
		}
		if string(p.Topic) == "p/end" {
			return b.String()
		}
		fmt.Fprintf(&b, "%s %q %d %v %s %s %s %d %s\n", p.Topic, p.Payload, p.QoS, p.Retain, p.Properties.ContentType, p.Properties.ResponseTopic,
			p.Properties.CorrelationData, p.Properties.PayloadFormat, p.Properties.User)
	}
}
