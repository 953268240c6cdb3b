package web

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"

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
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, nil
}
