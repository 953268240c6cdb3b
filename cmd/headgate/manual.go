package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// manualCmd prints the manual page.
type manualCmd struct{}

// Run writes it in the troff of man(7).
func (manualCmd) Run(k *kong.Kong) error {
	w := bufio.NewWriter(k.Stdout)
	writeManual(w, k.Model.Help, commandsOf(k))
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

// troff gives a text as it must stand in a page, so that it is printed as it is.
func troff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
