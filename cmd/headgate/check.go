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
	configFile
}

// Run prints what the configuration holds, or returns its faults.
func (c *checkCmd) Run(k *kong.Kong) error {
	file, notes, err := config.Check(c.path())
	if err != nil {
		return err
	}
	more := ""
	if n := len(file.Paths) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d in conf.d)", n)
	}
	fmt.Fprintf(k.Stdout, "%s%s: fine: %s\n", c.path(), more, file.Summary())
	for _, l := range file.Broker.Listener {
		for _, late := range l.Late() {
			fmt.Fprintf(k.Stdout, "warning: broker.listener %s: %s\n", l.URL, late)
		}
	}
	for _, n := range notes {
		fmt.Fprintln(k.Stdout, "note: "+n.Error())
	}
	if len(file.Modbus)+len(file.Serial)+len(file.Broker.Listener) == 0 {
		fmt.Fprintln(k.Stdout, "note: there is nothing to do: add a [[modbus]] or [[serial]] table for a device; headgate demo --dir DIR leaves an example in DIR")
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
