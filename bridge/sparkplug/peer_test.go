package sparkplug

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// peer is sparkplug-payload of npm, the codec of Eclipse Tahu for JavaScript.
type peer struct {
	t   *testing.T
	ask *json.Encoder
	out *bufio.Scanner
}

// answer is what testdata/peer.cjs says.
type answer struct {
	Payload struct {
		Timestamp any
		Seq       any
		Metrics   []map[string]any
	}
	Again, Encoded []byte
	Error          string
}

func startPeer(t *testing.T) *peer {
	t.Helper()
	modules := os.Getenv("HEADGATE_NODE_MODULES")
	if _, err := os.Stat(filepath.Join(modules, "sparkplug-payload")); modules == "" || err != nil {
		const install = "sparkplug-payload of Node.js is missing: npm install sparkplug-payload somewhere, and HEADGATE_NODE_MODULES=SOMEWHERE/node_modules"
		if os.Getenv("HEADGATE_PEERS") == "required" {
			t.Fatal(install)
		}
		t.Skip(install)
	}
	cmd := exec.Command("node", "testdata/peer.cjs")
	cmd.Stderr = os.Stderr
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
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	return &peer{t, json.NewEncoder(in), lines}
}

func (p *peer) tell(question any) answer {
	p.t.Helper()
	if err := p.ask.Encode(question); err != nil {
		p.t.Fatal(err)
	}
	if !p.out.Scan() {
		p.t.Fatalf("the peer ended: %v", p.out.Err())
	}
	var a answer
	if err := json.Unmarshal(p.out.Bytes(), &a); err != nil || a.Error != "" {
		p.t.Fatalf("%v %s in %s", err, a.Error, p.out.Bytes())
	}
	return a
}

func TestThePeerReadsWhatWeWriteAndWeReadWhatItWritesAgain(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	want := every(t)
	a := p.tell(map[string]any{"decode": want.Append(nil)})
	if got := fmt.Sprint(a.Payload.Seq, a.Payload.Timestamp); got != fmt.Sprint("255", at.UnixMilli()) && got != fmt.Sprint("255 ", at.UnixMilli()) {
		t.Errorf("sequence number and time: %s", got)
	}
	read := map[string]any{}
	for i, m := range a.Payload.Metrics {
		read[m["name"].(string)] = m["value"]
		if got, want := m["type"], want.Metrics[i].DataType.String(); got != want {
			t.Errorf("%s: type %v, want %s", m["name"], got, want)
		}
	}
	for name, want := range map[string]any{
		"i8": -128.0, "i16": -32768.0, "i32": float64(math.MinInt32), "i64": "-9223372036854775808", "u8": 255.0, "u16": 65535.0,
		"u64": "18446744073709551615", "float": -1.5, "double": 231.4, "yes": true, "no": false, "string": "grün",
		"when": fmt.Sprint(at.UnixMilli()), "text": "", "bytes": base64.StdEncoding.EncodeToString([]byte{0, 255, 7}), "bad": nil,
	} {
		if diff := cmp.Diff(want, read[name]); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
	bad := a.Payload.Metrics[len(a.Payload.Metrics)-1]
	if got := fmt.Sprint(bad["properties"]); got != "map[Quality:map[type:Int32 value:500] engUnit:map[type:String value:°C] gone:map[type:Boolean value:<nil>]]" {
		t.Errorf("properties: %s", got)
	}
	if !a.Payload.Metrics[4]["isHistorical"].(bool) || !a.Payload.Metrics[5]["isTransient"].(bool) {
		t.Error("the flags are not there")
	}

	again, err := Decode(a.Again)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.Metrics {
		w, g := &want.Metrics[i], &again.Metrics[i]
		if w.Name == "u32" {
			continue // the peer reads it as a signed one
		}
		if w.Name != g.Name || w.DataType != g.DataType || w.Null != g.Null || w.Historical != g.Historical || !w.Timestamp.Equal(g.Timestamp) {
			t.Errorf("%s: got %+v, want %+v", w.Name, g, w)
		}
		if w.Null {
			continue
		}
		a, errA := w.Value.As(w.DataType)
		b, errB := g.Value.As(g.DataType)
		if diff := cmp.Diff(a, b); diff != "" || errA != nil || errB != nil {
			t.Errorf("%s: %v %v -want +got:\n%s", w.Name, errA, errB, diff)
		}
	}
}

func TestWeReadWhatThePeerWrites(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	metric := func(name, typ string, value any) map[string]any {
		return map[string]any{"name": name, "type": typ, "value": value, "timestamp": at.UnixMilli(), "alias": 5}
	}
	a := p.tell(map[string]any{"encode": map[string]any{"timestamp": at.UnixMilli(), "seq": 3, "metrics": []any{
		metric("Int8", "Int8", -1), metric("Int16", "Int16", -300), metric("Int32", "Int32", -70000), metric("Int64", "Int64", -5),
		metric("UInt8", "UInt8", 200), metric("UInt16", "UInt16", 60000), metric("UInt32", "UInt32", uint32(4000000000)), metric("UInt64", "UInt64", uint64(1<<53)),
		metric("Float", "Float", 0.25), metric("Double", "Double", 0.1), metric("Boolean", "Boolean", true), metric("String", "String", "ä"),
		metric("DateTime", "DateTime", at.UnixMilli()), metric("Text", "Text", "t"), metric("UUID", "UUID", "u"), metric("Bytes", "Bytes", "AAEC"),
	}}})
	got, err := Decode(a.Encoded)
	if err != nil {
		t.Fatal(err)
	}
	if got.Seq != 3 || !got.HasSeq || !got.Timestamp.Equal(at) {
		t.Errorf("sequence number %d, time %v", got.Seq, got.Timestamp)
	}
	want := map[string]any{
		"Int8": int64(-1), "Int16": int64(-300), "Int32": int64(-70000), "Int64": int64(-5), "UInt8": uint64(200), "UInt16": uint64(60000),
		"UInt32": uint64(4000000000), "UInt64": uint64(1 << 53), "Float": 0.25, "Double": 0.1, "Boolean": true, "String": "ä",
		"DateTime": uint64(at.UnixMilli()), "Text": "t", "UUID": "u", "Bytes": []byte{0, 1, 2},
	}
	for _, m := range got.Metrics {
		x, err := m.Value.As(m.DataType)
		if diff := cmp.Diff(want[m.Name], x); diff != "" || err != nil || m.DataType.String() != m.Name || m.Alias != 5 {
			t.Errorf("%s of type %v: %v -want +got:\n%s", m.Name, m.DataType, err, diff)
		}
	}
	if len(got.Metrics) != len(want) {
		t.Errorf("%d metrics, want %d", len(got.Metrics), len(want))
	}
}
