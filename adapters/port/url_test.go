package port

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSerialURLs(t *testing.T) {
	for text, want := range map[string]Address{
		"rtu:///dev/ttyUSB0": {"rtu", "/dev/ttyUSB0", Mode{Baud: 9600, DataBits: 8, Parity: None, StopBits: 1}},
		"rtu:///dev/serial/by-id/usb-FTDI_0:1.0-port0?baud=19200&parity=E": {"rtu", "/dev/serial/by-id/usb-FTDI_0:1.0-port0", Mode{Baud: 19200, DataBits: 8, Parity: Even, StopBits: 1}},
		"serial:///dev/ttyS1?data_bits=7&stop_bits=2&parity=odd&baud=300":  {"serial", "/dev/ttyS1", Mode{Baud: 300, DataBits: 7, Parity: Odd, StopBits: 2}},
		"serial:/dev/ttyS1": {"serial", "/dev/ttyS1", Mode{Baud: 9600, DataBits: 8, Parity: None, StopBits: 1}},
	} {
		got, err := ParseURL(text, "rtu", "serial")
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestWrongSerialURLsSayWhatWouldBeRight(t *testing.T) {
	for text, want := range map[string]string{
		"":                                             "has no scheme",
		"/dev/ttyUSB0":                                 `like "rtu:///dev/ttyUSB0?baud=9600"`,
		"rut:///dev/ttyUSB0":                           "none of rtu",
		"rtu://dev/ttyUSB0":                            `"rtu:///dev/ttyUSB0"`,
		"rtu://":                                       "no absolute path",
		"rtu:ttyUSB0":                                  "no absolute path",
		"rtu:///dev/":                                  "cannot be the path",
		"rtu:///dev/tty#1":                             "%23",
		"rtu:///dev/ttyUSB0?baudrate=9600":             "did you mean baud?",
		"rtu:///dev/ttyUSB0?baud=fast":                 "baud=fast: want a speed",
		"rtu:///dev/ttyUSB0?baud=0":                    "want a speed",
		"rtu:///dev/ttyUSB0?parity=X":                  "want N (none)",
		"rtu:///dev/ttyUSB0?data_bits=9":               "want 5, 6, 7 or 8",
		"rtu:///dev/ttyUSB0?stop_bits=1.5":             "want 1 or 2",
		"rtu:///dev/ttyUSB0?baud=1200&baud=1":          "given 2 times",
		"rtu:///dev/ttyUSB0?flow=rts":                  "there are baud",
		"rtu:///dev/ttyUSB0?baud=9600&parity=X&baut=3": "did you mean baud?; parity=X: want",
		"rtu:///dev/tty\x7f":                           "is no URL",
	} {
		got, err := ParseURL(text, "rtu")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v; want an error with %q", text, got, err, want)
		}
	}
}

func TestTwoNamesOfAPortAreTheSameLink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "by-id")
	if err := os.Symlink("/dev/null", link); err != nil {
		t.Fatal(err)
	}
	a := Address{Path: link}
	b := Address{Path: "/dev/../dev/null"}
	if a.Link() != b.Link() {
		t.Errorf("%q is not %q", a.Link(), b.Link())
	}
	if got := (Address{Path: "/dev/none/x"}).Link(); got != "/dev/none/x" {
		t.Errorf("one that is not there is %q", got)
	}
}
