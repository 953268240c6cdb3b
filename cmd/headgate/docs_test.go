package main

import (
	"encoding/json"
	"os"
	"path"
	"strings"
	"testing"

	"headgate/broker/auth"
	"headgate/cmd/headgate/config"
)

// before is what stands in front of the configurations of a page, or of one that
// begins so: what the page has said before.
func before(t *testing.T, p docsPage, text string) string {
	const aBridge = "[[bridge]]\nname = \"cloud\"\nurl = \"mqtts://broker.example.com\"\nup = [ { filter = \"#\" } ]\n"
	switch {
	case p.name == "packaging/docs/derived.md" && text != p.tomlBlocks()[0]:
		return p.tomlBlocks()[0] + "\n"
	case strings.HasPrefix(p.name, "packaging/docs/uplink-") && !strings.Contains(text, "[gateway]"):
		return "[gateway]\nid = \"boiler-house\"\n"
	case strings.HasPrefix(text, "credentials = "):
		return aBridge
	}
	return ""
}

func TestEveryConfigurationInTheDocsIsGood(t *testing.T) {
	pages := docPages(t)
	t.Setenv("THINGSBOARD_TOKEN", "a1b2c3")
	t.Setenv("CREDENTIALS_DIRECTORY", t.TempDir())
	t.Chdir(t.TempDir())
	writeKeyPair(t, "cert.pem", "key.pem")
	for name, text := range map[string]string{"panel.password": "secret\n", "cloud.password": "secret\n", "users": "ann:" + auth.Hash("secret") + "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	loaded := 0
	for _, p := range pages {
		for _, b := range p.blocks {
			if b.kind != ofTOML {
				continue
			}
			file, err := config.Load(writeConfig(t, before(t, p, b.text)+b.text+"\n"))
			if err != nil {
				t.Errorf("%s:%d: %v", p.name, b.line, err)
				continue
			}
			loaded++
			if preset, ok := strings.CutPrefix(path.Base(p.name), "uplink-"); ok && (len(file.Bridge) != 1 || file.Bridge[0].Preset+".md" != preset) {
				t.Errorf("%s:%d: it is not a bridge to that service", p.name, b.line)
			}
		}
		if strings.Contains(p.name, "uplink-") && len(p.tomlBlocks()) != 1 {
			t.Errorf("%s: got %d configurations, want 1", p.name, len(p.tomlBlocks()))
		}
	}
	if loaded < 30 {
		t.Errorf("only %d configurations are on all pages", loaded)
	}
}

// A block of JSON is one document, or one in each line.
func TestAllJSONInTheDocsIsJSON(t *testing.T) {
	t.Parallel()
	found := 0
	for _, p := range docPages(t) {
		for _, b := range p.blocks {
			if b.kind != ofJSON {
				continue
			}
			found++
			if json.Valid([]byte(b.text)) {
				continue
			}
			for line := range strings.Lines(b.text) {
				if !json.Valid([]byte(line)) {
					t.Errorf("%s:%d: this is no JSON: %s", p.name, b.line, line)
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("found only %d blocks", found)
	}
}
