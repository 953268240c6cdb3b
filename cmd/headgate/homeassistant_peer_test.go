package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"headgate/adapters/modbus/modbussim"
)

// rendering is a template and a payload that it is for.
type rendering struct {
	Template string `json:"template"`
	Payload  string `json:"payload"`
}

// render renders templates as Home Assistant does, by gateway/homeassistant's
// testdata/render.py.
func render(t *testing.T, cases ...rendering) []string {
	t.Helper()
	const python = "/usr/bin/python3" // another one does not have Debian's packages
	if out, err := exec.Command(python, "-c", "import jinja2").CombinedOutput(); err != nil {
		if os.Getenv("HEADGATE_PEERS") == "required" {
			t.Fatalf("jinja2: %v: %s\napt-get install python3-jinja2", err, out)
		}
		t.Skip("needs Jinja2: apt-get install python3-jinja2")
	}
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, filepath.Join(moduleRoot(t), "gateway/homeassistant/testdata/render.py"))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	var texts []string
	if err == nil {
		err = json.Unmarshal(out, &texts)
	}
	if err != nil || len(texts) != len(cases) {
		t.Fatalf("render %v: %v: %s", cases, err, out)
	}
	return texts
}

// announcement is what Home Assistant reads of one device.
type announcement struct {
	Device struct {
		Name      string
		ViaDevice string `json:"via_device"`
	}
	Availability []struct {
		Topic         string
		ValueTemplate string `json:"value_template"`
	}
	Components map[string]struct {
		StateTopic      string `json:"state_topic"`
		ValueTemplate   string `json:"value_template"`
		CommandTopic    string `json:"command_topic"`
		CommandTemplate string `json:"command_template"`
		PayloadOn       string `json:"payload_on"`
		Unit            string `json:"unit_of_measurement"`
		DeviceClass     string `json:"device_class"`
	}
}

func announcementOf(t *testing.T, m received) (a announcement) {
	t.Helper()
	if err := json.Unmarshal([]byte(m.payload), &a); err != nil {
		t.Fatalf("%s: %v", m.topic, err)
	}
	return a
}

// As Home Assistant does it: everything that it knows is read from what is announced.
func TestHomeAssistantFindsReadsAndSwitchesEveryDevice(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	config := p.config(p.cloud.Addr)
	headgate := runHeadgate(t, config+"\n[homeassistant]\nenabled = true\n")
	home := dial(t, headgate.addr(), "home-assistant")
	home.subscribe("#", 1)
	topic := func(device string) string { return "homeassistant/device/plant/" + device + "/config" }
	gateway := announcementOf(t, home.wait(t, topic("_gateway"), nil))
	if e := gateway.Components["sensor_version"]; render(t, rendering{e.ValueTemplate, home.wait(t, e.StateTopic, nil).payload})[0] != version() {
		t.Errorf("the gateway's version is not read from %s", e.StateTopic)
	}
	for device, wants := range map[string]map[string]string{
		"inverter": {"sensor_ac_power": "-1000", "sensor_temperature": "41.5", "sensor_total": "6553600001", "binary_sensor_door": "true",
			"number_limit": "100", "number_setpoint": "0", "switch_relay": "false"},
		"meter": {"sensor_voltage": "231.5", "sensor_energy": "12345.67", "number_ratio": "0.125"},
		"scale": {"sensor_weight": "12.375", "sensor_state": "stable"},
	} {
		a := announcementOf(t, home.wait(t, topic(device), nil))
		if a.Device.ViaDevice != "headgate/plant" || len(a.Components) != len(wants) {
			t.Errorf("%s: got %+v", device, a)
		}
		status := home.wait(t, a.Availability[0].Topic, func(m received) bool { return m.fields(t)["status"] == "online" })
		keys, cases := []string{device}, []rendering{{a.Availability[0].ValueTemplate, status.payload}}
		wants[device] = "online"
		for key, e := range a.Components {
			good := home.wait(t, e.StateTopic, func(m received) bool { return m.fields(t)["quality"] == "good" })
			keys, cases = append(keys, key), append(cases, rendering{e.ValueTemplate, good.payload})
		}
		for i, got := range render(t, cases...) {
			if want := wants[keys[i]]; got != want {
				t.Errorf("%s %s: got %s out of %s, want %s", device, keys[i], got, cases[i].Payload, want)
			}
		}
	}

	inverter := announcementOf(t, home.wait(t, topic("inverter"), nil))
	relay := inverter.Components["switch_relay"]
	home.publish(relay.CommandTopic, relay.PayloadOn, 1)
	home.wait(t, relay.StateTopic, func(m received) bool { return m.fields(t)["value"] == true })
	if on, _ := p.inverter.Get(modbussim.Coils, 0); on != 1 {
		t.Error("the coil is not on")
	}
	home.publish(inverter.Components["number_setpoint"].CommandTopic, "-12.5", 1)
	home.wait(t, inverter.Components["number_setpoint"].StateTopic, func(m received) bool { return m.fields(t)["value"] == -12.5 })
	wantRegisters(t, p.inverter, 210, uint16(math.MaxUint16-124))

	// Home Assistant starts again: it is told everything once more.
	before := map[string]int{}
	for _, name := range []string{topic("scale"), topic("inverter"), "plant/meter/ratio"} {
		before[name] = len(home.on(name))
	}
	home.publish("homeassistant/status", "online", 1)
	for name, n := range before {
		eventually(t, name+" comes again", func() bool { return len(home.on(name)) > n })
	}

	// The meter is taken out of the file: Home Assistant forgets it.
	without := config[:strings.Index(config, "[[modbus]]\nname = \"rs485\"")] + config[strings.Index(config, "[[serial]]"):]
	if err := os.WriteFile(headgate.config, []byte(without+"\n[homeassistant]\nenabled = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if status := dispatch([]string{"reload", headgate.config}, &out, &out); status != 0 {
		t.Fatalf("reload ends with %d: %s", status, out.String())
	}
	home.wait(t, topic("meter"), func(m received) bool { return m.payload == "" })
	late := dial(t, headgate.addr(), "late")
	late.subscribe("homeassistant/#", 1)
	late.wait(t, topic("scale"), func(m received) bool { return m.retain })
	late.wait(t, topic("_gateway"), nil)
	if got := late.on(topic("meter")); len(got) > 0 {
		t.Errorf("the meter is still announced: %s", got)
	}
}

// Home Assistant at a mosquitto that fetches everything from the gateway, by the lines
// of the page.
func TestHomeAssistantStandsAtAMosquittoThatComesToTheGateway(t *testing.T) {
	t.Parallel()
	needMosquitto(t)
	page, err := os.ReadFile(filepath.Join(moduleRoot(t), "packaging/docs/homeassistant.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, conf, _ := strings.Cut(string(page), "    # mosquitto.conf\n")
	conf, _, _ = strings.Cut(conf, "\n\n")
	p := newPlant(t)
	text := strings.ReplaceAll(p.config(p.cloud.Addr), `id = "plant"`, `id = "boiler-house"`)
	headgate := runHeadgate(t, text+"\n[homeassistant]\nenabled = true\n")
	conf = strings.ReplaceAll(conf, "192.168.1.20:1883", headgate.addr())
	var settings []string
	for line := range strings.Lines(conf) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "remote_") {
			settings = append(settings, line)
		}
	}
	port := startMosquitto(t, append([]string{"allow_anonymous true"}, settings...)...)
	home := dial(t, "127.0.0.1:"+port, "home-assistant")
	home.subscribe("#", 1)
	inverter := announcementOf(t, home.wait(t, "homeassistant/device/boiler-house/inverter/config", nil))
	relay := inverter.Components["switch_relay"]
	home.wait(t, relay.StateTopic, func(m received) bool { return m.fields(t)["value"] == false })
	home.publish(relay.CommandTopic, relay.PayloadOn, 1)
	home.wait(t, relay.StateTopic, func(m received) bool { return m.fields(t)["value"] == true })
	n := len(home.on("homeassistant/device/boiler-house/meter/config"))
	home.publish("homeassistant/status", "online", 1)
	eventually(t, "the meter is announced again", func() bool { return len(home.on("homeassistant/device/boiler-house/meter/config")) > n })
	late := dial(t, "127.0.0.1:"+port, "late")
	late.subscribe("homeassistant/#", 1)
	late.wait(t, "homeassistant/device/boiler-house/scale/config", func(m received) bool { return m.retain })
}

// Home Assistant at a broker that the gateway goes to.
func TestHomeAssistantStandsAtTheEndOfABridge(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	home := p.inCloud("home-assistant")
	runHeadgate(t, p.config(p.cloud.Addr)+`
  [[bridge.up]]
  filter = "homeassistant/device/#"
  [[bridge.down]]
  filter = "plant/+/+/set"
  [[bridge.down]]
  filter = "homeassistant/status"
[homeassistant]
enabled = true
`)
	inverter := announcementOf(t, home.wait(t, "homeassistant/device/plant/inverter/config", nil))
	relay := inverter.Components["switch_relay"]
	home.wait(t, relay.StateTopic, func(m received) bool { return m.fields(t)["value"] == false })
	home.publish(relay.CommandTopic, relay.PayloadOn, 1)
	home.wait(t, relay.StateTopic, func(m received) bool { return m.fields(t)["value"] == true })
	n := len(home.on("homeassistant/device/plant/meter/config"))
	home.publish("homeassistant/status", "online", 1)
	eventually(t, "the meter is announced again", func() bool { return len(home.on("homeassistant/device/plant/meter/config")) > n })
	late := p.inCloud("late")
	late.wait(t, "homeassistant/device/plant/scale/config", func(m received) bool { return m.retain })
}
