package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"headgate/cmd/headgate/config"
)

// guide gives the indented blocks of packaging/docs/guide.md.
func guide(t *testing.T) (blocks []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(moduleRoot(t), "packaging/docs/guide.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range regexp.MustCompile(`\n[^ \n][^\n]*`).Split(string(b), -1) {
		for _, block := range strings.Split(part, "\n\n    ") {
			if block = strings.TrimSpace(strings.ReplaceAll("\n"+block, "\n    ", "\n")); block != "" {
				blocks = append(blocks, block)
			}
		}
	}
	return blocks
}

func TestTheConfigurationsInTheGuideAreGood(t *testing.T) {
	blocks := guide(t)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("cloud.password", []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := 0
	for _, block := range blocks {
		if !strings.HasPrefix(block, "[") {
			continue
		}
		if _, err := config.Load(writeConfig(t, block+"\n")); err != nil {
			t.Errorf("%s\n%v", block, err)
		}
		good++
	}
	if good != 5 {
		t.Errorf("got %d configurations, want 5", good)
	}
}

func TestTheCommandsInTheGuideAreThere(t *testing.T) {
	var line commandLine
	k, err := kong.New(&line, kong.Vars{"default_config": defaultConfig, "version": "v"})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, c := range commandsOf(k) {
		paths = append(paths, c.path)
	}
	text := strings.Join(guide(t), "\n")
	found := regexp.MustCompile(`(?m)^(?:sudo )?headgate ([a-z]+(?: [a-z]+)?)`).FindAllStringSubmatch(text, -1)
	if len(found) < 10 {
		t.Fatalf("got %d commands", len(found))
	}
	for _, f := range found {
		first, _, _ := strings.Cut(f[1], " ")
		if !slices.Contains(paths, f[1]) && (!slices.Contains(paths, first) || slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, first+" ") })) {
			t.Errorf("there is no headgate %s", f[1])
		}
	}
}
