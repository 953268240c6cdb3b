package main

import (
	"bufio"
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

	"headgate/adapters/modbus/modbussim"
	"headgate/bridge/faultnet"
	"headgate/broker"
)

// hostEvent is what testdata/e2e/sparkplughost.cjs says.
type hostEvent struct {
	Error        string
	Kind         string
	Node, Device string
	Seq, BdSeq   int
	Matches      bool // a death is that of the session that lives
	Values       map[string][]hostValue
}

type hostValue struct {
	Value      any
	Historical bool
	At         int64
	Properties map[string]any
}

// sparkplugHost is a host application that nobody here wrote the codec and the
// client of.
type sparkplugHost struct {
	t  *testing.T
	in *json.Encoder

	mu     sync.Mutex // guards events
	events []hostEvent
}

// startHost starts one at a broker, and waits until it gets what is published.
func startHost(t *testing.T, url string) *sparkplugHost {
	t.Helper()
	modules := os.Getenv("HEADGATE_NODE_MODULES")
	for _, pkg := range []string{"mqtt", "sparkplug-payload"} {
		if _, err := os.Stat(filepath.Join(modules, pkg)); modules == "" || err != nil {
			if os.Getenv("HEADGATE_PEERS") == "required" {
				t.Fatalf("%s of Node.js is missing", pkg)
			}
			t.Skipf("%s of Node.js is missing: npm install %s somewhere, and HEADGATE_NODE_MODULES=SOMEWHERE/node_modules", pkg, pkg)
		}
	}
	cmd := exec.Command("node", "testdata/e2e/sparkplughost.cjs", url)
	cmd.Stderr = t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &sparkplugHost{t: t, in: json.NewEncoder(in)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			var e hostEvent
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Errorf("the host says %q: %v", lines.Bytes(), err)
				continue
			}
			if e.Error != "" {
				t.Errorf("the host finds a fault: %s", e.Error)
			}
			h.mu.Lock()
			h.events = append(h.events, e)
			h.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		in.Close()
		<-read
		cmd.Wait()
	})
	h.wait("ready", "", nil)
	return h
}

// all gives the events so far.
func (h *sparkplugHost) all() []hostEvent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// wait waits for an event that is ok; nil: any. It gives how many there were before.
func (h *sparkplugHost) wait(kind, device string, ok func(hostEvent) bool) hostEvent {
	h.t.Helper()
	var found hostEvent
	eventually(h.t, "the host sees "+kind+" "+device, func() bool {
		for _, e := range h.all() {
			if e.Kind == kind && e.Device == device && (ok == nil || ok(e)) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// forget takes the events away that were.
func (h *sparkplugHost) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = nil
}

// tell has the host publish a command.
func (h *sparkplugHost) tell(topic, metric, typ string, value any) {
	h.t.Helper()
	if err := h.in.Encode(map[string]any{"topic": "spBv1.0/" + topic, "metrics": []any{map[string]any{"name": metric, "type": typ, "value": value}}}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *sparkplugHost) state(online bool, timestamp int64) {
	h.t.Helper()
	if err := h.in.Encode(map[string]any{"host": "scada", "state": online, "timestamp": timestamp}); err != nil {
		h.t.Fatal(err)
	}
}

// has says whether a metric of the event had this value.
func has(metric string, value any, historical bool) func(hostEvent) bool {
	return func(e hostEvent) bool {
		return slices.ContainsFunc(e.Values[metric], func(v hostValue) bool { return v.Value == value && v.Historical == historical })
	}
}

// edgeNode is the table of a bridge that is one.
func edgeNode(address, more string) string {
	return fmt.Sprintf(`
[[bridge]]
name = "scada"
url = "mqtt://%s"
keep_alive = "1s"
max_backoff = "200ms"
  [bridge.sparkplug]
  group_id = "works"
%s
`, address, more)
}

func TestASparkplugHostSeesTheFieldAndWritesToIt(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	scada := "127.0.0.1:" + startMosquitto(t, "allow_anonymous true")
	host := startHost(t, "mqtt://"+scada)
	headgate := runHeadgate(t, p.config(p.cloud.Addr)+edgeNode(scada, ""))

	if b := host.wait("NBIRTH", "", nil); b.BdSeq != 0 || b.Node != "plant" {
		t.Errorf("NBIRTH of %s with bdSeq %d", b.Node, b.BdSeq)
	}
	for _, device := range []string{"inverter", "meter", "scale"} {
		host.wait("DBIRTH", device, nil)
	}
	p.inverter.SetHolding(110, 425)
	changed := host.wait("DDATA", "inverter", has("temperature", 42.5, false))
	if at := time.UnixMilli(changed.Values["temperature"][0].At); time.Since(at).Abs() > time.Hour {
		t.Errorf("measured at %v", at)
	}
	p.inverter.Inject(modbussim.Fault{Table: modbussim.InputRegisters, Exception: 4})
	bad := host.wait("DDATA", "inverter", has("total", nil, false)).Values["total"]
	if q := bad[len(bad)-1].Properties["Quality"]; q != 0.0 {
		t.Errorf("quality of what cannot be read: %v", q)
	}

	// What the host writes comes back as data.
	host.tell("works/DCMD/plant/inverter", "relay", "Boolean", true)
	host.wait("DDATA", "inverter", has("relay", true, false))
	host.tell("works/DCMD/plant/inverter", "setpoint", "Double", -12.5)
	host.wait("DDATA", "inverter", has("setpoint", -12.5, false))

	host.forget()
	host.tell("works/NCMD/plant", "Node Control/Rebirth", "Boolean", true)
	if b := host.wait("NBIRTH", "", nil); b.BdSeq != 0 {
		t.Errorf("born again with bdSeq %d", b.BdSeq)
	}
	if b := host.wait("DBIRTH", "inverter", nil); b.Values["relay"][0].Value != true {
		t.Errorf("born again with the relay %v", b.Values["relay"])
	}

	headgate.kill()
	if d := host.wait("NDEATH", "", nil); !d.Matches {
		t.Errorf("the will has bdSeq %d, which is not that of the birth", d.BdSeq)
	}
	host.forget()
	headgate.start()
	if b := host.wait("NBIRTH", "", nil); b.BdSeq != 1 {
		t.Errorf("after a kill -9: bdSeq %d, want 1", b.BdSeq)
	}
	host.wait("DBIRTH", "inverter", nil)
	headgate.terminate()
	if d := host.wait("NDEATH", "", nil); !d.Matches || d.BdSeq != 1 {
		t.Errorf("NDEATH with bdSeq %d", d.BdSeq)
	}
}

func TestASparkplugHostGetsWhatWasMeasuredDuringAnOutageAsHistory(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	scada := "127.0.0.1:" + startMosquitto(t, "allow_anonymous true")
	host := startHost(t, "mqtt://"+scada)
	link, err := faultnet.Listen("127.0.0.1:0", scada)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close() })
	h := runInside(t, p.config(p.cloud.Addr)+edgeNode(link.Addr(), ""))
	host.wait("DBIRTH", "inverter", nil)
	var local inbox
	if err := h.broker.NewClient("local").Subscribe("plant/inverter/limit", func(m broker.Message) {
		local.add(received{topic: m.Topic, payload: string(m.Payload)})
	}); err != nil {
		t.Fatal(err)
	}
	measure := func(v int) {
		p.inverter.SetHolding(200, uint16(v))
		local.wait(t, "plant/inverter/limit", func(m received) bool { return hasAll(m.payload, []string{fmt.Sprintf(`"value":%d,`, v)}) })
	}
	next := 1000
	for round := range 3 {
		measure(next) // may be on its way when the link goes
		if round == 1 {
			link.Freeze()
		} else {
			link.Cut()
		}
		for range 10 {
			next++
			measure(next)
		}
		host.forget()
		if round == 1 {
			link.Thaw()
		} else if err := link.Mend(); err != nil {
			t.Fatal(err)
		}
		next++
		measure(next)
	}
	seen := func(v int, historical bool) bool {
		return slices.ContainsFunc(host.all(), func(e hostEvent) bool {
			return has("limit", float64(v), historical)(e)
		})
	}
	eventually(t, "the history of the last outage is there", func() bool {
		for v := next - 10; v < next-1; v++ {
			if !seen(v, true) {
				return false
			}
		}
		return true
	})
	eventually(t, "nothing waits", func() bool { return h.bridges()[1].Stats().Backlog.Messages < 200 })
	if given := h.bridges()[1].Stats().GivenUp; len(given) > 0 {
		t.Errorf("given up: %v", given)
	}
}

func TestAnEdgeNodeAtTheLocalBrokerServesAHostThere(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	address := quietAddress(t)
	text := strings.Replace(p.config(p.cloud.Addr), "mqtt://127.0.0.1:0", "mqtt://"+address, 1)
	h := runInside(t, text+edgeNode(address, `  primary_host_id = "scada"`))
	host := startHost(t, "mqtt://"+address)
	eventually(t, "it waits for its host", func() bool { return strings.Contains(h.bridges()[1].Stats().Held, "scada") })
	host.state(true, 5)
	host.wait("NBIRTH", "", nil)
	host.wait("DBIRTH", "inverter", nil)
	host.tell("works/DCMD/plant/inverter", "limit", "UInt64", 77)
	host.wait("DDATA", "inverter", has("limit", 77.0, false))
	for _, e := range host.all() {
		if e.Node != "plant" && e.Kind != "ready" {
			t.Errorf("an echo: %+v", e)
		}
	}
	host.forget()
	host.state(false, 6)
	if d := host.wait("NDEATH", "", nil); !d.Matches {
		t.Errorf("NDEATH: %+v", d)
	}
	p.inverter.SetHolding(200, 78)
	eventually(t, "it waits again", func() bool { return h.bridges()[1].Stats().Held != "" })
	host.state(true, 7)
	if b := host.wait("NBIRTH", "", nil); b.BdSeq != 1 {
		t.Errorf("bdSeq %d", b.BdSeq)
	}
}

func TestTheBirthsOfAnEdgeNodeAreCountedOverRestarts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "births")
	var got []uint8
	for range 3 {
		b := &birthCounter{path: path}
		for range 2 {
			n, err := b.next()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, n)
		}
	}
	if want := []uint8{0, 1, 2, 3, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := os.WriteFile(path, []byte("255\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := (&birthCounter{path: path}).next(); n != 0 || err != nil {
		t.Errorf("after 255 comes %d, %v", n, err)
	}
	if err := os.WriteFile(path, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := (&birthCounter{path: path}).next(); n != 0 || err == nil {
		t.Errorf("after junk: %d, %v", n, err)
	}
}
