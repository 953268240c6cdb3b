package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"headgate/adapters/modbus/modbussim"
	"headgate/broker"
	"headgate/broker/auth"
	"headgate/gateway/web"
)

// webTable lets anna, an operator, and otto, who only looks, see the page.
func webTable() string {
	return "\n[web]\nlisten = \"127.0.0.1:0\"\nhistory_bytes = \"8MB\"\n" +
		"[[web.user]]\nname = \"anna\"\npassword_hash = '" + auth.Hash("anna's secret") + "'\nrole = \"operator\"\n" +
		"[[web.user]]\nname = \"otto\"\npassword = \"otto's secret\"\n"
}

// runPage runs the plant with a page, and gives it when its devices have values.
func runPage(t *testing.T, p *plant) *house {
	t.Helper()
	h := runInside(t, p.config(p.cloud.Addr)+webTable())
	eventually(t, "the page is there, and every point has a value", func() bool {
		for _, d := range h.Devices() {
			for _, point := range d.Points {
				if point.Last.Time.IsZero() {
					return false
				}
			}
		}
		return h.web.Address() != ""
	})
	return h
}

// askPage makes a request as a user, and decodes a good answer into v.
func askPage(t *testing.T, h *house, user, method, path, body string, v any) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, h.web.Address()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(user, user+"'s secret")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if v != nil && resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatalf("%s: %v: %s", path, err, b)
		}
	}
	return resp.StatusCode, string(b)
}

func TestTheAPISaysWhatTheDevicesSay(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	h := runPage(t, p)
	var list struct {
		Devices []struct {
			Name   string
			Online bool
			Points []struct {
				Name, Unit, Quality, Topic string
				Value                      any
				Writable                   bool
			}
		}
	}
	if status, text := askPage(t, h, "otto", "GET", "/api/v1/devices", "", &list); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	got := map[string]any{}
	for _, d := range list.Devices {
		if !d.Online {
			t.Errorf("%s is offline", d.Name)
		}
		for _, p := range d.Points {
			got[p.Topic] = p.Value
		}
	}
	for topic, want := range map[string]any{"plant/inverter/ac_power": -1000.0, "plant/inverter/door": true, "plant/meter/voltage": 231.5, "plant/scale/state": "stable"} {
		if got[topic] != want {
			t.Errorf("%s: got %v, want %v", topic, got[topic], want)
		}
	}
	eventually(t, "the last hour has a value", func() bool {
		var plot struct{ High []float64 }
		askPage(t, h, "otto", "GET", "/api/v1/history?device=meter&point=voltage", "", &plot)
		return len(plot.High) > 0 && plot.High[0] == 231.5
	})
}

func TestAnOperatorWritesAValueAndHearsWhatCameOfIt(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	h := runPage(t, p)
	var res writeResult
	status, text := askPage(t, h, "anna", "POST", "/api/v1/write", `{"device":"inverter","point":"limit","value":60}`, &res)
	if status != 200 || res.Status != "ok" || string(res.Value) != "60" {
		t.Fatalf("got %d %s", status, text)
	}
	if v, _ := p.inverter.Get(modbussim.HoldingRegisters, 200); v != 60 {
		t.Errorf("the register is %d", v)
	}
	if status, text = askPage(t, h, "anna", "POST", "/api/v1/write", `{"device":"inverter","point":"ac_power","value":1}`, &res); status != 200 || res.Status != "refused" {
		t.Errorf("what cannot be written: got %d %s", status, text)
	}
	if status, text = askPage(t, h, "anna", "POST", "/api/v1/write", `{"device":"inverter","point":"nothing","value":1}`, nil); status != http.StatusUnprocessableEntity {
		t.Errorf("what is not there: got %d %s", status, text)
	}
	if status, _ = askPage(t, h, "otto", "POST", "/api/v1/write", `{"device":"inverter","point":"limit","value":1}`, nil); status != http.StatusForbidden {
		t.Errorf("a viewer got %d", status)
	}
	if v, _ := p.inverter.Get(modbussim.HoldingRegisters, 200); v != 60 {
		t.Errorf("the register is %d", v)
	}
}

func TestAnOperatorPublishesAndDisconnects(t *testing.T) {
	t.Parallel()
	h := runPage(t, newPlant(t))
	c := dial(t, h.broker.Addresses()[0], "panel")
	c.subscribe("hello/#", 1)
	if status, text := askPage(t, h, "anna", "POST", "/api/v1/publish", `{"topic":"hello/you","payload":"there","qos":1}`, nil); status != 200 {
		t.Fatalf("got %d %s", status, text)
	}
	c.wait(t, "hello/you", nil)
	if status, text := askPage(t, h, "anna", "POST", "/api/v1/publish", `{"topic":"$SYS/broker/version","payload":"x"}`, nil); status == 200 {
		t.Errorf("a topic of the broker's own: got %d %s", status, text)
	}
	var list clientList
	askPage(t, h, "otto", "GET", "/api/v1/clients", "", &list)
	if len(list.Clients) != 1 || list.Clients[0].ClientID != "panel" || !list.Clients[0].Connected {
		t.Errorf("got %+v", list)
	}
	if status, text := askPage(t, h, "anna", "POST", "/api/v1/clients/disconnect", `{"client_id":"panel"}`, nil); status != 200 {
		t.Errorf("got %d %s", status, text)
	}
}

func TestTopicsAreSeenAsTheyAre(t *testing.T) {
	t.Parallel()
	h := runPage(t, newPlant(t))
	if err := h.operator.Publish(broker.Message{Topic: "kept", Payload: []byte("1"), QoS: 1, Retain: true}); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"kept": true, "plant/meter/voltage": false, "plant/meter/status": true, "$SYS/broker/version": true}
	eventually(t, "the topics are there", func() bool {
		var list struct {
			Topics []struct {
				Topic    string
				Retained bool
			}
		}
		askPage(t, h, "otto", "GET", "/api/v1/topics", "", &list)
		found := 0
		for _, topic := range list.Topics {
			if retained, is := want[topic.Topic]; is && retained == topic.Retained {
				found++
			}
		}
		return found == len(want)
	})
}

func TestTheConfigOnThePageHasNoSecrets(t *testing.T) {
	t.Parallel()
	h := runPage(t, newPlant(t))
	var report configReport
	askPage(t, h, "otto", "GET", "/api/v1/config", "", &report)
	for _, want := range []string{`id = "plant"`, `[[modbus.device.point]]`, `name = "otto"`, `password = "***"`, `max_backoff = "200ms"`, `listen = "127.0.0.1:0"`, `history_bytes = "8MB"`, `max_messages = "unlimited"`, "max_connections = 10000\n"} {
		if !strings.Contains(report.Text, want) {
			t.Errorf("%q is not in it", want)
		}
	}
	for _, secret := range []string{"otto's secret", "$argon2id$"} {
		if strings.Contains(report.Text, secret) {
			t.Errorf("%q is in it", secret)
		}
	}
}

func TestThePageShowsWhatRunsAfterAReload(t *testing.T) {
	t.Parallel()
	h := runPage(t, newPlant(t))
	h.reloader = h.newReloader(h.config.Paths[0])
	text, err := os.ReadFile(h.reloader.path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(more string) (r checkReport) {
		t.Helper()
		if err := os.WriteFile(h.reloader.path, append(text, more...), 0o600); err != nil {
			t.Fatal(err)
		}
		if status, said := askPage(t, h, "otto", "GET", "/api/v1/config/check", "", &r); status != 200 {
			t.Fatalf("%d %s", status, said)
		}
		return r
	}
	runs := func() string {
		var report configReport
		askPage(t, h, "otto", "GET", "/api/v1/config", "", &report)
		return report.Text
	}
	if r := check(""); !r.Good || r.Differs || r.Summary == "" {
		t.Errorf("what runs: got %+v", r)
	}
	more := "[[broker.user]]\nname = \"zoe\"\npassword = \"zoe's secret\"\n[[modbus]]\nname = \"more\"\nurl = \"tcp://127.0.0.1:1\"\n[[modbus.device]]\nname = \"pump7\"\nunit = 1\n"
	point := "[[modbus.device.point]]\nname = \"level\"\nregister = \"holding:0\"\n"
	faulty := check(more + "intervall = \"1s\"\n" + point)
	if faulty.Good || len(faulty.Faults) == 0 || faulty.Faults[0].Severity != "error" || faulty.Faults[0].Line == 0 || !strings.Contains(faulty.Faults[0].Text, "interval") {
		t.Errorf("a typo: got %+v", faulty)
	}
	more += point + "[[modbus.device]]\nname = \"pump8\"\nunit = 1\n" + point
	r := check(more)
	if !r.Good || !r.Differs {
		t.Errorf("a change: got %+v", r)
	}
	if !slices.ContainsFunc(r.Faults, func(f checkFault) bool {
		return f.Severity == "warning" && f.Line > 0 && strings.Contains(f.Text, "pump7")
	}) {
		t.Errorf("no warning says that pump7 and pump8 are one unit: got %+v", r.Faults)
	}
	if before := runs(); strings.Contains(before, "pump7") || strings.Contains(before, "zoe") {
		t.Error("what does not run yet is shown as if it did")
	}
	if status, said := askPage(t, h, "anna", "POST", "/api/v1/reload", "", nil); status != 200 {
		t.Fatalf("%d %s", status, said)
	}
	after := runs()
	for _, want := range []string{`name = "pump7"`, `name = "zoe"`} {
		if !strings.Contains(after, want) {
			t.Errorf("%s is not in what runs", want)
		}
	}
	if strings.Contains(after, "zoe's secret") {
		t.Error("a secret is shown")
	}
	if r := check(more); r.Differs {
		t.Error("after the reload the file differs from what runs")
	}
	// What needs a restart is not shown as if it ran.
	check(more + "[[bridge]]\nname = \"second\"\nurl = \"mqtt://127.0.0.1:1\"\n[[bridge.up]]\nfilter = \"x\"\n[store]\nring_bytes = \"7777kB\"\n")
	var res reloadResult
	if askPage(t, h, "anna", "POST", "/api/v1/reload", "", &res); !slices.Equal(res.Restart, []string{"store.ring_bytes"}) || !res.Bridges {
		t.Errorf("got %+v", res)
	}
	if got := runs(); strings.Contains(got, "7777") || !strings.Contains(got, `"second"`) {
		t.Errorf("a limit that needs a restart is shown as if it was in force, or a bridge that runs is not shown:\n%s", got)
	}
}

// What needs whose eyes: to look is for everybody who may log in, all else for operators.
func TestEveryRequestThatChangesSomethingNeedsAnOperator(t *testing.T) {
	t.Parallel()
	h := runPage(t, newPlant(t))
	for _, r := range append(h.Routes(), web.Route{Pattern: "POST /api/v1/bridges/pause"}) {
		method, path, _ := strings.Cut(r.Pattern, " ")
		if status, text := askPage(t, h, "otto", method, path, "{}", nil); (method == "POST") != (status == http.StatusForbidden) {
			t.Errorf("a viewer's %s: %d %s", r.Pattern, status, text)
		}
	}
}

func TestAGatewayWithoutAPageHasNoPort(t *testing.T) {
	t.Parallel()
	h := runInside(t, "[gateway]\nid = \"x\"\ndata_dir = \""+t.TempDir()+"\"\n[web]\nlisten = \"off\"\n")
	eventually(t, "it runs", func() bool { return h.broker.Stats().MessagesIn >= 0 })
	if a := h.web.Address(); a != "" {
		t.Errorf("the page is at %s", a)
	}
}
