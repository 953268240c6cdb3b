package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"headgate/broker/packet"
	"headgate/broker/topic"
	"headgate/cmd/headgate/mqttc"
)

// source is where pub has its message from.
type source byte

const (
	fromText source = iota + 1
	fromFile
	fromLines
	fromStdin
	fromNothing
)

// mqttOptions is the command line of pub or sub.
type mqttOptions struct {
	command string
	topics  []string
	qos     byte

	from           source
	text, file     string
	retain         bool
	repeat         int
	repeatDelay    time.Duration
	maxInflight    int
	verbose        bool
	format         format // nil: none is given
	noNewline      bool
	pretty         bool
	count          int // 0: without end
	timeout        time.Duration
	exitAfterSub   bool
	filterOut      []string
	unsubscribe    []string
	noRetained     bool
	retainedOnly   bool
	removeRetained bool
	percent        float64
	debug, quiet   bool
	socket         string
	host           string
	port           int // 0: the scheme's
	websocket      bool
	bind           string
	tls            tlsOptions
	version        packet.Version
	keepAlive      int
	persistent     bool
	hasExpiry      bool
	expiry         uint32
	clientID       string
	idPrefix       string
	hasUsername    bool
	hasPassword    bool
	username       string
	password       string
	will           willOptions
	hasProperties  bool
	properties     map[packet.Type]*packet.Properties
	willProperties packet.Properties

	retainAsPublished bool
}

type willOptions struct {
	topic, payload string
	qos            byte
	retain         bool
	given          string // the flag that wants a topic
}

const (
	never    = 0xFFFFFFFF // a session expiry interval. [MQTT 3.1.2.11.2]
	maxField = 65000      // bytes of a field; 65,535 by the protocol, and -I adds a number
)

func newMQTTOptions(command string) *mqttOptions {
	return &mqttOptions{
		command: command, host: "localhost", version: packet.V311, keepAlive: 60, repeat: 1, percent: 100,
		properties: make(map[packet.Type]*packet.Properties),
	}
}

func (o *mqttOptions) publishWhat(s source) error {
	if o.from != 0 {
		return errors.New("one of -m, -f, -l, -s and -n is enough")
	}
	o.from = s
	return nil
}

func checkFilter(filter string) error { return topic.CheckFilter(filter) }

// setURL takes the URL apart by hand: a topic filter may have a #.
func (o *mqttOptions) setURL(a []string) error {
	scheme, rest, ok := strings.Cut(a[0], "://")
	if !ok {
		return errors.New("a URL is mqtt://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC")
	}
	switch scheme {
	case "mqtt":
	case "mqtts":
		o.tls.wanted = true
	case "ws":
		o.websocket = true
	case "wss":
		o.websocket, o.tls.wanted = true, true
	default:
		return fmt.Errorf("the scheme is mqtt, mqtts, ws or wss, not %q", scheme)
	}
	authority, name, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, password, hasPassword := strings.Cut(authority[:i], ":")
		var err1, err2 error
		o.username, err1 = url.PathUnescape(user)
		o.hasUsername = true
		if hasPassword {
			o.password, err2 = url.PathUnescape(password)
			o.hasPassword = true
		}
		if err1 != nil || err2 != nil {
			return errors.New("the user name or the password has a % that is no escape: write %25 for one")
		}
		authority = authority[i+1:]
	}
	if err := o.setAuthority(authority); err != nil {
		return err
	}
	name, err := url.PathUnescape(name)
	if err != nil {
		return errors.New("the topic has a % that is no escape: write %25 for one")
	}
	if name != "" {
		o.topics = append(o.topics, name)
	}
	return nil
}

func (o *mqttOptions) setAuthority(authority string) error {
	host, port := authority, ""
	if strings.LastIndexByte(authority, ':') > strings.LastIndexByte(authority, ']') {
		var err error
		if host, port, err = net.SplitHostPort(authority); err != nil {
			return fmt.Errorf("%q is not HOST or HOST:PORT; an IPv6 address stands in [brackets]", authority)
		}
	}
	if host = strings.Trim(host, "[]"); host == "" {
		return errors.New("the URL has no host")
	}
	o.host = host
	if port != "" {
		if err := setInt(&o.port, port, 1, 65535); err != nil {
			return fmt.Errorf("port %s: %w", port, err)
		}
	}
	return nil
}

// check says what is missing, and what does not go together.
func (o *mqttOptions) check() error {
	if o.hasProperties {
		o.version = packet.V5
	}
	expiry, _ := o.sessionExpiry()
	switch {
	case o.command == "pub" && len(o.topics) == 0:
		return errors.New("the topic is missing: name it with -t")
	case o.command == "pub" && o.from == 0:
		return errors.New("the message is missing: give it with -m, -f, -l, -s or -n")
	case o.command == "sub" && len(o.topics)+len(o.unsubscribe) == 0:
		return errors.New("the topic filter is missing: name it with -t; -t '#' is every topic")
	case o.retainedOnly && o.noRetained:
		return errors.New("--retained-only and -R together leave nothing")
	case o.clientID != "" && o.idPrefix != "":
		return errors.New("-i and -I are not for use together")
	case o.persistent && o.clientID == "" && o.idPrefix == "":
		return errors.New("-c keeps the session of a client: name that with -i")
	case o.version == packet.V5 && expiry == never && o.clientID == "" && o.idPrefix == "":
		return errors.New("a session that never expires needs a name: give it with -i")
	case o.hasPassword && !o.hasUsername && o.version != packet.V5:
		return fmt.Errorf("-P needs -u: MQTT %v has no password without a user name", o.version)
	case o.will.given != "" && o.will.topic == "":
		return fmt.Errorf("%s is of a will: name its topic with --will-topic", o.will.given)
	case o.tls.cert != "" && o.tls.key == "", o.tls.cert == "" && o.tls.key != "":
		return errors.New("--cert and --key belong together")
	}
	for flag, value := range map[string]string{
		"-u": o.username, "-P": o.password, "-i": o.clientID, "-I": o.idPrefix, "--will-payload": o.will.payload,
	} {
		if len(value) > maxField {
			return fmt.Errorf("%s: %d bytes are too many: %d at most", flag, len(value), maxField)
		}
	}
	if o.will.topic != "" {
		if err := topic.CheckName(o.will.topic); err != nil {
			return fmt.Errorf("--will-topic %s: %w", o.will.topic, err)
		}
	}
	for _, t := range o.topics {
		err := topic.CheckFilter(t)
		if o.command == "pub" {
			err = topic.CheckName(t)
		}
		if err != nil {
			return fmt.Errorf("-t %s: %w", t, err)
		}
	}
	return nil
}

// sessionExpiry gives the Session Expiry Interval of MQTT 5.
func (o *mqttOptions) sessionExpiry() (seconds uint32, given bool) {
	switch {
	case o.hasExpiry:
		return o.expiry, true
	case o.persistent:
		return never, true
	}
	return 0, false
}

// clientConfig gives what the client is to do.
func (o *mqttOptions) clientConfig() (mqttc.Config, error) {
	cfg := mqttc.Config{MaxInflight: o.maxInflight, Connect: o.connect()}
	if p := o.properties[packet.DISCONNECT]; p != nil {
		cfg.DisconnectProperties = *p
	}
	e := &cfg.Endpoint
	if o.socket != "" {
		e.Socket = o.socket
		return cfg, nil
	}
	var err error
	if e.TLS, err = o.tls.config(o.host, o.port); err != nil {
		return cfg, err
	}
	port := 1883
	switch {
	case o.websocket && e.TLS != nil:
		port = 443
	case o.websocket:
		port = 80
	case e.TLS != nil:
		port = 8883
	}
	if o.websocket {
		e.Path = "/mqtt"
	}
	e.Address = net.JoinHostPort(o.host, strconv.Itoa(cmp.Or(o.port, port)))
	e.Bind = o.bind
	return cfg, nil
}

func (o *mqttOptions) connect() packet.Connect {
	p := packet.Connect{
		Version: o.version, CleanStart: !o.persistent, KeepAlive: uint16(o.keepAlive), ClientID: []byte(o.clientID),
		HasUsername: o.hasUsername, Username: []byte(o.username), HasPassword: o.hasPassword, Password: []byte(o.password),
	}
	switch {
	case o.idPrefix != "":
		p.ClientID = []byte(o.idPrefix + strconv.Itoa(os.Getpid()))
	case o.clientID == "" && o.version == packet.V31: // which knows no empty one
		p.ClientID = []byte("headgate-" + rand.Text()[:14])
	}
	if o.will.topic != "" {
		p.HasWill = true
		p.Will = packet.Will{QoS: o.will.qos, Retain: o.will.retain, Topic: []byte(o.will.topic), Payload: []byte(o.will.payload), Properties: o.willProperties}
	}
	if props := o.properties[packet.CONNECT]; props != nil {
		p.Properties = *props
	}
	if seconds, given := o.sessionExpiry(); given {
		p.Properties.SessionExpiry = seconds
		p.Properties.Set(packet.PropSessionExpiry)
	}
	return p
}

// propertiesOf gives what -D says of a packet.
func (o *mqttOptions) propertiesOf(t packet.Type) packet.Properties {
	if p := o.properties[t]; p != nil {
		return *p
	}
	return packet.Properties{}
}
