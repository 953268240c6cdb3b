package listen

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// faultFunc reports a fault of a key; "" is the whole table.
type faultFunc func(key, format string, args ...any)

// Check reports each fault by its key, relative to the [[broker.listener]]
// table; "" is the table itself. It reads the files that are named, as New will.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	a, err := parseURL(c.URL)
	if err != nil {
		fault("url", "%v", err)
		return
	}
	if c.checkTLS(a, fault) {
		c.tlsConfig(time.Now(), fault, func(string, string, ...any) {})
	}
	switch {
	case a.network != "unix" && c.Mode != "":
		fault("mode", "only a unix socket has a file mode: %s has none", c.URL)
	case a.network == "unix":
		if _, err := parseMode(c.Mode); err != nil {
			fault("mode", "%v", err)
		}
	}
	if c.MaxConnections < 0 || c.MaxConnections > 1_000_000 {
		fault("max_connections", "%d is not within 1 to 1000000", c.MaxConnections)
	}
	for i, v := range c.Versions {
		switch {
		case !slices.Contains(mqttVersions, v):
			fault(keyOf("versions", i), "%q is no version of MQTT: want one of %s", v, strings.Join(mqttVersions, ", "))
		case slices.Contains(c.Versions[:i], v):
			fault(keyOf("versions", i), "%q is listed twice", v)
		}
	}
	if err := checkMountPoint(c.MountPoint); err != nil {
		fault("mount_point", "%v", err)
	}
	c.checkOrigins(a, fault)
}

func (c *Config) checkOrigins(a address, fault faultFunc) {
	if len(c.Origins) > 0 && !a.websocket {
		fault("origins", "origins are for ws:// and wss://: no browser connects to %s", c.URL)
	}
	for i, o := range c.Origins {
		if _, err := path.Match(o, ""); err != nil || o == "" {
			fault(keyOf("origins", i), "%q is no pattern of a host: want one like *.example.com", o)
		}
	}
}

// checkTLS checks the keys that concern TLS, but not the files. It is true when
// the files are to be read.
func (c *Config) checkTLS(a address, fault faultFunc) bool {
	if !a.tls {
		for _, k := range []struct {
			key   string
			given bool
		}{
			{"cert_file", c.CertFile != ""}, {"key_file", c.KeyFile != ""}, {"client_ca_file", c.ClientCAFile != ""},
			{"require_certificate", c.RequireCertificate != nil}, {"crl_file", c.CRLFile != ""},
			{"username_from", c.UsernameFrom != ""}, {"alpn", len(c.ALPN) > 0}, {"min_tls", c.MinTLS != ""},
		} {
			if k.given {
				fault(k.key, "it is for TLS: the url needs mqtts:// or wss://")
			}
		}
		return false
	}
	if c.ClientCAFile == "" {
		const need = "it needs client_ca_file, whose CAs vouch for the clients"
		if c.RequireCertificate != nil && *c.RequireCertificate {
			fault("require_certificate", need)
		}
		if c.CRLFile != "" {
			fault("crl_file", need)
		}
		if c.UsernameFrom != "" {
			fault("username_from", need)
		}
	}
	if c.UsernameFrom != "" && c.UsernameFrom != "cn" && c.UsernameFrom != "subject" {
		fault("username_from", "%q: want \"cn\" or \"subject\"", c.UsernameFrom)
	}
	if _, ok := tlsVersions[c.MinTLS]; !ok {
		fault("min_tls", "%q: want \"1.2\" or \"1.3\"", c.MinTLS)
	}
	for i, name := range c.ALPN {
		if name == "" || len(name) > 255 {
			fault(keyOf("alpn", i), "%q: the name of a protocol has 1 to 255 bytes", name)
		}
	}
	if a.websocket && !slices.Contains(c.ALPN, "http/1.1") {
		fault("alpn", "wss needs \"http/1.1\" among them: a WebSocket begins as HTTP")
	}
	if c.CertFile == "" || c.KeyFile == "" {
		fault("", "%s needs cert_file and key_file", c.URL)
		return false
	}
	return true
}

// Late says which certificates and revocation lists are out of date, each by its
// key. That is no fault, since everything else works.
func (c *Config) Late() []string {
	var said []string
	if a, err := parseURL(c.URL); err == nil && a.tls {
		if _, late, _ := c.loadTLS(); late != nil {
			said = strings.Split(late.Error(), "\n")
		}
	}
	return said
}

func checkMountPoint(m string) error {
	switch {
	case m == "":
		return nil
	case strings.ContainsAny(m, "+#\x00"):
		return fmt.Errorf("%q: a mount point has no wildcards (+ and #) and no NUL", m)
	case !strings.HasSuffix(m, "/"):
		return fmt.Errorf("%q: a mount point ends in \"/\": %q", m, m+"/")
	case !utf8.ValidString(m) || len(m) > 1024:
		return fmt.Errorf("%q: a mount point is UTF-8 text of at most 1024 bytes", m)
	}
	return nil
}

// parseMode reads a file mode like "0660".
func parseMode(text string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("%q: want the mode of a file in octal, like \"0660\"", text)
	}
	return fs.FileMode(n), nil
}

func keyOf(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }
