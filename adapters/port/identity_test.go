package port

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAPortIsFoundAgainBySerialNumberOrBySocket(t *testing.T) {
	root := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{root}, parts...)...) }
	file := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"ttyUSB0", "ttyUSB1", "ttyACM0", "ttyS0"} {
		file(at("dev", name), "")
	}
	// An FTDI has a number; of a CH340 only the socket tells it from another. The
	// hub that they are plugged into has a number too.
	file(at("devices", "usb1", "idVendor"), "1d6b\n")
	file(at("devices", "usb1", "serial"), "0000:00:14.0\n")
	file(at("devices", "usb1", "1-1", "idVendor"), "0403\n")
	file(at("devices", "usb1", "1-1", "serial"), "A12345\n")
	file(at("devices", "usb1", "1-2", "idVendor"), "1a86\n")
	file(at("devices", "usb1", "1-3", "idVendor"), "2341\n")
	for name, dir := range map[string]string{
		"ttyUSB0": at("devices", "usb1", "1-1", "1-1:1.0", "ttyUSB0"), "ttyUSB1": at("devices", "usb1", "1-2", "1-2:1.0", "ttyUSB1"),
		"ttyACM0": at("devices", "usb1", "1-3", "1-3:1.0"),
	} {
		file(filepath.Join(dir, "dev"), "")
		link(dir, at("class", name, "device"))
	}
	link(at("dev", "ttyACM0"), at("serial", "by-id", "usb-Arduino-if00"))
	link(at("dev", "ttyACM0"), at("serial", "by-path", "usb-0:1.3:1.0"))
	link(at("dev", "ttyUSB0"), at("serial", "by-id", "usb-FTDI_A12345-if00-port0"))
	link(at("dev", "ttyUSB1"), at("serial", "by-id", "usb-1a86_USB_Serial-if00-port0"))
	link(at("dev", "ttyUSB0"), at("serial", "by-path", "usb-0:1.1:1.0-port0"))
	link(at("dev", "ttyUSB1"), at("serial", "by-path", "usb-0:1.2:1.0-port0"))
	for path, want := range map[string]string{
		at("dev", "ttyUSB0"): at("serial", "by-id", "usb-FTDI_A12345-if00-port0"),
		at("dev", "ttyUSB1"): at("serial", "by-path", "usb-0:1.2:1.0-port0"),
		at("dev", "ttyACM0"): at("serial", "by-path", "usb-0:1.3:1.0"),
		at("dev", "ttyS0"):   at("dev", "ttyS0"),
		at("dev", "none"):    at("dev", "none"),
		at("serial", "by-id", "usb-1a86_USB_Serial-if00-port0"): at("serial", "by-id", "usb-1a86_USB_Serial-if00-port0"),
	} {
		if got := identityIn(at("serial"), at("class"), path); got != want {
			t.Errorf("%s is found again as %s, want %s", path, got, want)
		}
	}
}
