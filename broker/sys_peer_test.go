package broker_test

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

// runMosquitto runs one that says how it is every second, and gives its address.
func runMosquitto(t *testing.T) (addr string) {
	t.Helper()
	needProgram(t, "mosquitto", "mosquitto")
	addr = quietAddress(t)
	_, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(conf, []byte("user root\nlistener "+port+" 127.0.0.1\nallow_anonymous true\nsys_interval 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	runBeside(t, exec.Command("mosquitto", "-c", conf))
	waitUntil(t, "mosquitto listens", func() bool {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
	return addr
}

func runBeside(t *testing.T, c *exec.Cmd) {
	t.Helper()
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
}

// What an exporter or a dashboard made for mosquitto reads there, it reads here: all
// that a mosquitto publishes under $SYS, in the same form.
func TestWhatMosquittoSaysUnderSYSIsSaidHereToo(t *testing.T) {
	addr := runMosquitto(t)
	theirs := map[string]string{}
	c, _ := brokertest.Connect(t, addr, packet.V311, "sys")
	c.SubscribeTo("$SYS/#", 0)
	// Its subscriptions are among the last that it says.
	for theirs["$SYS/broker/shared_subscriptions/count"] == "" || theirs["$SYS/broker/load/sockets/15min"] == "" || theirs["$SYS/broker/heap/maximum"] == "" {
		p := c.Receive()
		theirs[string(p.Topic)] = string(p.Payload)
	}
	ours := sysTopics(t, brokertest.Start(t))
	for name, value := range theirs {
		got, is := ours[name]
		switch {
		case !is:
			t.Errorf("%s is missing; mosquitto says %q", name, value)
		case isNumber(value) != isNumber(got):
			t.Errorf("%s is %q here and %q there", name, got, value)
		case strings.HasSuffix(value, " seconds") && !strings.HasSuffix(got, " seconds"):
			t.Errorf("%s is %q here and %q there", name, got, value)
		}
	}
	if len(theirs) < 40 {
		t.Errorf("mosquitto says only %d things", len(theirs))
	}
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// exported is a figure of a broker, as an exporter gives it to Prometheus.
type exported struct{ name, topic, kind string }

// watched are the figures that those who watch a mosquitto look at.
func watched() []exported {
	var list []exported
	for kind, topics := range map[string]string{
		"counter": "bytes/received bytes/sent messages/received messages/sent publish/bytes/received publish/bytes/sent publish/messages/received publish/messages/sent publish/messages/dropped",
		"gauge": "clients/connected clients/total clients/maximum clients/disconnected store/messages/count store/messages/bytes subscriptions/count heap/current heap/maximum " +
			"load/messages/received/1min load/messages/sent/5min load/bytes/received/15min load/connections/1min load/sockets/1min load/publish/sent/1min",
	} {
		for topic := range strings.FieldsSeq(topics) {
			list = append(list, exported{"mqtt_" + strings.ReplaceAll(topic, "/", "_"), topic, kind})
		}
	}
	return append(list, exported{"mqtt_retained", "retained messages/count", "gauge"})
}

// exports has Debian's MQTT exporter watch a broker, and gives which of the figures
// it hands to Prometheus, when that is enough.
func exports(t *testing.T, broker string, enough func(got map[string]bool) bool) map[string]bool {
	t.Helper()
	var conf strings.Builder
	fmt.Fprintf(&conf, `mqtt:
  server: tcp://%s
  client_id: exporter
  topic_path: $SYS/broker/#
  device_id_regex: '^(?P<deviceid>\$SYS)/.*$'
  metric_per_topic_config:
    metric_name_regex: '^\$SYS/broker/(?P<metricname>.+)$'
metrics:
`, broker)
	for _, e := range watched() {
		fmt.Fprintf(&conf, "  - {prom_name: %s, mqtt_name: '%s', type: %s, help: a figure}\n", e.name, e.topic, e.kind)
	}
	path := filepath.Join(t.TempDir(), "exporter.yaml")
	if err := os.WriteFile(path, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	address := quietAddress(t)
	host, port, _ := net.SplitHostPort(address)
	exporter := exec.Command("prometheus-mqtt-exporter", "-config", path, "-listen-address", host, "-listen-port", port)
	exporter.Stderr = t.Output()
	runBeside(t, exporter)
	got := map[string]bool{}
	waitUntil(t, "the exporter has its figures", func() bool {
		resp, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			return false
		}
		for _, e := range watched() {
			if strings.Contains(string(text), "\n"+e.name+"{") {
				got[e.name] = true
			}
		}
		return enough(got)
	})
	return got
}

// An exporter that knows nothing of this broker reads of it what it reads of mosquitto.
func TestAnExporterReadsHereWhatItReadsOfMosquitto(t *testing.T) {
	needProgram(t, "prometheus-mqtt-exporter", "prometheus-mqtt-exporter")
	theirs := exports(t, runMosquitto(t), func(got map[string]bool) bool { return len(got) >= len(watched())-1 })
	missing := slices.Collect(maps.Keys(theirs))
	t.Cleanup(func() {
		if len(missing) > 0 {
			t.Errorf("it reads of mosquitto, but not here: %v", missing)
		}
	})
	exports(t, brokertest.Start(t).Addr, func(got map[string]bool) bool {
		missing = slices.DeleteFunc(missing, func(name string) bool { return got[name] })
		return len(missing) == 0
	})
}
