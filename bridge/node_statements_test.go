package bridge

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const sparkplugStatements = "testdata/sparkplug-3.0-statements.tsv"

// testDirs are where the tests stand that the list of statements may name.
var testDirs = []string{".", "sparkplug", "../cmd/headgate", "../gateway/point"}

func TestEveryStatementOfSparkplugHasATestOrAReason(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(sparkplugStatements)
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, dir := range testDirs {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range declared.FindAllSubmatch(source, -1) {
				tests[string(m[1])] = true
			}
		}
	}
	faults, n := checkSparkplug(string(text), tests)
	for _, f := range faults {
		t.Error(f)
	}
	if n < 150 {
		t.Errorf("only %d statements", n)
	}
}

// checkSparkplug gives what is wrong with the list, and how many statements it has.
func checkSparkplug(text string, tests map[string]bool) (faults []string, n int) {
	seen := make(map[string]bool)
	for i, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Split(line, "\t")
		say := func(what string) { faults = append(faults, fmt.Sprintf("line %d: %s", i+1, what)) }
		switch {
		case len(columns) != 3 || !strings.HasPrefix(columns[0], "tck-id-"):
			say("want id, test and words")
			continue
		case seen[columns[0]]:
			say(columns[0] + " stands twice")
		case columns[1] == "-" && len(strings.Fields(columns[2])) < 5:
			say(columns[0] + " has neither a test nor a reason in words")
		case columns[1] != "-" && !tests[columns[1]]:
			say(columns[0] + ": there is no " + columns[1])
		}
		seen[columns[0]] = true
		n++
	}
	return faults, n
}

// The check must be able to fail.
func TestTheCheckOfTheSparkplugStatementsFindsEachFault(t *testing.T) {
	t.Parallel()
	faults, n := checkSparkplug("# a\ntck-id-a\tTestA\tgood\ntck-id-a\tTestA\tagain\ntck-id-b\tTestB\tno test\ntck-id-c\t-\tno reason\nx\n", map[string]bool{"TestA": true})
	want := []string{"line 3: tck-id-a stands twice", "line 4: tck-id-b: there is no TestB", "line 5: tck-id-c has neither a test nor a reason in words", "line 6: want id, test and words"}
	if n != 4 || !slices.Equal(faults, want) {
		t.Errorf("got %q of %d", faults, n)
	}
}

func TestFaultsOfASparkplugTable(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Config){
		"":                                 func(*Config) {},
		"sparkplug.group_id: missing":      func(c *Config) { c.Sparkplug.GroupID = "" },
		"sparkplug.group_id: \"a/b\"":      func(c *Config) { c.Sparkplug.GroupID = "a/b" },
		"sparkplug.edge_node_id: \"+\"":    func(c *Config) { c.Sparkplug.EdgeNodeID = "+" },
		"sparkplug.edge_node_id: \"\\xff":  func(c *Config) { c.Sparkplug.EdgeNodeID = "\xff" },
		"sparkplug.primary_host_id: \"#\"": func(c *Config) { c.Sparkplug.PrimaryHostID = "#" },
		"sparkplug.group_id: 1001 bytes":   func(c *Config) { c.Sparkplug.GroupID = strings.Repeat("a", 1001) },
		"up: a Sparkplug":                  func(c *Config) { c.Up = []Up{{Filter: "a"}} },
		"down: a Sparkplug":                func(c *Config) { c.Down = []Down{{Filter: "a"}} },
		"preset: \"nats\"":                 func(c *Config) { c.Preset, c.Version = "nats", version311 },
		"preset: \"losant\"":               func(c *Config) { c.Preset, c.Version = "losant", version311 },
	} {
		cfg := nodeConfig("127.0.0.1:1", newPlant())
		change(&cfg)
		cfg.SetDefaults()
		var got []string
		cfg.Check(func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if want == "" && len(got) > 0 || want != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if _, err := New(Config{Name: "x", URL: "mqtt://h", ClientID: "c", Sparkplug: Sparkplug{GroupID: "G", Field: newPlant()}}, newMemory(t), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an edge node without a name was made")
	}
}
