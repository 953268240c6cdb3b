package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"headgate/broker/packet"
	"headgate/cmd/headgate/config"
)

// The flags of pub and sub are those of mosquitto_pub and mosquitto_sub: people
// know them by heart. -h is the host, and -D takes three words or four, so they
// have a parser of their own.

// mqttFlag is one flag; the help is made of the same table.
type mqttFlag struct {
	names string // "-h --host"
	args  string // a word each: "HOST"
	only  string // the command that has it; "" for both
	help  string
	set   func(o *mqttOptions, args []string) error
}

var mqttFlags = []mqttFlag{
	{"-t --topic", "TOPIC", "", "The topic name to publish to; for sub a topic filter, and it may be repeated.", func(o *mqttOptions, a []string) error { o.topics = append(o.topics, a[0]); return nil }},
	{"-m --message", "TEXT", "pub", "Publish this text.", func(o *mqttOptions, a []string) error { o.text = a[0]; return o.publishWhat(fromText) }},
	{"-f --file", "FILE", "pub", "Publish a file's content.", func(o *mqttOptions, a []string) error { o.file = a[0]; return o.publishWhat(fromFile) }},
	{"-l --stdin-line", "", "pub", "Publish each line of the standard input as a message.", func(o *mqttOptions, _ []string) error { return o.publishWhat(fromLines) }},
	{"-s --stdin-file", "", "pub", "Publish the whole standard input as one message.", func(o *mqttOptions, _ []string) error { return o.publishWhat(fromStdin) }},
	{"-n --null-message", "", "pub", "Publish an empty message; with -r it clears what is retained.", func(o *mqttOptions, _ []string) error { return o.publishWhat(fromNothing) }},
	{"-q --qos", "0|1|2", "", "The quality of service, by default 0.", func(o *mqttOptions, a []string) error { return setQoS(&o.qos, a[0]) }},
	{"-r --retain", "", "pub", "Let the broker retain the message.", func(o *mqttOptions, _ []string) error { o.retain = true; return nil }},
	{"--repeat", "N", "pub", "Publish the message N times.", func(o *mqttOptions, a []string) error { return setInt(&o.repeat, a[0], 1, 1<<31-1) }},
	{"--repeat-delay", "SECONDS", "pub", "Wait so long after each of them; 0.5 is half a second.", func(o *mqttOptions, a []string) error { return setSeconds(&o.repeatDelay, a[0]) }},
	{"-M --max-inflight", "N", "pub", "Have at most N messages of QoS 1 and 2 on their way.", func(o *mqttOptions, a []string) error { return setInt(&o.maxInflight, a[0], 1, 65535) }},

	{"-v --verbose", "", "sub", `Print "topic payload" instead of the payload alone.`, func(o *mqttOptions, _ []string) error { o.verbose = true; return nil }},
	{"-F", "FORMAT", "sub", "Print each message so; see below.", func(o *mqttOptions, a []string) (err error) { o.format, err = parseFormat(a[0]); return err }},
	{"-N", "", "sub", "End no message with a new line.", func(o *mqttOptions, _ []string) error { o.noNewline = true; return nil }},
	{"--pretty", "", "sub", "Print the JSON of %j and %J over several lines.", func(o *mqttOptions, _ []string) error { o.pretty = true; return nil }},
	{"-C", "N", "sub", "End after N messages.", func(o *mqttOptions, a []string) error { return setInt(&o.count, a[0], 1, 1<<31-1) }},
	{"-W", "SECONDS", "sub", "End after this time, with exit status 27.", func(o *mqttOptions, a []string) error { return setWhole(&o.timeout, a[0]) }},
	{"-E", "", "sub", "End once the subscriptions stand.", func(o *mqttOptions, _ []string) error { o.exitAfterSub = true; return nil }},
	{"-T --filter-out", "FILTER", "sub", "Do not print messages that this filter matches; may be repeated.", func(o *mqttOptions, a []string) error {
		o.filterOut = append(o.filterOut, a[0])
		return checkFilter(a[0])
	}},
	{"-U --unsubscribe", "FILTER", "sub", "Unsubscribe from this filter; may be repeated.", func(o *mqttOptions, a []string) error {
		o.unsubscribe = append(o.unsubscribe, a[0])
		return checkFilter(a[0])
	}},
	{"-R", "", "sub", "Print no retained messages.", func(o *mqttOptions, _ []string) error { o.noRetained = true; return nil }},
	{"--retained-only", "", "sub", "Print retained messages, and end at the first that is not.", func(o *mqttOptions, _ []string) error { o.retainedOnly = true; return nil }},
	{"--remove-retained", "", "sub", "Clear each retained message that comes, but those of -T.", func(o *mqttOptions, _ []string) error { o.removeRetained = true; return nil }},
	{"--retain-as-published", "", "sub", "Get the retain flag as the publisher set it. [MQTT 5]", func(o *mqttOptions, _ []string) error { o.retainAsPublished = true; return nil }},
	{"--random-filter", "PERCENT", "sub", "Print only about this part of the messages.", func(o *mqttOptions, a []string) error { return setPercent(&o.percent, a[0]) }},

	{"-h --host", "HOST", "", "The broker's host, by default localhost.", func(o *mqttOptions, a []string) error { o.host = a[0]; return nil }},
	{"-p --port", "PORT", "", "Its port: by default 1883, with TLS 8883; for WebSockets 80 and 443.", func(o *mqttOptions, a []string) error { return setInt(&o.port, a[0], 1, 65535) }},
	{"-L --url", "URL", "", "All in one: mqtt://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC, or mqtts, ws, wss.", (*mqttOptions).setURL},
	{"--unix", "PATH", "", "Connect through this Unix socket.", func(o *mqttOptions, a []string) error { o.socket = a[0]; return nil }},
	{"--ws", "", "", "Connect over a WebSocket, at the path /mqtt.", func(o *mqttOptions, _ []string) error { o.websocket = true; return nil }},
	{"-A", "ADDRESS", "", "Connect from this local address.", func(o *mqttOptions, a []string) error { o.bind = a[0]; return nil }},
	{"--nodelay", "", "", "Send small packets at once, which is done in any case.", func(*mqttOptions, []string) error { return nil }},
	{"-u --username", "NAME", "", "The user name.", func(o *mqttOptions, a []string) error { o.username, o.hasUsername = a[0], true; return nil }},
	{"-P --pw", "PASSWORD", "", "The password.", func(o *mqttOptions, a []string) error { o.password, o.hasPassword = a[0], true; return nil }},
	{"-i --id", "ID", "", "The client identifier; by default the broker chooses one.", func(o *mqttOptions, a []string) error { o.clientID = a[0]; return nil }},
	{"-I --id-prefix", "PREFIX", "", "The client identifier is this and the process number.", func(o *mqttOptions, a []string) error { o.idPrefix = a[0]; return nil }},
	{"-c --disable-clean-session", "", "", "Keep the session: the broker stores messages for -i ID meanwhile.", func(o *mqttOptions, _ []string) error { o.persistent = true; return nil }},
	{"-x --session-expiry-interval", "SECONDS", "", "For so long after the end of the connection; -1 is for ever. [MQTT 5]", (*mqttOptions).setExpiry},
	{"-k --keepalive", "SECONDS", "", "The keep alive time, 5 to 65535; by default 60.", func(o *mqttOptions, a []string) error { return setInt(&o.keepAlive, a[0], 5, 65535) }},
	{"-V --protocol-version", "VERSION", "", "mqttv5, mqttv311 (the default) or mqttv31; also 5, 311, 31.", (*mqttOptions).setVersion},
	{"-D --property", "PACKET NAME VALUE", "", "A property of MQTT 5: -D publish content-type text/plain; user-property takes two values.", (*mqttOptions).setProperty},

	{"--will-topic", "TOPIC", "", "The topic of the will, which is published when the connection breaks.", func(o *mqttOptions, a []string) error { o.will.topic = a[0]; return nil }},
	{"--will-payload", "TEXT", "", "Its payload, by default nothing.", func(o *mqttOptions, a []string) error {
		o.will.payload, o.will.given = a[0], "--will-payload"
		return nil
	}},
	{"--will-qos", "0|1|2", "", "Its quality of service.", func(o *mqttOptions, a []string) error {
		o.will.given = "--will-qos"
		return setQoS(&o.will.qos, a[0])
	}},
	{"--will-retain", "", "", "Let the broker retain it.", func(o *mqttOptions, _ []string) error {
		o.will.retain, o.will.given = true, "--will-retain"
		return nil
	}},

	{"--cafile", "FILE", "", "Use TLS, and trust the PEM certificates in this file.", func(o *mqttOptions, a []string) error { o.tls.caFile = a[0]; return nil }},
	{"--capath", "DIR", "", "Use TLS, and trust the certificates in this directory.", func(o *mqttOptions, a []string) error { o.tls.caPath = a[0]; return nil }},
	{"--tls-use-os-certs", "", "", "Use TLS, and trust what this system trusts.", func(o *mqttOptions, _ []string) error { o.tls.system = true; return nil }},
	{"--cert", "FILE", "", "Our own certificate, PEM.", func(o *mqttOptions, a []string) error { o.tls.cert = a[0]; return nil }},
	{"--key", "FILE", "", "Its private key, PEM.", func(o *mqttOptions, a []string) error { o.tls.key = a[0]; return nil }},
	{"--insecure", "", "", "Do not check that the certificate is for this host.", func(o *mqttOptions, _ []string) error { o.tls.insecure = true; return nil }},
	{"--tls-alpn", "PROTOCOL", "", "Ask for this protocol, where one port has several.", func(o *mqttOptions, a []string) error { o.tls.alpn = a[0]; return nil }},
	{"--tls-version", "VERSION", "", "tlsv1.3, tlsv1.2 or tlsv1.1; by default 1.2 or newer.", (*mqttOptions).setTLSVersion},

	{"-d --debug", "", "", "Print a line for each packet.", func(o *mqttOptions, _ []string) error { o.debug = true; return nil }},
	{"--quiet", "", "", "Print no errors.", func(o *mqttOptions, _ []string) error { o.quiet = true; return nil }},
	{"--help", "", "", "Print this.", func(*mqttOptions, []string) error { return errHelp }},
}

// mosquittoOnly are flags of mosquitto's that are not here, and why.
var mosquittoOnly = map[string]string{
	"-S":                      "looking up SRV records is not in this version: name the host with -h",
	"--proxy":                 "SOCKS proxies are not in this version",
	"--psk":                   "pre-shared keys are not in this version: use a certificate",
	"--psk-identity":          "pre-shared keys are not in this version: use a certificate",
	"--ciphers":               "the cipher suites are Go's, in OpenSSL's words they cannot be chosen",
	"--keyform":               "keys are PEM files",
	"--tls-engine":            "keys are PEM files",
	"--tls-engine-kpass-sha1": "keys are PEM files",
}

var errHelp = errors.New("help is asked for")

// parseMQTTFlags reads the command line of pub or sub.
func parseMQTTFlags(command string, args []string) (*mqttOptions, error) {
	o := newMQTTOptions(command)
	for len(args) > 0 {
		name, rest := args[0], args[1:]
		if before, value, ok := strings.Cut(name, "="); ok && strings.HasPrefix(name, "--") {
			name, rest = before, append([]string{value}, rest...)
		}
		flag, err := findMQTTFlag(command, name)
		if err != nil {
			return nil, err
		}
		words := strings.Fields(flag.args)
		n := len(words)
		if n > 2 && len(rest) >= 2 && strings.EqualFold(rest[1], userProperty) {
			n++
		}
		if len(rest) < n {
			return nil, fmt.Errorf("%s needs %s", name, flag.args)
		}
		if err := flag.set(o, rest[:n]); err != nil {
			if errors.Is(err, errHelp) {
				return nil, err
			}
			return nil, fmt.Errorf("%s: %w", strings.Join(append([]string{name}, rest[:n]...), " "), err)
		}
		args = rest[n:]
	}
	return o, o.check()
}

func findMQTTFlag(command, name string) (*mqttFlag, error) {
	var known []string
	for i := range mqttFlags {
		f := &mqttFlags[i]
		names := strings.Fields(f.names)
		if !slices.Contains(names, name) {
			if f.only == "" || f.only == command {
				known = append(known, names...)
			}
			continue
		}
		if f.only != "" && f.only != command {
			return nil, fmt.Errorf("%s is a flag of headgate %s", name, f.only)
		}
		return f, nil
	}
	if why, ok := mosquittoOnly[name]; ok {
		return nil, fmt.Errorf("%s: %s", name, why)
	}
	if !strings.HasPrefix(name, "-") {
		return nil, fmt.Errorf("unexpected argument %q: a topic is given with -t", name)
	}
	if near := config.Nearest(name, known); near != "" && len(name) > 3 {
		return nil, fmt.Errorf("unknown flag %s, did you mean %s?", name, near)
	}
	return nil, fmt.Errorf("unknown flag %s", name)
}

// printMQTTHelp prints what the table says.
func printMQTTHelp(w io.Writer, command, usage, after string) {
	fmt.Fprintf(w, "Usage: headgate %s\n\n", usage)
	for _, f := range mqttFlags {
		if f.only != "" && f.only != command {
			continue
		}
		head := strings.Join(strings.Fields(f.names), ", ")
		if f.args != "" {
			head += " " + f.args
		}
		if strings.HasPrefix(head, "--") {
			head = "    " + head
		}
		if len(head) > 31 {
			fmt.Fprintf(w, "  %s\n  %-31s %s\n", head, "", f.help)
			continue
		}
		fmt.Fprintf(w, "  %-31s %s\n", head, f.help)
	}
	fmt.Fprint(w, after)
}

func setQoS(p *byte, s string) error {
	if len(s) != 1 || s[0] < '0' || s[0] > '2' {
		return errors.New("QoS is 0, 1 or 2")
	}
	*p = s[0] - '0'
	return nil
}

func setInt(p *int, s string, least, most int) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		if most == 1<<31-1 {
			return fmt.Errorf("must be a number of at least %d", least)
		}
		return fmt.Errorf("must be a number from %d to %d", least, most)
	}
	*p = n
	return nil
}

// longest is the longest time that a flag takes, about 68 years.
const longest = 1<<31 - 1

func setWhole(p *time.Duration, s string) error {
	n := 0
	if err := setInt(&n, s, 1, longest); err != nil {
		return errors.New("must be a whole number of seconds, at least 1")
	}
	*p = time.Duration(n) * time.Second
	return nil
}

func setSeconds(p *time.Duration, s string) error {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= longest) {
		return errors.New("must be a number of seconds")
	}
	*p = time.Duration(f * float64(time.Second))
	return nil
}

func setPercent(p *float64, s string) error {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0.1 && f <= 100) {
		return errors.New("must be a number from 0.1 to 100")
	}
	*p = f
	return nil
}

// setVersion takes mosquitto's names of the versions, and the specification's.
func (o *mqttOptions) setVersion(a []string) error {
	v, ok := map[string]packet.Version{
		"31": packet.V31, "311": packet.V311, "5": packet.V5, "3.1": packet.V31, "3.1.1": packet.V311, "5.0": packet.V5,
	}[strings.TrimPrefix(a[0], "mqttv")]
	if !ok {
		return errors.New("the versions are mqttv5, mqttv311 and mqttv31")
	}
	o.version = v
	return nil
}

func (o *mqttOptions) setExpiry(a []string) error {
	if a[0] == "-1" || a[0] == "∞" {
		o.expiry = never
	} else {
		n, err := strconv.ParseUint(a[0], 10, 32)
		if err != nil {
			return errors.New("must be a number of seconds from 0 to 4294967295, or -1")
		}
		o.expiry = uint32(n)
	}
	o.hasExpiry = true
	return nil
}
