package web

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"headgate/broker/auth"
)

// Off is the Listen of a gateway without a page.
const Off = "off"

// Config is the [web] table.
type Config struct {
	// Listen is where the page, its API and /metrics are: HOST:PORT, or "off" for
	// none of them. Anything but a loopback address needs a [[web.user]]. Default
	// "127.0.0.1:8080".
	Listen string `toml:"listen"`

	// CertFile and KeyFile are the PEM files of the server's certificate, with
	// its chain, and of its key: with them the page is at https. Default: http.
	CertFile string `toml:"cert_file"`
	KeyFile  string `toml:"key_file"`

	// HistoryBytes bounds what is kept on disk of every point, minute by minute, for
	// the plot of a day: at the limit the oldest goes. A point takes 8 bytes a minute.
	// "off" keeps the last hour alone, in memory. Default "32MB".
	HistoryBytes HistoryLimit `toml:"history_bytes"`

	// HistoryDir is where that is.
	HistoryDir string `toml:"-"`

	// User lists who may log in. Without one, whoever reaches the address sees
	// everything and changes nothing.
	User []User `toml:"user"`
}

// User is one [[web.user]] table: who may look at the page.
type User struct {
	auth.UserConfig

	// Role is what the user may do: a "viewer" sees everything, an "operator" also
	// writes values, publishes, disconnects clients, and pauses bridges. Default
	// "viewer".
	Role Role `toml:"role"`
}

// HistoryLimit is a number of bytes, from 1 MB on; negative: off.
type HistoryLimit int64

// UnmarshalText takes a number of bytes with its unit, kB, MB or GB, or "off".
func (l *HistoryLimit) UnmarshalText(text []byte) error {
	if string(text) == Off {
		*l = -1
		return nil
	}
	number, unit := strings.TrimRight(string(text), "kMGB"), map[string]float64{"kB": 1e3, "MB": 1e6, "GB": 1e9}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	times, known := unit[strings.TrimSpace(string(text)[len(number):])]
	if err != nil || !known || n*times < 1e6 || n*times > 1e12 {
		return fmt.Errorf("%q: want 1MB or more, like \"32MB\", or \"off\"", text)
	}
	*l = HistoryLimit(n * times)
	return nil
}

// MarshalText gives it as the configuration has it.
func (l HistoryLimit) MarshalText() ([]byte, error) {
	if l < 0 {
		return []byte(Off), nil
	}
	return fmt.Appendf(nil, "%gMB", float64(l)/1e6), nil
}

// Role is what somebody may do.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
)

// SetDefaults fills what was left out.
func (c *Config) SetDefaults() {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8080"
	}
	if c.HistoryBytes == 0 {
		c.HistoryBytes = 32e6
	}
	for i := range c.User {
		if c.User[i].Role == "" {
			c.User[i].Role = Viewer
		}
	}
}

// Check reports each fault by its key, relative to the [web] table.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	users := c.users()
	users.Check(fault)
	for i, u := range c.User {
		if u.Role != Viewer && u.Role != Operator {
			fault(fmt.Sprintf("user[%d].role", i), "%q: want %q or %q", u.Role, Viewer, Operator)
		}
	}
	switch {
	case c.CertFile == "" && c.KeyFile != "":
		fault("key_file", "there is no cert_file that it belongs to")
	case c.CertFile != "" && c.KeyFile == "":
		fault("cert_file", "there is no key_file that it belongs to")
	}
	if c.Listen == Off {
		return
	}
	host, port, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil || port == "":
		fault("listen", "%q: want HOST:PORT, like \"127.0.0.1:8080\", or %q", c.Listen, Off)
	case !isLoopback(host) && len(c.User) == 0:
		fault("listen", "%q can be reached from other machines: that needs a [[web.user]] (headgate passwd makes a password_hash)", c.Listen)
	}
}

// users gives them as package auth takes them.
func (c *Config) users() auth.Config {
	var a auth.Config
	for _, u := range c.User {
		a.User = append(a.User, u.UserConfig)
	}
	return a
}

// isLoopback says whether only this machine reaches a host.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// tls gives the server's certificate; nil: the page is at http.
func (c *Config) tls() (*tls.Config, error) {
	if c.CertFile == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("web.cert_file %s: %w", c.CertFile, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}, nil
}
