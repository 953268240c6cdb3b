package listen

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// address is what a listener's URL says.
type address struct {
	network   string // "tcp" or "unix"
	address   string // host:port, or the path of the socket
	tls       bool
	websocket bool
	path      string // where the WebSocket is
}

// schemes says what each scheme of a URL stands for; path is the default.
var schemes = map[string]struct {
	port           string
	tls, websocket bool
}{
	"mqtt":  {"1883", false, false},
	"mqtts": {"8883", true, false},
	"ws":    {"80", false, true},
	"wss":   {"443", true, true},
}

// maxSocketPath is what the system's address of a unix socket has room for.
const maxSocketPath = 107

func parseURL(text string) (address, error) {
	if text == "" {
		return address{}, fmt.Errorf("a listener needs a url, for instance mqtt://127.0.0.1:1883")
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return address{}, fmt.Errorf("%q is not a URL: want one like mqtt://HOST:PORT", text)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return address{}, fmt.Errorf("%q: a listener's url has no user, no ? and no #", text)
	}
	if u.Scheme == "unix" {
		return parseSocketPath(text, u)
	}
	s, ok := schemes[u.Scheme]
	if !ok {
		return address{}, fmt.Errorf("%q: want mqtt://HOST:PORT, or mqtts://, ws://, wss:// or unix:///PATH", text)
	}
	a := address{network: "tcp", tls: s.tls, websocket: s.websocket}
	port := u.Port()
	if port == "" {
		port = s.port
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return address{}, fmt.Errorf("%q: %s is no port: want 1 to 65535", text, port)
	}
	a.address = net.JoinHostPort(u.Hostname(), port)
	switch {
	case !a.websocket && strings.Trim(u.Path, "/") != "":
		return address{}, fmt.Errorf("%q: want only a host and a port: a path is for ws:// and wss://", text)
	case a.websocket && u.Path == "":
		a.path = defaultPath
	case a.websocket:
		a.path = u.Path
	}
	return a, nil
}

func parseSocketPath(text string, u *url.URL) (address, error) {
	switch {
	case u.Host != "":
		return address{}, fmt.Errorf("%q: the path of the socket begins after a third slash: unix:///%s%s", text, u.Host, u.Path)
	case u.Path == "" || strings.HasSuffix(u.Path, "/") || strings.ContainsRune(u.Path, 0):
		return address{}, fmt.Errorf("%q: want the path of a socket, like unix:///run/headgate/mqtt.sock", text)
	case len(u.Path) > maxSocketPath:
		return address{}, fmt.Errorf("%q: the path of a socket has at most %d bytes, this one has %d", text, maxSocketPath, len(u.Path))
	}
	return address{network: "unix", address: u.Path}, nil
}

// Address is where the listener binds: "HOST:PORT", or the path of a unix
// socket; "" when the URL is faulty. Two listeners of one address cannot both
// be.
func (c *Config) Address() string {
	a, err := parseURL(c.URL)
	if err != nil {
		return ""
	}
	return a.address
}

// isLoopback says whether an address is of this machine.
func isLoopback(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

// hasToken says whether a list in header lines ("a, b") has one of the names,
// in whatever case.
func hasToken(lines []string, names ...string) bool {
	for _, line := range lines {
		for token := range strings.SplitSeq(line, ",") {
			token = strings.TrimSpace(token)
			if slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, token) }) {
				return true
			}
		}
	}
	return false
}
