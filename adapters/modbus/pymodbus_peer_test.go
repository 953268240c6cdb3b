package modbus

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/gateway/point"
)

// The system's Python: another one in the path does not have Debian's packages.
const python = "/usr/bin/python3"

const apt = "apt-get install python3-pymodbus python3-serial-asyncio socat ser2net libmodbus-dev gcc"

// need skips the test, or fails it where the peers are required, unless the
// program runs.
func need(t *testing.T, program string, args ...string) {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err == nil {
		return
	}
	if os.Getenv("HEADGATE_PEERS") == "required" {
		t.Fatalf("%s: %v: %s\n%s", program, err, out, apt)
	}
	t.Skipf("%s: %v\n%s", program, err, apt)
}

// start starts a program, and ends it with the test.
func start(t *testing.T, program string, args ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command(program, args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cmd.Process.Kill()
			cmd.Wait()
			if t.Failed() {
				t.Logf("%s said:\n%s", program, said.String())
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

// freeAddress gives a host and a port that nobody listened on just now.
func freeAddress(t *testing.T) (host, port string) {
	t.Helper()
	ln := listen(t, "127.0.0.1:0")
	defer ln.Close()
	host, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// socatPair makes two pseudo-terminals, joined.
func socatPair(t *testing.T) (server, client string, unplug func()) {
	t.Helper()
	need(t, "socat", "-V")
	dir := t.TempDir()
	server, client = filepath.Join(dir, "server"), filepath.Join(dir, "client")
	unplug = start(t, "socat", "pty,raw,echo=0,link="+server, "pty,raw,echo=0,link="+client)
	for end := time.Now().Add(guard); ; <-time.After(5 * time.Millisecond) {
		_, err1 := os.Stat(server)
		_, err2 := os.Stat(client)
		if err1 == nil && err2 == nil {
			return server, client, unplug
		}
		if time.Now().After(end) {
			t.Fatal("socat makes no pair")
		}
	}
}

// pymodbusMeter is what testdata/pymodbus_server.py has.
func pymodbusMeter() []Device {
	nobody := deviceOf("nobody", 9, holding("x", 0))
	nobody.Timeout = 500 * time.Millisecond
	return []Device{
		deviceOf("meter", 1,
			holding("three", 3, rw, func(p *Point) { p.Scale = 0.1 }),
			holding("u64", 100, rw, func(p *Point) { p.Type = "u64" }),
			holding("f64", 104, func(p *Point) { p.Type = "f64" }),
			Point{Name: "input", Register: "input:0", Type: "i16"},
			Point{Name: "relay", Register: "coil:5", Access: "rw"},
			Point{Name: "door", Register: "discrete:0"},
			holding("hole", 50),
			holding("by16", 6, rw, func(p *Point) { p.WriteFunction = 16 }),
			holding("by22", 8, rw, func(p *Point) { p.Bits = "4:4" }),
			holding("by23", 7, rw, func(p *Point) { p.WriteFunction = 23 }),
			Point{Name: "by15", Register: "coil:6", Access: "rw", WriteFunction: 15},
		),
		nobody,
	}
}

func agreeWithPymodbus(t *testing.T, x *tested) {
	t.Helper()
	x.value(0, "meter", "three", "3")
	x.value(0, "meter", "u64", "18364758544493064720")
	x.value(0, "meter", "f64", "-1234.5")
	x.value(0, "meter", "input", "-1")
	x.value(0, "meter", "relay", "false")
	x.value(0, "meter", "door", "true")
	x.bad(0, "meter", "hole", "read holding register 50 of unit 1 on rs485: exception 2 (illegal data address)")
	x.status(0, "nobody", false, "unit 9 on rs485 does not answer")
	for name, v := range map[string]point.Value{"three": point.OfFloat(4.5), "u64": point.OfUint(1<<64 - 1), "relay": point.OfBool(true),
		"by16": point.OfUint(61), "by22": point.OfUint(9), "by23": point.OfUint(71), "by15": point.OfBool(true)} {
		got, err := x.Write(t.Context(), point.Command{Device: "meter", Point: name, Value: v})
		if err != nil || got != v {
			t.Errorf("%s: got %v, %v; want %v", name, got, err, v)
		}
	}
	from := x.value(x.now(), "meter", "relay", "true")
	x.value(from, "meter", "three", "4.5")
}

func TestPymodbusOverTCP(t *testing.T) {
	need(t, python, "-c", "import pymodbus.server")
	for scheme, framing := range map[string]string{"tcp": "tcp", "rtu+tcp": "rtutcp"} {
		t.Run(scheme, func(t *testing.T) {
			host, port := freeAddress(t)
			start(t, python, "testdata/pymodbus_server.py", framing, host, port)
			agreeWithPymodbus(t, run(t, scheme+"://"+net.JoinHostPort(host, port), 3*time.Second, pymodbusMeter()...))
		})
	}
}

func TestPymodbusOverASerialLine(t *testing.T) {
	need(t, python, "-c", "import pymodbus.server, serial_asyncio")
	for _, framing := range []string{"rtu", "ascii"} {
		t.Run(framing, func(t *testing.T) {
			server, client, unplug := socatPair(t)
			stopServer := start(t, python, "testdata/pymodbus_server.py", framing, server)
			x := run(t, framing+"://"+client+"?baud=19200", 3*time.Second, pymodbusMeter()...)
			agreeWithPymodbus(t, x)
			stopServer()
			unplug()
			from := x.status(0, "meter", false, "rs485 is down: ")
			x.bad(from-1, "meter", "three", "rs485 is down: ")
		})
	}
}

// TestPymodbusBehindSer2net: ser2net carries the frames of a serial line over
// TCP, as the boxes between a network and a field bus do.
func TestPymodbusBehindSer2net(t *testing.T) {
	need(t, python, "-c", "import pymodbus.server, serial_asyncio")
	need(t, "sh", "-c", "PATH=$PATH:/usr/sbin ser2net -v")
	server, client, _ := socatPair(t)
	start(t, python, "testdata/pymodbus_server.py", "rtu", server)
	_, port := freeAddress(t)
	file := filepath.Join(t.TempDir(), "ser2net.yaml")
	text := fmt.Sprintf("connection: &raw\n  accepter: tcp,127.0.0.1,%s\n  connector: serialdev,%s,19200n81,local\n", port, client)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, "sh", "-c", "PATH=$PATH:/usr/sbin exec ser2net -n -d -c "+file)
	agreeWithPymodbus(t, run(t, "rtu+tcp://127.0.0.1:"+port+"?baud=19200", 3*time.Second, pymodbusMeter()...))
}
