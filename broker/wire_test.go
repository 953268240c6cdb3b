package broker_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/broker/brokertest"
	"headgate/broker/packet"
)

const (
	wireDir     = "testdata/wire"
	pendingFile = "testdata/wire/PENDING.txt"
)

// The scripts of testdata/wire, one file a packet type. What they say of the
// specification, TestEveryStatementIsTestedOrHasAReason counts.
func TestWire(t *testing.T) {
	cases, err := brokertest.ReadScripts(wireDir)
	if err != nil {
		t.Fatal(err)
	}
	pending := readPending(t, cases)
	for _, c := range cases {
		t.Run(strings.TrimSuffix(c.File, ".txt")+"/"+c.Name, func(t *testing.T) {
			failed := 0
			for _, v := range c.Versions {
				if !play(t, c, v, pending[c.File+": "+c.Name] != "") {
					failed++
				}
			}
			if pending[c.File+": "+c.Name] != "" && failed == 0 {
				t.Errorf("%s: %q passes: take it off %s", c.File, c.Name, pendingFile)
			}
		})
	}
}

// play plays one case and says whether it holds. One that is pending may fail.
func play(t *testing.T, c *brokertest.Case, v packet.Version, pending bool) (ok bool) {
	t.Run(v.String(), func(t *testing.T) {
		log, err := c.Play(t, v)
		ok = err == nil
		switch {
		case err != nil && pending:
			t.Skipf("pending: %v", err)
		case err != nil:
			t.Errorf("%s/%v\nthe broker's log:\n%s", wireDir, err, log)
		}
	})
	return ok
}

// readPending gives why cases may fail, by "file: name".
func readPending(t *testing.T, cases []*brokertest.Case) map[string]string {
	t.Helper()
	known := make(map[string]bool)
	for _, c := range cases {
		known[c.File+": "+c.Name] = true
	}
	f, err := os.Open(filepath.FromSlash(pendingFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pending := make(map[string]string)
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, why, ok := strings.Cut(line, "\t")
		switch {
		case !ok || why == "":
			t.Errorf("%s:%d: want FILE: CASE<TAB>WHY", pendingFile, n)
		case !known[name]:
			t.Errorf("%s:%d: there is no case %q", pendingFile, n, name)
		case pending[name] != "":
			t.Errorf("%s:%d: %q is listed twice", pendingFile, n, name)
		default:
			pending[name] = why
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(fmt.Errorf("read %s: %w", pendingFile, err))
	}
	return pending
}
