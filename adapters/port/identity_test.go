package port

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

func TestAPortIsFoundAgainBySerialNumberOrBySocket(t *testing.T) {
	at, file, link := tree(t)
	for _, name := range []string{"ttyUSB0", "ttyUSB1", "ttyACM0", "ttyS0"} {
		file(at("dev", name), "")
	}
	// An FTDI has a number; of a CH340 only the socket tells it from another. The
	// hub that they are plugged into has a number too.
	file(at("devices", "usb1", "idVendor"), "1d6b\n")
	file(at("devices", "usb1", "serial"), "0000:00:14.0\n")
	file(at("devices", "usb1", "1-1", "idVendor"), "0403\n")
	file(at("devices", "usb1", "1-1", "serial"), "A12345\n")
	file(at("devices", "usb1", "1-1", "idProduct"), "6001\n")
	file(at("devices", "usb1", "1-2", "idVendor"), "1a86\n")
	file(at("devices", "usb1", "1-2", "idProduct"), "7523\n")
	file(at("devices", "usb1", "1-4", "idVendor"), "0403\n")
	file(at("devices", "usb1", "1-4", "idProduct"), "6001\n")
	file(at("devices", "usb1", "1-4", "serial"), "B7:7\n")
	file(at("devices", "usb1", "1-3", "idVendor"), "2341\n")
	for name, dir := range map[string]string{
		"ttyUSB0": at("devices", "usb1", "1-1", "1-1:1.0", "ttyUSB0"), "ttyUSB1": at("devices", "usb1", "1-2", "1-2:1.0", "ttyUSB1"),
		"ttyACM0": at("devices", "usb1", "1-3", "1-3:1.0"), "ttyUSB2": at("devices", "usb1", "1-4", "1-4:1.0", "ttyUSB2"),
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
	for name, want := range map[string]string{
		"usb:0403:6001:A12345": at("dev", "ttyUSB0"),
		"usb:0403:6001:B7:7":   at("dev", "ttyUSB2"),
		"usb:1A86:7523":        at("dev", "ttyUSB1"),
		at("dev", "ttyS0"):     at("dev", "ttyS0"),
	} {
		if got, err := deviceIn(at("class"), at("dev"), name); err != nil || got != want {
			t.Errorf("%s is at %s, %v; want %s", name, got, err, want)
		}
	}
	if _, err := deviceIn(at("class"), at("dev"), "usb:0403:6001"); !errors.Is(err, errSeveral) || !strings.Contains(err.Error(), "ttyUSB2") {
		t.Errorf("one of two: got %v", err)
	}
	if _, err := deviceIn(at("class"), at("dev"), "usb:0403:6001:C"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is not there: got %v", err)
	}
}
