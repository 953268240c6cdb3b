package homeassistant

import (
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/gateway/point"
)

// schema reads testdata/schema.txt: the keys of each table, and those that must be.
func schema(t *testing.T) (allowed, required map[string][]string) {
	t.Helper()
	allowed, required = map[string][]string{}, map[string][]string{}
	for table, words := range table(t, "schema.txt") {
		for _, key := range words {
			name, must := strings.CutSuffix(key, "!")
			allowed[table] = append(allowed[table], name)
			if must {
				required[table] = append(required[table], name)
			}
		}
	}
	return allowed, required
}

// table reads the lines "name: words" of a file in testdata.
func table(t *testing.T, name string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		if name, words, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, "#") {
			all[name] = strings.Fields(words)
		}
	}
	return all
}

type topics struct{}

func (topics) ValueTopic(d, p string) string { return "plant/" + d + "/" + p }
func (topics) StatusTopic(d string) string   { return "plant/" + d + "/status" }
func (topics) SetTopic(d, p string) string   { return "plant/" + d + "/" + p + "/set" }

func number(f float64) *float64 { return &f }

// field is a device of every kind of point.
func field() []point.Device {
	deadband := point.Report{Deadband: point.NewDeadband(1, false), Heartbeat: 15 * time.Minute}
	return []point.Device{
		{Name: "meter 1", Manufacturer: "Eastron", Model: "SDM120", Points: []point.Info{
			{Name: "voltage_l1", Unit: "V", Kind: point.Float, Interval: time.Second},
			{Name: "energy", Unit: "kWh", Kind: point.Float, Interval: time.Minute, Report: deadband},
			{Name: "load", Unit: "%", Kind: point.Uint},
			{Name: "code", Kind: point.Uint},
			{Name: "door", Kind: point.Bool, Interval: time.Second},
			{Name: "state", Kind: point.String, Texts: []string{"off", `it's "on" {{ 1 }} \`}},
			{Name: "built", Kind: point.String, Time: true},
			{Name: "serial", Kind: point.String},
			{Name: "level", Unit: "m³"},
			{Name: "raw", Raw: true},
		}},
		{Name: "boiler", Points: []point.Info{
			{Name: "pump", Kind: point.Bool, Writable: true},
			{Name: "set_point", Unit: "°C", Kind: point.Float, Writable: true, Min: number(5), Max: number(30), Bounded: true, Step: 0.5},
			{Name: "any", Kind: point.Float, Writable: true},
			{Name: "one", Kind: point.Float, Writable: true, Min: number(3), Max: number(3), Bounded: true},
			{Name: "mode", Kind: point.String, Texts: []string{"eco", "comfort"}, Writable: true},
			{Name: "label", Kind: point.String, Length: 16, Writable: true},
			{Name: "reset", Kind: point.Bool, Writable: true, WriteOnly: true},
			{Name: "too_hot", Kind: point.Bool, Alarm: true},
			{Name: "key", Kind: point.Uint, Writable: true, WriteOnly: true},
		}},
		{Name: "scale", Points: []point.Info{{Name: "raw", Raw: true}}},
	}
}

func newAnnouncer(cfg Config, devices []point.Device, b Broker) *Announcer {
	cfg.SetDefaults()
	a := New(cfg, "plant", "1.0", devices, topics{}, func() {}, b, slog.New(slog.DiscardHandler))
	a.jitter = time.Millisecond
	return a
}

// read gives the messages as JSON, by their topics.
func read(t *testing.T, a *Announcer) map[string]map[string]any {
	t.Helper()
	list, faults := a.messages()
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	all := map[string]map[string]any{}
	for _, m := range list {
		var object map[string]any
		if err := json.Unmarshal(m.payload, &object); err != nil {
			t.Fatal(err)
		}
		all[m.topic] = object
	}
	return all
}

func TestEveryMessageHasTheDocumentedKeys(t *testing.T) {
	t.Parallel()
	allowed, required := schema(t)
	check := func(where string, object map[string]any, tables ...string) {
		t.Helper()
		var may, must []string
		for _, name := range tables {
			may, must = append(may, allowed[name]...), append(must, required[name]...)
		}
		for key := range object {
			if !slices.Contains(may, key) {
				t.Errorf("%s: Home Assistant knows no %s", where, key)
			}
		}
		for _, key := range must {
			if object[key] == nil {
				t.Errorf("%s: there is no %s", where, key)
			}
		}
	}
	list := func(v any) []map[string]any {
		var all []map[string]any
		items, _ := v.([]any)
		for _, item := range items {
			all = append(all, item.(map[string]any))
		}
		return all
	}
	topic := regexp.MustCompile(`^homeassistant/device/[a-zA-Z0-9_-]+/[a-zA-Z0-9_-]+/config$`)
	entityID := regexp.MustCompile(`^[a-z_]+\.[a-z0-9_]+$`)
	all := read(t, newAnnouncer(Config{Enabled: true, Area: "Cellar"}, field(), nil))
	seen, unique := map[string]int{}, map[any]bool{}
	for name, m := range all {
		if !topic.MatchString(name) {
			t.Errorf("Home Assistant does not read %s", name)
		}
		check(name, m, "message")
		check(name, m["device"].(map[string]any), "device")
		check(name, m["origin"].(map[string]any), "origin")
		for _, a := range list(m["availability"]) {
			check(name, a, "availability")
		}
		for key, c := range m["components"].(map[string]any) {
			e := c.(map[string]any)
			platform := e["platform"].(string)
			if allowed[platform] == nil {
				t.Errorf("%s: %s: a component %q", name, key, platform)
			}
			seen[platform]++
			check(name+" "+key, e, "common", platform)
			for _, a := range list(e["availability"]) {
				check(name, a, "availability")
			}
			if id, ok := e["default_entity_id"].(string); ok && (!entityID.MatchString(id) || !strings.HasPrefix(id, platform+".")) {
				t.Errorf("%s: default_entity_id %q", key, id)
			}
			if unique[e["unique_id"]] {
				t.Errorf("%s: unique_id %v is there twice", key, e["unique_id"])
			}
			unique[e["unique_id"]] = true
			if e["options"] != nil && platform == "sensor" && (e["state_class"] != nil || e["unit_of_measurement"] != nil || e["device_class"] != "enum") {
				t.Errorf("%s: options are for a sensor of device class enum, without a state class and a unit: %v", key, e)
			}
			if platform == "number" && (e["min"].(float64) >= e["max"].(float64) || e["step"].(float64) < 0.001) {
				t.Errorf("%s: %v", key, e)
			}
		}
	}
	for _, platform := range components {
		if seen[platform] == 0 {
			t.Errorf("no %s was looked at", platform)
		}
	}
	if len(all) != 3 {
		t.Errorf("got %d messages, want the gateway's, the meter's and the boiler's", len(all))
	}
}

func TestAUnitStandsOnlyWhereItsDeviceClassTakesIt(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/classes.txt")
	if err != nil {
		t.Fatal(err)
	}
	states, known := map[string][]string{}, map[string][]string{}
	for line := range strings.Lines(string(b)) {
		if parts := strings.SplitN(line, ":", 3); len(parts) == 3 && line[0] != '#' {
			states[parts[0]], known[parts[0]] = strings.Fields(parts[1]), strings.Fields(parts[2])
		}
	}
	for unit := range units {
		c := classOf(&point.Info{Unit: unit, Kind: point.Float})
		if c.device != "" && (!slices.Contains(known[c.device], c.unit) || !slices.Contains(states[c.device], c.state)) {
			t.Errorf("%s: %+v is not what Home Assistant takes", unit, c)
		}
	}
	for unit, want := range map[string]class{
		"kWh": {"energy", "total_increasing", "kWh"}, "m3": {"volume", "total_increasing", "m³"}, "%": {"", "measurement", "%"}, "pcs": {"", "measurement", "pcs"},
	} {
		if got := classOf(&point.Info{Unit: unit, Kind: point.Uint}); got != want {
			t.Errorf("%s: got %+v, want %+v", unit, got, want)
		}
	}
}

func TestAPointBecomesWhatItsTypeAsksFor(t *testing.T) {
	t.Parallel()
	all := read(t, newAnnouncer(Config{Enabled: true}, field(), nil))
	meter := all["homeassistant/device/plant/"+ident("meter 1")+"/config"]
	boiler := all["homeassistant/device/plant/boiler/config"]
	for _, c := range []struct {
		in   map[string]any
		key  string
		want map[string]any
	}{
		{meter, "sensor_voltage_l1", map[string]any{"name": "Voltage l1", "device_class": "voltage", "unit_of_measurement": "V", "expire_after": 60.0, "unique_id": "headgate/plant/meter 1/voltage_l1", "default_entity_id": "sensor.meter_1_voltage_l1"}},
		{meter, "sensor_energy", map[string]any{"state_class": "total_increasing", "expire_after": 2880.0}},
		{meter, "sensor_code", map[string]any{"state_class": nil, "device_class": nil, "expire_after": nil}},
		{meter, "binary_sensor_door", map[string]any{"payload_on": "true", "command_topic": nil}},
		{meter, "sensor_state", map[string]any{"device_class": "enum"}},
		{meter, "sensor_built", map[string]any{"device_class": "timestamp"}},
		{boiler, "binary_sensor_too_hot", map[string]any{"device_class": "problem"}},
		{boiler, "switch_pump", map[string]any{"command_topic": "plant/boiler/pump/set", "state_topic": "plant/boiler/pump"}},
		{boiler, "number_set_point", map[string]any{"min": 5.0, "max": 30.0, "step": 0.5, "mode": nil, "unit_of_measurement": "°C"}},
		{boiler, "number_any", map[string]any{"min": -1e9, "max": 1e9, "mode": "box"}},
		{boiler, "select_mode", map[string]any{"options": []any{"eco", "comfort"}}},
		{boiler, "text_label", map[string]any{"max": 16.0}},
		{boiler, "button_reset", map[string]any{"command_topic": "plant/boiler/reset/set", "payload_press": "true", "state_topic": nil}},
	} {
		e, ok := c.in["components"].(map[string]any)[c.key].(map[string]any)
		if !ok {
			t.Errorf("there is no %s", c.key)
			continue
		}
		for key, want := range c.want {
			if got := e[key]; !equal(got, want) {
				t.Errorf("%s: %s is %v, want %v", c.key, key, got, want)
			}
		}
	}
	if n := len(boiler["components"].(map[string]any)); n != 8 {
		t.Errorf("the boiler has %d entities, want 8: a number that cannot be read is none", n)
	}
	if d := meter["device"].(map[string]any); d["manufacturer"] != "Eastron" || d["model"] != "SDM120" || d["via_device"] != "headgate/plant" {
		t.Errorf("got %v", d)
	}
}

func equal(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func TestAPointCanBeSaidToBeOtherwise(t *testing.T) {
	t.Parallel()
	cfg := Config{Enabled: true, Exclude: []string{"meter*"}, Point: []Point{
		{Point: "boiler/*", Icon: "mdi:fire"},
		{Point: "boiler/set_point", Component: "sensor", DeviceClass: none, StateClass: none, Name: "Target", Category: "diagnostic", Disabled: true},
		{Point: "boiler/pump", Component: "button"},
		{Point: "boiler/mode", Hide: true},
		{Point: "boiler/any", Component: "switch"}, // which it cannot be
	}}
	all := read(t, newAnnouncer(cfg, field(), nil))
	if len(all) != 2 {
		t.Errorf("got %d messages, want 2", len(all))
	}
	boiler := all["homeassistant/device/plant/boiler/config"]["components"].(map[string]any)
	got := boiler["sensor_set_point"].(map[string]any)
	for key, want := range map[string]any{"name": "Target", "device_class": nil, "state_class": nil, "entity_category": "diagnostic", "enabled_by_default": false, "icon": "mdi:fire", "command_topic": nil} {
		if !equal(got[key], want) {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if boiler["button_pump"] == nil || boiler["select_mode"] != nil || boiler["switch_any"] != nil || boiler["number_any"] != nil {
		t.Errorf("got %v", boiler)
	}
}

func TestTheNamesOfTwoDevicesAreNeverOneTopic(t *testing.T) {
	t.Parallel()
	seen := map[string]string{gatewayID: "the gateway"}
	for _, name := range []string{"meter 1", "meter_1", "meter.1", "Zähler", "Zahler", "_gateway", "___", "-", strings.Repeat("x", 64), strings.Repeat("x", 65), strings.Repeat("x", 66)} {
		id := ident(name)
		if !regexp.MustCompile(`^[a-zA-Z0-9_-]{1,80}$`).MatchString(id) {
			t.Errorf("%q: Home Assistant does not take %q", name, id)
		}
		if other, taken := seen[id]; taken {
			t.Errorf("%q and %q are both %s", name, other, id)
		}
		seen[id] = name
	}
}

func TestAMessageThatIsTooLargeIsSaid(t *testing.T) {
	t.Parallel()
	d := point.Device{Name: "wide"}
	for range 3000 {
		d.Points = append(d.Points, point.Info{Name: "p" + strings.Repeat("x", len(d.Points)%90) + string(rune('a'+len(d.Points)%26)) + strings.Repeat("y", len(d.Points)/90), Kind: point.Float})
	}
	list, faults := newAnnouncer(Config{Enabled: true}, []point.Device{d, field()[1]}, nil).messages()
	if len(list) != 2 || len(faults) != 1 || !strings.Contains(faults[0].Error(), `device "wide": its`) {
		t.Errorf("got %d messages, faults %v", len(list), faults)
	}
}

func TestFaultsOfTheConfigurationAreNamed(t *testing.T) {
	t.Parallel()
	cfg := Config{Prefix: "a/#", Include: []string{"a/b"}, Exclude: []string{"["}, Point: []Point{
		{Point: "meter1"}, {Point: "a/b", Component: "light", StateClass: "sum", Category: "x", Icon: "pump", DeviceClass: "Volt age"},
	}}
	var keys []string
	cfg.Check(func(key, _ string, _ ...any) { keys = append(keys, key) })
	slices.Sort(keys)
	want := "exclude include point[0].point point[1].category point[1].component point[1].device_class point[1].icon point[1].state_class prefix"
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
