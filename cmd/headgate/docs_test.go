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

// tomlBlocks gives the indented blocks of a page that are TOML of ours.
func tomlBlocks(text string) (blocks []string) {
	var block strings.Builder
	for line := range strings.Lines(text + "\nend\n") {
		switch code, ok := strings.CutPrefix(line, "    "); {
		case ok:
			block.WriteString(code)
		case strings.TrimSpace(line) == "":
			block.WriteString(line)
		default:
			if b := strings.TrimSpace(block.String()); strings.HasPrefix(b, "[") && !strings.HasPrefix(b, "[{") {
				blocks = append(blocks, b)
			}
			block.Reset()
		}
	}
	return blocks
}

func TestTheConfigurationsOnThePagesOfTheServicesAreGood(t *testing.T) {
	t.Setenv("THINGSBOARD_TOKEN", "a1b2c3")
	pages, err := filepath.Glob(filepath.Join(moduleRoot(t), "packaging", "docs", "uplink-*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, page := range pages {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		preset := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(page), "uplink-"), ".md")
		blocks := tomlBlocks(string(b))
		if len(blocks) != 1 {
			t.Errorf("%s: got %d blocks of TOML, want 1", preset, len(blocks))
		}
		for _, text := range blocks {
			if !strings.Contains(text, "[gateway]") {
				text = "[gateway]\nid = \"boiler-house\"\n" + text
			}
			file, err := config.Load(writeConfig(t, text+"\n"))
			if err != nil {
				t.Errorf("%s: %v", preset, err)
			} else if len(file.Bridge) != 1 || file.Bridge[0].Preset != preset {
				t.Errorf("%s: got %s", preset, file.Summary())
			}
		}
	}
}

// The pages about programs beside the gateway have whole configurations.
func TestTheConfigurationsOnThePagesOfConsumersAreGood(t *testing.T) {
	for name, want := range map[string]int{"sparkplug.md": 1, "serial.md": 1, "flash.md": 1, "homeassistant.md": 4, "payloads.md": 2} {
		b, err := os.ReadFile(filepath.Join(moduleRoot(t), "packaging", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		blocks := tomlBlocks(string(b))
		if len(blocks) != want {
			t.Errorf("%s: got %d blocks of TOML, want %d", name, len(blocks), want)
		}
		for _, text := range blocks {
			if _, err := config.Load(writeConfig(t, text+"\n")); err != nil {
				t.Errorf("%s: %s\n%v", name, text, err)
			}
		}
	}
}

// Each `headgate COMMAND --flag` of the README and the pages, in a sentence or in a
// block, has a command and flags that there are.
func TestTheFlagsOnEveryPageAreThere(t *testing.T) {
	var line commandLine
	k, err := kong.New(&line, kong.Vars{"default_config": defaultConfig, "version": "v"})
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string][]string{}
	for _, c := range commandsOf(k) {
		commands[c.path] = []string{}
		for _, f := range c.flags {
			commands[c.path] = append(commands[c.path], f.names...)
		}
	}
	pages, err := filepath.Glob(filepath.Join(moduleRoot(t), "packaging", "docs", "*.md"))
	if err != nil || len(pages) < 15 {
		t.Fatalf("got %d pages: %v", len(pages), err)
	}
	call := regexp.MustCompile("(?:`|^    (?:\\$ |sudo )?)(?:\\./)?headgate ([a-z]+)((?: [^ `#|<>;]+)*)")
	calls := 0
	for _, page := range append(pages, filepath.Join(moduleRoot(t), "README.md")) {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.Lines(string(b)) {
			for _, found := range call.FindAllStringSubmatch(text, -1) {
				path, words := found[1], strings.Fields(found[2])
				if len(words) > 0 && commands[path+" "+words[0]] != nil {
					path += " " + words[0]
				}
				flags := commands[path]
				if flags == nil && !slices.ContainsFunc(commandsOf(k), func(c commandHelp) bool { return strings.HasPrefix(c.path, path+" ") }) {
					t.Errorf("%s: there is no headgate %s", filepath.Base(page), path)
				}
				for _, word := range words {
					flag, _, _ := strings.Cut(word, "=")
					if strings.HasPrefix(flag, "-") && flag != "-" && !slices.Contains(flags, flag) {
						t.Errorf("%s: headgate %s has no %s", filepath.Base(page), path, flag)
					}
				}
				calls++
			}
		}
	}
	if calls < 60 {
		t.Errorf("got only %d commands", calls)
	}
}
