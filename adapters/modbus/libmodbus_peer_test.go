package modbus

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"headgate/gateway/point"
)

// libmodbusExamples is where libmodbus-dev puts the server of its own tests.
const libmodbusExamples = "/usr/share/doc/libmodbus-dev/examples"

// libmodbusServer builds it for a serial port and a TCP port, and gives the program's
// path.
func libmodbusServer(t *testing.T, device, port string) string {
	t.Helper()
	need(t, "cc", "--version")
	need(t, "ls", libmodbusExamples+"/unit-test-server.c", "/usr/include/modbus/modbus.h")
	dir := t.TempDir()
	for _, name := range []string{"unit-test-server.c", "unit-test.h"} {
		text, err := os.ReadFile(filepath.Join(libmodbusExamples, name))
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("/dev/ttyUSB0"), []byte(device))
		text = bytes.ReplaceAll(text, []byte("1502"), []byte(port))
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "server")
	cmd := exec.Command("cc", "-w", "-I/usr/include/modbus", filepath.Join(dir, "unit-test-server.c"), "-lmodbus", "-o", program)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// TestLibmodbusAndItsFaults: the server of libmodbus' own tests, unit 17, has
// holding registers from 0x160 on, all 0 at first. Of those, 0x171 is answered
// from another unit, 0x172 half a second late.
func TestLibmodbusAndItsFaults(t *testing.T) {
	server, client, _ := socatPair(t)
	start(t, libmodbusServer(t, server, "0"), "rtu")
	slow := func(p *Point) { p.Interval = 100 * time.Millisecond }
	slower := func(p *Point) { p.Interval = 130 * time.Millisecond }
	m := deviceOf("m", 17,
		holding("first", 0x160, rw),
		holding("wide", 0x163, rw, func(p *Point) { p.Type = "u64" }),
		Point{Name: "bit", Register: "coil:0x130", Access: "rw"},
		holding("by22", 0x161, rw, func(p *Point) { p.Type = "i8h" }),
		holding("by23", 0x162, rw, func(p *Point) { p.WriteFunction = 23 }),
		Point{Name: "by15", Register: "coil:0x131", Access: "rw", WriteFunction: 15},
	)
	m.Timeout = 2 * time.Second
	// Only a read that begins at one of those goes wrong.
	wrongUnit, late := deviceOf("wrong_unit", 17, holding("x", 0x171, slow)), deviceOf("late", 17, holding("x", 0x172, slower))
	x := run(t, "rtu://"+client+"?baud=115200", 300*time.Millisecond, m, wrongUnit, late)
	x.status(0, "m", true, "")
	for name, v := range map[string]point.Value{"first": point.OfUint(555), "wide": point.OfUint(1<<64 - 3), "bit": point.OfBool(true),
		"by22": point.OfInt(-2), "by23": point.OfUint(77), "by15": point.OfBool(true)} {
		got, err := x.Write(t.Context(), point.Command{Device: "m", Point: name, Value: v})
		if err != nil || got != v {
			t.Errorf("%s: got %v, %v; want %v", name, got, err, v)
		}
	}
	from := x.now()
	x.value(from, "m", "bit", "true")
	x.value(from, "m", "wide", "18446744073709551613")
	x.bad(from, "wrong_unit", "x", "unit 17 on rs485")
	x.bad(from, "late", "x", "unit 17 on rs485")
	next := from
	for range 3 {
		next = x.value(next, "m", "first", "555")
	}
	x.stop()
	// Whatever came late, or from another unit, none became a point's value.
	for _, u := range x.updates[from:] {
		if s, ok := sampleOf(u, "m", "first"); ok && s.Quality == point.Good && s.Value.String() != "555" {
			t.Errorf("first is %v, want 555", s.Value)
		}
	}
	for _, device := range []string{"wrong_unit", "late"} {
		for _, s := range x.all(device, "x") {
			if s.Quality == point.Good {
				t.Errorf("%s is %v, want none", device, s.Value)
			}
		}
	}
}

// TestLibmodbusAndItsFaultsOverTCP: 0x170 is busy, 0x171 has another transaction
// identifier, 0x172 comes half a second late, 0x173 a byte at a time, and from unit 255
// whoever was asked. The server takes one connection, so none of it may cost that.
func TestLibmodbusAndItsFaultsOverTCP(t *testing.T) {
	host, port := freeAddress(t)
	start(t, libmodbusServer(t, "/dev/null", port), "tcp")
	at := func(name string, address int, interval time.Duration) Device {
		return every(interval, deviceOf(name, 255, holding("x", address)))
	}
	x := run(t, "tcp://"+host+":"+port, 300*time.Millisecond,
		at("first", 0x160, 20*time.Millisecond), at("busy", 0x170, 400*time.Millisecond), at("wrong_id", 0x171, 410*time.Millisecond),
		at("late", 0x172, 420*time.Millisecond), at("slow", 0x173, 100*time.Millisecond))
	x.value(0, "slow", "x", "0")
	x.bad(0, "busy", "x", "exception 6 (server device busy)")
	x.bad(0, "wrong_id", "x", "unit 255 on rs485")
	x.bad(0, "late", "x", "unit 255 on rs485")
	from := x.value(x.now(), "first", "x", "0")
	x.value(from, "slow", "x", "0")
	if st := x.Stats(); st.Opened != 1 {
		t.Errorf("the connection was opened %d times", st.Opened)
	}
	for _, device := range []string{"busy", "wrong_id"} { // a test that is late itself takes what is late
		for _, s := range x.all(device, "x") {
			if s.Quality == point.Good {
				t.Errorf("%s is %v, want none", device, s.Value)
			}
		}
	}
}
