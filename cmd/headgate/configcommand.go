package main

import (
	"bufio"
	"fmt"

	"github.com/alecthomas/kong"

	"headgate/cmd/headgate/config"
)

// configCmd says what the configuration may have.
type configCmd struct {
	Explain configExplainCmd `cmd:"" help:"Say what a key means, what its value is, and its default."`
	List    configListCmd    `cmd:"" help:"List all keys."`
	Sample  configSampleCmd  `cmd:"" help:"Print a table with all its keys as comments, to start from."`
	Default configDefaultCmd `cmd:"" help:"Print the configuration that the Debian package comes with."`
	Schema  configSchemaCmd  `cmd:"" help:"Print the JSON Schema, with which editors complete and explain the keys."`
}

type configExplainCmd struct {
	Key string `arg:"" help:"The key or table, like modbus.device.interval; its last part will do where that is clear."`
}

// Run explains one key.
func (c *configExplainCmd) Run(k *kong.Kong) error { return config.Explain(k.Stdout, c.Key) }

type configListCmd struct{}

// Run lists the keys with their kinds and defaults.
func (configListCmd) Run(k *kong.Kong) error {
	w := bufio.NewWriter(k.Stdout)
	for _, key := range config.Reference() {
		if !key.Table {
			fmt.Fprintf(w, "%-40s %-20s %s\n", key.Path, key.Kind, key.Default)
		}
	}
	return w.Flush()
}

type configSampleCmd struct {
	Table string `arg:"" help:"The table, like modbus, serial, bridge or broker.listener."`
}

// Run prints one table.
func (c *configSampleCmd) Run(k *kong.Kong) error { return config.WriteSample(k.Stdout, c.Table) }

type configDefaultCmd struct{}

// Run prints the whole file.
func (configDefaultCmd) Run(k *kong.Kong) error {
	w := bufio.NewWriter(k.Stdout)
	config.WriteDefault(w)
	return w.Flush()
}

type configSchemaCmd struct{}

// Run prints the schema.
func (configSchemaCmd) Run(k *kong.Kong) error { return config.WriteSchema(k.Stdout) }
