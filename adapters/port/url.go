package port

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Address is what a serial URL says.
type Address struct {
	Scheme string
	Path   string // absolute, or "usb:VID:PID" or "usb:VID:PID:SERIAL"
	Mode   Mode
}

// ParseURL reads the URL of a serial port, like
// "serial:///dev/ttyUSB1?baud=19200&parity=E": a scheme, the port's absolute
// path, and in the query baud, data_bits (5 to 8), parity (N, E, O, M or S),
// stop_bits (1, 1.5 or 2), dtr and rts (on or off, as the port is opened), and for
// a transceiver that the kernel must switch rs485 (rts or rts-inverted),
// rts_before, rts_after (like 1ms) and rx_during_tx. What the query leaves out is
// as in DefaultMode. In place of the path a USB adapter may be named by its vendor,
// product and serial number, "serial:usb:0403:6001:A50285BI?baud=19200", or without
// the serial number where it is the only one of its kind. schemes
// are those that the caller understands; the error says what is wrong, every
// setting that is, and what would be right.
func ParseURL(text string, schemes ...string) (Address, error) {
	want := schemes[0] + ":///dev/ttyUSB0?baud=9600"
	u, err := url.Parse(text)
	if err != nil {
		return Address{}, fmt.Errorf("%q is no URL: want one like %q", text, want)
	}
	a := Address{Scheme: u.Scheme, Path: u.Path, Mode: DefaultMode()}
	name, byUSB := strings.CutPrefix(u.Opaque, usbPrefix)
	if byUSB {
		a.Path = u.Opaque
	}
	switch {
	case u.Scheme == "":
		return Address{}, fmt.Errorf("%q has no scheme: want one like %q", text, want)
	case !slices.Contains(schemes, u.Scheme):
		return Address{}, fmt.Errorf("%q: the scheme %q is none of %s: want one like %q", text, u.Scheme, strings.Join(schemes, ", "), want)
	case u.Host != "" || u.User != nil:
		return Address{}, fmt.Errorf("%q: the path of the port begins after a third slash: \"%s:///%s\"", text, u.Scheme, strings.TrimPrefix(strings.TrimPrefix(text, u.Scheme+"://"), "/"))
	case byUSB && u.Fragment == "":
		if _, err := parseUSB(name); err != nil {
			return Address{}, fmt.Errorf("%q: %w", text, err)
		}
	case u.Path == "" || u.Path == "/" || u.Opaque != "":
		return Address{}, fmt.Errorf("%q has no absolute path of a port: want one like %q", text, want)
	case strings.HasSuffix(u.Path, "/") || strings.ContainsRune(u.Path, 0):
		return Address{}, fmt.Errorf("%q: %q cannot be the path of a port", text, u.Path)
	case u.Fragment != "":
		return Address{}, fmt.Errorf("%q: a # in the path of a port is written %%23", text)
	}
	if a.Mode, err = ParseMode(u.RawQuery); err != nil {
		return Address{}, fmt.Errorf("%q: %w", text, err)
	}
	return a, nil
}

// ParseMode reads the query of such a URL.
func ParseMode(text string) (Mode, error) {
	m := DefaultMode()
	query, err := url.ParseQuery(text)
	if err != nil {
		return m, errors.New("after the ? want settings like \"baud=9600&parity=E\"")
	}
	var wrong []string
	for _, key := range slices.Sorted(maps.Keys(query)) {
		if n := len(query[key]); n > 1 {
			wrong = append(wrong, fmt.Sprintf("%s is given %d times", key, n))
		} else if err := m.set(key, query[key][0]); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	if err := m.RS485.check(); err != nil && len(wrong) == 0 {
		wrong = append(wrong, err.Error())
	}
	if len(wrong) > 0 {
		return m, errors.New(strings.Join(wrong, "; "))
	}
	return m, nil
}

// Link is what tells whether two addresses are the same port: its path, with
// symbolic links resolved as far as they exist now.
func (a Address) Link() string {
	path, err := device(a.Path)
	if err != nil {
		return a.Path // it is not plugged in
	}
	path = filepath.Clean(path)
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	return path
}

const (
	minBaud = 50
	maxBaud = 4_000_000
)

// set takes one setting of the query.
func (m *Mode) set(key, value string) error {
	if known, err := m.RS485.set(key, value); known {
		return err
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		n = -1
	}
	switch key {
	case "baud":
		if n < minBaud || n > maxBaud {
			return fmt.Errorf("baud=%s: want a speed from %d to %d, like baud=9600", value, minBaud, maxBaud)
		}
		m.Baud = n
	case "data_bits":
		if n < 5 || n > 8 {
			return fmt.Errorf("data_bits=%s: want 5, 6, 7 or 8", value)
		}
		m.DataBits = n
	case "stop_bits":
		switch {
		case n == 1 || n == 2:
			m.StopBits = float64(n)
		case value == "1.5" && m.DataBits == 5: // data_bits comes before it
			m.StopBits = 1.5
		default:
			return fmt.Errorf("stop_bits=%s: want 1 or 2, or with data_bits=5 also 1.5", value)
		}
	case "dtr", "rts":
		if value != "on" && value != "off" {
			return fmt.Errorf("%s=%s: want on or off", key, value)
		}
		if key == "dtr" {
			m.DTROff = value == "off"
		} else {
			m.RTSOff = value == "off"
		}
	case "parity":
		switch strings.ToLower(value) {
		case "n", "none":
			m.Parity = None
		case "e", "even":
			m.Parity = Even
		case "o", "odd":
			m.Parity = Odd
		case "m", "mark":
			m.Parity = Mark
		case "s", "space":
			m.Parity = Space
		default:
			return fmt.Errorf("parity=%s: want N (none), E (even), O (odd), M (mark) or S (space)", value)
		}
	default:
		return unknownSetting(key)
	}
	return nil
}

// unknownSetting names the setting that was most likely meant.
func unknownSetting(key string) error {
	plain := strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(key))
	meant := ""
	switch plain {
	case "baud", "baudrate", "speed", "bps", "rate", "baudt", "buad", "baut", "bauds":
		meant = "baud"
	case "databits", "data", "bits", "bytesize", "charsize", "size":
		meant = "data_bits"
	case "stopbits", "stop", "stopbit":
		meant = "stop_bits"
	case "parity", "par", "partiy", "paritiy":
		meant = "parity"
	}
	if meant != "" {
		return fmt.Errorf("there is no setting %q: did you mean %s?", key, meant)
	}
	return fmt.Errorf("there is no setting %q: there are baud, data_bits, parity, stop_bits, dtr and rts; and for RS485 rs485, rts_before, rts_after and rx_during_tx", key)
}
