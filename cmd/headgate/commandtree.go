package main

import (
	"strings"

	"github.com/alecthomas/kong"
)

// commandHelp is one command as the manual page and the completions need it: both are
// made of the command line's own help, so that neither can be wrong alone.
type commandHelp struct {
	path  string // "modbus read"; "" for headgate itself
	usage string // "modbus read <register> ... [flags]"
	help  string
	words []word // the commands in it
	flags []commandFlag
	args  []word
}

// word is a name with what it means.
type word struct{ name, help string }

// commandFlag is one flag.
type commandFlag struct {
	names []string // "-v", "--verbose"
	value string   // "FILE"; "" where it takes none
	help  string
}

// commandsOf lists the commands in the order of the help, headgate itself first.
func commandsOf(k *kong.Kong) []commandHelp {
	var all []commandHelp
	var add func(n *kong.Node)
	add = func(n *kong.Node) {
		c := commandHelp{path: n.Path(), usage: n.Summary(), help: n.Help}
		for _, p := range n.Positional {
			c.args = append(c.args, word{p.Name, p.Help})
		}
		if n.Passthrough { // pub and sub, which have a parser of their own
			c.usage = n.Path() + " [flags]"
			c.flags, c.args = flagsOfMQTT(n.Name), nil
		} else {
			for _, group := range n.AllFlags(true) {
				for _, f := range group {
					if f.Name != "version" || n.Parent == nil {
						c.flags = append(c.flags, flagOf(f))
					}
				}
			}
		}
		for _, child := range n.Children {
			if !child.Hidden {
				c.words = append(c.words, word{child.Name, child.Help})
			}
		}
		all = append(all, c)
		for _, child := range n.Children {
			if !child.Hidden {
				add(child)
			}
		}
	}
	add(k.Model.Node)
	return all
}

func flagOf(f *kong.Flag) commandFlag {
	c := commandFlag{help: f.Help}
	if f.Short != 0 {
		c.names = append(c.names, "-"+string(f.Short))
	}
	c.names = append(c.names, "--"+f.Name)
	if !f.IsBool() {
		c.value = strings.Trim(f.FormatPlaceHolder(), `"`)
	}
	return c
}

func flagsOfMQTT(command string) []commandFlag {
	var flags []commandFlag
	for _, f := range mqttFlags {
		if f.only == "" || f.only == command {
			flags = append(flags, commandFlag{names: strings.Fields(f.names), value: f.args, help: f.help})
		}
	}
	return flags
}
