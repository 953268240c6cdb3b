package homeassistant

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"headgate/gateway/point"
)

// render has Jinja2 render templates, as testdata/render.py says.
func render(t *testing.T, cases []map[string]any) []string {
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
	cmd := exec.Command(python, "testdata/render.py")
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	var texts []string
	if err := json.Unmarshal(out, &texts); err != nil || len(texts) != len(cases) {
		t.Fatalf("%v: %s", err, out)
	}
	return texts
}

// What Home Assistant gets out of a payload: a text that it takes for a number, a
// state, one of the options, or "None" for what is not known.
func TestTemplatesReadWhatIsPublished(t *testing.T) {
	t.Parallel()
	strange := `it's "on" {{ 1 }} \ü`
	enum := &point.Info{Name: "p", Kind: point.String, Texts: []string{"off", strange}}
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	a := newAnnouncer(Config{Enabled: true}, nil, nil)
	template := func(info *point.Info) string {
		info.Name = "p"
		e, ok := a.newEntity("d", info)
		if !ok {
			t.Fatalf("no entity for %+v", info)
		}
		return e.ValueTemplate
	}
	float, boolean := template(&point.Info{Kind: point.Float}), template(&point.Info{Kind: point.Bool, Writable: true})
	unknown := template(&point.Info{Unit: "V"})
	var cases []map[string]any
	var wants []string
	add := func(template, payload, want string) {
		cases, wants = append(cases, map[string]any{"template": template, "payload": payload}), append(wants, want)
	}
	bad := `{"value":null,"unit":"V","time":"2026-11-23T18:04:05.123Z","quality":"bad","reason":"no answer"}`
	stale := `{"value":1,"time":"2026-11-23T18:04:05.123Z","quality":"stale","reason":"old"}`
	good := func(value string) string {
		return `{"value":` + value + `,"time":"2026-11-23T18:04:05.123Z","quality":"good"}`
	}
	for _, template := range []string{float, boolean, unknown, template(enum)} {
		add(template, bad, "None")
		add(template, stale, "None")
	}
	add(float, good("231.4"), "231.4")
	add(float, good("0"), "0")
	add(float, good("-0.00001"), "-1e-05")
	add(float, good("18446744073709551615"), "18446744073709551615")
	add(boolean, good("true"), "true")
	add(boolean, good("false"), "false")
	add(unknown, good("12"), "12")
	add(unknown, good(`"overload"`), "None")
	add(template(enum), good(`"off"`), "off")
	add(template(enum), good(quote(strange)), strange)
	add(template(enum), good("7"), "None") // for which there is no text
	add(template(&point.Info{Kind: point.String, Time: true}), good(`"2026-11-23T18:04:05Z"`), "2026-11-23T18:04:05Z")
	add(qualityTemplate, bad, "offline")
	add(qualityTemplate, good("1"), "online")
	add(textTemplate, good(quote(strange)), strange)
	add(statusTemplate, `{"status":"offline","reason":"no answer","time":"2026-11-23T18:04:05.123Z"}`, "offline")
	for i, got := range render(t, cases) {
		if got != wants[i] {
			t.Errorf("%s of %s: got %q, want %q", cases[i]["template"], cases[i]["payload"], got, wants[i])
		}
	}
	got := render(t, []map[string]any{{"template": jsonTemplate, "value": strange}})[0]
	var back string
	if err := json.Unmarshal([]byte(got), &back); err != nil || !strings.HasPrefix(back, "it") {
		t.Errorf("a command is %s: %v", got, err)
	}
}
