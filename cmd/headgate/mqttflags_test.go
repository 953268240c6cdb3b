package main

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"headgate/broker/packet"
)

func TestTheFlagsOfPubAndSubMeanWhatMosquittosDo(t *testing.T) {
	cases := []struct {
		line string // the command and its flags; _ is a space within one
		want func(o *mqttOptions) bool
	}{
		{"pub -t a -m x", func(o *mqttOptions) bool {
			return o.topics[0] == "a" && o.text == "x" && o.from == fromText && o.qos == 0 && o.version == packet.V311 && o.keepAlive == 60 && o.host == "localhost"
		}},
		{"pub --topic a --message x --qos 2 --retain --id c --keepalive 5", func(o *mqttOptions) bool {
			return o.qos == 2 && o.retain && o.clientID == "c" && o.keepAlive == 5
		}},
		{"pub --topic=a --message=b=c", func(o *mqttOptions) bool { return o.topics[0] == "a" && o.text == "b=c" }},
		{"pub -t a -m -5", func(o *mqttOptions) bool { return o.text == "-5" }},
		{"pub -t a -n --repeat 3 --repeat-delay 0.25", func(o *mqttOptions) bool {
			return o.from == fromNothing && o.repeat == 3 && o.repeatDelay.Milliseconds() == 250
		}},
		{"pub -t a -l -V 31", func(o *mqttOptions) bool { return o.from == fromLines && o.version == packet.V31 }},
		{"pub -t a -s -V mqttv5 -x 10", func(o *mqttOptions) bool {
			s, given := o.sessionExpiry()
			return o.version == packet.V5 && s == 10 && given
		}},
		{"pub -t a -f /dev/null -u me -P secret -h host -p 1884", func(o *mqttOptions) bool {
			c := o.connect()
			return o.file == "/dev/null" && string(c.Username) == "me" && string(c.Password) == "secret" && o.host == "host" && o.port == 1884
		}},
		{"sub -t a -t b -T a/# -U c -v -N -R -C 3 -W 4 -E", func(o *mqttOptions) bool {
			return slices.Equal(o.topics, []string{"a", "b"}) && o.filterOut[0] == "a/#" && o.unsubscribe[0] == "c" && o.verbose && o.noNewline &&
				o.noRetained && o.count == 3 && o.timeout.Seconds() == 4 && o.exitAfterSub
		}},
		{"sub -U gone -c -i me", func(o *mqttOptions) bool { return len(o.topics) == 0 && !o.connect().CleanStart }},
		{"sub -t a -c -i me -V 5", func(o *mqttOptions) bool { c := o.connect(); return c.Properties.SessionExpiry == never }},
		{"sub -t a -c -i me -V 5 -x 60", func(o *mqttOptions) bool { c := o.connect(); return c.Properties.SessionExpiry == 60 }},
		{"sub -t a -x ∞", func(o *mqttOptions) bool { return o.expiry == never }},
		{"sub -t a -I me-", func(o *mqttOptions) bool {
			c := o.connect()
			return strings.HasPrefix(string(c.ClientID), "me-") && len(c.ClientID) > 3
		}},
		{"sub -t a", func(o *mqttOptions) bool { return len(o.connect().ClientID) == 0 }},
		{"sub -t a -V 31", func(o *mqttOptions) bool { n := len(o.connect().ClientID); return n > 0 && n <= 23 }}, // [MQTT 3.1, 3.1]
		{"sub -t a --will-topic w --will-payload gone --will-qos 1 --will-retain", func(o *mqttOptions) bool {
			c := o.connect()
			return c.HasWill && string(c.Will.Topic) == "w" && string(c.Will.Payload) == "gone" && c.Will.QoS == 1 && c.Will.Retain
		}},
		{"pub -t a -m x -D publish content-type text -D PUBLISH User-Property k v -D publish user-property k w -q 1", func(o *mqttOptions) bool {
			p := o.propertiesOf(packet.PUBLISH)
			return o.version == packet.V5 && string(p.ContentType) == "text" && p.Has(packet.PropContentType) && len(p.User) == 2 && string(p.User[1].Value) == "w" && o.qos == 1
		}},
		{"sub -t a -D connect receive-maximum 7 -D subscribe subscription-identifier 9 -D disconnect session-expiry-interval 4 -V 311", func(o *mqttOptions) bool {
			c, s, d := o.connect(), o.propertiesOf(packet.SUBSCRIBE), o.propertiesOf(packet.DISCONNECT)
			return c.Version == packet.V5 && c.Properties.ReceiveMaximum == 7 && s.SubscriptionIDs[0] == 9 && d.SessionExpiry == 4
		}},
		{"sub -t a --will-topic w -D will will-delay-interval 3", func(o *mqttOptions) bool { c := o.connect(); return c.Will.Properties.WillDelay == 3 }},
		{"pub -L mqtt://host/a/b -m x", func(o *mqttOptions) bool { return address(o) == "host:1883" && o.topics[0] == "a/b" }},
		{"pub -L mqtt://me:p%40ss%3a@host:99/a%20b -m x", func(o *mqttOptions) bool {
			return address(o) == "host:99" && o.username == "me" && o.password == "p@ss:" && o.topics[0] == "a b"
		}},
		{"sub -L mqtts://host/a/# -v", func(o *mqttOptions) bool { return address(o) == "host:8883 TLS" && o.topics[0] == "a/#" }},
		{"sub -L ws://[::1]/a", func(o *mqttOptions) bool { return address(o) == "[::1]:80 /mqtt" }},
		{"sub -L wss://host/a", func(o *mqttOptions) bool { return address(o) == "host:443 TLS /mqtt" }},
		{"sub -L mqtt://host -t a", func(o *mqttOptions) bool { return address(o) == "host:1883" && o.topics[0] == "a" }},
		{"sub -t a --ws -p 9001", func(o *mqttOptions) bool { return address(o) == "localhost:9001 /mqtt" }},
		{"sub -t a -p 8883", func(o *mqttOptions) bool { return address(o) == "localhost:8883 TLS" }},
		{"sub -t a --tls-use-os-certs", func(o *mqttOptions) bool { return address(o) == "localhost:8883 TLS" }},
		{"sub -t a --unix /run/s --nodelay", func(o *mqttOptions) bool { return address(o) == "/run/s" }},
	}
	for _, c := range cases {
		t.Run(c.line, func(t *testing.T) {
			words := strings.Fields(c.line)
			o, err := parseMQTTFlags(words[0], words[1:])
			if err != nil {
				t.Fatal(err)
			}
			if !c.want(o) {
				t.Errorf("the options are wrong: %+v", o)
			}
		})
	}
}

// address gives what the client would dial.
func address(o *mqttOptions) string {
	cfg, err := o.clientConfig()
	if err != nil {
		return err.Error()
	}
	text := cfg.Endpoint.String()
	if cfg.Endpoint.TLS != nil {
		text += " TLS"
	}
	if cfg.Endpoint.Path != "" {
		text += " " + cfg.Endpoint.Path
	}
	return text
}

func TestAMistakeInAFlagIsNamedWithWhatToDo(t *testing.T) {
	for line, want := range map[string]string{
		"pub -m x":                                   "the topic is missing: name it with -t",
		"pub -t a":                                   "the message is missing: give it with -m, -f, -l, -s or -n",
		"pub -t a -m":                                "-m needs TEXT",
		"pub -t a -m x -n":                           "-n: one of -m, -f, -l, -s and -n is enough",
		"pub -t a/# -m x":                            "-t a/#:",
		"pub -t a -m x -q 3":                         "-q 3: QoS is 0, 1 or 2",
		"pub -t a -m x -p 70000":                     "-p 70000: must be a number from 1 to 65535",
		"pub -t a -m x -k 4":                         "-k 4: must be a number from 5 to 65535",
		"pub -t a -m x -V 4":                         "-V 4: the versions are mqttv5, mqttv311 and mqttv31",
		"pub -t a -m x -C 1":                         "-C is a flag of headgate sub",
		"pub -t a -m x --repeat 0":                   "--repeat 0: must be a number of at least 1",
		"pub -t a -m x --mesage y":                   "unknown flag --mesage, did you mean --message?",
		"pub -t a -m x -Z":                           "unknown flag -Z",
		"pub a x":                                    `unexpected argument "a": a topic is given with -t`,
		"pub -t a -m x -c":                           "-c keeps the session of a client: name that with -i",
		"pub -t a -m x -V 5 -x -1":                   "a session that never expires needs a name: give it with -i",
		"pub -t a -m x -i a -I b":                    "-i and -I are not for use together",
		"pub -t a -m x -P p":                         "-P needs -u: MQTT 3.1.1 has no password without a user name",
		"pub -t a -m x --will-qos 1":                 "--will-qos is of a will: name its topic with --will-topic",
		"pub -t a -m x --will-topic +":               "--will-topic +:",
		"pub -t a -m x --cert c":                     "--cert and --key belong together",
		"pub -t a -m x --proxy p":                    "--proxy: SOCKS proxies are not in this version",
		"pub -t a -m x --tls-version tlsv1.0":        "--tls-version tlsv1.0: the versions are tlsv1.3, tlsv1.2 and tlsv1.1",
		"pub -t a -m x -L http://h/a":                `-L http://h/a: the scheme is mqtt, mqtts, ws or wss, not "http"`,
		"pub -t a -m x -L host/a":                    "-L host/a: a URL is mqtt://",
		"pub -t a -m x -L mqtt:///a":                 "-L mqtt:///a: the URL has no host",
		"pub -t a -m x -L mqtt://h:0/a":              "port 0: must be a number from 1 to 65535",
		"pub -t a -m x -L mqtt://h/100%":             "write %25 for one",
		"pub -m x -L mqtt://h":                       "the topic is missing",
		"pub -t a -m x -D publish":                   "-D needs PACKET NAME VALUE",
		"pub -t a -m x -D publish user-property k":   "-D needs PACKET NAME VALUE",
		"pub -t a -m x -D publish content-tipe x":    "publish has no property content-tipe, did you mean content-type?",
		"pub -t a -m x -D publish receive-maximum 1": "publish has no property receive-maximum",
		"pub -t a -m x -D publsh content-type x":     `no packet "publsh" has properties, did you mean publish?`,
		"pub -t a -m x -D publish topic-alias x":     "-D publish topic-alias x: must be a number from 1 to 65535",
		"pub -t a -m x -D publish topic-alias 0":     "must be a number from 1 to 65535",
		"pub -t a -m x -D publish content-type a -D publish content-type b": "content-type may stand once",
		"sub":                         "the topic filter is missing: name it with -t; -t '#' is every topic",
		"sub -t a/#/b":                "-t a/#/b:",
		"sub -t a -T #/b":             "-T #/b:",
		"sub -t a -U a#":              "-U a#:",
		"sub -t a -m x":               "-m is a flag of headgate pub",
		"sub -t a -W 0":               "-W 0: must be a whole number of seconds, at least 1",
		"sub -t a -C 0":               "-C 0: must be a number of at least 1",
		"sub -t a -x -2":              "-x -2: must be a number of seconds from 0 to 4294967295, or -1",
		"sub -t a -F %z":              "-F %z: the format has %z: there are",
		"sub -t a --random-filter 0":  "--random-filter 0: must be a number from 0.1 to 100",
		"sub -t a -R --retained-only": "--retained-only and -R together leave nothing",
	} {
		t.Run(line, func(t *testing.T) {
			words := strings.Fields(line)
			_, err := parseMQTTFlags(words[0], words[1:])
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

func TestTheHelpNamesEveryFlagOfItsCommand(t *testing.T) {
	for _, command := range []string{"pub", "sub"} {
		var out strings.Builder
		args := []string{"-t", "a", "--help", "--nonsense"}
		run := runPub
		if command == "sub" {
			run = runSub
		}
		if err := run(t.Context(), args, streams{strings.NewReader(""), &out, io.Discard}); err != nil {
			t.Fatal(err)
		}
		for _, f := range mqttFlags {
			for _, name := range strings.Fields(f.names) {
				has := strings.Contains(out.String(), " "+name+" ") || strings.Contains(out.String(), " "+name+",")
				if want := f.only == "" || f.only == command; has != want {
					t.Errorf("the help of %s names %s: %v, want %v", command, name, has, want)
				}
			}
		}
		for _, line := range strings.Split(out.String(), "\n") {
			if len(line) > 125 {
				t.Errorf("a line of %d characters: %s", len(line), line)
			}
		}
	}
}

func TestEveryPropertyOfTheTableCanBeSet(t *testing.T) {
	for _, p := range propertyPackets {
		for _, id := range p.may {
			o := newMQTTOptions("pub")
			err := o.setProperty([]string{p.name, propertyName(id), "1", "1"})
			if err != nil || !o.propertyBlock(p.kind).Has(id) {
				t.Errorf("-D %s %s 1: got %v, want it set", p.name, propertyName(id), err)
			}
		}
	}
}

func TestFilesOfTLSThatAreNotThereAreNamed(t *testing.T) {
	for flags, want := range map[string]string{
		"--cafile /nothing":                              "--cafile: open /nothing",
		"--cafile /dev/null":                             "--cafile: no certificate in /dev/null",
		"--capath /nothing":                              "--capath: open /nothing",
		"--capath " + t.TempDir():                        "--capath: no certificate in",
		"--tls-use-os-certs --cert /nothing --key /none": "--cert /nothing --key /none: open /nothing",
	} {
		err := runSub(t.Context(), append([]string{"-t", "a"}, strings.Fields(flags)...), streams{strings.NewReader(""), io.Discard, io.Discard})
		var end *ended
		if !errors.As(err, &end) || end.status != exitFailed || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", flags, err, want)
		}
	}
}
