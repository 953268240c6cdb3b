package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// endpoint is what the url of an upstream says.
type endpoint struct {
	address string // host:port
	host    string
	tls     bool
	path    string // of a WebSocket, with its query; "" is plain MQTT
}

// local says whether it is on this machine.
func (e endpoint) local() bool {
	return e.host == "localhost" || net.ParseIP(e.host).IsLoopback()
}

// schemes are what a url may begin with.
var schemes = map[string]struct {
	port     string
	tls, web bool
}{
	"mqtt":  {port: "1883"},
	"mqtts": {port: "8883", tls: true},
	"ws":    {port: "80", web: true},
	"wss":   {port: "443", tls: true, web: true},
}

// defaultPath is where brokers have their WebSocket.
const defaultPath = "/mqtt"

// parseURL reads mqtt://host[:port] and mqtts://host[:port], and the same of ws
// and wss with a path.
func parseURL(s string) (endpoint, error) {
	if s == "" {
		return endpoint{}, errors.New("missing: want the upstream broker, such as \"mqtts://broker.example.com\"")
	}
	if !strings.ContainsAny(s, "/@") { // host[:port] alone
		return endpoint{}, fmt.Errorf("%q: want mqtt://%s, or the same with mqtts://, ws:// or wss://: the scheme is missing", s, s)
	}
	u, err := url.Parse(s)
	if err != nil {
		// The parser's error repeats the whole text, where a password may stand.
		return endpoint{}, errors.New("no URL that can be read, such as a port that is no number: want mqtt://host:port, mqtts://, ws:// or wss://")
	}
	scheme, ok := schemes[u.Scheme]
	if !ok {
		return endpoint{}, fmt.Errorf("%q: want mqtt://, mqtts://, ws:// or wss://", u.Redacted())
	}
	ep := endpoint{host: u.Hostname(), tls: scheme.tls}
	switch {
	case u.User != nil:
		return endpoint{}, fmt.Errorf("%q: user name and password stand in credentials = { username, password_file }", u.Redacted())
	case ep.host == "":
		return endpoint{}, fmt.Errorf("%q: the host is missing: want %s://host:port", s, u.Scheme)
	case u.Fragment != "":
		return endpoint{}, fmt.Errorf("%q: want no # in it", s)
	case scheme.web:
		u.Path = strings.TrimSuffix(u.Path, "/")
		if u.Path == "" {
			u.Path = defaultPath
		}
		ep.path = u.RequestURI()
	case u.Path != "" && u.Path != "/", u.RawQuery != "":
		return endpoint{}, fmt.Errorf("%q: want nothing after host and port", s)
	}
	port := scheme.port
	if u.Port() != "" {
		port = u.Port()
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n == 0 {
		return endpoint{}, fmt.Errorf("%q: port %s: want 1 to 65535", s, port)
	}
	ep.address = net.JoinHostPort(ep.host, port)
	return ep, nil
}

// Addresses gives url or urls, whichever there is.
func (c *Config) Addresses() []string {
	if len(c.URLs) > 0 {
		return c.URLs
	}
	return []string{c.URL}
}

// checkAddresses checks url, urls and proxy, and gives what could be read.
func (c *Config) checkAddresses(fault func(key, format string, args ...any)) []endpoint {
	if c.URL != "" && len(c.URLs) > 0 {
		fault("urls", "there is a url too: want one of the two")
	}
	var eps []endpoint
	for i, s := range c.Addresses() {
		key := "url"
		if len(c.URLs) > 0 {
			key = fmt.Sprintf("urls[%d]", i)
		}
		ep, err := parseURL(s)
		if err != nil {
			fault(key, "%v", err)
			continue
		}
		eps = append(eps, ep)
	}
	if c.Proxy != "" {
		if _, err := parseProxy(c.Proxy); err != nil {
			fault("proxy", "%v", err)
		}
	}
	return eps
}
