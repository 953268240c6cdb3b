package config

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestTheReferenceExplainsEveryKey(t *testing.T) {
	keys := Reference()
	if len(keys) < 200 {
		t.Fatalf("got %d keys", len(keys))
	}
	for _, k := range keys {
		if k.Doc == "" && k.Parent() != "" && !k.Table {
			t.Errorf("%s: nobody says what it is", k.Path)
		}
		if strings.Contains(k.Kind, "struct") || k.Kind == "" {
			t.Errorf("%s: its kind is %q", k.Path, k.Kind)
		}
		if before := slices.IndexFunc(keys, func(o Key) bool { return o.Path == k.Path }); keys[before].Kind != k.Kind {
			t.Errorf("%s is there twice", k.Path)
		}
	}
}

func TestTheReferenceHasTheDefaultsThatAreInForce(t *testing.T) {
	want := map[string]string{
		"gateway.id": "", "gateway.qos": "1", "gateway.retain": "false", "gateway.max_age": `"30s"`, "broker.max_connections": "10000",
		"modbus.device.interval": `"1s"`, "modbus.device.offline_misses": "2", "bridge.queue_qos0": "true", "bridge.queue.max_bytes": `"unlimited"`,
		"bridge.keep_alive": `"1m"`, "store.compression": `"none"`, "broker.listener.require_certificate": "true",
	}
	for _, k := range Reference() {
		if w, ok := want[k.Path]; ok && k.Default != w {
			t.Errorf("%s: got %s, want %s", k.Path, k.Default, w)
		}
		delete(want, k.Path)
	}
	for path := range want {
		t.Errorf("%s is not there", path)
	}
}

// docs.txt is made of the parts' comments, and go generate makes it again.
func TestTheCommentsInTheReferenceAreThoseOfTheSources(t *testing.T) {
	source, err := os.ReadFile("reference.go")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^//go:generate go (.*)$`).FindSubmatch(source)
	if line == nil {
		t.Fatal("reference.go has no go:generate")
	}
	made := filepath.Join(t.TempDir(), "docs.txt")
	out, err := exec.Command("go", strings.Fields(strings.Replace(string(line[1]), "docs.txt", made, 1))...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != docs {
		t.Error("docs.txt is not what the sources say: go generate ./cmd/headgate/config")
	}
}

func TestTheDefaultConfigurationIsGoodAsItIs(t *testing.T) {
	var text bytes.Buffer
	WriteDefault(&text)
	path := filepath.Join(t.TempDir(), "headgate.toml")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Summary(); got != "1 listener" || f.Broker.Listener[0].URL != "mqtt://127.0.0.1:1883" {
		t.Errorf("it holds %s: %+v", got, f.Broker.Listener)
	}
}

// Whoever takes the # away has a line of TOML, and every key is there.
func TestTheDefaultConfigurationHasEveryKeyAsAComment(t *testing.T) {
	var text bytes.Buffer
	WriteDefault(&text)
	setting := regexp.MustCompile(`^ *#?(([a-z0-9_.]+) = .*)$`)
	header := regexp.MustCompile(`^ *#?\[+([a-z_.]+)\]+$`)
	there, table := map[string]bool{}, ""
	for line := range strings.Lines(text.String()) {
		line = strings.TrimRight(line, "\n")
		if m := header.FindStringSubmatch(line); m != nil {
			table = m[1]
			there[table] = true
		} else if m := setting.FindStringSubmatch(line); m != nil {
			var v map[string]any
			if _, err := toml.Decode(m[1], &v); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			there[table+"."+m[2]] = true
		} else if rest, comment := strings.CutPrefix(strings.TrimLeft(line, " "), "#"); comment && rest != "" && rest[0] != ' ' && rest[0] != ':' {
			t.Errorf("neither a comment nor a key: %s", line)
		}
	}
	for _, k := range Reference() {
		if !k.Table && !there[k.Path] {
			t.Errorf("%s is not there", k.Path)
		}
	}
}

func TestAKeyIsExplained(t *testing.T) {
	for _, c := range []struct{ name, want, err string }{
		{"modbus.device.interval", "modbus.device.interval: time, by default \"1s\"\n\ninterval is how often", ""},
		{"session_at_limit", "broker.session_at_limit: text, by default \"drop_oldest\"\n", ""},
		{"[[bridge.up]]", "bridge.up: list of tables, written [[bridge.up]]\n", ""},
		{"store.class", "  window                   window is how long a message may wait", ""},
		{"interval", "", "there are several of that name: modbus.device.interval, "},
		{"modbus.intervall", "", "did you mean"},
		{"nothing_like_it", "", "headgate config list has all"},
	} {
		var out bytes.Buffer
		err := Explain(&out, c.name)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: got error %v, want %s", c.name, err, c.err)
			}
		} else if err != nil || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: got %s (%v), want %s", c.name, out.String(), err, c.want)
		}
	}
}

func TestASampleIsOneTable(t *testing.T) {
	var out bytes.Buffer
	if err := WriteSample(&out, "store"); err != nil || !strings.HasPrefix(out.String(), "[store]\n# max_bytes ") || strings.Contains(out.String(), "modbus") {
		t.Errorf("got %s (%v)", out.String(), err)
	}
	if err := WriteSample(&out, "store.max_bytes"); err == nil {
		t.Error("a key is no table, but there is no error")
	}
}

func TestTheSchemaHasEveryKey(t *testing.T) {
	var out bytes.Buffer
	if err := WriteSchema(&out); err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(out.Bytes(), &root); err != nil {
		t.Fatal(err)
	}
	for _, k := range Reference() {
		at := root
		for _, name := range strings.Split(k.Path, ".") {
			if items, ok := at["items"].(map[string]any); ok {
				at = items
			}
			inside, _ := at["properties"].(map[string]any)
			next, ok := inside[name].(map[string]any)
			if !ok {
				t.Fatalf("%s is not there", k.Path)
			}
			at = next
		}
		if k.Doc != "" && at["description"] != k.Doc {
			t.Errorf("%s is described as %v", k.Path, at["description"])
		}
	}
}
