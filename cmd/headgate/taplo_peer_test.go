package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"headgate/cmd/headgate/config"
)

// Editors complete and judge a configuration by its JSON Schema through taplo: it
// finds nothing in what the package comes with, in what the pages show and in the
// examples for serial lines, and finds a key that there is not.
func TestTaploJudgesAConfigurationByItsSchema(t *testing.T) {
	t.Parallel()
	program := filepath.Join(filepath.Dir(needNode(t, "@taplo/cli")), "..", ".bin", "taplo")
	dir := t.TempDir()
	var schema, packaged bytes.Buffer
	if err := config.WriteSchema(&schema); err != nil {
		t.Fatal(err)
	}
	config.WriteDefault(&packaged)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	at := write("schema.json", schema.String())
	first, rest, _ := strings.Cut(packaged.String(), "\n")
	if !strings.HasPrefix(first, "#:schema ") {
		t.Errorf("the packaged configuration does not name its schema: %s", first)
	}
	good := []string{write("default.toml", rest)}
	for _, p := range docPages(t) {
		for i, text := range p.tomlBlocks() {
			if strings.HasPrefix(strings.TrimSpace(text), "[") { // not what belongs into a table
				good = append(good, write(fmt.Sprintf("%s-%d.toml", filepath.Base(p.name), i), text))
			}
		}
	}
	serial, err := filepath.Glob(filepath.Join(moduleRoot(t), "packaging", "serial", "*.toml"))
	if err != nil || len(serial) == 0 {
		t.Fatalf("no examples for serial lines: %v", err)
	}
	lint := func(files ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), program, append([]string{"lint", "--colors", "never", "--schema", "file://" + at}, files...)...).CombinedOutput()
		return string(out), err
	}
	if out, err := lint(append(good, serial...)...); err != nil {
		t.Errorf("of %d files: %v\n%s", len(good)+len(serial), err, out)
	}
	bad := write("bad.toml", "[[modbus]]\nname = \"rs485\"\nurl = \"tcp://192.168.1.20\"\n  [[modbus.device]]\n  unti = 1\n")
	if out, err := lint(bad); err == nil || !strings.Contains(out, "'unti' was unexpected") {
		t.Errorf("a key that there is not: %v\n%s", err, out)
	}
}
