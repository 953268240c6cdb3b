package main

import (
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"headgate/cmd/headgate/config"
)

const defaultConfig = "/etc/headgate/headgate.toml"

// checkCmd reads a configuration as run would and says what is wrong with it.
type checkCmd struct {
	File string `arg:"" optional:"" default:"${default_config}" help:"The configuration file, by default ${default}; conf.d/*.toml beside it is read too."`
}

// Run prints what the configuration holds, or returns its faults.
func (c *checkCmd) Run(k *kong.Kong) error {
	file, err := config.Load(c.File)
	if err != nil {
		return err
	}
	more := ""
	if n := len(file.Paths) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d in conf.d)", n)
	}
	fmt.Fprintf(k.Stdout, "%s%s: fine: %s\n", c.File, more, file.Summary())
	for _, l := range file.Broker.Listener {
		for _, late := range l.Late() {
			fmt.Fprintf(k.Stdout, "warning: broker.listener %s: %s\n", l.URL, late)
		}
	}
	return nil
}

// printFaults prints each fault on a line, below it the line of the file with
// what is wrong marked, and at the end how many there are.
func printFaults(w io.Writer, faults config.Faults) {
	for _, f := range faults {
		fmt.Fprintln(w, f.Error())
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
