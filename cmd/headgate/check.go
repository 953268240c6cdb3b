package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"headgate/cmd/headgate/config"
)

const defaultConfig = "/etc/headgate/headgate.toml"

// checkCmd reads a configuration as run would and says what is wrong with it.
type checkCmd struct {
	configFile
	JSON bool `name:"json" help:"As JSON, for editors and scripts."`
}

// checkResult is what a check has found, as JSON.
type checkResult struct {
	Good     bool           `json:"good"` // it can be run: there are warnings and notes at most
	Summary  string         `json:"summary,omitempty"`
	Findings []checkFinding `json:"findings"`
}

type checkFinding struct {
	Severity string `json:"severity"` // "error", "warning" or "note"
	File     string `json:"file"`
	Line     int    `json:"line"`   // 1-based; 0: the whole file
	Column   int    `json:"column"` // 1-based, in characters; 0: the whole line
	Width    int    `json:"width"`  // in characters
	Key      string `json:"key"`
	Text     string `json:"text"`
}

// Run prints what the configuration holds, or returns its faults.
func (c *checkCmd) Run(k *kong.Kong) error {
	file, notes, err := config.Check(c.path())
	if c.JSON {
		return printCheck(k.Stdout, file, notes, err)
	}
	if err != nil {
		return err
	}
	more := ""
	if n := len(file.Paths) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d in conf.d)", n)
	}
	fmt.Fprintf(k.Stdout, "%s%s: fine: %s\n", c.path(), more, file.Summary())
	for _, n := range notes {
		fmt.Fprintln(k.Stdout, n.Message())
		if excerpt := n.Excerpt(); excerpt != "" && n.Severity == config.Warning {
			fmt.Fprintln(k.Stdout, excerpt)
		}
	}
	return nil
}

// printCheck prints the report. The error has nothing to say any more.
func printCheck(w io.Writer, file *config.File, notes []config.Fault, err error) error {
	var faults config.Faults
	if err != nil && !errors.As(err, &faults) {
		return err
	}
	r := checkResult{Good: err == nil, Findings: []checkFinding{}}
	if file != nil {
		r.Summary = file.Summary()
	}
	for _, f := range append(faults, notes...) {
		r.Findings = append(r.Findings, checkFinding{string(f.Level()), f.File, f.Line, f.Column, f.Width, f.Key, f.Text})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if printErr := e.Encode(r); printErr != nil {
		return printErr
	}
	if err != nil {
		return &ended{exitUsage, nil}
	}
	return nil
}

// printFaults prints each fault on a line, below it the line of the file with
// what is wrong marked, and at the end how many there are.
func printFaults(w io.Writer, faults config.Faults) {
	for _, f := range faults {
		fmt.Fprintln(w, f.Message())
		if excerpt := f.Excerpt(); excerpt != "" {
			fmt.Fprintln(w, excerpt)
		}
	}
	if len(faults) == 1 {
		fmt.Fprintln(w, "1 fault")
		return
	}
	fmt.Fprintf(w, "%d faults\n", len(faults))
}
