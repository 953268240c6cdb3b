package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/adapters/port"
)

// serialTool runs headgate serial, and gives its exit status and all that it says.
func serialTool(args ...string) (int, string) {
	var said bytes.Buffer
	status := dispatch(append([]string{"serial"}, args...), &said, &said)
	return status, said.String()
}

const serialExamples = "../../packaging/serial"

func TestEachSerialExampleUnderstandsItsSample(t *testing.T) {
	configs, err := filepath.Glob(filepath.Join(serialExamples, "*.toml"))
	if err != nil || len(configs) < 6 {
		t.Fatalf("there are %d examples (%v), want 6 at least", len(configs), err)
	}
	for _, path := range configs {
		name := strings.TrimSuffix(filepath.Base(path), ".toml")
		want, err := os.ReadFile(filepath.Join("testdata", "serial", name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), "\n# Source: ") {
			t.Errorf("%s does not say where the format and the sample come from (%v)", path, err)
		}
		status, said := serialTool("try", "--config", path, filepath.Join(serialExamples, name+".capture"))
		if status != 0 || said != string(want) {
			t.Errorf("%s: got %d and\n%s\nwant\n%s", name, status, said, want)
		}
	}
}

const twoSerial = `
[[serial]]
name = "scale"
url = "serial:///dev/ttyS0"
parse = { regexp = '^(?P<weight>\d+) kg$' }
[[serial]]
name = "reader"
url = "serial:///dev/ttyS1"
parse = { regexp = '^(?P<code>\w+)$' }
`

func TestATrySaysWhatIsMissing(t *testing.T) {
	cfg := writeConfig(t, twoSerial)
	capture := filepath.Join(t.TempDir(), "capture")
	for _, c := range []struct {
		capture, args string
		status        int
		want          string
	}{
		{"12 kg\n", "", 1, "which device? want --device with one of scale, reader"},
		{"12 kg\n", "--device skale", 1, `there is no serial device "skale": want one of scale, reader`},
		{"12 kg\n", "--device scale", 0, "    weight = 12\n"},
		{"12 kg\n", "--device reader", 1, "nothing in the capture was understood"},
		{"", "--device reader", 1, "0 bytes: 0 messages"},
		{"61 62\n0a", "--device reader --hex", 0, "    code = ab\n"},
		{"6", "--device reader --hex", 1, "the capture: encoding/hex: odd length"},
		{strings.Repeat("x", 5000) + "\nab\n", "--device reader", 0, "! dropped: "},
	} {
		if err := os.WriteFile(capture, []byte(c.capture), 0o600); err != nil {
			t.Fatal(err)
		}
		status, said := serialTool(append([]string{"try", "--config", cfg, capture}, strings.Fields(c.args)...)...)
		if status != c.status || !strings.Contains(said, c.want) {
			t.Errorf("%.20q %s: got %d, %q; want %d with %q", c.capture, c.args, status, said, c.status, c.want)
		}
	}
}

func TestAMonitorPrintsBytesAndMessagesAndSavesThem(t *testing.T) {
	path, far, err := port.Pair(port.Mode{})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	cfg := writeConfig(t, strings.ReplaceAll(twoSerial, "/dev/ttyS0", path))
	capture := filepath.Join(t.TempDir(), "capture")
	type end struct {
		status int
		said   string
	}
	ended := make(chan end)
	go func() {
		status, said := serialTool("monitor", "--config", cfg, "--device", "scale", "--save", capture)
		ended <- end{status, said}
	}()
	const sent = "12 kg\r\n\x02\xffzz\r\n0123456789abcdef\r\n"
	eventually(t, "the port is open and what comes is saved", func() bool {
		far.Write([]byte(sent)) // it discards what came before
		b, err := os.ReadFile(capture)
		return err == nil && strings.Contains(string(b), sent)
	})
	if status, said := serialTool("monitor", "--url", "serial://"+path); status != 1 || !strings.Contains(said, fmt.Sprintf(", process %d: stop that", os.Getpid())) {
		t.Errorf("a second one: got %d, %q", status, said)
	}
	far.Close()
	e := <-ended
	for _, want := range []string{"31 32 20 6b 67 0d 0a", "|12 kg..", "    weight = 12\n", `bytes: "\x02\xffzz"`, "    parse does not understand it\n", "the port is gone"} {
		if !strings.Contains(e.said, want) {
			t.Errorf("got %s\nwant %q in it", e.said, want)
		}
	}
	if e.status != 1 {
		t.Errorf("it ends with %d", e.status)
	}
}

func TestASerialToolSaysWhatToNameInstead(t *testing.T) {
	cfg := writeConfig(t, twoSerial)
	for args, want := range map[string]string{
		"try x":                    "there is no /etc/headgate/headgate.toml: name a configuration with --config\n",
		"monitor":                  "there is no /etc/headgate/headgate.toml: name a configuration with --config, or the port with --url\n",
		"try --config nope.toml x": "there is no nope.toml: name a configuration with --config\n",
		"try --config " + cfg + " --device scale nope":       `there is no capture nope: "headgate serial monitor --save FILE" writes one`,
		"monitor --config " + cfg + " --device skale":        `there is no serial device "skale": want one of scale, reader`,
		"monitor --url serial:///dev/ttyS0 --device scale":   "--url is in place of a device",
		"monitor --url /dev/ttyUSB0":                         `--url "/dev/ttyUSB0" has no scheme: want one like "serial:///dev/ttyUSB0?baud=9600"`,
		"monitor --url serial:///dev/none --save " + cfg:     cfg + " is there already: want the name of a new file",
		"monitor --url serial:///dev/none":                   "no such port: is it plugged in?",
		"try --config " + writeConfig(t, "[gateway]") + " x": " has no [[serial]] device\n",
	} {
		if status, said := serialTool(strings.Fields(args)...); status != 1 || !strings.Contains(said, want) {
			t.Errorf("%s: got %d, %q; want %q", args, status, said, want)
		}
	}
}

func TestPortsAreListedWithTheirNamesAndWhoHasThem(t *testing.T) {
	var said bytes.Buffer
	printPorts(&said, []port.Info{
		{Path: "/dev/ttyS0"},
		{
			Path: "/dev/ttyUSB0", USB: "usb:0403:6001:A1", Maker: "FTDI", Product: "FT232R",
			Links: []string{"/dev/serial/by-id/usb-FTDI"}, Holders: []port.Holder{{PID: 7, Name: "minicom"}, {PID: 8}},
		},
	})
	const want = `/dev/ttyS0     -
/dev/ttyUSB0   usb:0403:6001:A1             FTDI FT232R
    /dev/serial/by-id/usb-FTDI
    open in minicom, process 7
    open in a program that is not to be seen, process 8
`
	if said.String() != want {
		t.Errorf("got\n%s\nwant\n%s", said.String(), want)
	}
}
