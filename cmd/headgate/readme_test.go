package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"headgate/cmd/headgate/config"
)

// readme gives README.md, and the indented blocks in it that are TOML.
func readme(t *testing.T) (text string, configs []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(moduleRoot(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var block strings.Builder
	for line := range strings.Lines(string(b) + "end\n") {
		switch code, ok := strings.CutPrefix(line, "    "); {
		case ok:
			block.WriteString(code)
		case strings.TrimSpace(line) == "":
			block.WriteString(line)
		default:
			if c := strings.TrimSpace(block.String()); strings.HasPrefix(c, "[") {
				configs = append(configs, c)
			}
			block.Reset()
		}
	}
	return string(b), configs
}

func TestTheConfigurationsInTheREADMEAreGood(t *testing.T) {
	_, configs := readme(t)
	if len(configs) != 3 {
		t.Fatalf("got %d blocks of TOML, want 3", len(configs))
	}
	for i, text := range configs {
		file, err := config.Load(writeConfig(t, text+"\n"))
		if err != nil {
			t.Errorf("block %d: %v", i+1, err)
		} else if len(file.Modbus)+len(file.Serial)+len(file.Bridge) == 0 {
			t.Errorf("block %d holds nothing: %s", i+1, file.Summary())
		}
	}
}

func TestTheFilesThatTheREADMENamesAreThere(t *testing.T) {
	text, _ := readme(t)
	names := regexp.MustCompile("`([A-Za-z/]+\\.(?:go|md))`").FindAllStringSubmatch(text, -1)
	if len(names) < 8 {
		t.Errorf("got %d files, want 8", len(names))
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(moduleRoot(t), name[1])); err != nil {
			t.Error(err)
		}
	}
}

// Who follows the README makes these beside the sources: neither git nor the test
// of what stands at the top may take them for ours.
func TestWhatTheREADMEHasANewcomerMakeIsIgnored(t *testing.T) {
	text, _ := readme(t)
	ignored := ignoredAtTop(filepath.Join(moduleRoot(t), ".gitignore"))
	for _, pattern := range []string{`go build -o (\S+)`, "Save it as `([^`]+)`", `data_dir = "([^"/]+)"`, `password_file = "([^"/]+)"`} {
		found := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if found == nil {
			t.Errorf("README.md says nothing like %s any more", pattern)
		} else if !slices.Contains(ignored, found[1]) {
			t.Errorf("%s is not in .gitignore", found[1])
		}
	}
}
