package bridge

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"headgate/broker/topic"
	"headgate/gateway/format"
)

const (
	defaultKeepAlive      = time.Minute
	defaultConnectTimeout = 10 * time.Second
	defaultSessionExpiry  = 30 * 24 * time.Hour
	defaultMaxBackoff     = 30 * time.Second
	defaultMaxInFlight    = 20000
	defaultQoS            = 1

	// Packet identifiers are 16 bits wide and are given in the order of the
	// queue: what is on its way must span clearly less than all of them.
	limitInFlight = 50000

	priorityNormal = "normal"

	// PriorityHigh is the Priority of an Up that overtakes.
	PriorityHigh = "high"
)

// Config is one [[bridge]] table: an upstream broker, which local topics go up
// to it and which of its topics come down.
type Config struct {
	// Name names the bridge in logs, counters and topics: letters, digits, "_", "-" and ".".
	Name string `toml:"name"`

	// Preset names the service that the upstream is: "aws-iot", "azure-event-grid", "azure-iot-hub", "emqx-serverless",
	// "hivemq-cloud", "losant", "mosquitto", "nats" or "thingsboard". It sets other defaults for the keys below, and headgate
	// check refuses what the service would. The page of each is packaging/docs/uplink-NAME.md.
	Preset string `toml:"preset"`

	// URL is the upstream broker: mqtt://host (port 1883), mqtts://host (TLS, port 8883), or over a WebSocket ws://host/mqtt
	// (port 80) or wss://host/mqtt (TLS, port 443).
	URL string `toml:"url"`

	// URLs are several addresses of it in place of url. After a failure comes the next one, after the last the first; so also
	// when a connection is lost that has stood for a minute.
	URLs []string `toml:"urls"`

	// Proxy is an HTTP proxy on the way to it, http://host:port or http://user:password@host:port, which is asked for a
	// tunnel (CONNECT) and looks up the upstream's name.
	Proxy string `toml:"proxy"`

	// ClientID is the client identifier at the upstream, which must be the only one of its name there.
	// The default is "headgate-", the gateway's id, "-" and the name of the bridge.
	ClientID string `toml:"client_id"`

	// Version is the protocol spoken: "5", "3.1.1", or "auto" (the default): 5, and 3.1.1 where the upstream refuses it.
	Version string `toml:"version"`

	// Credentials are the user name and password for the upstream.
	Credentials Credentials `toml:"credentials"`

	// TLS says whom to trust and with which certificate to identify; only for mqtts:// and wss://.
	TLS TLS `toml:"tls"`

	// KeepAlive is how long the connection may be idle before it is probed; half of it later without an answer it is
	// given up as dead. From "1s" to "18h", default "60s". The upstream may demand another one.
	KeepAlive time.Duration `toml:"keep_alive"`

	// ConnectTimeout bounds one attempt: name look-up, TCP, TLS and the answer to CONNECT. Default "10s".
	ConnectTimeout time.Duration `toml:"connect_timeout"`

	// SessionExpiry is how long the upstream is asked to keep our session (the commands that wait for us, and what makes
	// QoS 2 exactly once) after a connection ends. MQTT 5 only. Default "720h", a month.
	SessionExpiry time.Duration `toml:"session_expiry"`

	// MaxBackoff is the longest wait between two attempts to connect. Default "30s".
	// The waits grow from at most 150 ms, each drawn at random below its bound, and begin anew after a connection has stood for a minute.
	// An upstream on this machine is tried again within 100 ms each time.
	MaxBackoff time.Duration `toml:"max_backoff"`

	// MaxInFlight is how many messages may be on their way unacknowledged; the upstream's Receive Maximum lowers it.
	// Default 20000, at most 50000: so many may come twice at QoS 1 after a crash. Of messages at QoS 2 on MQTT 3.1.1, which knows no Receive Maximum, never more than 20.
	MaxInFlight int `toml:"max_in_flight"`

	// QueueQoS0 says whether local messages of QoS 0 are queued like the others while they wait for the upstream
	// (and go up with the qos of their [[bridge.up]]). Default true; with false they go up at QoS 0 and are lost while the upstream is away.
	QueueQoS0 *bool `toml:"queue_qos0"`

	// Replay says how the backlog goes up after an outage. "in_order" (the default): before what comes then. "live_first":
	// behind it, in an order of its own; then RETAIN is kept only where the topic retains the same at the gateway still, so
	// that an old value never replaces a newer one upstream.
	// Either way it says how old it is: MQTT 5 user property "headgate-age-ms".
	Replay string `toml:"replay"`

	// MaxRate bounds all that goes up: max_rate = { messages = 100, bytes = "64kB" }, in each second. Default "unlimited".
	MaxRate Rate `toml:"max_rate"`

	// ReplayMaxRate bounds the backlog alone in the same way.
	ReplayMaxRate Rate `toml:"replay_max_rate"`

	// ReplayWindow is when the backlog goes up, in local time: "01:00-05:00"; it may span midnight. Default: at any time.
	// Only for replay = "live_first".
	ReplayWindow Window `toml:"replay_window"`

	// Up lists what goes up. The first entry whose filter matches a topic decides.
	Up []Up `toml:"up"`

	// Down lists what comes down.
	Down []Down `toml:"down"`

	// Sparkplug makes the bridge an edge node of Sparkplug B.
	Sparkplug Sparkplug `toml:"sparkplug"`

	// GatewayID is the id of the gateway, for the default client identifier. Set by the wiring.
	GatewayID string `toml:"-"`

	// Skip says which local topics never go up although a filter matches: the gateway's own /set topics.
	// Set by the wiring; nil for none.
	Skip func(localTopic string) bool `toml:"-"`

	// Origin says of a local topic where the sample is from that is published to it, and its point; false for any other.
	// Set by the wiring; nil where samples are not to be known.
	Origin func(localTopic string) (from format.Origin, pointName string, ok bool) `toml:"-"`

	// Connected is told at the start of Run that there is no connection, and then of each change. peer is the id of the
	// upstream, where that is a gateway like this one. It must not block. Set by the wiring; nil for nobody.
	Connected func(connected bool, peer string) `toml:"-"`
}

// Credentials is the table credentials = { ... }.
type Credentials struct {
	// Username is the user name.
	Username string `toml:"username"`
	// Password is the password; better in a file.
	Password string `toml:"password"`
	// PasswordFile is a file with nothing but the password; line ends at its end do not count. Read at every attempt to connect.
	PasswordFile string `toml:"password_file"`
	// SharedAccessKeyFile is a file with the key of a device at Azure IoT Hub, in base64 as the portal shows it. The password is
	// made of it, for a day, and renewed in time.
	SharedAccessKeyFile string `toml:"shared_access_key_file"`
}

// TLS is the table tls = { ... }. The files are PEM and read at every attempt to connect, so that a renewed one counts; a reload
// has a connection made anew that was made with others, or with another password_file.
type TLS struct {
	// CAFile holds the certificates to trust in place of the system's.
	CAFile string `toml:"ca_file"`
	// CertFile is our certificate with its chain, for an upstream that asks for one.
	CertFile string `toml:"cert_file"`
	// KeyFile is the private key of cert_file.
	KeyFile string `toml:"key_file"`
	// ServerName is the name that is asked for (SNI) and that the upstream's certificate must have. Default: the host of the url.
	ServerName string `toml:"server_name"`
	// ALPN are the protocols offered, as services want them that have MQTT beside others on port 443: "x-amzn-mqtt-ca" for AWS IoT.
	ALPN []string `toml:"alpn"`
	// InsecureSkipVerify trusts any certificate: whoever answers can read and change everything. Warned of at each start.
	InsecureSkipVerify bool `toml:"insecure_skip_verify"`
}

// Up is one [[bridge.up]] table: local topics that go to the upstream.
type Up struct {
	// Filter chooses the local topics.
	Filter string `toml:"filter"`
	// QoS is the QoS used upstream, 0, 1 or 2, whatever the QoS of the local message. Default 1.
	QoS *int `toml:"qos"`
	// MaxQoS in its place leaves each message the QoS that it was published with, up to this one.
	MaxQoS *int `toml:"max_qos"`
	// LocalPrefix comes off the topic; the filter must begin with it.
	LocalPrefix string `toml:"local_prefix"`
	// RemotePrefix goes on in its place.
	RemotePrefix string `toml:"remote_prefix"`
	// Topic in place of remote_prefix is the whole topic upstream, such as "plants/{gateway}/{1}/values": {topic} is the local
	// one without local_prefix, {topic_escaped} the same percent-encoded, {1} to {9} are single levels of it, {gateway} is
	// the gateway's id and {client_id} that of the bridge.
	Topic string `toml:"topic"`
	// Retain says what becomes of the RETAIN flag: "keep" (the default) or "strip".
	Retain string `toml:"retain"`
	// Priority is "normal" (the default) or "high": what matches goes up before everything that waits with the normal one.
	// Order holds among those of one priority. A topic that an entry with "high" matches has it, also where another one
	// decides the rest.
	Priority string `toml:"priority"`

	// Config says in which format the gateway's samples go up: format, template and measurement. What is no sample of the
	// gateway goes up as it is.
	format.Config

	// Batch has several messages go up in one PUBLISH: batch = { messages = 100, interval = "10s", compression = "zstd" }.
	// They leave the queue when the upstream has acknowledged the whole.
	Batch Batch `toml:"batch"`

	template template // of Topic
	encoded  bool     // goes in the JSON of the preset's service

	collecting  bool                                               // collects gives it
	batchTopic  string                                             // Batch.Topic with what it is by default and filled in
	encode      func(dst []byte, s *format.Sample) ([]byte, error) // a sample in its format; nil: it goes as it is
	contentType string                                             // of what encode gives
}

// Down is one [[bridge.down]] table: topics of the upstream that come into the local broker.
type Down struct {
	// Filter chooses the topics, as the upstream names them.
	Filter string `toml:"filter"`
	// QoS is the QoS asked of the upstream, 0, 1 or 2. Default 1.
	QoS *int `toml:"qos"`
	// RemotePrefix comes off the topic; the filter must begin with it.
	RemotePrefix string `toml:"remote_prefix"`
	// LocalPrefix goes on in its place.
	LocalPrefix string `toml:"local_prefix"`
	// Retain says what becomes of the RETAIN flag: "keep" (the default) or "strip".
	Retain string `toml:"retain"`
}

// SetDefaults fills what was left out. It may run more than once.
func (c *Config) SetDefaults() {
	c.service().setDefaults(c)
	fill(&c.Version, versionAuto)
	fill(&c.KeepAlive, defaultKeepAlive)
	fill(&c.ConnectTimeout, defaultConnectTimeout)
	fill(&c.SessionExpiry, defaultSessionExpiry)
	fill(&c.MaxBackoff, defaultMaxBackoff)
	fill(&c.MaxInFlight, defaultMaxInFlight)
	if c.QueueQoS0 == nil {
		c.QueueQoS0 = new(true)
	}
	if c.ClientID == "" && c.GatewayID != "" && c.Name != "" {
		c.ClientID = "headgate-" + c.GatewayID + "-" + c.Name
	}
	if c.Sparkplug.On() {
		fill(&c.Sparkplug.EdgeNodeID, c.GatewayID)
	}
	c.setReplayDefaults()
	for i := range c.Up {
		c.Up[i].setDefaults(c)
	}
	for i := range c.Down {
		c.Down[i].setDefaults()
	}
}

func (u *Up) setDefaults(c *Config) {
	if u.QoS == nil && u.MaxQoS == nil {
		u.QoS = new(defaultQoS)
	}
	fill(&u.Retain, retainKeep)
	fill(&u.Priority, priorityNormal)
	u.Config.SetDefaults()
	u.Batch.setDefaults(u, c)
	u.collecting = u.Batch.given() || u.Format == format.JSONDevice
	u.template, _ = parseTemplate(u.Topic, c) // Check says what is wrong with it
}

func (d *Down) setDefaults() {
	if d.QoS == nil {
		d.QoS = new(defaultQoS)
	}
	fill(&d.Retain, retainKeep)
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Check reports each mistake with its key, relative to the [[bridge]] table.
// It runs after SetDefaults and opens no file.
func (c *Config) Check(fault func(key, format string, args ...any)) {
	switch {
	case c.Name == "":
		fault("name", "missing: a bridge needs a name, such as \"cloud\"")
	case strings.ContainsFunc(c.Name, notInName):
		fault("name", "%q: want letters, digits, \"_\", \"-\" and \".\" only", c.Name)
	}
	c.checkPreset(fault)
	upstreams := c.checkAddresses(fault)
	if len(c.ClientID) > 65535 || !utf8.ValidString(c.ClientID) || strings.ContainsRune(c.ClientID, 0) {
		fault("client_id", "%q: want UTF-8 text of at most 65535 bytes", c.ClientID)
	}
	switch c.Version {
	case versionAuto, version5, version311:
	default:
		fault("version", "%q: want %q, %q or %q", c.Version, versionAuto, version5, version311)
	}
	c.Credentials.check(fault)
	if len(upstreams) > 0 {
		c.TLS.check(upstreams, fault)
	}
	c.checkLimits(fault)
	c.checkReplay(fault)
	c.checkSparkplug(fault)
	if len(c.Up) == 0 && len(c.Down) == 0 && !c.Sparkplug.On() {
		fault("up", "a bridge without [[bridge.up]] and [[bridge.down]] carries nothing: give it at least one of them, or make it an edge node: sparkplug = { group_id = \"NAME\" }")
	}
	for i := range c.Up {
		c.Up[i].check(c, fmt.Sprintf("up[%d].", i), fault)
	}
	for i := range c.Down {
		d := &c.Down[i]
		key := fmt.Sprintf("down[%d].", i)
		checkFilter(key, d.Filter, "remote_prefix", d.RemotePrefix, fault)
		checkPrefix(key+"local_prefix", d.LocalPrefix, fault)
		checkQoS(key+"qos", *d.QoS, fault)
		checkRetain(key+"retain", d.Retain, fault)
	}
}

func (u *Up) check(c *Config, key string, fault func(key, format string, args ...any)) {
	checkFilter(key, u.Filter, "local_prefix", u.LocalPrefix, fault)
	if _, _, shared, err := topic.SplitShared(u.Filter); err == nil && shared {
		fault(key+"filter", "%q: a bridge's own subscription cannot be a shared one: write the filter without $share/", u.Filter)
	}
	checkPrefix(key+"remote_prefix", u.RemotePrefix, fault)
	if _, err := parseTemplate(u.Topic, c); err != nil {
		fault(key+"topic", "%q: %v", u.Topic, err)
	} else if u.Topic != "" && u.RemotePrefix != "" {
		fault(key+"topic", "there is a remote_prefix too: want one of the two")
	}
	switch {
	case u.QoS != nil && u.MaxQoS != nil:
		fault(key+"max_qos", "there is a qos too: want one of the two")
	case u.MaxQoS != nil:
		checkQoS(key+"max_qos", *u.MaxQoS, fault)
	default:
		checkQoS(key+"qos", *u.QoS, fault)
	}
	checkRetain(key+"retain", u.Retain, fault)
	u.Config.Check(func(name, format string, args ...any) { fault(key+name, format, args...) })
	u.Batch.check(u, c, func(name, format string, args ...any) { fault(key+name, format, args...) })
	if u.encoded && u.recodes() {
		fault(key+"format", "%q: preset = %q has a format of its own: want a topic or a remote_prefix too, or no format", u.Format, c.Preset)
	}
	if u.Priority != priorityNormal && u.Priority != PriorityHigh {
		fault(key+"priority", "%q: want %q or %q", u.Priority, priorityNormal, PriorityHigh)
	}
}

func (c *Config) checkLimits(fault func(key, format string, args ...any)) {
	if c.KeepAlive < time.Second || c.KeepAlive > 65535*time.Second {
		fault("keep_alive", "%v: want 1s to 65535s (it cannot be switched off: a dead link would go unseen)", c.KeepAlive)
	}
	if c.ConnectTimeout < 100*time.Millisecond || c.ConnectTimeout > 10*time.Minute {
		fault("connect_timeout", "%v: want 100ms to 10m", c.ConnectTimeout)
	}
	if c.SessionExpiry < time.Second || c.SessionExpiry > (1<<32-2)*time.Second {
		fault("session_expiry", "%v: want 1s to 1193046h", c.SessionExpiry)
	}
	if c.MaxBackoff < 100*time.Millisecond || c.MaxBackoff > 24*time.Hour {
		fault("max_backoff", "%v: want 100ms to 24h", c.MaxBackoff)
	}
	if c.MaxInFlight < 1 || c.MaxInFlight > limitInFlight {
		fault("max_in_flight", "%d: want 1 to %d", c.MaxInFlight, limitInFlight)
	}
}

func (cr *Credentials) check(fault func(key, format string, args ...any)) {
	if cr.Password != "" && cr.PasswordFile != "" {
		fault("credentials.password_file", "there is a password too: want one of the two")
	}
	if cr.SharedAccessKeyFile != "" && cr.Password+cr.PasswordFile != "" {
		fault("credentials.shared_access_key_file", "there is a password too: want one of the two")
	}
	if cr.Username == "" && (cr.Password != "" || cr.PasswordFile != "") {
		// 3.1.1 forbids it, and auto may fall back to that. [MQTT3-3.1.2-22]
		fault("credentials.username", "missing: a password needs a user name")
	}
	if len(cr.Username) > 65535 || !utf8.ValidString(cr.Username) {
		fault("credentials.username", "want UTF-8 text of at most 65535 bytes")
	}
	if len(cr.Password) > maxPassword {
		fault("credentials.password", "longer than %d bytes", maxPassword)
	}
}

func (t *TLS) check(upstreams []endpoint, fault func(key, format string, args ...any)) {
	given := t.CAFile+t.CertFile+t.KeyFile+t.ServerName != "" || len(t.ALPN) > 0 || t.InsecureSkipVerify
	if given && !slices.ContainsFunc(upstreams, func(ep endpoint) bool { return ep.tls }) {
		fault("tls", "the url is mqtt:// or ws://, without TLS: write mqtts:// or wss://, or remove the table")
	}
	for i, protocol := range t.ALPN {
		if protocol == "" || len(protocol) > 255 { // [RFC 7301 3.1]
			fault(fmt.Sprintf("tls.alpn[%d]", i), "%q: want 1 to 255 bytes", protocol)
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		fault("tls.cert_file", "cert_file and key_file go together: want both or none")
	}
	if t.InsecureSkipVerify && t.CAFile != "" {
		fault("tls.insecure_skip_verify", "with it ca_file has no effect: remove one of the two")
	}
}

// checkFilter checks a filter and the prefix that comes off its topics. The
// filter must begin with the prefix, or it would match topics that have none to
// take off.
func checkFilter(key, filter, prefixKey, prefix string, fault func(key, format string, args ...any)) {
	if filter == "" {
		fault(key+"filter", "missing: want a topic filter, such as \"boiler-house/#\"")
		return
	}
	if err := topic.CheckFilter(filter); err != nil {
		fault(key+"filter", "%q: %v", filter, err)
		return
	}
	checkPrefix(key+prefixKey, prefix, fault)
	_, inner, _, err := topic.SplitShared(filter)
	if err == nil && !strings.HasPrefix(inner, prefix) {
		fault(key+prefixKey, "%q: the filter %q does not begin with it, so that it matches topics without this prefix", prefix, filter)
	}
}

func checkPrefix(key, prefix string, fault func(key, format string, args ...any)) {
	if strings.ContainsAny(prefix, "+#\x00") || !utf8.ValidString(prefix) {
		fault(key, "%q: a prefix is plain text without \"+\" and \"#\"", prefix)
	}
	if len(prefix) > 60000 {
		fault(key, "%d bytes: a topic name has at most 65535", len(prefix))
	}
}

func checkQoS(key string, qos int, fault func(key, format string, args ...any)) {
	if qos < 0 || qos > 2 {
		fault(key, "%d: want 0, 1 or 2", qos)
	}
}

func checkRetain(key, retain string, fault func(key, format string, args ...any)) {
	if retain != retainKeep && retain != retainStrip {
		fault(key, "%q: want %q or %q", retain, retainKeep, retainStrip)
	}
}

func notInName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.')
}
