package main

import (
	"cmp"
	"fmt"
)

// configFile is how a command is told its configuration: by name, or by a flag.
type configFile struct {
	File   string `arg:"" optional:"" help:"The configuration file, by default ${default_config}; conf.d/*.toml beside it is read too."`
	Config string `placeholder:"FILE" help:"The same as a flag."`
}

// Validate is called by the parser.
func (c *configFile) Validate() error {
	if c.File != "" && c.Config != "" && c.File != c.Config {
		return fmt.Errorf("%s and --config %s: want one configuration file", c.File, c.Config)
	}
	return nil
}

func (c *configFile) path() string { return cmp.Or(c.File, c.Config, defaultConfig) }
