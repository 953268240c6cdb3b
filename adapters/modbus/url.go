package modbus

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"headgate/adapters/datatype"
	"headgate/adapters/port"
)

// framing is how a PDU stands on a link.
type framing uint8

const (
	rtu   framing = iota // binary, with a CRC [MB-RTU 2.5.1]
	ascii                // hexadecimal, with an LRC [MB-RTU 2.5.2]
	mbap                 // the header of Modbus TCP [MB-TCP 3.1]
)

// carrier is what takes the frames from one end of a link to the other.
type carrier uint8

const (
	serialLine carrier = iota
	viaTCP
	viaUDP
	viaTLS
)

// scheme is what a URL's scheme stands for: any framing goes with any carrier.
type scheme struct {
	framing framing
	carrier carrier
	port    string // where none is given; "" where one must be
}

// schemes gives the schemes by name. A gateway that only carries the frames of
// a serial line listens wherever it is told to, so there its port must be said.
func schemes() map[string]scheme {
	return map[string]scheme{
		"rtu":       {rtu, serialLine, ""},
		"ascii":     {ascii, serialLine, ""},
		"tcp":       {mbap, viaTCP, "502"},
		"rtu+tcp":   {rtu, viaTCP, ""},
		"ascii+tcp": {ascii, viaTCP, ""},
		"udp":       {mbap, viaUDP, "502"},
		"rtu+udp":   {rtu, viaUDP, ""},
		"tls":       {mbap, viaTLS, "802"}, // [MB-TLS 4]
	}
}

// link is a URL, understood.
type link struct {
	scheme
	name string    // of the scheme
	path string    // of a serial port
	host string    // of all others, with its port
	mode port.Mode // of the serial line, be it behind a gateway; zero where there is none
}

// onSerialLine says whether unit ids are those of a serial line.
func (l link) onSerialLine() bool { return l.framing != mbap }

// parseURL reads the url of a [[modbus]] table.
func parseURL(text string) (link, error) {
	const want = "want \"tcp://host:502\" or \"rtu:///dev/serial/by-id/...?baud=9600\""
	if text == "" {
		return link{}, fmt.Errorf("is missing: %s", want)
	}
	name, _, found := strings.Cut(text, ":")
	if !found || strings.ContainsAny(name, "/.") {
		return link{}, fmt.Errorf("%q has no scheme: %s", text, want)
	}
	s, known := schemes()[name]
	if !known {
		names := slices.Sorted(maps.Keys(schemes()))
		return link{}, fmt.Errorf("%q: there is no scheme %q%s; %s; the schemes are %s", text, name, datatype.DidYouMean(name, names), want, strings.Join(names, ", "))
	}
	l := link{scheme: s, name: name}
	if s.carrier != serialLine {
		return parseHost(l, text)
	}
	a, err := port.ParseURL(text, name)
	l.path, l.mode = a.Path, a.Mode
	if err == nil {
		err = l.checkBits(text)
	}
	return l, err
}

// checkBits: RTU needs whole bytes; ASCII needs seven bits of each.
func (l link) checkBits(text string) error {
	switch {
	case l.framing == rtu && l.mode.DataBits != 8:
		return fmt.Errorf("%q: Modbus RTU needs 8 data bits", text)
	case l.framing == ascii && l.mode.DataBits < 7:
		return fmt.Errorf("%q: Modbus ASCII needs 7 or 8 data bits", text)
	}
	return nil
}

// parseHost reads host and port; behind them the mode of a serial line, if it
// is one that the host only carries.
func parseHost(l link, text string) (link, error) {
	example := l.port
	if example == "" {
		example = "4001"
	}
	want := fmt.Sprintf("want \"%s://host:%s\"", l.name, example)
	u, err := url.Parse(text)
	if err != nil {
		return link{}, fmt.Errorf("%q is no URL: %s", text, want)
	}
	number := u.Port()
	if number == "" {
		number = l.port
	}
	switch {
	case u.Hostname() == "":
		return link{}, fmt.Errorf("%q names no host: %s", text, want)
	case u.User != nil:
		return link{}, fmt.Errorf("%q: Modbus knows no user: %s", u.Redacted(), want)
	case u.Path != "" && u.Path != "/", u.Fragment != "", u.RawQuery != "" && !l.onSerialLine():
		return link{}, fmt.Errorf("%q: nothing may follow host and port: %s", text, want)
	case number == "":
		return link{}, fmt.Errorf("%q names no port, and there is none that is usual: %s", text, want)
	}
	if n, err := strconv.Atoi(number); err != nil || n < 1 || n > 65535 {
		return link{}, fmt.Errorf("%q: the port must be 1 to 65535: %s", text, want)
	}
	l.host = net.JoinHostPort(strings.ToLower(u.Hostname()), number)
	if !l.onSerialLine() {
		return l, nil
	}
	if l.mode, err = port.ParseMode(u.RawQuery); err != nil {
		return link{}, fmt.Errorf("%q: %w", text, err)
	}
	return l, l.checkBits(text)
}

// overNetwork says whether a device that is not told by its unit id may be
// alone on the link: Modbus TCP in all its forms.
func (c *Config) overNetwork() bool {
	l, err := parseURL(c.URL)
	return err == nil && !l.onSerialLine()
}

// Link is what tells whether two tables are about the same link, which must be
// one table: the serial port's path with its symbolic links resolved, or
// "tcp host:port", "udp host:port". It is "" for a URL that is at fault.
func (c *Config) Link() string {
	l, err := parseURL(c.URL)
	switch {
	case err != nil:
		return ""
	case l.carrier == serialLine:
		return port.Address{Path: l.path}.Link()
	case l.carrier == viaUDP:
		return "udp " + l.host
	}
	return "tcp " + l.host
}
