package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"headgate/cmd/headgate/config"
)

// manualCmd prints a manual page.
type manualCmd struct {
	Page string `arg:"" optional:"" enum:"headgate,headgate.toml" default:"headgate" help:"headgate, or headgate.toml: the configuration."`
}

// Run writes it in the troff of man(7).
func (c *manualCmd) Run(k *kong.Kong) error {
	w := bufio.NewWriter(k.Stdout)
	if c.Page == "headgate" {
		writeManual(w, k.Model.Help, commandsOf(k))
	} else {
		writeConfigManual(w, config.Reference())
	}
	return w.Flush()
}

const manualEnd = `.SH FILES
.TP
.I /etc/headgate/headgate.toml
The configuration; see
.BR headgate.toml (5).
.TP
.I /etc/headgate/conf.d/*.toml
More of it, read in the order of their names.
.TP
.I /etc/headgate/profiles/*.toml
Device profiles beside those that are built in.
.TP
.I /var/lib/headgate
What must outlive a restart: the store.
.TP
.I /run/headgate/control.sock
Where a running gateway answers the tools; its user and group may use it.
.SH SIGNALS
.TP
.B SIGHUP
Read the configuration again, as
.B headgate reload
does.
.TP
.BR SIGTERM ", " SIGINT
Stop. A second SIGINT ends the process at once; what was acknowledged is on disk in any case.
.SH EXIT STATUS
.TP
.B 0
It came about.
.TP
.B 1
It did not.
.TP
.B 2
The command line or the configuration is wrong.
.PP
.BR pub " and " sub
end with the statuses of
.BR mosquitto_pub (1)
and
.BR mosquitto_sub (1).
.SH SEE ALSO
.BR headgate.toml (5),
.BR mosquitto_pub (1),
.BR mosquitto_sub (1),
.BR systemctl (1)
`

func writeManual(w io.Writer, help string, commands []commandHelp) {
	fmt.Fprintf(w, ".\\\" Made by `headgate manual' of the command line's own help.\n")
	fmt.Fprintf(w, ".TH HEADGATE 1 \"\" \"headgate %s\" \"headgate\"\n", troff(version()))
	fmt.Fprintln(w, ".SH NAME\nheadgate \\- gateway from field devices to MQTT, with a broker and a bridge")
	fmt.Fprintln(w, ".SH SYNOPSIS\n.B headgate\n.I command\n.RI [ flags ]")
	fmt.Fprintf(w, ".SH DESCRIPTION\n%s\n", troff(help))
	fmt.Fprintln(w, ".SH COMMANDS")
	for _, c := range commands {
		if c.path == "" {
			continue
		}
		fmt.Fprintf(w, ".SS %s\n%s\n", troff("headgate "+c.usage), troff(c.help))
		for _, a := range c.args {
			fmt.Fprintf(w, ".TP\n.I %s\n%s\n", troff(a.name), troff(a.help))
		}
		for _, f := range c.flags {
			if f.names[len(f.names)-1] == "--help" {
				continue
			}
			names := make([]string, len(f.names))
			for i, n := range f.names {
				names[i] = `\fB` + troff(n) + `\fR`
			}
			value := ""
			if f.value != "" {
				value = ` \fI` + troff(f.value) + `\fR`
			}
			fmt.Fprintf(w, ".TP\n%s%s\n%s\n", strings.Join(names, ", "), value, troff(f.help))
		}
	}
	io.WriteString(w, manualEnd)
}

const configManualBegin = `.SH NAME
headgate.toml \- configuration of headgate
.SH DESCRIPTION
.I /etc/headgate/headgate.toml
and the files
.I conf.d/*.toml
beside it, read in the order of their names, are TOML: tables are joined, lists of tables continued.
Times are texts like "500ms" or "1h30m", sizes "64MB"; ${NAME} in a text is the environment's variable, $${ a plain ${.
.PP
.B headgate check
says what is wrong with them, each fault with its line;
.B headgate reload
puts changes into force.
`

// writeConfigManual writes headgate.toml(5).
func writeConfigManual(w io.Writer, keys []config.Key) {
	fmt.Fprintf(w, ".\\\" Made by `headgate manual headgate.toml' of the configuration's own reference.\n")
	fmt.Fprintf(w, ".TH HEADGATE.TOML 5 \"\" \"headgate %s\" \"headgate\"\n", troff(version()))
	io.WriteString(w, configManualBegin)
	for _, k := range keys {
		switch {
		case k.Table && k.Parent() == "":
			fmt.Fprintf(w, ".SH %s\n", troff(k.Header()))
		case k.Table:
			fmt.Fprintf(w, ".SS %s\n", troff(k.Header()))
		default:
			fmt.Fprintf(w, ".TP\n\\fB%s\\fR (%s", troff(k.Name()), troff(k.Kind))
			if k.Default != "" {
				fmt.Fprintf(w, ", by default %s", troff(k.Default))
			}
			fmt.Fprint(w, ")\n")
		}
		for i, paragraph := range strings.Split(k.Doc, "\n\n") {
			if i > 0 {
				fmt.Fprintln(w, ".sp")
			}
			if code, ok := strings.CutPrefix(paragraph, "\t"); ok {
				fmt.Fprintf(w, ".nf\n%s\n.fi\n", strings.ReplaceAll(troffLines(code), "\n\t", "\n"))
			} else if paragraph != "" {
				fmt.Fprintln(w, troffLines(paragraph))
			}
		}
	}
	fmt.Fprint(w, ".SH SEE ALSO\n.BR headgate (1)\n")
}

// troffLines is troff for a text of several lines.
func troffLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = troff(lines[i])
	}
	return strings.Join(lines, "\n")
}

// troff gives a text as it must stand in a page, so that it is printed as it is.
func troff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
