package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"headgate/adapters/port"
)

const serialGateway = `
[gateway]
id = "plant"
data_dir = "{DIR}"
qos = 0
[[broker.listener]]
url = "mqtt://127.0.0.1:0"
[[serial]]
name = "psu"
url = "serial://{PSU}?baud=115200"
init = [ { send = "*RST\n" } ]
  [[serial.request]]
  send = "VOLT?\n"
  interval = "20ms"
  parse = { regexp = '^(?P<volt>[\d.]+)$' }
  [[serial.point]]
  name = "limit"
  set = { send = "VOLT {value:.2f}\n", expect = "^OK" }
[[serial]]
name = "tunnel"
url = "serial://{TUNNEL}?baud=115200"
transparent = true
[[serial]]
name = "scale"
url = "serial://{SCALE}?baud=115200"
parse = { regexp = '^(?P<weight>\d+) kg$' }
`

// serialLines runs a gateway with three lines, and gives their far ends by name.
func serialLines(t testing.TB) (headgate *process, far map[string]io.ReadWriteCloser) {
	t.Helper()
	far = map[string]io.ReadWriteCloser{}
	pairs := []string{"{DIR}", t.TempDir()}
	for _, name := range []string{"PSU", "TUNNEL", "SCALE"} {
		path, line, err := port.Pair(port.Mode{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { line.Close() })
		far[name] = line
		pairs = append(pairs, "{"+name+"}", path)
	}
	return runHeadgate(t, strings.NewReplacer(pairs...).Replace(serialGateway)), far
}

func TestSerialLinesAreAskedSetAndTunnelled(t *testing.T) {
	t.Parallel()
	headgate, far := serialLines(t)
	go func() { // it sets its limit, and answers with it
		volt := "0"
		for lines := bufio.NewScanner(far["PSU"]); lines.Scan(); {
			switch line := lines.Text(); {
			case line == "VOLT?":
				io.WriteString(far["PSU"], volt+"\n")
			case strings.HasPrefix(line, "VOLT "):
				volt = line[5:]
				io.WriteString(far["PSU"], "OK\n")
			}
		}
	}()
	c := dial(t, headgate.addr(), "test")
	c.subscribe("plant/#", 1)
	c.wait(t, "plant/psu/volt", func(m received) bool { return strings.HasPrefix(m.payload, `{"value":0,`) })
	c.publish("plant/psu/limit/set", `{"value":12.5,"id":1}`, 1)
	c.wait(t, "plant/psu/limit/set/result", func(m received) bool { return strings.Contains(m.payload, `"status":"ok","value":null,"id":1`) })
	c.wait(t, "plant/psu/volt", func(m received) bool { return strings.HasPrefix(m.payload, `{"value":12.5,`) })
	c.publish("plant/psu/set", "x", 1)
	c.wait(t, "plant/psu/set/result", func(m received) bool { return strings.Contains(m.payload, `"status":"refused"`) })

	const bytes = "{\x00\xff\r\n"
	c.publish("plant/tunnel/set", bytes, 1)
	got := make([]byte, len(bytes))
	if _, err := io.ReadFull(far["TUNNEL"], got); err != nil || string(got) != bytes {
		t.Errorf("the line got %q, %v", got, err)
	}
	c.wait(t, "plant/tunnel/set/result", func(m received) bool { return strings.Contains(m.payload, `"status":"ok"`) })
	io.WriteString(far["TUNNEL"], bytes)
	eventually(t, "the bytes are on MQTT as they are", func() bool { return strings.Join(c.on("plant/tunnel/raw"), "") == bytes })
}

// BenchmarkLineToMQTT gives how long after its last byte the value of a line is with
// a subscriber: the line has the time of 115200 baud, and speaks every 20 ms, or
// without a pause.
func BenchmarkLineToMQTT(b *testing.B) {
	for name, pause := range map[string]time.Duration{"every=20ms": 20 * time.Millisecond, "every=0": 0} {
		b.Run(name, func(b *testing.B) { lineToMQTT(b, pause) })
	}
}

func lineToMQTT(b *testing.B, pause time.Duration) {
	headgate, far := serialLines(b)
	conn, err := net.Dial("tcp", headgate.addr())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	const filter = "plant/scale/weight"
	fmt.Fprintf(conn, "\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01b\x82%c\x00\x01\x00%c%s\x00", len(filter)+5, len(filter), filter)
	time.Sleep(500 * time.Millisecond)      // it is subscribed, and the port is open
	sent := make([]atomic.Int64, 1_000_000) // ns since 1970, by line
	var took []time.Duration
	heard := make(chan error, 1)
	go func() {
		in := bufio.NewReader(conn)
		for len(took) < b.N {
			text, err := in.ReadString('}')
			if err != nil {
				heard <- err
				return
			}
			now := time.Now().UnixNano()
			at := strings.IndexByte(text, '{')
			var v struct{ Value int }
			if at < 0 || json.Unmarshal([]byte(text[at:]), &v) != nil {
				continue
			}
			if v.Value != len(took) {
				heard <- fmt.Errorf("line %d came, want %d", v.Value, len(took))
				return
			}
			took = append(took, time.Duration(now-sent[v.Value].Load()))
		}
		heard <- nil
	}()
	mode := port.DefaultMode()
	mode.Baud = 115200
	b.ResetTimer()
	due := time.Now()
	for n := range b.N {
		line := fmt.Appendf(nil, "%06d kg\n", n)
		for part := range slices.Chunk(line, 4) { // as a driver hands it over
			due = due.Add(mode.WireTime(len(part)))
			port.Pause(b.Context(), time.Until(due))
			sent[n].Store(time.Now().UnixNano())
			far["SCALE"].Write(part)
		}
		if pause > 0 {
			time.Sleep(pause)
			due = time.Now()
		}
	}
	select {
	case err := <-heard:
		if err != nil {
			b.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		b.Fatalf("not all of %d lines came", b.N)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/median")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms/p99")
}
