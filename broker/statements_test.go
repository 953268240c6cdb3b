package broker_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"headgate/broker/brokertest"
)

// The specifications' normative statements, and what is said of those that no
// script proves. Files are read in the process, so that the test cache sees
// them.
var statementFiles = map[string]string{
	"MQTT3-": "testdata/mqtt-v3.1.1-statements.tsv",
	"MQTT-":  "testdata/mqtt-v5.0-statements.tsv",
}

const reasonsFile = "testdata/reasons.txt"

func TestEveryStatementIsTestedOrHasAReason(t *testing.T) {
	statements := make(map[string]string)
	for prefix, file := range statementFiles {
		some, err := parseStatements(prefix, readText(t, file))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(some) < 100 {
			t.Fatalf("%s: only %d statements", file, len(some))
		}
		for id, role := range some {
			statements[id] = role
		}
	}
	reasons, err := parseReasons(readText(t, reasonsFile))
	if err != nil {
		t.Fatalf("%s: %v", reasonsFile, err)
	}
	cases, err := brokertest.ReadScripts(wireDir)
	if err != nil {
		t.Fatal(err)
	}
	cites := make(map[string][]string)
	for _, c := range cases {
		for _, id := range c.Cites {
			cites[id] = append(cites[id], fmt.Sprintf("%s:%d", c.File, c.Line))
		}
	}
	for _, fault := range checkStatements(statements, cites, reasons) {
		t.Error(fault)
	}
}

func readText(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// parseStatements gives the role of each statement of a file whose columns are
// id, text and role. prefix takes the place of the file's own "MQTT-".
func parseStatements(prefix, text string) (map[string]string, error) {
	roles := make(map[string]string)
	for i, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Split(line, "\t")
		if len(columns) != 3 || !strings.HasPrefix(columns[0], "MQTT-") {
			return nil, fmt.Errorf("line %d: want id, text and role", i+1)
		}
		if !slices.Contains([]string{"server", "client", "both"}, columns[2]) {
			return nil, fmt.Errorf("line %d: role %q: want server, client or both", i+1, columns[2])
		}
		id := prefix + strings.TrimPrefix(columns[0], "MQTT-")
		if roles[id] != "" {
			return nil, fmt.Errorf("line %d: %s stands twice", i+1, id)
		}
		roles[id] = columns[2]
	}
	return roles, nil
}

// parseReasons reads lines of id, tab, reason.
func parseReasons(text string) (map[string]string, error) {
	reasons := make(map[string]string)
	for i, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, reason, ok := strings.Cut(line, "\t")
		switch {
		case !ok || len(strings.Fields(reason)) < 3:
			return nil, fmt.Errorf("line %d: want STATEMENT<TAB>REASON, in words", i+1)
		case reasons[id] != "":
			return nil, fmt.Errorf("line %d: %s stands twice", i+1, id)
		}
		reasons[id] = reason
	}
	return reasons, nil
}

// checkStatements gives what is wrong, a line each: a statement that binds a
// server and has neither a test nor a reason, one that has both, and citations
// and reasons for what is no statement.
func checkStatements(roles map[string]string, cites map[string][]string, reasons map[string]string) []string {
	var faults []string
	for id, role := range roles {
		tested, reason := len(cites[id]) > 0, reasons[id] != ""
		switch {
		case tested && reason:
			faults = append(faults, fmt.Sprintf("%s has a reason in %s, and is tested: %s", id, reasonsFile, strings.Join(cites[id], ", ")))
		case role != "client" && !tested && !reason:
			faults = append(faults, fmt.Sprintf("%s (%s) is cited by no script and has no reason in %s", id, role, reasonsFile))
		}
	}
	for id, at := range cites {
		if roles[id] == "" {
			faults = append(faults, fmt.Sprintf("%s is cited and is no statement: %s", id, strings.Join(at, ", ")))
		}
	}
	for id := range reasons {
		if roles[id] == "" {
			faults = append(faults, fmt.Sprintf("%s has a reason in %s and is no statement", id, reasonsFile))
		}
	}
	slices.Sort(faults)
	return faults
}

// The checker must be able to fail.
func TestTheStatementCheckFindsEachFault(t *testing.T) {
	roles, err := parseStatements("MQTT3-", "# header\nMQTT-1-1\ttext\tserver\nMQTT-1-2\ttext\tboth\nMQTT-1-3\ttext\tclient\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cites   map[string][]string
		reasons string
		want    []string
	}{
		"all is well":              {map[string][]string{"MQTT3-1-1": {"a.txt:1"}}, "MQTT3-1-2\tthis is why\n", nil},
		"neither test nor reason":  {nil, "MQTT3-1-2\tthis is why\n", []string{"MQTT3-1-1 (server) is cited by no script"}},
		"both statements too":      {map[string][]string{"MQTT3-1-1": {"a.txt:1"}}, "", []string{"MQTT3-1-2 (both) is cited by no script"}},
		"tested and excused":       {map[string][]string{"MQTT3-1-1": {"a.txt:1"}, "MQTT3-1-2": {"a.txt:9"}}, "MQTT3-1-1\tthis is why", []string{"MQTT3-1-1 has a reason"}},
		"a citation of nothing":    {map[string][]string{"MQTT3-1-1": {"a.txt:1"}, "MQTT-1-2": {"a.txt:9"}}, "MQTT3-1-2\tthis is why", []string{"MQTT-1-2 is cited and is no statement: a.txt:9"}},
		"a reason for nothing":     {map[string][]string{"MQTT3-1-1": {"a.txt:1"}}, "MQTT3-1-2\tthis is why\nMQTT3-1-9\tthis is why", []string{"MQTT3-1-9 has a reason"}},
		"a client's may be tested": {map[string][]string{"MQTT3-1-1": {"a.txt:1"}, "MQTT3-1-3": {"a.txt:2"}}, "MQTT3-1-2\tthis is why", nil},
	} {
		t.Run(name, func(t *testing.T) {
			reasons, err := parseReasons(c.reasons)
			if err != nil {
				t.Fatal(err)
			}
			faults := checkStatements(roles, c.cites, reasons)
			if len(faults) != len(c.want) {
				t.Fatalf("got %q, want %q", faults, c.want)
			}
			for i, f := range faults {
				if !strings.HasPrefix(f, c.want[i]) {
					t.Errorf("got %q, want %q", f, c.want[i])
				}
			}
		})
	}
	for _, text := range []string{"MQTT-1-1 no tab", "MQTT-1-1\t", "MQTT-1-1\ttoo short", "MQTT-1-1\tone two three\nMQTT-1-1\tone two three"} {
		if _, err := parseReasons(text); err == nil {
			t.Errorf("reasons %q are taken", text)
		}
	}
	for _, text := range []string{"MQTT-1-1\ttext", "MQTT-1-1\ttext\tserver\nMQTT-1-1\ttext\tserver", "1-1\ttext\tserver", "MQTT-1-1\ttext\tnobody"} {
		if _, err := parseStatements("MQTT-", text); err == nil {
			t.Errorf("statements %q are taken", text)
		}
	}
}
