package main

import (
	"bufio"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The plan of the house: which package may know which. Anything else is a break.
// The test parses the files itself, in the process, so that the test cache sees
// them and cannot hide a break.

const module = "headgate"

// topLevel is all that may stand at the top of the tree, beside what .gitignore names.
var topLevel = []string{
	"cmd", "gateway", "broker", "bridge", "adapters", "packaging", "systemd", "go.mod", "go.sum", "README.md",
	".git", ".gitignore", ".ci", "LICENSE", "CHANGELOG.md", "staticcheck.conf",
}

// imports says which of our own packages a package may import. A name ending in
// /... is that package and all below it. The most specific row counts.
var imports = map[string][]string{
	"cmd/headgate":               {"..."},
	"cmd/headgate/control":       {},
	"cmd/headgate/config":        {"gateway", "gateway/point", "gateway/format", "gateway/homeassistant", "gateway/web", "broker", "broker/store", "bridge", "adapters/modbus", "adapters/serial", "adapters/port", "adapters/derived", "gateway/rule", "packaging/profiles"},
	"cmd/headgate/config/gendoc": {},
	"cmd/headgate/mqttc":         {"broker/packet"},
	"gateway":                    {"gateway/point", "gateway/format", "broker/topic"},
	"gateway/format":             {"gateway/point"},
	"gateway/point":              {},
	"gateway/homeassistant":      {"gateway/point"},
	"gateway/expression":         {"gateway/point"},
	"gateway/rule":               {"gateway/expression", "broker/topic"},
	"gateway/web":                {"gateway/point", "broker/auth"},
	"adapters/datatype":          {"gateway/point"},
	"adapters/derived":           {"gateway/point", "gateway/expression", "adapters/datatype"},
	"adapters/modbus":            {"gateway/point", "adapters/port", "adapters/datatype"},
	"adapters/modbus/modbussim":  {"adapters/port"},
	"adapters/serial":            {"gateway/point", "adapters/port", "adapters/datatype"},
	"adapters/port":              {},
	"broker":                     {"broker/..."},
	"broker/auth":                {"broker/topic"},
	"broker/clock":               {},
	"broker/listen":              {},
	"broker/packet":              {},
	"broker/topic":               {},
	"broker/store":               {},
	"broker/brokertest/...":      {"broker/..."},
	"broker/brokertest/mqttload": {"broker/...", "bridge/faultnet"},
	"bridge":                     {"broker/packet", "broker/topic", "gateway/format", "bridge/sparkplug"},
	"bridge/sparkplug":           {},
	"bridge/faultnet":            {},
	"packaging/profiles":         {},
}

// libraries says which package a third-party library is for. The rooms of a
// sealed one hold for the tests too; all others may be used by any test.
var libraries = map[string]struct {
	rooms  []string
	sealed bool
}{
	"github.com/dgraph-io/badger":         {[]string{"broker/store"}, true},
	"github.com/klauspost/compress":       {[]string{"broker/store", "bridge"}, true},
	"go.bug.st/serial":                    {[]string{"adapters/port"}, true},
	"github.com/creack/pty":               {[]string{"adapters/port"}, true},
	"github.com/goburrow/modbus":          {[]string{"adapters/modbus"}, true},
	"github.com/coder/websocket":          {[]string{"broker/listen", "bridge", "cmd/headgate/mqttc"}, false},
	"github.com/prometheus/client_golang": {[]string{"gateway/web"}, false},
	"github.com/BurntSushi/toml":          {[]string{"cmd/headgate/config"}, false},
	"github.com/alecthomas/kong":          {[]string{"cmd/headgate"}, false},
	"golang.org/x/term":                   {[]string{"cmd/headgate"}, false},
	"google.golang.org/protobuf":          {[]string{"bridge/sparkplug"}, false},
	"golang.org/x/crypto":                 {[]string{"broker/auth"}, false},
	"golang.org/x/sys":                    {[]string{"cmd/headgate", "adapters/port", "broker/store", "broker/clock", "broker"}, false},
}

const maxLines = 500 // of a file that is no test

func TestTheHouseIsAsPlanned(t *testing.T) {
	root := moduleRoot(t)
	var files []houseFile
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != root && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") || d.Name() == "testdata" || isOtherModule(name)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		file, err := parseHouseFile(filepath.ToSlash(rel), text)
		files = append(files, file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("found only %d Go files below %s", len(files), root)
	}
	for _, fault := range inspect(files) {
		t.Error(fault)
	}
}

func TestNothingStandsAtTheTopThatIsNotPlanned(t *testing.T) {
	root := moduleRoot(t)
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	ignored := ignoredAtTop(filepath.Join(root, ".gitignore"))
	for _, e := range entries {
		if !slices.Contains(topLevel, e.Name()) && !slices.Contains(ignored, e.Name()) {
			t.Errorf("%s stands at the top: the top is %s", e.Name(), strings.Join(topLevel, " "))
		}
	}
}

// The checker must be able to fail: each of these breaks a rule.
func TestTheInspectionFindsEachBreak(t *testing.T) {
	long := "package long\n" + strings.Repeat("\n", maxLines)
	cases := []struct{ name, file, source, want string }{
		{"a room reaches over", "bridge/x.go", `import _ "headgate/broker"`, "bridge may not import broker"},
		{"the vocabulary knows somebody", "gateway/point/x.go", `import _ "headgate/broker/topic"`, "gateway/point may not import broker/topic"},
		{"a room below another is no part of it", "broker/packet/x.go", `import _ "headgate/broker/topic"`, "broker/packet may not import broker/topic"},
		{"a package nobody planned", "gateway/util/x.go", ``, "gateway/util is not in the plan"},
		{"a library out of its room", "broker/x.go", `import _ "github.com/dgraph-io/badger/v4"`, "badger is for broker/store"},
		{"a sealed library in another's test", "broker/x_test.go", `import _ "github.com/dgraph-io/badger/v4"`, "badger is for broker/store"},
		{"a library without a room", "bridge/x.go", `import _ "github.com/eclipse/paho.mqtt.golang"`, "has no room"},
		{"a library that only begins like one with a room", "adapters/port/x.go", `import _ "go.bug.st/serialist"`, "has no room"},
		{"init", "bridge/x.go", `func init() {}`, "func init"},
		{"a counter", "bridge/x.go", `var n int`, "variable n"},
		{"a lock", "bridge/x.go", "import \"sync\"\nvar mu sync.Mutex", "variable mu"},
		{"a pool", "bridge/x.go", "import \"sync\"\nvar pool = sync.Pool{}", "variable pool"},
		{"a pointer", "bridge/x.go", `var p = &struct{ n int }{}`, "variable p"},
		{"a result", "bridge/x.go", `var now = time.Now()`, "variable now"},
		{"a map that is written", "bridge/x.go", "var m = map[string]int{}\nfunc f() { m[\"a\"] = 1 }", "table m is changed"},
		{"a slice that grows", "bridge/x.go", "var s = []int{1}\nfunc f() { s = append(s, 2) }", "table s is changed"},
		{"a map that is emptied", "bridge/x.go", "var m = map[string]int{}\nfunc f() { delete(m, \"a\") }", "table m is changed"},
		{"too long", "bridge/x.go", long, "lines"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			source := c.source
			if !strings.HasPrefix(source, "package") {
				source = "package x\n" + source
			}
			file, err := parseHouseFile(c.file, []byte(source))
			if err != nil {
				t.Fatal(err)
			}
			faults := inspect([]houseFile{file})
			if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, c.want) }) {
				t.Errorf("got %q, want a fault with %q", faults, c.want)
			}
		})
	}
}

func TestTheInspectionLetsTheAllowedPass(t *testing.T) {
	source := `package broker
import (
	_ "embed"
	"errors"
	_ "headgate/broker/store"
)
//go:embed page.html
var page string
var ErrFull = errors.New("full")
var names = map[int]string{1: "one"}
var ready, steady = []int{1}, [2]string{"a", "b"}
var _ error = ErrFull
func f() { names := map[int]string{}; names[2] = "two"; ready := 1; ready++ }
func (s *session) init() {}
`
	file, err := parseHouseFile("broker/x.go", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	if faults := inspect([]houseFile{file}); len(faults) > 0 {
		t.Errorf("got faults where there are none: %q", faults)
	}
}

// moduleRoot is the directory of go.mod, above the test's own.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test's directory")
		}
		dir = parent
	}
}

func isOtherModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// ignoredAtTop gives the names that .gitignore takes out of the tree's top.
func ignoredAtTop(name string) []string {
	file, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer file.Close()
	var names []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := strings.Trim(strings.TrimSpace(lines.Text()), "/")
		if line != "" && !strings.HasPrefix(line, "#") && !strings.Contains(line, "/") {
			names = append(names, line)
		}
	}
	return names
}
