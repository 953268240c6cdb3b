package bridge

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"headgate/broker/packet"
)

// presetTests are a configuration for each preset, the habits of its service, and
// what it would close the connection on.
var presetTests = map[string]struct {
	config  Config
	habits  habits
	good    string // what comes of the sample of site/meter1/power
	topic   string // a local topic that cannot go, "" for none
	payload int    // bytes of one that cannot go, 0 for none
}{
	"aws-iot": {
		config: Config{URL: "mqtts://a1b2-ats.iot.eu-central-1.amazonaws.com", TLS: TLS{CertFile: "c", KeyFile: "k"},
			Up: []Up{{Filter: "site/#", RemotePrefix: "plants/", MaxQoS: new(1)}}},
		habits:  habits{clientID: 128, keepAlive: 1200, qos: 1, retain: true, payload: 131072, slashes: 7, topic: 256, whitespace: true},
		good:    `plants/site/meter1/power {"value":1.5`,
		topic:   "site/2/3/4/5/6/7/8/9",
		payload: 131073,
	},
	"azure-event-grid": {
		config: Config{URL: "mqtts://ns.westeurope-1.ts.eventgrid.azure.net", TLS: TLS{CertFile: "c", KeyFile: "k"},
			Credentials: Credentials{Username: "gw-authn"}, Up: []Up{{Filter: "site/#"}}},
		habits:  habits{user: "gw-authn", clientID: 128, keepAlive: 1160, qos: 1, retain: true, payload: 524288, topic: 256, whitespace: true},
		good:    `site/meter1/power {"value":1.5`,
		topic:   "site/" + strings.Repeat("x", 256),
		payload: 524289,
	},
	"azure-iot-hub": {
		config: Config{URL: "mqtts://plant.azure-devices.net", Up: []Up{{Filter: "site/#"}}},
		habits: habits{version: packet.V311, user: "plant.azure-devices.net/gw/?api-version=", password: "SharedAccessSignature sr=plant.azure-devices.net%2Fdevices%2Fgw&sig=",
			clientID: 128, keepAlive: 1177, qos: 1, payload: 262144, root: "devices/gw/messages/events/", whitespace: true},
		good:    `devices/gw/messages/events/$.ct=application%2Fjson&$.ce=utf-8&topic=site%2Fmeter1%2Fpower {"value":1.5`,
		payload: 262145,
	},
	"emqx-serverless": {
		config: Config{URL: "mqtts://x.eu-central-1.emqx.cloud", Credentials: Credentials{Username: "u", Password: "p"},
			MaxRate: Rate{Messages: 1000}, Up: []Up{{Filter: "site/#", MaxQoS: new(2)}}},
		habits:  habits{user: "u", password: "p", clientID: 256, qos: 2, retain: true, payload: 1 << 20, whitespace: true},
		good:    `site/meter1/power {"value":1.5`,
		payload: 1<<20 + 1,
	},
	"hivemq-cloud": {
		config: Config{URL: "wss://x.s1.eu.hivemq.cloud:8884", Credentials: Credentials{Username: "u", Password: "p"}, Up: []Up{{Filter: "site/#"}}},
		habits: habits{user: "u", password: "p", qos: 2, retain: true, whitespace: true},
		good:   `site/meter1/power {"value":1.5`,
	},
	"losant": {
		config: Config{URL: "mqtts://broker.losant.com", ClientID: "575ecf887ae143cd83dc4aa2", Credentials: Credentials{Username: "key", Password: "secret"},
			MaxRate: Rate{Messages: 20}, Up: []Up{{Filter: "site/#"}}},
		habits:  habits{version: packet.V311, clean: true, user: "key", clientID: 24, qos: 1, payload: 262144, whitespace: true},
		good:    `site/meter1/power {"value":1.5`,
		payload: 262145,
	},
	"mosquitto": {
		config: Config{URL: "mqtt://broker.example.com", Up: []Up{{Filter: "site/#", MaxQoS: new(2)}}},
		habits: habits{qos: 2, retain: true, slashes: 200, whitespace: true},
		good:   `site/meter1/power {"value":1.5`,
		topic:  "site" + strings.Repeat("/x", 201),
	},
	"nats": {
		config:  Config{URL: "mqtt://nats.example.com", Up: []Up{{Filter: "site/#", MaxQoS: new(2)}}},
		habits:  habits{version: packet.V311, qos: 2, retain: true, payload: 1048000},
		good:    `site/meter1/power {"value":1.5`,
		topic:   "site/meter 2/power",
		payload: 1048001,
	},
	"thingsboard": {
		config: Config{URL: "mqtts://mqtt.thingsboard.cloud", Credentials: Credentials{Username: "token"},
			Up: []Up{{Filter: "site/#", LocalPrefix: "site/"}}},
		habits:  habits{user: "token", qos: 1, payload: 65536, root: "v1/gateway/", whitespace: true},
		good:    `v1/gateway/telemetry {"meter1":[{"ts":1795867445123,"values":{"power":1.5}}]}`,
		payload: 65537,
	},
}

const sampleOfMeter1 = `{"value":1.5,"unit":"kW","time":"2026-11-28T12:04:05.123Z","quality":"good"}`

// bridgeTo completes a configuration of presetTests.
func bridgeTo(t *testing.T, preset string) Config {
	t.Helper()
	cfg := presetTests[preset].config
	cfg.Preset, cfg.Name, cfg.GatewayID = preset, "cloud", "gw"
	cfg.Up = slices.Clone(cfg.Up)
	if preset == "azure-iot-hub" {
		cfg.Credentials.SharedAccessKeyFile = filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(cfg.Credentials.SharedAccessKeyFile, []byte("c2VjcmV0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

func TestEveryPresetHasATestAndAPage(t *testing.T) {
	for preset := range services {
		if _, err := os.Stat(filepath.Join("..", "packaging", "docs", "uplink-"+preset+".md")); err != nil {
			t.Error(err)
		}
	}
	if got, want := slices.Sorted(maps.Keys(presetTests)), slices.Sorted(maps.Keys(services)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// bad gives what a service would not take.
func bad(preset string) (ms []Message) {
	test := presetTests[preset]
	if test.topic != "" {
		ms = append(ms, Message{Topic: test.topic, Payload: []byte("1"), QoS: 1})
	}
	if test.payload > 0 {
		ms = append(ms, Message{Topic: "site/meter1/power", Payload: []byte(`"` + strings.Repeat("x", test.payload-2) + `"`), QoS: 1})
	}
	return ms
}

func TestWhatAServiceWouldNotTakeIsLeftOutAndTheLinkStays(t *testing.T) {
	for preset, test := range presetTests {
		t.Run(preset, func(t *testing.T) {
			cloud := newPicky(t, test.habits)
			src := newMemory(t)
			b := start(t, bridgeTo(t, preset), src, cloud.reach)
			good := Message{Topic: "site/meter1/power", Payload: []byte(sampleOfMeter1), QoS: 2, Retain: true}
			src.add(good, true)
			for _, m := range bad(preset) {
				src.add(m, true)
			}
			src.add(good, true)
			eventually(t, "both good ones are there", func() bool { return len(cloud.received()) >= 2 })
			for _, got := range cloud.received() {
				if !strings.HasPrefix(got, test.good) {
					t.Errorf("got %s\nwant %s", got, test.good)
				}
			}
			eventually(t, "all are let go", func() bool { return src.Backlog().Messages == 0 })
			st := b.Stats()
			var left uint64
			for _, n := range st.GivenUp {
				left += n
			}
			if want := uint64(len(bad(preset))); left != want || st.Reconnects != 0 || len(cloud.offended()) != 0 {
				t.Errorf("left out %d (%v), want %d; %d new connections, want none; the service closed on %q", left, st.GivenUp, want, st.Reconnects, cloud.offended())
			}
			for why := range st.GivenUp {
				if b.log.lines("message given up") == 0 || b.log.lines(services[preset].title) == 0 {
					t.Errorf("nothing in the log about %q", why)
				}
			}
		})
	}
}

// Without the preset the same messages end the connection: so the test above
// proves something.
func TestWithoutThePresetTheServiceClosesTheConnection(t *testing.T) {
	for preset, test := range presetTests {
		if len(bad(preset)) == 0 {
			continue
		}
		t.Run(preset, func(t *testing.T) {
			cfg := bridgeTo(t, preset)
			cfg.SetDefaults()
			cfg.Preset = ""
			cloud := newPicky(t, test.habits)
			src := newMemory(t)
			start(t, cfg, src, cloud.reach)
			for _, m := range bad(preset) {
				src.add(m, true)
			}
			eventually(t, "the service closes the connection", func() bool { return len(cloud.offended()) > 0 })
		})
	}
}

func TestAPresetSetsWhatItsServiceWants(t *testing.T) {
	aws := bridgeTo(t, "aws-iot")
	aws.URL = "mqtts://a1b2-ats.iot.eu-central-1.amazonaws.com:443"
	aws.SetDefaults()
	if !slices.Equal(aws.TLS.ALPN, []string{"x-amzn-mqtt-ca"}) || aws.MaxInFlight != 100 || aws.MaxRate.Messages != 100 || aws.Version != "5" {
		t.Errorf("aws-iot: got ALPN %q, %d in flight, %d a second, version %s", aws.TLS.ALPN, aws.MaxInFlight, aws.MaxRate.Messages, aws.Version)
	}
	aws = bridgeTo(t, "aws-iot")
	if aws.SetDefaults(); len(aws.TLS.ALPN) != 0 {
		t.Errorf("aws-iot on 8883: got ALPN %q, want none", aws.TLS.ALPN)
	}
	hub := bridgeTo(t, "azure-iot-hub")
	hub.SetDefaults()
	if hub.ClientID != "gw" || hub.Credentials.Username != "plant.azure-devices.net/gw/?api-version=2021-04-12" || hub.Up[0].Retain != "strip" {
		t.Errorf("azure-iot-hub: got client_id %q, user name %q, retain %q", hub.ClientID, hub.Credentials.Username, hub.Up[0].Retain)
	}
}

func TestWhatAServiceRefusesIsAFault(t *testing.T) {
	for _, test := range []struct {
		preset string
		change func(*Config)
		want   string
	}{
		{"aws-iot", func(c *Config) { c.Preset = "aws" }, `preset: "aws": want one of "aws-iot", "azure-event-grid"`},
		{"aws-iot", func(c *Config) { c.URL = "mqtt://h" }, "url: mqtt://: AWS IoT Core takes mqtts:// only"},
		{"aws-iot", func(c *Config) { c.URL = "mqtts://h:1234" }, "url: port 1234: AWS IoT Core listens on 8883 and 443"},
		{"aws-iot", func(c *Config) { c.ClientID = strings.Repeat("x", 129) }, "takes at most 128 bytes"},
		{"aws-iot", func(c *Config) { c.KeepAlive = 1201e9 }, "keep_alive: 20m1s: AWS IoT Core takes at most 1200s"},
		{"aws-iot", func(c *Config) { c.KeepAlive = 29e9 }, "keep_alive: 29s: AWS IoT Core takes at least 30s"},
		{"aws-iot", func(c *Config) { c.TLS = TLS{} }, "tls: AWS IoT Core wants a client certificate"},
		{"aws-iot", func(c *Config) { c.MaxInFlight = 101 }, "max_in_flight: 101: AWS IoT Core takes at most 100"},
		{"aws-iot", func(c *Config) { c.MaxRate.Messages = 101 }, "max_rate.messages: AWS IoT Core takes at most 100"},
		{"aws-iot", func(c *Config) { c.Up = []Up{{Filter: "a/#", QoS: new(2)}} }, "up[0].qos: 2: AWS IoT Core has QoS 0 and 1 only"},
		{"aws-iot", func(c *Config) { c.Up = []Up{{Filter: "a/#", MaxQoS: new(2)}} }, "up[0].max_qos: 2: AWS IoT Core has QoS 0 and 1 only"},
		{"aws-iot", func(c *Config) { c.Up = []Up{{Filter: "a/+/+/+/+/+/#", RemotePrefix: "x/y/z/"}} }, `up[0].remote_prefix: "x/y/z/a/+/+/+/+/+/#": AWS IoT Core takes at most 7 "/" in a topic`},
		{"aws-iot", func(c *Config) { c.Down = []Down{{Filter: "1/2/3/4/5/6/7/8/9"}} }, "down[0].filter: "},
		{"aws-iot", func(c *Config) { c.Down = make([]Down, 51); fillFilters(c.Down) }, "down: 51 filters: AWS IoT Core takes at most 50"},
		{"azure-event-grid", func(c *Config) { c.SessionExpiry = 9 * 3600e9 }, "session_expiry: 9h0m0s: Azure Event Grid keeps a session for at most 8h0m0s"},
		{"azure-event-grid", func(c *Config) { c.Version = "3.1.1" }, `up[0].retain: "keep": Azure Event Grid takes RETAIN with MQTT 5 only`},
		{"azure-event-grid", func(c *Config) { c.Credentials.Username = "" }, "credentials: Azure Event Grid wants the client authentication name"},
		{"azure-event-grid", func(c *Config) { c.Down = []Down{{Filter: "$share/g/a"}} }, "down[0].filter: \"$share/g/a\": Azure Event Grid has no shared subscriptions"},
		{"azure-iot-hub", func(c *Config) { c.Version = "5" }, `version: "5": Azure IoT Hub speaks "3.1.1"`},
		{"azure-iot-hub", func(c *Config) { c.ClientID = "a/b" }, "client_id: \"a/b\": Azure IoT Hub takes letters, digits and"},
		{"azure-iot-hub", func(c *Config) { c.Credentials.SharedAccessKeyFile = "" }, "credentials: Azure IoT Hub wants the device's key"},
		{"azure-iot-hub", func(c *Config) { c.URL = "wss://plant.azure-devices.net/mqtt" }, "url: /mqtt: the WebSocket of Azure IoT Hub is at /$iothub/websocket"},
		{"azure-iot-hub", func(c *Config) { c.Up[0].RemotePrefix = "plants/" }, `up[0].remote_prefix: "plants/site/#": at Azure IoT Hub it has to begin with "devices/gw/messages/events/"`},
		{"azure-iot-hub", func(c *Config) { c.Up[0].Retain = "keep" }, `up[0].retain: "keep": Azure IoT Hub keeps no retained messages`},
		{"azure-iot-hub", func(c *Config) { c.Down = []Down{{Filter: "cmd/#"}} }, "down[0].filter: \"cmd/#\": at Azure IoT Hub it has to begin with \"devices/gw/messages/devicebound/\""},
		{"emqx-serverless", func(c *Config) { c.ClientID, c.Version = strings.Repeat("x", 24), "3.1.1" }, "takes at most 23 bytes with MQTT 3.1.1: a shorter one, or version = \"5\""},
		{"emqx-serverless", func(c *Config) { c.Credentials = Credentials{} }, "credentials: EMQX Serverless wants a user name and a password"},
		{"emqx-serverless", func(c *Config) { c.Down = make([]Down, 11); fillFilters(c.Down) }, "down: 11 filters: EMQX Serverless takes at most 10"},
		{"hivemq-cloud", func(c *Config) { c.Credentials = Credentials{} }, "credentials: HiveMQ Cloud wants a user name and a password"},
		{"hivemq-cloud", func(c *Config) {
			c.Credentials.SharedAccessKeyFile, c.Credentials.Password, c.Credentials.Username = "f", "", "u"
		}, "credentials: HiveMQ Cloud wants"},
		{"losant", func(c *Config) { c.ClientID = "gw" }, "client_id: \"gw\": Losant wants the id of the device, 24 hexadecimal digits"},
		{"losant", func(c *Config) { c.MaxRate.Messages = 21 }, "max_rate.messages: Losant takes at most 20"},
		{"mosquitto", func(c *Config) { c.Up[0].RemotePrefix = strings.Repeat("x/", 201) }, "mosquitto takes at most 200 \"/\" in a topic"},
		{"nats", func(c *Config) { c.ClientID = "a.b" }, "client_id: \"a.b\": NATS takes none of"},
		{"nats", func(c *Config) { c.Up[0].RemotePrefix = "a b/" }, "up[0].remote_prefix: \"a b/site/#\": NATS takes no space in a topic"},
		{"thingsboard", func(c *Config) { c.Credentials = Credentials{} }, "credentials: ThingsBoard wants the device's access token as user name"},
		{"thingsboard", func(c *Config) { c.Up[0].RemotePrefix = "plants/" }, `up[0].remote_prefix: "plants/#": at ThingsBoard it has to begin with "v1/"`},
	} {
		cfg := bridgeTo(t, test.preset)
		if got := faults(&cfg); got != nil {
			t.Errorf("%s as it should be: %q", test.preset, got)
		}
		cfg = bridgeTo(t, test.preset)
		test.change(&cfg)
		if got := faults(&cfg); len(got) == 0 || !strings.Contains(strings.Join(got, "\n"), test.want) {
			t.Errorf("%s\ngot  %q\nwant %q", test.preset, got, test.want)
		}
	}
}

func fillFilters(ds []Down) {
	for i := range ds {
		ds[i].Filter = "cmd/" + string(rune('A'+i))
	}
}
