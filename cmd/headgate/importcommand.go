package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"
)

// importCmd makes a configuration of another broker's.
type importCmd struct {
	File string `arg:"" help:"mosquitto's configuration, usually /etc/mosquitto/mosquitto.conf."`
}

// Run prints TOML; what could not be taken over stands in it as a comment at the
// end, and how much that is goes to the standard error.
func (c *importCmd) Run(k *kong.Kong) error {
	m := &mosquittoConf{}
	if err := m.read(c.File); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	if m.aclFile != "" {
		text, err := os.ReadFile(m.aclFile)
		if err != nil {
			return fmt.Errorf("import: acl_file of %s: %w", c.File, err)
		}
		m.readACL(m.aclFile, string(text))
	}
	fmt.Fprint(k.Stdout, m.toml(filepath.Base(c.File)))
	if n := len(m.left); n > 0 {
		fmt.Fprintf(k.Stderr, "headgate: %s could not be taken over: see the end of what was printed\n", number(n, "setting"))
	}
	return nil
}
