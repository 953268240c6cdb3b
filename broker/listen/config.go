package listen

import (
	"crypto/tls"
	"slices"
)

// Config is one [[broker.listener]] table.
type Config struct {
	// URL says where clients connect and what they speak there:
	// mqtt://HOST:PORT (default port 1883), mqtts://HOST:PORT for TLS (8883),
	// ws://HOST:PORT/PATH for MQTT over WebSocket (80, path /mqtt),
	// wss://HOST:PORT/PATH for the same over TLS (443), or
	// unix:///run/headgate/mqtt.sock for a socket file. An empty HOST is every
	// address of this machine; an IPv6 address stands in brackets: [::1].
	URL string `toml:"url"`

	// Anonymous lets clients in without a user name from anywhere. Without it
	// only those on this machine may do that.
	Anonymous bool `toml:"anonymous"`

	// CertFile and KeyFile are the PEM files of the server's certificate, with
	// its chain, and of its key, for mqtts and wss. They are read again on
	// SIGHUP, as all files of this table are.
	CertFile string `toml:"cert_file"`
	KeyFile  string `toml:"key_file"`

	// ClientCAFile is a PEM file of the CAs whose certificates clients may show.
	// With it clients are asked for theirs, and one that is shown is verified.
	ClientCAFile string `toml:"client_ca_file"`

	// RequireCertificate refuses clients that show no certificate. Default true
	// when client_ca_file is given.
	RequireCertificate *bool `toml:"require_certificate"`

	// CRLFile is a file of revocation lists, signed by CAs in client_ca_file:
	// PEM with one or more, or DER with one. Revoked certificates are refused;
	// so is every certificate whose CA has no list there, or one that is out of
	// date.
	CRLFile string `toml:"crl_file"`

	// UsernameFrom makes the client's certificate name the user, in place of the
	// CONNECT packet: "cn" takes the common name of its subject, "subject" the
	// whole subject as RFC 2253 writes it, like "CN=meter7,O=Plant". Default: the
	// CONNECT packet names the user.
	UsernameFrom string `toml:"username_from"`

	// ALPN lists the protocol names that are accepted in the TLS handshake; a
	// client that offers none at all gets in as well. Default "mqtt" and
	// "x-amzn-mqtt-ca", for wss "http/1.1".
	ALPN []string `toml:"alpn"`

	// MinTLS is the lowest version of TLS that is spoken, "1.2" or "1.3".
	// Default "1.2".
	MinTLS string `toml:"min_tls"`

	// ProxyProtocol expects a PROXY header (version 1 or 2) before anything
	// else, and takes the client's address from it. The header is then required,
	// and believed whoever sends it: bind such a listener only where nobody but
	// the proxy can connect.
	ProxyProtocol bool `toml:"proxy_protocol"`

	// Mode is the file mode of a unix socket, in octal. Who may write to the
	// socket may connect. Default "0660".
	Mode string `toml:"mode"`

	// MaxConnections is how many connections this listener may have at a time;
	// one more is closed at once. Default: only the broker's max_connections.
	MaxConnections int `toml:"max_connections"`

	// Versions lists the protocol versions that clients may speak here: "3.1",
	// "3.1.1" and "5.0". Default all.
	Versions []string `toml:"versions"`

	// MountPoint is put before every topic of the clients of this listener, and
	// taken off what they get: with "guests/" they see only what is below it.
	// It ends in "/" and has no wildcards. Default none.
	MountPoint string `toml:"mount_point"`

	// Origins lists from which web pages, beside those of the same host, a
	// browser may connect to ws and wss: patterns like "*.example.com", or with
	// a scheme "https://panel.example.com"; "*" is any. Clients that are no
	// browser name no origin, and are not asked. Default none.
	Origins []string `toml:"origins"`
}

const (
	defaultPath = "/mqtt"
	defaultMode = "0660"
)

var (
	tlsVersions  = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
	mqttVersions = []string{"3.1", "3.1.1", "5.0"}
	mqttALPN     = []string{"mqtt", "x-amzn-mqtt-ca"}
	httpALPN     = []string{"http/1.1"}
)

// SetDefaults fills what was left out, where it applies. It may run more than
// once.
func (c *Config) SetDefaults() {
	a, err := parseURL(c.URL)
	if err != nil {
		return
	}
	if a.tls {
		if c.MinTLS == "" {
			c.MinTLS = "1.2"
		}
		if len(c.ALPN) == 0 {
			c.ALPN = slices.Clone(mqttALPN)
			if a.websocket {
				c.ALPN = slices.Clone(httpALPN)
			}
		}
		if c.ClientCAFile != "" && c.RequireCertificate == nil {
			c.RequireCertificate = new(true)
		}
	}
	if a.network == "unix" && c.Mode == "" {
		c.Mode = defaultMode
	}
}
