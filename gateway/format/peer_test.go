package format

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/gateway/point"
)

// need skips a test where a peer is missing, or fails where it must be there.
func need(t *testing.T, there bool, hint string) {
	t.Helper()
	if there {
		return
	}
	if os.Getenv("HEADGATE_PEERS") == "required" {
		t.Fatal(hint)
	}
	t.Skip(hint)
}

// difficult are samples that a format could get wrong.
func difficult() []Sample {
	text := sampleOf("label", point.OfString("say \"hi\", a=b\\ und grün"))
	odd := sampleOf("a=b,c d", point.OfFloat(-1e-9))
	odd.Device, odd.Unit = "meter, no=1", "m s\\"
	return []Sample{
		sampleOf("voltage", point.OfFloat(231.4)), sampleOf("count", point.OfInt(-7)), sampleOf("energy", point.OfUint(1<<52)),
		sampleOf("on", point.OfBool(true)), sampleOf("off", point.OfBool(false)), text, odd,
		badOf("power", point.Bad, point.Value{}, "exception 2 (illegal data address): \"100\""), badOf("speed", point.Stale, point.OfFloat(5), "silent for 30s"),
	}
}

// InfluxDB itself reads the lines, and gives back what was in them.
func TestInfluxDBTakesTheLines(t *testing.T) {
	t.Parallel()
	const hint = "influxd is missing: apt-get install influxdb"
	_, err := exec.LookPath("influxd")
	need(t, err == nil, hint)
	base := startInflux(t)
	e, err := New(Config{Format: Influx})
	if err != nil {
		t.Fatal(err)
	}
	var lines []byte
	for _, s := range difficult() {
		s := s
		if lines, err = e.Append(lines, &s); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, '\n')
	}
	influx(t, base+"/write?db=plant", bytes.NewReader(lines))
	for query, want := range map[string]string{
		`SELECT voltage, count, energy, "on", "off", label FROM meter1 WHERE gateway='plant' AND unit='V' AND device='meter1'`: "meter1,,1795457045123456789,231.4,-7,4503599627370496,true,false,say \"hi\", a=b\\ und grün",
		`SELECT power_quality, power_reason FROM meter1`:                                                                       "meter1,,1795457045123456789,bad,exception 2 (illegal data address): \"100\"",
		`SELECT power FROM meter1`:                                     "",
		`SELECT speed, speed_quality, speed_reason FROM meter1`:        "meter1,,1795457045123456789,5,stale,silent for 30s",
		`SELECT "a=b,c d", unit FROM "meter, no=1" WHERE unit = 'm s'`: "meter, no=1,,1795457045123456789,-0.000000001,m s",
	} {
		answer := influx(t, base+"/query?db=plant&q="+url.QueryEscape(query), nil)
		rows, err := csv.NewReader(strings.NewReader(answer)).ReadAll()
		got := ""
		if len(rows) > 1 {
			got = strings.Join(rows[1], ",")
		}
		if err != nil || got != want {
			t.Errorf("%s\ngot  %s\nwant %s (%v)", query, got, want, err)
		}
	}
}

// influx asks InfluxDB, for CSV.
func influx(t *testing.T, url string, body io.Reader) string {
	t.Helper()
	method := "GET"
	if body != nil {
		method = "POST"
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/csv")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	if answer.StatusCode/100 != 2 {
		t.Fatalf("%s: %s\n%s", url, answer.Status, text)
	}
	return string(text)
}

// startInflux runs an InfluxDB with a database plant, until the test ends.
func startInflux(t *testing.T) (base string) {
	t.Helper()
	dir := t.TempDir()
	var addr [2]string
	for i := range addr {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr[i] = l.Addr().String()
		l.Close()
	}
	config := fmt.Sprintf("reporting-disabled = true\nbind-address = %q\n[meta]\ndir = %q\n[data]\ndir = %q\nwal-dir = %q\n[http]\nbind-address = %q\n[monitor]\nstore-enabled = false\n",
		addr[1], dir+"/meta", dir+"/data", dir+"/wal", addr[0])
	name := filepath.Join(dir, "influxdb.conf")
	if err := os.WriteFile(name, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c := exec.Command("influxd", "-config", name)
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
		if t.Failed() {
			t.Logf("influxd said:\n%s", log.Bytes()[max(0, log.Len()-3000):])
		}
	})
	base = "http://" + addr[0]
	deadline := time.Now().Add(30 * time.Second)
	for {
		answer, err := http.Get(base + "/ping")
		if err == nil {
			answer.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("influxd does not listen: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	influx(t, base+"/query?q="+url.QueryEscape("CREATE DATABASE plant"), strings.NewReader(""))
	return base
}

// cbor2 reads a batch of all samples, and gives it back as JSON.
func TestPythonReadsTheCBOR(t *testing.T) {
	t.Parallel()
	python := slices.IndexFunc(pythons(), func(p string) bool { return exec.Command(p, "-c", "import cbor2").Run() == nil })
	need(t, python >= 0, "cbor2 is missing: apt-get install python3-cbor2")
	samples := difficult()
	batch := AppendCBORArray(nil, len(samples)+1)
	var want []string
	for i := range samples {
		batch = AppendCBORMessage(batch, samples[i].Topic, appendCBOR(nil, &samples[i]), i == 0, true)
		want = append(want, string(AppendJSON(nil, &samples[i])))
	}
	batch = AppendCBORMessage(batch, "plant/raw", []byte("\xff\x00"), false, false)
	c := exec.Command(pythons()[python], "-c", `
import sys, cbor2, json
batch = cbor2.load(sys.stdin.buffer)
assert not sys.stdin.buffer.read()
assert batch[0]["retain"] is True and "retain" not in batch[1]
assert batch.pop() == {"topic": "plant/raw", "payload": b"\xff\x00"}
for m in batch:
    p = m["payload"]
    assert p["time"].microsecond == 123000, p
    p["time"] = p["time"].strftime("%Y-%m-%dT%H:%M:%S.123Z")
    print(json.dumps(p))
`)
	c.Stdin = bytes.NewReader(batch)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(got) != len(want) {
		t.Fatalf("got %d samples, want %d", len(got), len(want))
	}
	for i := range want {
		var a, b any
		if json.Unmarshal([]byte(got[i]), &a) != nil || json.Unmarshal([]byte(want[i]), &b) != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("\ngot  %s\nwant %s", got[i], want[i])
		}
	}
}

func pythons() []string { return []string{"python3", "/usr/bin/python3"} }
