package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd prints what makes a shell complete headgate's command lines.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run writes it: the names of commands and flags; all else a shell completes as
// names of files.
func (c *completionCmd) Run(k *kong.Kong) error {
	w := bufio.NewWriter(k.Stdout)
	switch commands := commandsOf(k); c.Shell {
	case "bash":
		writeBash(w, commands)
	case "zsh":
		writeZsh(w, commands)
	case "fish":
		writeFish(w, commands)
	}
	return w.Flush()
}

// commandPaths gives the commands' paths as the scripts compare them: each word with a
// space before it, in quotes.
func commandPaths(commands []commandHelp, between string) string {
	var all []string
	for _, c := range commands {
		if c.path != "" {
			all = append(all, shellQuote(" "+c.path))
		}
	}
	return strings.Join(all, between)
}

// shellPath is a command's path as the scripts have it.
func (c commandHelp) shellPath() string {
	if c.path == "" {
		return "''"
	}
	return shellQuote(" " + c.path)
}

func writeBash(w io.Writer, commands []commandHelp) {
	fmt.Fprintf(w, `# bash completion for headgate, made by: headgate completion bash

_headgate() {
	local at='' commands='' flags='' valued='' i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case "$at ${COMP_WORDS[i]}" in
		%s) at+=" ${COMP_WORDS[i]}" ;;
		esac
	done
	case $at in
`, commandPaths(commands, " | "))
	for _, c := range commands {
		var names, flags, valued []string
		for _, n := range c.words {
			names = append(names, n.name)
		}
		for _, f := range c.flags {
			flags = append(flags, f.names...)
			if f.value != "" {
				valued = append(valued, f.names...)
			}
		}
		fmt.Fprintf(w, "\t%s)\n\t\tcommands='%s'\n\t\tflags='%s'\n\t\tvalued=' %s '\n\t\t;;\n", c.shellPath(), strings.Join(names, " "), strings.Join(flags, " "), strings.Join(valued, " "))
	}
	io.WriteString(w, `	esac
	COMPREPLY=()
	if [[ $valued == *" ${COMP_WORDS[COMP_CWORD - 1]} "* ]]; then
		return # its value: a file, if anything
	elif [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$flags" -- "${COMP_WORDS[COMP_CWORD]}")
	elif [[ $commands ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "${COMP_WORDS[COMP_CWORD]}")
	fi
}

complete -o default -F _headgate headgate
`)
}

func writeZsh(w io.Writer, commands []commandHelp) {
	fmt.Fprintf(w, `#compdef headgate
# zsh completion for headgate, made by: headgate completion zsh

_headgate() {
	local at='' i
	local -a commands flags valued
	for ((i = 2; i < CURRENT; i++)); do
		case "$at ${words[i]}" in
		(%s) at+=" ${words[i]}" ;;
		esac
	done
	case $at in
`, commandPaths(commands, "|"))
	for _, c := range commands {
		fmt.Fprintf(w, "\t(%s)\n\t\tcommands=(", c.shellPath())
		for _, n := range c.words {
			fmt.Fprintf(w, "\n\t\t\t%s", shellQuote(n.name+":"+n.help))
		}
		fmt.Fprint(w, ")\n\t\tflags=(")
		var valued []string
		for _, f := range c.flags {
			for _, n := range f.names {
				fmt.Fprintf(w, "\n\t\t\t%s", shellQuote(n+":"+f.help))
			}
			if f.value != "" {
				valued = append(valued, f.names...)
			}
		}
		fmt.Fprintf(w, ")\n\t\tvalued=(%s)\n\t\t;;\n", strings.Join(valued, " "))
	}
	io.WriteString(w, `	esac
	if (( ${valued[(Ie)${words[CURRENT-1]}]} )); then
		_files
	elif [[ ${words[CURRENT]} == -* ]]; then
		_describe -o flag flags
	elif (( $#commands )); then
		_describe command commands
	else
		_files
	fi
}

_headgate "$@"
`)
}

func writeFish(w io.Writer, commands []commandHelp) {
	fmt.Fprintf(w, `# fish completion for headgate, made by: headgate completion fish

function __headgate_at
	set -l at ''
	for word in (commandline -opc)[2..]
		switch "$at $word"
			case %s
				set at "$at $word"
		end
	end
	test "$at" = "$argv[1]"
end

`, commandPaths(commands, " "))
	for _, c := range commands {
		at := fmt.Sprintf("complete -c headgate -n %s", `"__headgate_at `+c.shellPath()+`"`)
		for _, n := range c.words {
			fmt.Fprintf(w, "%s -f -a %s -d %s\n", at, n.name, fishQuote(n.help))
		}
		for _, f := range c.flags {
			fmt.Fprint(w, at)
			for _, n := range f.names {
				if long, ok := strings.CutPrefix(n, "--"); ok {
					fmt.Fprintf(w, " -l %s", long)
				} else {
					fmt.Fprintf(w, " -s %s", n[1:])
				}
			}
			if f.value != "" {
				fmt.Fprint(w, " -r")
			}
			fmt.Fprintf(w, " -d %s\n", fishQuote(f.help))
		}
	}
}

// shellQuote gives a text as one word of bash and zsh.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// fishQuote gives a text as one word of fish.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
