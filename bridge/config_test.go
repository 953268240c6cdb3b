package bridge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"headgate/gateway/format"
)

// parse reads a [[bridge]] table as the config file has it.
func parse(t *testing.T, text string) Config {
	t.Helper()
	var file struct {
		Bridge []Config `toml:"bridge"`
	}
	meta, err := toml.Decode(text, &file)
	if err != nil {
		t.Fatal(err)
	}
	if len(meta.Undecoded()) > 0 {
		t.Fatalf("unknown keys: %v", meta.Undecoded())
	}
	return file.Bridge[0]
}

func faults(c *Config) []string {
	c.SetDefaults()
	var got []string
	c.Check(func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
	return got
}

func TestTheConfigAsDocumentedIsReadAndFilled(t *testing.T) {
	c := parse(t, `
[[bridge]]
name = "cloud"
url  = "mqtts://broker.example.com:8883"
credentials = { username = "plant7", password_file = "/etc/headgate/cloud.password" }
keep_alive = "30s"
  [[bridge.up]]
  filter = "boiler-house/#"
  priority = "high"
  qos = 0
  [[bridge.up]]
  filter = "other/#"
  [[bridge.down]]
  filter = "plant7/cmd/#"
  remote_prefix = "plant7/cmd/"
  local_prefix = "boiler-house/"
`)
	c.GatewayID = "boiler-house"
	if got := faults(&c); got != nil {
		t.Errorf("faults: %v", got)
	}
	want := Config{
		Name: "cloud", URL: "mqtts://broker.example.com:8883", ClientID: "headgate-boiler-house-cloud", Version: "auto",
		Credentials: Credentials{Username: "plant7", PasswordFile: "/etc/headgate/cloud.password"},
		KeepAlive:   30 * time.Second, ConnectTimeout: 10 * time.Second, SessionExpiry: 720 * time.Hour,
		MaxBackoff: 30 * time.Second, MaxInFlight: 20000, QueueQoS0: new(true),
		Replay: "in_order", MaxRate: Rate{unlimitedRate, unlimitedRate}, ReplayMaxRate: Rate{unlimitedRate, unlimitedRate},
		Up: []Up{
			{Filter: "boiler-house/#", QoS: new(0), Retain: "keep", Priority: "high", Config: format.Config{Format: "json"}},
			{Filter: "other/#", QoS: new(1), Retain: "keep", Priority: "normal", Config: format.Config{Format: "json"}},
		},
		Down: []Down{{
			Filter: "plant7/cmd/#", QoS: new(1), RemotePrefix: "plant7/cmd/", LocalPrefix: "boiler-house/", Retain: "keep",
		}},
		GatewayID: "boiler-house",
	}
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(Up{}, piece{})); diff != "" {
		t.Error(diff)
	}
}

func TestEachMistakeIsNamedByItsKey(t *testing.T) {
	const ok = "name = \"cloud\"\nurl = \"mqtt://h\"\n"
	const up = "[[bridge.up]]\nfilter = \"a/#\"\n"
	for _, test := range []struct{ text, want string }{
		{"url = \"mqtt://h\"\n" + up, "name: missing"},
		{"name = \"a/b\"\nurl = \"mqtt://h\"\n" + up, `name: "a/b": want letters`},
		{"name = \"a\"\n" + up, "url: missing"},
		{"name = \"a\"\nurl = \"http://h/mqtt\"\n" + up, `url: "http://h/mqtt": want mqtt://, mqtts://, ws:// or wss://`},
		{"name = \"a\"\nurl = \"h:1883\"\n" + up, `url: "h:1883": want mqtt://h:1883, or the same with mqtts://, ws:// or wss://`},
		{"name = \"a\"\nurl = \"mqtt://u:secret@h\"\n" + up, `url: "mqtt://u:xxxxx@h": user name and password stand in credentials`},
		{"name = \"a\"\nurl = \"mqtt://h/path\"\n" + up, "want nothing after host and port"},
		{"name = \"a\"\nurl = \"mqtt://:1883\"\n" + up, "the host is missing"},
		{"name = \"a\"\nurl = \"192.168.1.5:1883\"\n" + up, `url: "192.168.1.5:1883": want mqtt://192.168.1.5:1883, or`},
		{"name = \"a\"\nurl = \"mqtt://h:18x\"\n" + up, "url: no URL that can be read, such as a port that is no number"},
		{"name = \"a\"\nurl = \"mqtt://h:99999\"\n" + up, "port 99999: want 1 to 65535"},
		{"name = \"a\"\nurl = \"ws://h/mqtt#x\"\n" + up, "want no # in it"},
		{ok + "urls = [\"mqtt://i\"]\n" + up, "urls: there is a url too: want one of the two"},
		{"name = \"a\"\nurls = [\"mqtt://h\", \"h\"]\n" + up, `urls[1]: "h": want mqtt://`},
		{ok + "proxy = \"socks5://u:secret@h:1080\"\n" + up, `proxy: "socks5://u:xxxxx@h:1080": want http://host:port or http://user:password@host:port`},
		{ok + "proxy = \"http://h\"\n" + up, `proxy: "http://h": the port is missing`},
		{ok + "tls = { alpn = [\"mqtt\"] }\n" + up, "tls: the url is mqtt:// or ws://"},
		{"name = \"a\"\nurl = \"wss://h\"\ntls = { alpn = [\"\"] }\n" + up, "tls.alpn[0]: \"\": want 1 to 255 bytes"},
		{ok + "version = \"4\"\n" + up, `version: "4": want "auto", "5" or "3.1.1"`},
		{ok + "credentials = { password = \"x\" }\n" + up, "credentials.username: missing"},
		{ok + "credentials = { username = \"u\", password = \"x\", password_file = \"f\" }\n" + up, "credentials.password_file: there is a password too"},
		{ok + "tls = { ca_file = \"f\" }\n" + up, "tls: the url is mqtt:// or ws://"},
		{"name = \"a\"\nurl = \"mqtts://h\"\ntls = { cert_file = \"f\" }\n" + up, "tls.cert_file: cert_file and key_file go together"},
		{"name = \"a\"\nurl = \"mqtts://h\"\ntls = { ca_file = \"f\", insecure_skip_verify = true }\n" + up, "tls.insecure_skip_verify: "},
		{ok + "keep_alive = \"10ms\"\n" + up, "keep_alive: 10ms: want 1s to"},
		{ok + "connect_timeout = \"1ms\"\n" + up, "connect_timeout: 1ms"},
		{ok + "session_expiry = \"1ms\"\n" + up, "session_expiry: 1ms"},
		{ok + "max_backoff = \"1ms\"\n" + up, "max_backoff: 1ms"},
		{ok + "max_in_flight = 70000\n" + up, "max_in_flight: 70000: want 1 to 50000"},
		{ok + "[[bridge.up]]\nfilter = \"a\"\npriority = \"low\"\n", "up[0].priority: \"low\": want \"normal\" or \"high\""},
		{ok, "up: a bridge without [[bridge.up]] and [[bridge.down]] carries nothing: give it at least one of them, or make it an edge node: sparkplug = { group_id"},
		{ok + up + "[[bridge.up]]\nqos = 1\n", "up[1].filter: missing"},
		{ok + "[[bridge.up]]\nfilter = \"a/#/b\"\n", `up[0].filter: "a/#/b": topic filter has levels after #`},
		{ok + "[[bridge.up]]\nfilter = \"$share/g/a\"\n", "up[0].filter: \"$share/g/a\": a bridge's own subscription cannot be a shared one"},
		{ok + "[[bridge.up]]\nfilter = \"a/#\"\nlocal_prefix = \"b/\"\n", `up[0].local_prefix: "b/": the filter "a/#" does not begin with it`},
		{ok + "[[bridge.up]]\nfilter = \"a/#\"\nremote_prefix = \"b/+/\"\n", `up[0].remote_prefix: "b/+/": a prefix is plain text`},
		{ok + "[[bridge.up]]\nfilter = \"a\"\nqos = 3\n", "up[0].qos: 3: want 0, 1 or 2"},
		{ok + "[[bridge.up]]\nfilter = \"a\"\nretain = \"no\"\n", `up[0].retain: "no": want "keep" or "strip"`},
		{ok + "[[bridge.down]]\nfilter = \"a\"\nqos = -1\n", "down[0].qos: -1: want 0, 1 or 2"},
		{ok + "[[bridge.down]]\nfilter = \"$share/g/a/#\"\nremote_prefix = \"b/\"\n", "down[0].remote_prefix: "},
	} {
		c := parse(t, "[[bridge]]\n"+test.text)
		got := faults(&c)
		if len(got) != 1 || !strings.Contains(got[0], test.want) {
			t.Errorf("%s\ngot %q\nwant %q", test.text, got, test.want)
		}
		if strings.Contains(fmt.Sprint(got), "secret") {
			t.Errorf("a fault shows the password: %q", got)
		}
	}
}

func TestNewRefusesAConfigWithFaultsAndSaysAll(t *testing.T) {
	_, err := New(Config{Name: "cloud", GatewayID: "g"}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "url: missing") || !strings.Contains(err.Error(), "up: a bridge without") {
		t.Errorf("got %v", err)
	}
}

func TestTopicsAreMappedBothWays(t *testing.T) {
	c := Config{
		Up: []Up{
			{Filter: "gw/+/status", LocalPrefix: "gw/", RemotePrefix: "s/", QoS: new(0), Retain: "strip"},
			{Filter: "gw/#", LocalPrefix: "gw/", RemotePrefix: "plant/gw-"},
			{Filter: "plain/#"},
		},
		Down: []Down{
			{Filter: "$share/g/cmd/#", RemotePrefix: "cmd/", LocalPrefix: "gw/"},
			{Filter: "time", LocalPrefix: "upstream/"},
		},
		Skip: func(topic string) bool { return topic == "gw/a/set" },
	}
	c.SetDefaults()
	for _, test := range []struct {
		local, remote string
		qos           byte
		retain, ok    bool
	}{
		{"gw/meter/status", "s/meter/status", 0, false, true},
		{"gw/meter/power", "plant/gw-meter/power", 1, true, true},
		{"gw", "", 1, true, false}, // gw/# matches it too, but it has no gw/ to take off
		{"gw/a/set", "", 0, false, false},
		{"plain/x", "plain/x", 1, true, true},
		{"else", "", 0, false, false},
	} {
		remote, qos, retain, ok := c.Map(test.local)
		if remote != test.remote || ok != test.ok || ok && (qos != test.qos || retain != test.retain) {
			t.Errorf("%s: got %q, %d, %v, %v", test.local, remote, qos, retain, ok)
		}
	}
	for remote, want := range map[string]string{"cmd/relay/set": "gw/relay/set", "time": "upstream/time", "cmd": "", "x": ""} {
		if got, _, ok := c.localTopic(remote); got != want && ok || ok != (want != "") {
			t.Errorf("%s: got %q, %v", remote, got, ok)
		}
	}
}

func TestWaitsGrowToTheirBoundAndARefusalBeginsHigher(t *testing.T) {
	b := backoff{max: time.Second}
	for i, want := range []time.Duration{150, 300, 600, 1000, 1000} {
		if got := b.bound(false); got != want*time.Millisecond {
			t.Errorf("attempt %d: bound %v, want %dms", i, got, want)
		}
	}
	b.reset()
	for range 100 {
		b.attempt = 0
		if got := b.next(false); got < 0 || got >= firstWait {
			t.Fatalf("first wait %v", got)
		}
	}
	b = backoff{max: 30 * time.Second}
	if got := b.bound(true); got != refusedWait {
		t.Errorf("after a refusal: %v", got)
	}
	b.attempt = 1 << 40
	b.local = true
	if local, refused := b.bound(false), b.bound(true); local != localWait || refused < refusedWait {
		t.Errorf("on this machine: got %v, and %v after a refusal", local, refused)
	}
	b.local = false
	if got := b.bound(false); got != 30*time.Second {
		t.Errorf("after very many: %v", got)
	}
}

func TestTroubleIsSaidWhenItIsNewAndThenEverMoreRarely(t *testing.T) {
	var tr trouble
	now := time.Now()
	var said []time.Duration
	for at := time.Duration(0); at < 20*time.Minute; at += 10 * time.Second {
		if _, ok := tr.note("connection refused", now.Add(at)); ok {
			said = append(said, at)
		}
	}
	if want := []time.Duration{0, time.Minute, 3 * time.Minute, 7 * time.Minute, 15 * time.Minute}; !cmp.Equal(said, want) {
		t.Errorf("said at %v, want %v", said, want)
	}
	if _, ok := tr.note("no such host", now); !ok {
		t.Error("a new cause is not said")
	}
	tr.clear()
	if _, ok := tr.note("no such host", now); !ok {
		t.Error("the same cause after a good time is not said")
	}
}
