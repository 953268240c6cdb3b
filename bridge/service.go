package bridge

import "time"

// service is what is known of an upstream that others run: what Config says there
// by default, and what it refuses. Most of them close the connection on what they
// do not take, some without a word: a message that they would never take is not
// sent, or the link would break at it for ever. A zero value is no rule.
type service struct {
	title string // as its users know it

	// What SetDefaults fills. The first version counts; the rules below hold for
	// what it leaves.
	topic     string // of an Up that says nothing of its topic upstream
	gatewayID bool   // the client identifier is the gateway's id
	rate      PerSecond

	// The connection.
	schemes      []string
	ports        []string
	path         string // of its WebSocket
	alpn443      string // protocol by which port 443 knows MQTT [RFC 7301]
	versions     []string
	login        login
	bit          bool          // takes mosquitto's bridge bit
	keepAlive    time.Duration // longest
	keepAliveMin time.Duration
	session      time.Duration // longest Session Expiry Interval
	noSession    bool
	clientID     int    // bytes
	clientID311  int    // bytes, with MQTT 3.1.1
	clientIDHas  string // what it may have beside letters and digits; "" is anything
	clientIDNot  string // what it may not have
	hexClientID  bool   // it is the id of a device, in hexadecimal digits

	// Messages.
	qos        byte // highest
	noRetain   bool
	retainOn5  bool   // RETAIN only with MQTT 5
	payload    int    // bytes
	topicBytes int    // of a topic
	slashes    int    // in a topic or filter
	freePrefix string // of a topic: it and the level after it do not count
	topicNot   string // characters
	up, down   []string
	inFlight   int
	maxRate    PerSecond
	filters    int // subscriptions of a client
	noShared   bool
	encodes    bool // an Up without a topic goes in the service's own JSON
}

// login is how a service knows who we are.
type login uint8

const (
	anyLogin   login = iota
	userLogin        // user name and password
	certLogin        // client certificate, or user name and password
	tokenLogin       // a token as user name, or a client certificate
	sasLogin         // a shared access key, or a client certificate
	namedLogin       // user name, and a client certificate or a password
)

const (
	presetAzure   = "azure-iot-hub"
	azureEvents   = "devices/{client_id}/messages/events/"
	azureCommands = "devices/{client_id}/messages/devicebound/"

	kibi = 1 << 10
)

// services are the presets. Each row names the page that it follows; what pages
// leave open is as the service's own client library has it.
var services = map[string]service{
	// AWS General Reference, "AWS IoT Core endpoints and quotas"; Developer Guide, "Protocols, port mappings, and
	// authentication" (443 needs ALPN) and "MQTT" (no QoS 2; keep alive 30 to 1200 s). Of 8 filters in a SUBSCRIBE
	// nothing is to be checked: we send one in each.
	"aws-iot": {
		title:   "AWS IoT Core",
		schemes: []string{"mqtts"}, ports: []string{"8883", "443"}, alpn443: "x-amzn-mqtt-ca", versions: []string{version5, version311, versionAuto},
		login: certLogin, keepAlive: 1200 * time.Second, keepAliveMin: 30 * time.Second, session: 7 * 24 * time.Hour, clientID: 128,
		qos: 1, payload: 128 * kibi, topicBytes: 256, slashes: 7, freePrefix: "$aws/rules/", inFlight: 100, maxRate: 100, rate: 100, filters: 50,
	},
	// Microsoft Learn, "MQTT features supported by the Azure Event Grid MQTT broker" and "Azure Event Grid quotas and
	// limits": MQTT over 8883, WebSocket over 443; QoS 2 closes the connection; RETAIN with MQTT 5 only.
	"azure-event-grid": {
		title:   "Azure Event Grid",
		schemes: []string{"mqtts", "wss"}, ports: []string{"8883", "443"}, path: "/mqtt", versions: []string{version5, version311, versionAuto},
		login: namedLogin, keepAlive: 1160 * time.Second, session: 8 * time.Hour, clientID: 128,
		qos: 1, retainOn5: true, payload: 512 * kibi, topicBytes: 256, inFlight: 1000, maxRate: 1000, rate: 1000, filters: 50, noShared: true,
	},
	// Microsoft Learn, "Communicate with an IoT hub using the MQTT protocol" and "IoT Hub quotas and throttling".
	// Keep alive: 1.5 times it must not pass the 1767 s of Azure's load balancer.
	presetAzure: {
		title: "Azure IoT Hub",
		topic: azureEvents + "$.ct=application%2Fjson&$.ce=utf-8&topic={topic_escaped}", gatewayID: true,
		schemes: []string{"mqtts", "wss"}, ports: []string{"8883", "443"}, path: "/$iothub/websocket", versions: []string{version311},
		login: sasLogin, keepAlive: 1177 * time.Second, clientID: 128, clientIDHas: "-.%_*?!(),:=@$'",
		qos: 1, noRetain: true, payload: 256 * kibi, noShared: true,
		up:   []string{azureEvents, "$iothub/twin/", "$iothub/methods/res/"},
		down: []string{azureCommands, "$iothub/twin/", "$iothub/methods/POST/"},
	},
	// EMQX docs, "Quotas and Limits" of the Serverless plan.
	"emqx-serverless": {
		title:   "EMQX Serverless",
		schemes: []string{"mqtts", "wss"}, ports: []string{"8883", "8084"}, path: "/mqtt", versions: []string{version5, version311, versionAuto},
		login: userLogin, clientID: 256, clientID311: 23,
		qos: 2, payload: 1000 * kibi, filters: 10, rate: 10, maxRate: 1000, slashes: 127,
	},
	// HiveMQ docs, "HiveMQ Cloud" quick start: TLS only, 8883 and 8884 with WebSocket; user name and password. What a
	// cluster allows it says in CONNACK.
	"hivemq-cloud": {
		title:   "HiveMQ Cloud",
		schemes: []string{"mqtts", "wss"}, ports: []string{"8883", "8884"}, path: "/mqtt", versions: []string{version5, version311, versionAuto},
		login: userLogin, qos: 2,
	},
	// Losant docs, "MQTT Overview" and "Message Throttling": 300 messages in 15 s a client, 30 in 15 s a topic; past that
	// the client is locked out for 30 s and more.
	"losant": {
		title:   "Losant",
		schemes: []string{"mqtts", "wss", "mqtt", "ws"}, versions: []string{version311},
		login: userLogin, noSession: true, clientID: 24, hexClientID: true,
		qos: 1, noRetain: true, payload: 256 * kibi, rate: 2, maxRate: 20, noShared: true,
	},
	// mosquitto.conf(5); lib/util_topic.c: more than 200 levels close the connection.
	"mosquitto": {
		title: "mosquitto",
		qos:   2, bit: true, slashes: 200,
	},
	// NATS docs, "MQTT", and what nats-server 2.15 was seen to do: a space in a topic, a payload of more than 1 MiB with
	// its own header, or . * > / or a space in the client identifier close the connection.
	"nats": {
		title:    "NATS",
		versions: []string{version311},
		qos:      2, clientIDNot: " .*>/", topicNot: " \t\r\n\f", payload: 1024*kibi - 2*kibi, noShared: true,
	},
	// ThingsBoard docs, "MQTT Gateway API" and "MQTT Device API": QoS 0 and 1; 64 KiB (NETTY_MAX_PAYLOAD_SIZE).
	"thingsboard": {
		title:    "ThingsBoard",
		versions: []string{version5, version311, versionAuto},
		login:    tokenLogin, encodes: true,
		qos: 1, noRetain: true, payload: 64 * kibi, noShared: true,
		up: []string{"v1/"}, down: []string{"v1/", "v2/"},
	},
}
