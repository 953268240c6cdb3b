package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"headgate/adapters/modbus/modbussim"
)

// modbusServer is a simulated link with unit 7 on it.
func modbusServer(t *testing.T) (sim *modbussim.Server, url string) {
	t.Helper()
	sim = modbussim.New()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- sim.ServeTCP(context.Background(), ln) }()
	t.Cleanup(func() { sim.Close(); <-served })
	u := sim.Unit(7)
	u.SetHolding(100, 0x4366, 0x3334, 0, 5)
	u.SetCoils(0, true, false)
	return sim, "tcp://" + ln.Addr().String()
}

// tool runs a command in this process.
func tool(args ...string) (status int, said string) {
	var out bytes.Buffer
	status = dispatch(append([]string{"modbus"}, args...), &out, &out)
	return status, out.String()
}

// modbusTools are what each tool says of that link.
var modbusTools = []struct {
	args   string
	status int
	want   []string
}{
	{"read -u 7 holding:100 2", 0, []string{"unit 7 answered in", "holding:100  40101  0x4366  17254", "holding:101  40102  0x3334"}},
	{"read -u 7 holding:0x64 --as f32", 0, []string{"230.20001\n"}},
	{"read -u 7 holding:100 --as f32 --order CDAB --scale 0", 0, []string{"4.1"}},
	{"read -u 7 holding:100 --as all", 0, []string{"f32        ABCD      230.20001", `{ name = "...", register = "holding:100", type = "f32" }`}},
	{"read -u 7 coil:0 2", 0, []string{"coil:0  00001  1", "coil:1  00002  0"}},
	{"read -u 7 holding:9", 1, []string{"read holding register 9 of unit 7", "exception 2 (illegal data address)"}},
	{"read -u 7 holding:100 --as u17", 1, []string{`did you mean "u16"?`}},
	{"read -u 7 holdin:100", 1, []string{`did you mean "holding"?`}},
	{"write -u 7 holding:103 21.5 --as i16 --scale 0.1", 0, []string{"21.5\n"}},
	{"write -u 7 --as i16 holding:103 -- -3", 0, []string{"-3\n"}},
	{"write -u 7 holding:103 70000", 1, []string{"u16 holds 0 to 65535"}},
	{"write -u 7 coil:1 true", 0, []string{"true\n"}},
	{"scan --units 6-7 --timeout 700ms", 0, []string{"unit 7: answers: read holding register 0 of unit 7", "1 found in"}},
	{"scan --units 7 --register holding:100", 0, []string{"unit 7: holding:100 is 0x4366, in "}},
	{"scan --units 9 --timeout 20ms", 1, []string{"0 found in"}},
	{"scan --units 9-", 1, []string{"want unit ids and ranges"}},
	{"scan --units 9 --bauds 9600", 1, []string{"is no serial line"}},
	{"bench -u 7 holding:100 4 --for 100ms", 0, []string{"requests of 4 in", "values a second", "(median)"}},
	{"bench -u 7 holding:9 --for 1s", 1, []string{"exception 2"}},
}

// checkModbusTools runs them; the flags say which link.
func checkModbusTools(t *testing.T, flags ...string) {
	t.Helper()
	for _, c := range modbusTools {
		args := strings.Fields(c.args)
		status, said := tool(append(args[:1:1], append(flags, args[1:]...)...)...)
		for _, want := range c.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s: got %.300q, want %q in it", c.args, said, want)
			}
		}
		if status != c.status {
			t.Errorf("%s: ends with %d, want %d: %s", c.args, status, c.status, said)
		}
	}
}

func TestModbusToolsOnALinkOfTheirOwn(t *testing.T) {
	_, url := modbusServer(t)
	checkModbusTools(t, "--url", url)
	if status, said := tool("sniff", "--url", url); status != 1 || !strings.Contains(said, "only a serial line has others to listen to") {
		t.Errorf("sniff: %d, %q", status, said)
	}
}

const modbusGateway = `
[gateway]
id = "plant"
data_dir = "{DIR}"
[[broker.listener]]
url = "mqtt://127.0.0.1:0"
[[modbus]]
name = "rs485"
url = "{URL}"
timeout = "5s"
[[modbus.device]]
name = "meter"
unit = 7
interval = "50ms"
point = [ { name = "power", register = "holding:100", type = "f32" } ]
`

func TestModbusToolsByWayOfAGatewayThatRuns(t *testing.T) {
	t.Parallel()
	sim, url := modbusServer(t)
	dir := t.TempDir()
	headgate := runHeadgate(t, strings.NewReplacer("{DIR}", dir, "{URL}", url).Replace(modbusGateway))
	eventually(t, "the control socket is there", func() bool {
		_, err := os.Stat(filepath.Join(dir, "control.sock"))
		_, other := os.Stat("/run/headgate/control.sock")
		return err == nil || other == nil
	})
	checkModbusTools(t, "--config", headgate.config)
	// It was the gateway that has written, and it names the link.
	headgate.says("a tool has written", "link=rs485", "unit=7", "register=holding:103", "reason=ok")
	if status, said := tool("read", "--config", headgate.config, "-u", "meter", "holding:100", "--as", "f32"); status != 0 || said != "230.20001\n" {
		t.Errorf("by the device's name: %d, %q", status, said)
	}
	sim.Unit(7).Inject(modbussim.Fault{Delay: 30 * time.Millisecond})
	plan := regexp.MustCompile(`meter   7     holding registers 100-101  3[0-9](\.[0-9]+)?ms, measured  3[0-9]`)
	eventually(t, "the plan has the turnaround that the gateway has measured", func() bool {
		_, said := tool("plan", headgate.config)
		return plan.MatchString(said)
	})
	if _, said := tool("plan", headgate.config, "--turnaround", "7ms"); !strings.Contains(said, "7ms, assumed") {
		t.Errorf("told another turnaround: %s", said)
	}
}

// TestSniffingBesideAGatewayThatRuns: the tool is a process of its own, which ends
// when it is told to.
func TestSniffingBesideAGatewayThatRuns(t *testing.T) {
	t.Parallel()
	_, url := modbusServer(t)
	headgate := runHeadgate(t, strings.NewReplacer("{DIR}", t.TempDir(), "{URL}", url).Replace(modbusGateway))
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	sniff := exec.Command("headgate", "modbus", "sniff", "--raw", "--config", headgate.config)
	sniff.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	sniff.Stdout, sniff.Stderr = said, said
	eventually(t, "the gateway polls", func() bool {
		status, _ := tool("read", "--config", headgate.config, "-u", "7", "holding:100")
		return status == 0
	})
	if err := sniff.Start(); err != nil {
		t.Fatal(err)
	}
	exchange := regexp.MustCompile(`\d\d:\d\d:\d\d\.\d\d\d  unit 7: read holding registers 100-101\?   \[07 03 00 64 00 02\]\n\S+  unit 7: 4366 3334   \[07 03 04 43 66 33 34\]\n`)
	eventually(t, "a poll is heard", func() bool {
		text, err := os.ReadFile(said.Name())
		return err == nil && exchange.Match(text)
	})
	sniff.Process.Signal(os.Interrupt)
	if err := sniff.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

func TestModbusToolsSayWhichLinkTheyWant(t *testing.T) {
	_, url := modbusServer(t)
	one := strings.NewReplacer("{DIR}", t.TempDir(), "{URL}", url).Replace(modbusGateway)
	two := writeConfig(t, one+"[[modbus]]\nname = \"other\"\nurl = \"tcp://127.0.0.1:1\"\n[[modbus.device]]\nname = \"x\"\nprofile = \"simex-trs-02a\"\n")
	for _, c := range []struct{ args, want string }{
		{"read holding:100 --config " + two, "which link? want --link with one of rs485, other"},
		{"read holding:100 --link rs48 --config " + two, `there is no link "rs48": want one of rs485, other`},
		{"read holding:100 -u motor --link rs485 --config " + two, `"motor" is no unit id, nor the name of a device of rs485`},
		{"read holding:100 --as f32 -u meter --config " + two, "230.20001"},
		{"read holding:100 --url tcpp://h", "tcpp"},
	} {
		if _, said := tool(strings.Fields(c.args)...); !strings.Contains(said, c.want) {
			t.Errorf("%s: got %q, want %q", c.args, said, c.want)
		}
	}
}

func TestProfilesAreListedAndPrinted(t *testing.T) {
	// One of the same name goes before that which is built in, with its own version.
	dir := t.TempDir()
	for name, text := range map[string]string{"pump": "# A pump\n\n[profile]\nversion = \"2026-11\"\n", "simex-trs-02a": "# Mine\n"} {
		if err := os.WriteFile(filepath.Join(dir, name+".toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status, said := tool("profiles", "--dir", dir)
	for _, want := range []string{
		"eastron-sdm630           1        Eastron SDM630 Modbus, three phases\n",
		"pump                     2026-11  A pump\n",
		"simex-trs-02a            -        Mine\n",
	} {
		if status != 0 || !strings.Contains(said, want) {
			t.Errorf("got %d, %q, want %q in it", status, said, want)
		}
	}
	if status, said := tool("profiles", "victron-gx"); status != 0 || !strings.Contains(said, "\nunit = 100\n") {
		t.Errorf("got %d, %q", status, said)
	}
	if status, said := tool("profiles", "../profiles/victron-gx"); status != 1 || !strings.Contains(said, "there is no profile") {
		t.Errorf("got %d, %q", status, said)
	}
}

func TestAPlanIsPrintedForEachLink(t *testing.T) {
	path := writeConfig(t, `
[[modbus]]
name = "rs485"
url = "rtu:///dev/ttyUSB0?baud=9600"
[[modbus.device]]
name = "meter"
unit = 1
profile = "eastron-sdm630"
interval = "500ms"
[[modbus]]
name = "net"
url = "tcp://127.0.0.1"
[[modbus.device]]
name = "relays"
profile = "waveshare-relay-8"
`)
	status, said := tool("plan", path)
	for _, want := range []string{"rs485, rtu:///dev/ttyUSB0?baud=9600:\n", "5ms, assumed", "meter   1     input registers 0-", "voltage_l1 voltage_l2 voltage_l3 current_l1 ... (", "(one by one: 70)",
		"net, tcp://127.0.0.1", "relays  1     coils 0-7  ", "1 requests a second (one by one: 8)"} {
		if status != 0 || !strings.Contains(said, want) {
			t.Errorf("got %d, %s\nwant %q in it", status, said, want)
		}
	}
	if status, said := tool("plan", path, "--link", "net"); status != 0 || strings.Contains(said, "rs485") {
		t.Errorf("of one: %d, %q", status, said)
	}
	if status, said := tool("plan", path, "--link", "nat"); status != 1 || !strings.Contains(said, `no link "nat"`) {
		t.Errorf("of none: %d, %q", status, said)
	}
}
