package port

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"syscall"
	"testing"
)

func TestPortsAreFoundWithoutOpeningThem(t *testing.T) {
	at, file, link := tree(t)
	for _, name := range []string{"ttyS0", "ttyS1", "ttyUSB0", "tty1"} {
		file(at("dev", name), "")
	}
	usb := at("devices", "1-1")
	for name, text := range map[string]string{"idVendor": "0403\n", "idProduct": "6001\n", "serial": "A 1\n", "manufacturer": "FTDI\n", "product": "FT232R\n"} {
		file(filepath.Join(usb, name), text)
	}
	file(filepath.Join(usb, "1-1:1.0", "ttyUSB0", "x"), "")
	file(at("devices", "serial8250", "x"), "")
	link(filepath.Join(usb, "1-1:1.0", "ttyUSB0"), at("class", "ttyUSB0", "device"))
	for name, kind := range map[string]string{"ttyS0": "4", "ttyS1": "0"} {
		link(at("devices", "serial8250"), at("class", name, "device"))
		file(at("class", name, "type"), kind+"\n")
	}
	file(at("class", "tty1", "dev"), "4:1\n") // a screen
	link(at("dev", "ttyUSB0"), at("dev", "serial", "by-path", "pci-usb-1"))
	link(at("dev", "ttyUSB0"), at("dev", "serial", "by-id", "usb-FTDI"))

	// A process whose files are to be seen, one of which only the lock is.
	link(at("dev", "ttyUSB0"), at("proc", "17", "fd", "3"))
	file(at("proc", "17", "comm"), "minicom\n")
	info, err := os.Stat(at("dev", "ttyUSB0"))
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	file(at("proc", "locks"), fmt.Sprintf("1: POSIX  ADVISORY  READ 9 00:01:2 0 EOF\n2: FLOCK  ADVISORY  WRITE 18 %02x:%02x:%d 0 EOF\n", st.Dev>>8&0xfff, st.Dev&0xff, st.Ino))

	got := listIn(at("class"), at("dev"), at("proc"))
	want := []Info{{Path: at("dev", "ttyS0")}, {
		Path: at("dev", "ttyUSB0"), USB: "usb:0403:6001:A%201", Maker: "FTDI", Product: "FT232R",
		Links:   []string{at("dev", "serial", "by-id", "usb-FTDI"), at("dev", "serial", "by-path", "pci-usb-1")},
		Holders: []Holder{{17, "minicom"}, {18, ""}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if device, err := deviceIn(at("class"), at("dev"), got[1].USB); err != nil || device != got[1].Path {
		t.Errorf("%s is %s, %v", got[1].USB, device, err)
	}
}

func TestWhoHasAPortIsFoundByAnyOfItsNames(t *testing.T) {
	_, _, path := pair(t, Mode{})
	link := filepath.Join(t.TempDir(), "by-id")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	_, err := Open(link, DefaultMode())
	if !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	by := regexp.MustCompile(fmt.Sprintf(`; it is open in \S.*, process %d$`, os.Getpid()))
	if got := WithHolder(err, link).Error(); !by.MatchString(got) {
		t.Errorf("got %q, want %s at its end", got, by)
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "missing"), "usb:ffff:ffff"} {
		if got := WithHolder(err, path); got != err {
			t.Errorf("%s: got %v", path, got)
		}
	}
	if gone := fmt.Errorf("x: %w", ErrGone); WithHolder(gone, link) != gone {
		t.Error("of a port that is gone nobody has to be found")
	}
}
