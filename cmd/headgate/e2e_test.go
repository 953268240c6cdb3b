package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/adapters/modbus/modbussim"
	"headgate/broker/clock"
)

func TestValuesOfEveryDeviceReachTheCloud(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	cloud := p.inCloud("watcher")
	headgate := runHeadgate(t, p.config(p.cloud.Addr))

	for topic, want := range map[string]map[string]any{
		"plant/inverter/ac_power":    {"value": -1000.0, "unit": "W"},
		"plant/inverter/temperature": {"value": 41.5, "unit": "°C"},
		"plant/inverter/total":       {"value": 6553600001.0},
		"plant/inverter/door":        {"value": true},
		"plant/inverter/limit":       {"value": 100.0, "unit": "%"},
		"plant/inverter/setpoint":    {"value": 0.0},
		"plant/inverter/relay":       {"value": false},
		"plant/meter/voltage":        {"value": 231.5, "unit": "V"},
		"plant/meter/energy":         {"value": 12345.67, "unit": "kWh"},
		"plant/meter/ratio":          {"value": 0.125},
		"plant/scale/weight":         {"value": 12.375, "unit": "kg"},
		"plant/scale/state":          {"value": "stable"},
	} {
		m := cloud.wait(t, topic, nil)
		got := m.fields(t)
		wantRecent(t, topic, got)
		want["quality"] = "good"
		if _, synced := clock.System().Wall(); !synced { // of the machine that the test runs on
			want["clock"] = "unsynced"
			want["boot"], want["uptime_ms"] = got["boot"], got["uptime_ms"]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", topic, diff)
		}
		if m.qos != 1 || m.retain {
			t.Errorf("%s came at QoS %d, retain %v: want QoS 1, not retained", topic, m.qos, m.retain)
		}
	}
	for _, device := range []string{"inverter", "meter", "scale"} {
		topic := "plant/" + device + "/status"
		got := cloud.wait(t, topic, func(m received) bool { return m.fields(t)["status"] == "online" }).fields(t)
		wantRecent(t, topic, got)
	}
	// What is measured next follows, and a device's status is kept for who comes later.
	p.meter.SetInput(0, float32Words(229)...)
	cloud.wait(t, "plant/meter/voltage", func(m received) bool { return m.fields(t)["value"] == 229.0 })
	late := p.inCloud("late")
	for _, device := range []string{"inverter", "meter", "scale"} {
		late.wait(t, "plant/"+device+"/status", func(m received) bool { return m.retain && m.fields(t)["status"] == "online" })
	}
	headgate.terminate()
}

// wantRecent takes the time out of a payload's fields, which must be about now.
func wantRecent(t *testing.T, topic string, fields map[string]any) {
	t.Helper()
	text, _ := fields["time"].(string)
	at, err := time.Parse("2006-01-02T15:04:05.000Z", text)
	if err != nil || time.Since(at).Abs() > time.Hour {
		t.Errorf("%s: time is %q: want about now, in UTC with milliseconds", topic, text)
	}
	delete(fields, "time")
}

func TestABadReadIsNeverAZero(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	cloud := p.inCloud("watcher")
	runHeadgate(t, p.config(p.cloud.Addr))
	cloud.wait(t, "plant/inverter/total", nil)
	p.inverter.Inject(modbussim.Fault{Table: modbussim.InputRegisters, Exception: 4})
	got := cloud.wait(t, "plant/inverter/total", func(m received) bool { return m.fields(t)["quality"] == "bad" }).fields(t)
	if reason, _ := got["reason"].(string); got["value"] != nil || !hasAll(reason, []string{"exception 4"}) {
		t.Errorf("got %v: want no value, and the exception as its reason", got)
	}
	for _, m := range cloud.all() {
		if m.topic == "plant/inverter/total" && m.fields(t)["value"] == 0.0 {
			t.Errorf("a value that was never there: %v", m)
		}
	}
}

// command is a case of what is sent to a set topic, and what comes back.
type command struct {
	topic, payload string
	want           map[string]any
	reason         []string // words of the reason
}

func TestACommandWritesTheRegisterAndIsAnswered(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	headgate := runHeadgate(t, p.config(p.cloud.Addr))
	local := dial(t, headgate.addr(), "operator")
	local.subscribe("#", 2)
	// A write to a device that has not answered yet is refused as offline.
	for _, device := range []string{"inverter", "meter"} {
		local.wait(t, "plant/"+device+"/status", func(m received) bool { return m.fields(t)["status"] == "online" })
	}
	p.inverter.Inject(modbussim.Fault{Table: modbussim.Coils, Writes: true, Exception: 4})
	for i, c := range []command{
		{topic: "plant/inverter/limit", payload: `60`, want: map[string]any{"status": "ok", "value": 60.0}},
		{topic: "plant/inverter/setpoint", payload: `{"value": -12.5, "id": "a1"}`, want: map[string]any{"status": "ok", "value": -12.5, "id": "a1"}},
		{topic: "plant/meter/ratio", payload: `{"value": 0.3, "id": 7}`, want: map[string]any{"status": "ok", "value": 0.3, "id": 7.0}},
		{topic: "plant/inverter/relay", payload: `true`, want: map[string]any{"status": "exception"}, reason: []string{"exception 4"}},
		{topic: "plant/inverter/limit", payload: `70000`, want: map[string]any{"status": "refused"}, reason: []string{"70000"}},
		{topic: "plant/inverter/limit", payload: `sixty`, want: map[string]any{"status": "refused"}, reason: []string{"JSON"}},
		{topic: "plant/meter/voltage", payload: `1`, want: map[string]any{"status": "refused"}, reason: []string{"voltage", "meter"}},
		{topic: "plant/meter/volts", payload: `1`, want: map[string]any{"status": "refused"}, reason: []string{"volts", "meter"}},
		{topic: "plant/scale/weight", payload: `1`, want: map[string]any{"status": "refused"}, reason: []string{"weight", "scale"}},
	} {
		before := len(local.on(c.topic + "/set/result"))
		correlation := string(rune('a' + i))
		local.publish(c.topic+"/set", c.payload, 1, answeredOn("reply/operator", correlation))
		answer := local.wait(t, "reply/operator", func(m received) bool { return m.correlation == correlation })
		var result string
		eventually(t, "the result of "+c.topic, func() bool {
			all := local.on(c.topic + "/set/result")
			if len(all) > before {
				result = all[before]
			}
			return result != ""
		})
		if result != answer.payload {
			t.Errorf("the result is %s, the answer %s", result, answer.payload)
		}
		got := answer.fields(t)
		wantRecent(t, c.topic, got)
		reason, _ := got["reason"].(string)
		delete(got, "reason")
		if diff := cmp.Diff(c.want, got); diff != "" || !hasAll(reason, c.reason) || (reason == "") != (got["status"] == "ok") {
			t.Errorf("%s %s: reason %q, want %q; the rest (-want +got):\n%s", c.topic, c.payload, reason, c.reason, diff)
		}
	}
	wantRegisters(t, p.inverter, 200, 60)
	wantRegisters(t, p.inverter, 210, 0x10000-125)
	wantRegisters(t, p.meter, 10, 0x3fd3, 0x3333, 0x3333, 0x3333)
	if on, _ := p.inverter.Get(modbussim.Coils, 0); on != 0 {
		t.Error("the relay is on after an exception")
	}
	// What was written is what is read from then on.
	local.wait(t, "plant/inverter/setpoint", func(m received) bool { return m.fields(t)["value"] == -12.5 })
}

func wantRegisters(t *testing.T, u *modbussim.Unit, address uint16, want ...uint16) {
	t.Helper()
	for i, w := range want {
		if got, _ := u.Get(modbussim.HoldingRegisters, address+uint16(i)); got != w {
			t.Errorf("holding register %d is %#x, want %#x", address+uint16(i), got, w)
		}
	}
}

func TestACommandFromTheCloudIsAnsweredInTheCloud(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	cloud := p.inCloud("operator")
	runHeadgate(t, p.config(p.cloud.Addr))
	cloud.wait(t, "plant/inverter/status", func(m received) bool { return m.fields(t)["status"] == "online" })
	cloud.publish("cmd/inverter/limit/set", `{"value": 45, "id": "c1"}`, 2, answeredOn("reply/cloud", "42"))
	answer := cloud.wait(t, "reply/cloud", nil)
	if got := answer.fields(t); got["status"] != "ok" || got["value"] != 45.0 || got["id"] != "c1" || answer.correlation != "42" {
		t.Errorf("got %+v", answer)
	}
	cloud.wait(t, "plant/inverter/limit/set/result", func(m received) bool { return m.fields(t)["id"] == "c1" })
	wantRegisters(t, p.inverter, 200, 45)
	for _, m := range cloud.all() {
		if m.topic == "plant/inverter/limit/set" {
			t.Errorf("the command came back up: %+v", m)
		}
	}
}
