package broker

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"headgate/broker/auth"
)

// Config is the [broker] table.
type Config struct {
	// Listener says where clients connect. None at all is allowed: then only
	// the gateway and the bridges use the broker, inside the process.
	Listener []ListenerConfig `toml:"listener"`

	auth.Config
	Limits

	// Version is headgate's own, for $SYS.
	Version string `toml:"-"`
}

// ListenerConfig is one [[broker.listener]] table.
type ListenerConfig struct {
	// URL is mqtt://HOST:PORT (default port 1883), or mqtts://HOST:PORT for TLS
	// (default port 8883). An empty HOST is every address of this machine.
	URL string `toml:"url"`

	// Anonymous lets clients in without a user name from anywhere. Without it
	// only those on this machine may do that.
	Anonymous bool `toml:"anonymous"`

	// CertFile and KeyFile are the PEM files of the server's certificate, for
	// mqtts.
	CertFile string `toml:"cert_file"`
	KeyFile  string `toml:"key_file"`
}

// SetDefaults fills what was left out.
func (c *Config) SetDefaults() {
	c.Limits.SetDefaults()
}

// Check reports each fault by its key, relative to the [broker] table.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	for i, l := range c.Listener {
		l.check(keyOf("listener", i), fault)
	}
	c.Config.Check(fault)
	c.Limits.Check(fault)
}

func keyOf(table string, i int) string { return table + "[" + itoa(i) + "]" }

func (l *ListenerConfig) check(key string, fault func(key, format string, args ...any)) {
	u, err := l.parse()
	if err != nil {
		fault(key+".url", "%v", err)
		return
	}
	switch {
	case u.tls && (l.CertFile == "" || l.KeyFile == ""):
		fault(key, "mqtts needs cert_file and key_file")
	case !u.tls && (l.CertFile != "" || l.KeyFile != ""):
		fault(key+".cert_file", "a certificate needs mqtts:// in url")
	}
	for name, path := range map[string]string{".cert_file": l.CertFile, ".key_file": l.KeyFile} {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			fault(key+name, "%v", err)
		}
	}
}

// Address is where the listener binds, as "HOST:PORT"; "" when its URL is
// faulty. Two listeners of one address cannot both be.
func (l *ListenerConfig) Address() string {
	a, err := l.parse()
	if err != nil {
		return ""
	}
	return a.address
}

type listenAddress struct {
	tls     bool
	address string // host:port
}

func (l *ListenerConfig) parse() (listenAddress, error) {
	if l.URL == "" {
		return listenAddress{}, configError("a listener needs a url, for instance mqtt://127.0.0.1:1883")
	}
	u, err := url.Parse(l.URL)
	if err != nil {
		return listenAddress{}, configError("%q is not a URL: want mqtt://HOST:PORT", l.URL)
	}
	a := listenAddress{}
	port := u.Port()
	switch u.Scheme {
	case "mqtt":
		setDefault(&port, "1883")
	case "mqtts":
		a.tls = true
		setDefault(&port, "8883")
	case "ws", "wss", "unix":
		return a, configError("%q: this version listens on mqtt:// and mqtts://, not yet on %s://", l.URL, u.Scheme)
	default:
		return a, configError("%q: want mqtt://HOST:PORT or mqtts://HOST:PORT", l.URL)
	}
	if u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return a, configError("%q: want only a host and a port", l.URL)
	}
	a.address = net.JoinHostPort(u.Hostname(), port)
	return a, nil
}

// configError is a fault that the config's reader can mend.
func configError(format string, args ...any) error { return fmt.Errorf(format, args...) }
