package port

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// usbPrefix begins the Path of an Address that names a USB adapter by its numbers.
const usbPrefix = "usb:"

// usbName is a USB adapter by vendor, product, and serial number; that is "" for
// the only one of its kind.
type usbName struct {
	vendor, product, number string
	maker, name             string // as it says itself; not a part of what names it
}

// parseUSB reads "0403:6001" or "0403:6001:A50285BI".
func parseUSB(text string) (usbName, error) {
	parts := strings.SplitN(text, ":", 3)
	if len(parts) < 2 || !isUSBNumber(parts[0]) || !isUSBNumber(parts[1]) {
		return usbName{}, fmt.Errorf("%q is no USB adapter: want usb:VID:PID or usb:VID:PID:SERIAL, with four hexadecimal digits each, as \"headgate serial list\" prints it", text)
	}
	u := usbName{vendor: strings.ToLower(parts[0]), product: strings.ToLower(parts[1])}
	if len(parts) == 3 {
		number, err := url.PathUnescape(parts[2])
		if err != nil || number == "" {
			return usbName{}, fmt.Errorf("%q: %q is no serial number: a %% in it is written %%25", text, parts[2])
		}
		u.number = number
	}
	return u, nil
}

func isUSBNumber(s string) bool {
	return len(s) == 4 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// device gives the path of the port that path names: itself, but for the name of
// a USB adapter, which is looked for among those that are plugged in now.
func device(path string) (string, error) { return deviceIn("/sys/class/tty", "/dev", path) }

func deviceIn(class, dev, path string) (string, error) {
	text, byUSB := strings.CutPrefix(path, usbPrefix)
	if !byUSB {
		return path, nil
	}
	want, err := parseUSB(text)
	if err != nil {
		return "", err
	}
	var found []string
	links, _ := filepath.Glob(filepath.Join(class, "*", "device"))
	for _, link := range links {
		u, ok := usbOf(link)
		if ok && u.vendor == want.vendor && u.product == want.product && (want.number == "" || u.number == want.number) {
			found = append(found, filepath.Join(dev, filepath.Base(filepath.Dir(link))))
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("no such USB adapter: is it plugged in? \"headgate serial list\" lists those that are (%w)", fs.ErrNotExist)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%w: %s all are it: name one by its serial number, or by its link below /dev/serial", errSeveral, strings.Join(found, ", "))
}

// errSeveral: there is more than one USB adapter of a name.
var errSeveral = errors.New("not the only one")

// usbOf gives the USB adapter that a port belongs to, by the directory of its
// device; ok is false for one that is not on USB.
func usbOf(device string) (u usbName, ok bool) {
	dir, err := filepath.EvalSymlinks(device)
	if err != nil {
		return u, false
	}
	// The adapter is the first above the port that names a vendor; those above it
	// are hubs.
	for range 3 {
		if u.vendor = attribute(dir, "idVendor"); u.vendor != "" {
			u.product, u.number = attribute(dir, "idProduct"), attribute(dir, "serial")
			u.maker, u.name = attribute(dir, "manufacturer"), attribute(dir, "product")
			return u, true
		}
		dir = filepath.Dir(dir)
	}
	return u, false
}

func attribute(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
