package bridge

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"headgate/broker/topic"
)

// service gives the one that Preset names, nil for none.
func (c *Config) service() *service {
	if s, ok := services[c.Preset]; ok {
		return &s
	}
	return nil
}

// setDefaults fills what the configuration leaves to the service.
func (s *service) setDefaults(c *Config) {
	if s == nil {
		return
	}
	if len(s.versions) > 0 {
		fill(&c.Version, s.versions[0])
	}
	if s.session > 0 {
		fill(&c.SessionExpiry, min(s.session, defaultSessionExpiry))
	}
	if s.inFlight > 0 {
		fill(&c.MaxInFlight, min(s.inFlight, defaultMaxInFlight))
	}
	if s.rate > 0 {
		fill(&c.MaxRate.Messages, s.rate)
	}
	if s.gatewayID {
		fill(&c.ClientID, c.GatewayID)
	}
	if s.alpn443 != "" && len(c.TLS.ALPN) == 0 && c.asksPort443() {
		c.TLS.ALPN = []string{s.alpn443}
	}
	if s.login == sasLogin && c.ClientID != "" {
		if ep, err := parseURL(c.Addresses()[0]); err == nil {
			fill(&c.Credentials.Username, ep.host+"/"+c.ClientID+"/?api-version=2021-04-12")
		}
	}
	for i := range c.Up {
		u := &c.Up[i]
		if u.RemotePrefix == "" {
			u.encoded = s.encodes && u.Topic == ""
			fill(&u.Topic, s.topic)
		}
		if s.noRetain {
			fill(&u.Retain, retainStrip)
		}
	}
}

// asksPort443 says whether all of its addresses are mqtts:// on port 443.
func (c *Config) asksPort443() bool {
	for _, address := range c.Addresses() {
		ep, err := parseURL(address)
		if err != nil || !ep.tls || ep.path != "" || !strings.HasSuffix(ep.address, ":443") {
			return false
		}
	}
	return true
}

// checkPreset reports what the service of the preset would refuse.
func (c *Config) checkPreset(fault func(key, format string, args ...any)) {
	s := c.service()
	if s == nil {
		if c.Preset != "" {
			fault("preset", "%q: want one of \"%s\", or no preset", c.Preset, strings.Join(slices.Sorted(maps.Keys(services)), `", "`))
		}
		return
	}
	s.checkConnection(c, fault)
	s.checkLogin(c, fault)
	s.checkClientID(c, fault)
	s.checkUp(c, fault)
	s.checkDown(c, fault)
}

func (s *service) checkConnection(c *Config, fault func(key, format string, args ...any)) {
	for i, address := range c.Addresses() {
		key := "url"
		if len(c.URLs) > 0 {
			key = fmt.Sprintf("urls[%d]", i)
		}
		s.checkAddress(address, func(format string, args ...any) { fault(key, format, args...) })
	}
	if len(s.versions) > 0 && !slices.Contains(s.versions, c.Version) {
		fault("version", "%q: %s speaks \"%s\"", c.Version, s.title, strings.Join(s.versions, `" and "`))
	}
	if s.keepAlive > 0 && c.KeepAlive > s.keepAlive {
		fault("keep_alive", "%v: %s takes at most %ds", c.KeepAlive, s.title, int(s.keepAlive.Seconds()))
	}
	if c.KeepAlive < s.keepAliveMin {
		fault("keep_alive", "%v: %s takes at least %v", c.KeepAlive, s.title, s.keepAliveMin)
	}
	if s.session > 0 && c.SessionExpiry > s.session {
		fault("session_expiry", "%v: %s keeps a session for at most %v", c.SessionExpiry, s.title, s.session)
	}
	if s.inFlight > 0 && c.MaxInFlight > s.inFlight {
		fault("max_in_flight", "%d: %s takes at most %d", c.MaxInFlight, s.title, s.inFlight)
	}
	if s.maxRate > 0 && c.MaxRate.Messages > s.maxRate {
		fault("max_rate.messages", "%s takes at most %d a second of one client", s.title, s.maxRate)
	}
}

func (s *service) checkAddress(address string, fault func(format string, args ...any)) {
	u, err := url.Parse(address)
	ep, bad := parseURL(address)
	if err != nil || bad != nil {
		return // is reported without the preset too
	}
	_, port, _ := net.SplitHostPort(ep.address)
	switch {
	case len(s.schemes) > 0 && !slices.Contains(s.schemes, u.Scheme):
		fault("%s://: %s takes %s:// only", u.Scheme, s.title, strings.Join(s.schemes, ":// and "))
	case len(s.ports) > 0 && !slices.Contains(s.ports, port):
		fault("port %s: %s listens on %s", port, s.title, strings.Join(s.ports, " and "))
	case s.path != "" && ep.path != "" && ep.path != s.path:
		fault("%s: the WebSocket of %s is at %s", ep.path, s.title, s.path)
	}
}

func (s *service) checkLogin(c *Config, fault func(key, format string, args ...any)) {
	cr, cert := &c.Credentials, c.TLS.CertFile != ""
	password := cr.Password+cr.PasswordFile != ""
	switch s.login {
	case userLogin:
		if cr.Username == "" || !password {
			fault("credentials", "%s wants a user name and a password: credentials = { username = \"...\", password_file = \"...\" }", s.title)
		}
	case certLogin:
		if !cert && !password {
			fault("tls", "%s wants a client certificate: tls = { cert_file = \"...\", key_file = \"...\" }", s.title)
		}
	case tokenLogin:
		if cr.Username == "" && !cert {
			fault("credentials", "%s wants the device's access token as user name: credentials = { username = \"${TOKEN}\" }", s.title)
		}
	case sasLogin:
		if cr.SharedAccessKeyFile == "" && !password && !cert {
			fault("credentials", "%s wants the device's key, credentials = { shared_access_key_file = \"...\" }, or a client certificate", s.title)
		}
	case namedLogin:
		if cr.Username == "" || !password && !cert {
			fault("credentials", "%s wants the client authentication name as credentials.username, and a client certificate, tls = { cert_file, key_file }", s.title)
		}
	}
	if cr.SharedAccessKeyFile != "" && s.login != sasLogin {
		fault("credentials.shared_access_key_file", "%s knows none: it is for preset = %q", s.title, presetAzure)
	}
}

func (s *service) checkClientID(c *Config, fault func(key, format string, args ...any)) {
	id, most := c.ClientID, s.clientID
	if s.clientID311 > 0 && c.Version != version5 {
		most = s.clientID311
	}
	stranger := func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return s.clientIDHas != "" && !letter && !strings.ContainsRune(s.clientIDHas, r)
	}
	digit := func(r rune) bool { return r >= '0' && r <= '9' || r >= 'a' && r <= 'f' }
	switch {
	case s.hexClientID && (len(id) != s.clientID || strings.TrimFunc(id, digit) != ""):
		fault("client_id", "%q: %s wants the id of the device, %d hexadecimal digits", id, s.title, s.clientID)
	case most > 0 && len(id) > most && c.Version != version5 && most == s.clientID311:
		fault("client_id", "%q: %s takes at most %d bytes with MQTT 3.1.1: a shorter one, or version = %q", id, s.title, most, version5)
	case most > 0 && len(id) > most:
		fault("client_id", "%q: %s takes at most %d bytes", id, s.title, most)
	case strings.ContainsFunc(id, stranger):
		fault("client_id", "%q: %s takes letters, digits and %s only", id, s.title, s.clientIDHas)
	case strings.ContainsAny(id, s.clientIDNot):
		fault("client_id", "%q: %s takes none of %q in it", id, s.title, s.clientIDNot)
	}
}

func (s *service) checkUp(c *Config, fault func(key, format string, args ...any)) {
	for i := range c.Up {
		u, key := &c.Up[i], fmt.Sprintf("up[%d].", i)
		s.checkQoS(key, "qos", u.QoS, fault)
		s.checkQoS(key, "max_qos", u.MaxQoS, fault)
		switch {
		case u.Retain != retainKeep:
		case s.noRetain:
			fault(key+"retain", "%q: %s keeps no retained messages: want %q", u.Retain, s.title, retainStrip)
		case s.retainOn5 && c.Version != version5:
			fault(key+"retain", "%q: %s takes RETAIN with MQTT 5 only: want %q, or version = %q", u.Retain, s.title, retainStrip, version5)
		}
		if u.encoded {
			continue
		}
		if u.Batch.given() {
			s.checkTopic(c, key+"batch.topic", u.batchTopic, s.up, fault)
		}
		at := key + "remote_prefix"
		if u.Topic != "" {
			at = key + "topic"
		}
		s.checkTopic(c, at, u.remoteFilter(), s.up, fault)
	}
}

func (s *service) checkQoS(key, name string, qos *int, fault func(key, format string, args ...any)) {
	if qos != nil && *qos > int(s.qos) && *qos <= 2 {
		fault(key+name, "%d: %s has QoS 0 and 1 only", *qos, s.title)
	}
}

// checkTopic checks a filter of what goes up or comes down.
func (s *service) checkTopic(c *Config, key, filter string, roots []string, fault func(key, format string, args ...any)) {
	least := strings.TrimSuffix(strings.TrimSuffix(filter, "#"), "/")
	expand := strings.NewReplacer("{client_id}", c.ClientID)
	begins := func(root string) bool { return strings.HasPrefix(filter, expand.Replace(root)) }
	switch n := s.countSlashes(least); {
	case s.slashes > 0 && n > s.slashes:
		fault(key, "%q: %s takes at most %d \"/\" in a topic, here are %d", filter, s.title, s.slashes, n)
	case s.topicBytes > 0 && s.countBytes(least) > s.topicBytes:
		fault(key, "%q: %s takes topics of at most %d bytes", filter, s.title, s.topicBytes)
	case strings.ContainsAny(filter, s.topicNot):
		fault(key, "%q: %s takes no space in a topic", filter, s.title)
	case len(roots) > 0 && !slices.ContainsFunc(roots, begins):
		fault(key, "%q: at %s it has to begin with %q", filter, s.title, expand.Replace(roots[0]))
	}
}

func (s *service) checkDown(c *Config, fault func(key, format string, args ...any)) {
	if s.filters > 0 && len(c.Down) > s.filters {
		fault("down", "%d filters: %s takes at most %d of one client", len(c.Down), s.title, s.filters)
	}
	for i := range c.Down {
		d, key := &c.Down[i], fmt.Sprintf("down[%d].", i)
		s.checkQoS(key, "qos", d.QoS, fault)
		_, filter, shared, err := topic.SplitShared(d.Filter)
		if err != nil {
			continue // is reported without the preset too
		}
		if shared && s.noShared {
			fault(key+"filter", "%q: %s has no shared subscriptions", d.Filter, s.title)
			continue
		}
		s.checkTopic(c, key+"filter", filter, s.down, fault)
	}
}

// refuses says in words why the service would close the connection on a message,
// "" where it would not. The words of a service are few and fixed.
func (s *service) refuses(remote []byte, payload int) string {
	switch {
	case s == nil:
		return ""
	case s.payload > 0 && payload > s.payload:
		return fmt.Sprintf("%s takes payloads of at most %d bytes", s.title, s.payload)
	case s.slashes > 0 && s.countSlashes(string(remote)) > s.slashes:
		return fmt.Sprintf("%s takes at most %d \"/\" in a topic", s.title, s.slashes)
	case s.topicBytes > 0 && s.countBytes(string(remote)) > s.topicBytes:
		return fmt.Sprintf("%s takes topics of at most %d bytes", s.title, s.topicBytes)
	case s.topicNot != "" && strings.ContainsAny(string(remote), s.topicNot):
		return s.title + " takes no space in a topic"
	}
	return ""
}

// counted is the part of a topic for which the limits hold.
func (s *service) counted(name string) string {
	if s.freePrefix == "" || !strings.HasPrefix(name, s.freePrefix) {
		return name
	}
	_, rest, _ := strings.Cut(name[len(s.freePrefix):], "/")
	return rest
}

func (s *service) countSlashes(name string) int { return strings.Count(s.counted(name), "/") }
func (s *service) countBytes(name string) int   { return len(s.counted(name)) }
