package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	mqtt "github.com/eclipse/paho.mqtt.golang"

	"headgate/adapters/modbus/modbussim"
	"headgate/broker/topic"
)

// telegraf is one that runs with the configuration of packaging/docs/consumers.md: it
// gives what it has written, in InfluxDB's line protocol.
type telegraf interface {
	written() string
	stop()
}

// realTelegraf is the program itself, where it is installed.
type realTelegraf struct {
	*program
	out string
}

func startTelegraf(t *testing.T, conf string) telegraf {
	t.Helper()
	dir := t.TempDir()
	r := realTelegraf{out: filepath.Join(dir, "out")}
	file := filepath.Join(dir, "telegraf.conf")
	conf = "[agent]\nflush_interval = \"100ms\"\nomit_hostname = true\n" + conf + "\n[[outputs.file]]\nfiles = [\"" + r.out + "\"]\ndata_format = \"influx\"\n"
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	r.program = startPeer(t, nil, "telegraf", "--config", file)
	return r
}

func (r realTelegraf) written() string {
	b, _ := os.ReadFile(r.out)
	return string(b)
}

func (r realTelegraf) stop() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	r.cmd.Wait()
}

// standIn does what Telegraf does with that configuration, with the client library
// that Telegraf has: a persistent session of MQTT 3.1.1, each message acknowledged
// when it is written.
// [github.com/influxdata/telegraf, plugins/inputs/mqtt_consumer and plugins/parsers/json_v2]
type standIn struct {
	t      *testing.T
	client mqtt.Client
	cfg    consumer

	mu  sync.Mutex // guards out
	out strings.Builder
}

// consumer is an [[inputs.mqtt_consumer]]: a key that is not here fails the test.
type consumer struct {
	Servers           []string
	Topics            []string
	QoS               byte
	PersistentSession bool                                        `toml:"persistent_session"`
	ClientID          string                                      `toml:"client_id"`
	TopicTag          string                                      `toml:"topic_tag"`
	DataFormat        string                                      `toml:"data_format"`
	TopicParsing      []struct{ Topic, Measurement, Tags string } `toml:"topic_parsing"`
	JSON              []struct {
		TimestampPath   string `toml:"timestamp_path"`
		TimestampFormat string `toml:"timestamp_format"`
		Field, Tag      []struct {
			Path     string
			Optional bool
		}
	} `toml:"json_v2"`
}

func startStandIn(t *testing.T, conf string) telegraf {
	t.Helper()
	var file struct {
		Inputs struct {
			Consumer []consumer `toml:"mqtt_consumer"`
		}
	}
	meta, err := toml.Decode(conf, &file)
	if err != nil || len(meta.Undecoded()) > 0 || len(file.Inputs.Consumer) != 1 {
		t.Fatalf("%v %v", err, meta.Undecoded())
	}
	s := &standIn{t: t, cfg: file.Inputs.Consumer[0]}
	if s.cfg.DataFormat != "json_v2" || len(s.cfg.JSON) != 1 || len(s.cfg.TopicParsing) != 1 || !s.cfg.PersistentSession {
		t.Fatalf("got %+v", s.cfg)
	}
	options := mqtt.NewClientOptions().AddBroker(s.cfg.Servers[0]).SetClientID(s.cfg.ClientID).SetCleanSession(!s.cfg.PersistentSession).
		SetKeepAlive(time.Minute).SetAutoAckDisabled(true).SetDefaultPublishHandler(s.take)
	s.client = mqtt.NewClient(options)
	wait := func(token mqtt.Token) {
		t.Helper()
		if !token.WaitTimeout(hang) || token.Error() != nil {
			t.Fatalf("the stand-in for Telegraf: %v", token.Error())
		}
	}
	wait(s.client.Connect())
	for _, name := range s.cfg.Topics {
		wait(s.client.Subscribe(name, s.cfg.QoS, nil))
	}
	t.Cleanup(s.stop)
	return s
}

func (s *standIn) stop() { s.client.Disconnect(250) }

func (s *standIn) written() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

// take writes a message as a line, if it has a field.
func (s *standIn) take(_ mqtt.Client, m mqtt.Message) {
	defer m.Ack()
	var object map[string]any
	if err := json.Unmarshal(m.Payload(), &object); err != nil {
		s.t.Errorf("%s: %s: %v", m.Topic(), m.Payload(), err)
		return
	}
	parsing, parser := s.cfg.TopicParsing[0], s.cfg.JSON[0]
	if !topic.Match(parsing.Topic, m.Topic()) {
		return
	}
	levels := strings.Split(m.Topic(), "/")
	measurement, tags, fields := "", []string{}, []string{}
	for i, word := range strings.Split(parsing.Measurement, "/") {
		if word != "_" {
			measurement = levels[i]
		}
	}
	for i, word := range strings.Split(parsing.Tags, "/") {
		if word != "_" {
			tags = append(tags, word+"="+levels[i])
		}
	}
	value := func(path string, optional bool) any {
		v, there := object[path]
		if !there && !optional {
			s.t.Errorf("%s: %s has no %s", m.Topic(), m.Payload(), path)
		}
		return v
	}
	for _, tag := range parser.Tag {
		if v := value(tag.Path, tag.Optional); v != nil {
			tags = append(tags, fmt.Sprintf("%s=%v", tag.Path, v))
		}
	}
	for _, field := range parser.Field {
		switch v := value(field.Path, field.Optional).(type) {
		case nil:
		case string:
			fields = append(fields, field.Path+`="`+v+`"`)
		default:
			fields = append(fields, fmt.Sprintf("%s=%v", field.Path, v))
		}
	}
	at, err := time.Parse(parser.TimestampFormat, fmt.Sprint(value(parser.TimestampPath, false)))
	if err != nil {
		s.t.Errorf("%s: %v", m.Topic(), err)
	}
	if len(fields) == 0 {
		return
	}
	slices.Sort(tags)
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.out, "%s,%s %s %d\n", measurement, strings.Join(tags, ","), strings.Join(fields, ","), at.UnixNano())
}

func TestTelegrafWritesWhatWasMeasuredAlsoWhileItWasAway(t *testing.T) {
	t.Parallel()
	t.Run("a stand-in", func(t *testing.T) {
		t.Parallel()
		runTelegraf(t, startStandIn)
	})
	t.Run("telegraf", func(t *testing.T) {
		t.Parallel()
		needTelegraf(t)
		runTelegraf(t, startTelegraf)
	})
}

func needTelegraf(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("telegraf"); err != nil {
		t.Skip("needs telegraf: .ci/proof telegraf builds it, and fails without")
	}
}

// What is published as InfluxDB's line protocol is read by who made it.
func TestTelegrafReadsTheGatewaysOwnLines(t *testing.T) {
	t.Parallel()
	needTelegraf(t)
	p := newPlant(t)
	config := strings.Replace(p.config(p.cloud.Addr), `id = "plant"`, "id = \"plant\"\nformat = \"influx\"", 1)
	headgate := runHeadgate(t, config)
	tg := startTelegraf(t, "[[inputs.mqtt_consumer]]\nservers = [\"tcp://"+headgate.addr()+"\"]\ntopics = [\"plant/+/+\"]\ntopic_tag = \"\"\ndata_format = \"influx\"\n")
	wants := func(lines ...string) {
		t.Helper()
		for _, want := range lines {
			eventually(t, "Telegraf writes "+want, func() bool { return strings.Contains(tg.written(), want) })
		}
	}
	wants("meter,device=meter,gateway=plant,unit=V voltage=231.5 ", "inverter,device=inverter,gateway=plant,unit=°C temperature=41.5 ",
		"inverter,device=inverter,gateway=plant door=true ", `scale,device=scale,gateway=plant state="stable" `)
	p.inverter.Inject(modbussim.Fault{Table: modbussim.InputRegisters, Exception: 4})
	wants(`inverter,device=inverter,gateway=plant total_quality="bad",total_reason="`)
}

func runTelegraf(t *testing.T, start func(*testing.T, string) telegraf) {
	p := newPlant(t)
	headgate := runHeadgate(t, p.config(p.cloud.Addr))
	conf := consumerExample(t, "# telegraf.conf", headgate.addr())
	first := start(t, conf)
	wants := func(tg telegraf, lines ...string) {
		t.Helper()
		for _, want := range lines {
			eventually(t, "Telegraf writes "+want, func() bool { return strings.Contains(tg.written(), want) })
		}
	}
	wants(first, "voltage,device=meter,gateway=plant,quality=good,unit=V value=231.5 ", "energy,device=meter,gateway=plant,quality=good,unit=kWh value=12345.67 ",
		"door,device=inverter,gateway=plant,quality=good value=true ", `state,device=scale,gateway=plant,quality=good value="stable" `, `status,device=meter,gateway=plant status="online" `)
	first.stop()

	// While it is away the door is opened and closed again, as a row with the time at
	// which it was says later.
	watcher := dial(t, headgate.addr(), "watcher")
	watcher.subscribe("plant/inverter/+", 1)
	p.inverter.SetDiscrete(4, false)
	open := watcher.wait(t, "plant/inverter/door", func(m received) bool { return m.fields(t)["value"] == false })
	p.inverter.SetDiscrete(4, true)
	eventually(t, "the door is closed", func() bool {
		said := watcher.on("plant/inverter/door")
		return strings.Contains(said[len(said)-1], `"value":true`)
	})
	at, err := time.Parse("2006-01-02T15:04:05.000Z", open.fields(t)["time"].(string))
	if err != nil {
		t.Fatal(err)
	}
	second := start(t, conf)
	wants(second, fmt.Sprintf("door,device=inverter,gateway=plant,quality=good value=false %d\n", at.UnixNano()))

	// What was not measured is no row.
	p.inverter.Inject(modbussim.Fault{Table: modbussim.InputRegisters, Exception: 4})
	watcher.wait(t, "plant/inverter/total", func(m received) bool { return m.fields(t)["quality"] == "bad" })
	later := len(watcher.on("plant/inverter/limit")) + 3
	eventually(t, "other points go on", func() bool { return len(watcher.on("plant/inverter/limit")) >= later })
	wants(second, "limit,device=inverter,gateway=plant,quality=good,unit=% value=100 ")
	if strings.Contains(second.written(), "quality=bad") {
		t.Errorf("a value that was never there:\n%s", second.written())
	}
}
