package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"headgate/cmd/headgate/config"
)

// commandTable is all commands by their path: "modbus read".
type commandTable map[string]calledCommand

// calledCommand is a command as a page calls it.
type calledCommand struct{ commandHelp }

func newCommandTable(t *testing.T) commandTable {
	t.Helper()
	var line commandLine
	k, err := kong.New(&line, kong.Vars{"default_config": defaultConfig, "version": "v"})
	if err != nil {
		t.Fatal(err)
	}
	table := commandTable{}
	for _, c := range commandsOf(k) {
		table[c.path] = calledCommand{c}
	}
	return table
}

// called finds the command that the words behind headgate call, and what they say to it.
func (c commandTable) called(words []string) (command calledCommand, arguments []string) {
	path := ""
	for len(words) > 0 {
		longer, ok := c[strings.TrimSpace(path+" "+words[0])]
		if !ok {
			break
		}
		path, words = longer.path, words[1:]
	}
	return c[path], words
}

func (c calledCommand) has(flag string) bool {
	return slices.ContainsFunc(c.flags, func(f commandFlag) bool { return slices.Contains(f.names, flag) })
}

// fault says what is wrong with the words behind headgate; "" if nothing is.
func (c commandTable) fault(words []string) string {
	command, arguments := c.called(words)
	if command.path == "" || len(command.words) > 0 && len(arguments) > 0 {
		return "there is no headgate " + strings.Join(words, " ")
	}
	given := 0
	for i := 0; i < len(arguments); i++ {
		name, _, with := strings.Cut(arguments[i], "=")
		if !strings.HasPrefix(name, "-") || name == "-" {
			given++
			continue
		}
		at := slices.IndexFunc(command.flags, func(f commandFlag) bool { return slices.Contains(f.names, name) })
		if at < 0 {
			return fmt.Sprintf("headgate %s has no %s", command.path, name)
		}
		if !with {
			i += len(strings.Fields(command.flags[at].value))
		}
	}
	if given > len(command.args) && !strings.Contains(command.usage, "...") {
		return fmt.Sprintf("headgate %s takes %d arguments", command.path, len(command.args))
	}
	return ""
}

// callsOf gives the words behind each headgate in a piece of a page: of
// "pause|resume [NAME]" those of both.
func (c commandTable) callsOf(text string) (calls [][]string) {
	text, _, _ = strings.Cut(text+" ", " < ")
	text, _, _ = strings.Cut(text+" ", " > ")
	for _, part := range regexp.MustCompile(` (?:&&|\|) `).Split(text, -1) {
		words := strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(part))
		if len(words) > 1 && words[0] == "sudo" {
			words = words[1:]
		}
		if len(words) < 2 {
			continue
		}
		group, ok := c[words[0]]
		switch name := strings.TrimPrefix(words[0], "./"); {
		case name == "headgate" && !strings.HasPrefix(part, "headgate  "): // what status prints
			words = words[1:]
		case !ok || !slices.ContainsFunc(group.words, func(w word) bool { return w.name == words[1] }):
			continue
		}
		if last := len(words) - 1; last > 0 && slices.Contains(words, "...") {
			words = slices.DeleteFunc(words, func(w string) bool { return w == "..." })
		}
		at := slices.IndexFunc(words, func(w string) bool { return regexp.MustCompile(`^[a-z]+(\|[a-z]+)+$`).MatchString(w) })
		if at < 0 {
			calls = append(calls, words)
			continue
		}
		for name := range strings.SplitSeq(words[at], "|") {
			calls = append(calls, slices.Concat(words[:at], []string{name}, words[at+1:]))
		}
	}
	return calls
}

// Each headgate COMMAND of a page, in a sentence or in a block, is one that there
// is, with flags that it has; what is said of keys can be explained.
func TestEveryCommandInTheDocsIsThere(t *testing.T) {
	t.Parallel()
	table, calls := newCommandTable(t), 0
	for _, p := range docPages(t) {
		pieces := p.spans
		for _, b := range p.blocks {
			if b.kind == ofCommands {
				pieces = append(pieces, b.commands()...)
			}
		}
		for _, s := range pieces {
			for _, words := range table.callsOf(s.text) {
				calls++
				if fault := table.fault(words); fault != "" {
					t.Errorf("%s:%d: %s", p.name, s.line, fault)
				}
				if len(words) == 3 && words[0] == "config" && words[2] != strings.ToUpper(words[2]) {
					var out lockedBuffer
					if status := dispatch(words, &out, &out); status != 0 {
						t.Errorf("%s:%d: headgate %s: %s", p.name, s.line, strings.Join(words, " "), out.String())
					}
				}
			}
		}
	}
	if calls < 60 {
		t.Errorf("got only %d commands", calls)
	}
}

func TestAWrongCommandOnAPageIsFound(t *testing.T) {
	t.Parallel()
	table := newCommandTable(t)
	for text, want := range map[string]string{
		"sudo headgate check && sudo systemctl reload headgate": "",
		"headgate bridge pause|resume [NAME]":                   "",
		"modbus read holding:100 --as all":                      "",
		"headgate pub -t a -D publish user-property k":          "",
		"headgate chek":              "there is no headgate chek",
		"headgate modbus reed":       "there is no headgate modbus reed",
		"headgate bridge pause|rest": "there is no headgate bridge rest",
		"./headgate check --jsn":     "headgate check has no --jsn",
		"headgate version now":       "headgate version takes 0 arguments",
	} {
		var got []string
		for _, words := range table.callsOf(text) {
			if fault := table.fault(words); fault != "" {
				got = append(got, fault)
			}
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// foreignKeys are names with a _ or a = in the sentences of the pages that are no
// keys of ours, or of ours but not of the configuration.
func foreignKeys() []string {
	return []string{
		"json_device", "live_first", "in_order", "stx_etx", // values
		"min_over", "mean_over", "total_increasing", "is_historical", "voltage_clock", "power_quality", // in expressions and payloads
		"headgate_rule_messages_total", "headgate_rule_dropped_total", "headgate_alarm",
		"set_tcp_nodelay", "persistent_session", "data_format", "max_payload", "autosave_interval", "max_inflight_messages", // of other programs
	}
}

// A table or a key that a sentence names, as `[store] compression = "zstd"`, `max_rate`
// or `up = [ ... ]`, is in the configuration.
func TestEveryKeyInTheDocsIsThere(t *testing.T) {
	t.Parallel()
	keys, tables := map[string]bool{}, map[string]bool{"[profile]": true}
	for _, key := range config.Reference() {
		keys[key.Path] = true
		keys[key.Path[strings.LastIndexByte(key.Path, '.')+1:]] = true
		if key.Table {
			tables[key.Header()] = true
		}
	}
	foreign := map[string]bool{}
	for _, name := range foreignKeys() {
		foreign[name] = false
	}
	table := regexp.MustCompile(`^(\[{1,2}([a-z][a-z_.]*)\]{1,2})(?: ([a-z_]+)(?: = .*)?)?$`)
	key := regexp.MustCompile(`^([a-z]+(?:_[a-z0-9]+)*) ?= ?[^=]|^([a-z]+(?:_[a-z0-9]+)+)$`)
	found := 0
	for _, p := range docPages(t) {
		for _, s := range p.spans {
			if m := table.FindStringSubmatch(s.text); m != nil {
				found++
				if !tables[m[1]] || m[3] != "" && !keys[m[2]+"."+m[3]] {
					t.Errorf("%s:%d: the configuration has no %s", p.name, s.line, s.text)
				}
			} else if m := key.FindStringSubmatch(s.text); m != nil {
				found++
				name := m[1] + m[2]
				if _, ok := foreign[name]; ok {
					foreign[name] = true
				} else if !keys[name] {
					t.Errorf("%s:%d: the configuration has no %s", p.name, s.line, name)
				}
			}
		}
	}
	for name, used := range foreign {
		if !used {
			t.Errorf("no page has %s any more", name)
		}
	}
	if found < 80 {
		t.Errorf("got only %d keys", found)
	}
}

// What a figure is said to be printed by is there: a test or a benchmark of that
// package, a proof, a file.
func TestWhatTheDocsSayPrintsAFigureIsThere(t *testing.T) {
	t.Parallel()
	root := moduleRoot(t)
	proofs, err := os.ReadFile(filepath.Join(root, ".ci", "proof"))
	if err != nil {
		t.Fatal(err)
	}
	wanted := regexp.MustCompile(`(?:-bench|-run) '?([A-Za-z]\w*)`)
	ours := regexp.MustCompile(`^(?:packaging|cmd|gateway|broker|bridge|adapters|\.ci)/[\w./-]+$`)
	found := 0
	for _, p := range docPages(t) {
		for _, s := range p.spans {
			where := fmt.Sprintf("%s:%d: %s", p.name, s.line, s.text)
			words := strings.Fields(s.text)
			switch last := words[len(words)-1]; {
			case strings.HasPrefix(s.text, ".ci/proof "):
				found++
				if !strings.Contains(string(proofs), "\nproof_"+words[1]+"()") {
					t.Errorf("%s: there is no such proof", where)
				}
			case strings.HasPrefix(last, "./") && wanted.MatchString(s.text):
				found++
				names := wanted.FindAllStringSubmatch(s.text, -1)
				if name := names[len(names)-1][1]; !hasTest(t, filepath.Join(root, last), name) {
					t.Errorf("%s: no test or benchmark there is called %s", where, name)
				}
			case ours.MatchString(s.text) && !strings.Contains(s.text, "NAME"):
				found++
				if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(s.text))); err != nil {
					t.Errorf("%s: %v", where, err)
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("got only %d", found)
	}
}

// hasTest says whether a package has a test or a benchmark with that in its name.
func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return regexp.MustCompile(`(?m)^func (?:Test|Benchmark)\w*` + name).Match(b)
	})
}
