package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// completionOf gives the script for a shell.
func completionOf(t *testing.T, shell string) string {
	t.Helper()
	var out bytes.Buffer
	if status := dispatch([]string{"completion", shell}, &out, &out); status != 0 {
		t.Fatalf("completion %s ends with %d: %s", shell, status, out.String())
	}
	return out.String()
}

func TestTheCompletionsKnowEveryCommandAndFlag(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := completionOf(t, shell)
		for _, word := range []string{"check", "modbus", "sniff", "turnaround", "retained-only"} {
			if !strings.Contains(script, word) {
				t.Errorf("%s does not know %s", shell, word)
			}
		}
	}
}

// The shells themselves say what they make of the scripts.
func TestTheShellsComplete(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	for _, c := range []struct{ shell, ask, want string }{
		{"bash", `source "$0"; COMP_WORDS=(headgate modbus re); COMP_CWORD=2; _headgate; echo "${COMPREPLY[@]}"`, "read"},
		{"bash", `source "$0"; COMP_WORDS=(headgate check --con); COMP_CWORD=2; _headgate; echo "${COMPREPLY[@]}"`, "--config"},
		{"bash", `source "$0"; COMP_WORDS=(headgate run --config he); COMP_CWORD=3; _headgate; echo "${COMPREPLY[@]}"`, ""},
		{"zsh", `compdef() { :; }; _describe() { print -rl -- ${(P)@[-1]%%:*} }; CURRENT=3; words=(headgate modbus re); source "$0"`, "read write scan bench sniff plan profiles"},
		{"fish", `source $argv[1]; complete -C "headgate modbus re"`, "read\tRead registers or bits, and say what they may mean."},
		{"fish", `source $argv[1]; complete -C "headgate sub --retained"`, "--retained-only\tPrint retained messages, and end at the first that is not."},
	} {
		if _, err := exec.LookPath(c.shell); err != nil {
			t.Logf("%s is not here: not asked", c.shell)
			continue
		}
		if err := os.WriteFile(script, []byte(completionOf(t, c.shell)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(c.shell, "-c", c.ask, script).CombinedOutput()
		if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != strings.Join(strings.Fields(c.want), " ") {
			t.Errorf("%s: %s: got %q (%v), want %q", c.shell, c.ask, out, err, c.want)
		}
	}
}

func TestTheManualPageHasEveryCommand(t *testing.T) {
	var out bytes.Buffer
	if status := dispatch([]string{"manual"}, &out, &out); status != 0 {
		t.Fatalf("manual ends with %d", status)
	}
	for _, want := range []string{
		"\n.TH HEADGATE 1 ", "\n.SS headgate modbus read <register>", "\n.SS headgate sub [flags]\n", "\\fB\\-\\-turnaround\\fR \\fITIME\\fR\n",
		"\n.SH EXIT STATUS\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the manual page has no %q", want)
		}
	}
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "'") {
			t.Errorf("troff takes this line for a request: %s", line)
		}
	}
}
