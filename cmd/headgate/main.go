// Command headgate is the gateway: field devices on one side, an MQTT broker
// with its messages on disk in the middle, upstream brokers on the other side.
//
// This package knows every part and wires them; each subcommand has its file.
// main.go owns the command line and the exit status, nothing else.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"headgate/cmd/headgate/config"
)

// The exit statuses.
const (
	exitFailed = 1 // what was asked for did not come about
	exitUsage  = 2 // the command line or the configuration is wrong

	exitTrouble = 3 // of headgate status: the gateway runs, and something stands still
)

// commandLine is what headgate understands. Each command's Run method does it.
type commandLine struct {
	Run     runCmd     `cmd:"" help:"Run the gateway until SIGTERM or SIGINT."`
	Reload  reloadCmd  `cmd:"" help:"Have the running gateway read its configuration again: users, rights, limits, classes, certificates, links and devices, bridges, listeners."`
	Status  statusCmd  `cmd:"" help:"Say how the gateway that runs here is: clients, store, writes to the disk, bridges, devices, alarms. Exit status 3 if something stands still."`
	Top     topCmd     `cmd:"" help:"Show how the gateway is, again and again, with rates."`
	Log     logCmd     `cmd:"" help:"Print the newest lines of the log of the gateway that runs here."`
	Check   checkCmd   `cmd:"" help:"Check a configuration: every fault with its file and line. Starts nothing."`
	Init    initCmd    `cmd:"" help:"Ask a few questions, look for Modbus units, and write a first configuration."`
	Import  importCmd  `cmd:"" help:"Make a configuration of mosquitto's."`
	Doctor  doctorCmd  `cmd:"" help:"Look at the machine: configuration, gateway, clock, disk, serial ports."`
	Modbus  modbusCmd  `cmd:"" help:"Tools for a Modbus link: read, write, scan, bench, sniff."`
	Serial  serialCmd  `cmd:"" help:"Tools for serial lines: list the ports, watch a line, try a parser."`
	Config  configCmd  `cmd:"" help:"Say what the configuration may have: explain, list, sample, default, schema."`
	Demo    demoCmd    `cmd:"" help:"Show it all at work: simulated devices, a gateway, a broker as the cloud. Needs no hardware and no root."`
	Sim     simCmd     `cmd:"" help:"Simulate a bus of Modbus devices on a serial port of its own, with faults at the press of a key."`
	Pub     pubCmd     `cmd:"" passthrough:"" help:"Publish messages, with the flags of mosquitto_pub."`
	Sub     subCmd     `cmd:"" passthrough:"" help:"Subscribe and print what comes, with the flags of mosquitto_sub."`
	Queue   queueCmd   `cmd:"" help:"Look into what waits for sessions and bridges, also while the gateway does not run."`
	Bridge  bridgeCmd  `cmd:"" help:"Look after the bridges of the gateway that runs here: status, pause, resume, drain, purge."`
	Backup  backupCmd  `cmd:"" help:"Write the configuration, the sessions, retained messages and queues to one file, also while the gateway runs."`
	Restore restoreCmd `cmd:"" help:"Make the gateway that a backup is of, where none runs."`
	Passwd  passwdCmd  `cmd:"" help:"Make the hash of a password, for password_hash or password_file in [broker]."`
	Version versionCmd `cmd:"" help:"Print the version."`

	Manual     manualCmd     `cmd:"" help:"Print the manual page: headgate manual | man -l -"`
	Completion completionCmd `cmd:"" help:"Print what makes a shell complete these commands."`

	VersionFlag kong.VersionFlag `name:"version" help:"Print the version."`
}

func main() { os.Exit(dispatch(os.Args[1:], os.Stdout, os.Stderr)) }

// dispatch runs the command that args name and gives the exit status.
func dispatch(args []string, stdout, stderr io.Writer) int {
	var line commandLine
	helped := false
	parser, err := kong.New(&line,
		kong.Name("headgate"),
		kong.Description("A gateway from Modbus and serial devices to MQTT, with a broker that keeps what it has acknowledged."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }), // only --help and --version exit
		kong.Vars{"default_config": defaultConfig, "version": thisBuild()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		fmt.Fprintf(stderr, "headgate: %v\n", err)
		return exitFailed
	}
	ctx, err := parser.Parse(args)
	if helped {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "headgate: %v\nTry: %s --help\n", err, misused(err))
		return exitUsage
	}
	err = ctx.Run()
	var faults config.Faults
	var end *ended
	switch {
	case err == nil:
		return 0
	case errors.As(err, &faults):
		printFaults(stderr, faults)
		return exitUsage
	case errors.As(err, &end):
		if end.err != nil {
			fmt.Fprintf(stderr, "headgate: %v\n", end.err)
		}
		return end.status
	}
	fmt.Fprintf(stderr, "headgate: %v\n", err)
	return exitFailed
}

// misused gives the command that the line was about, as far as it names one.
func misused(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		if node := parse.Context.Selected(); node != nil {
			return node.FullPath()
		}
	}
	return "headgate"
}
