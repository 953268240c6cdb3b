package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"headgate/adapters/modbus"
	"headgate/adapters/port"
	"headgate/cmd/headgate/config"
	"headgate/gateway/point"
)

// initCmd writes a first configuration.
type initCmd struct {
	File  string `arg:"" optional:"" default:"headgate.toml" help:"The file to write, by default headgate.toml here."`
	Force bool   `help:"Write over a file that is there."`
}

// packagedDataDir is where the data are when the configuration does not say.
const packagedDataDir = "/var/lib/headgate"

// offeredDataDir gives the packaged directory, or, where whoever asks may neither
// write to it nor make it, one beside the configuration: what init has written must run.
func offeredDataDir(packaged string) string {
	for dir := packaged; ; dir = filepath.Dir(dir) {
		switch err := unix.Access(dir, unix.W_OK); {
		case err == nil:
			return packaged
		case !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir):
			return "data"
		}
	}
}

// initUnits are asked for on a line: a larger id is seldom, and each takes a while.
const initUnits = 16

// Run asks what there is, looks for units, and writes the file. Each question has
// an answer that is taken when none is given.
func (c *initCmd) Run(k *kong.Kong) error {
	if _, err := os.Stat(c.File); !c.Force && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already: name another file, or say --force", c.File)
	}
	ctx, stop := untilStopped()
	defer stop()
	q := &interview{in: bufio.NewReader(os.Stdin), out: k.Stdout}
	var b strings.Builder
	host, _ := os.Hostname()
	fmt.Fprintf(&b, "# Made by headgate init; headgate config explain KEY says more of a key.\n\n[gateway]\nid = %s\n", quoteTOML(q.ask("Name of this gateway, the first level of its topics", host)))
	if dir := q.ask("Directory for its data", offeredDataDir(packagedDataDir)); dir != packagedDataDir {
		fmt.Fprintf(&b, "data_dir = %s\n", quoteTOML(dir))
	}
	b.WriteString("\n[[broker.listener]]\nurl = \"mqtt://127.0.0.1:1883\"\n")
	q.modbus(ctx, &b)
	q.bridge(&b)
	if q.err != nil {
		return fmt.Errorf("init: %w", q.err)
	}
	if err := os.WriteFile(c.File, []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	file, _, err := config.Check(c.File)
	if err != nil {
		return err
	}
	fmt.Fprintf(k.Stdout, "%s: %s. Next: headgate run %[1]s\n", c.File, file.Summary())
	return nil
}

// interview asks a person.
type interview struct {
	in  *bufio.Reader
	out io.Writer
	err error // why there are no more answers
}

// ask asks for a text; an empty answer is the one that is offered.
func (q *interview) ask(what, offered string) string {
	if q.err != nil {
		return offered
	}
	if offered != "" {
		fmt.Fprintf(q.out, "%s [%s]: ", what, offered)
	} else {
		fmt.Fprintf(q.out, "%s: ", what)
	}
	line, err := q.in.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		q.err = err
	}
	if line = strings.TrimSpace(line); line != "" {
		return line
	}
	return offered
}

// modbus asks for a link, and for the units on it.
func (q *interview) modbus(ctx context.Context, b *strings.Builder) {
	offered := ""
	for _, p := range port.List() {
		name := p.Path
		if len(p.Links) > 0 {
			name = p.Links[0]
		}
		fmt.Fprintf(q.out, "Serial port %s %s\n", name, strings.TrimSpace(p.Maker+" "+p.Product))
		if offered == "" {
			offered = name
		}
	}
	at := q.ask("Modbus at which serial port, or host[:port] of the network; none for no Modbus", orNone(offered))
	if at == "none" {
		return
	}
	link := "tcp://" + at
	if strings.HasPrefix(at, "/") {
		baud := q.ask("Baud rate", "9600")
		parity := strings.ToUpper(q.ask("Parity (N, E, O)", "N"))
		link = fmt.Sprintf("rtu://%s?baud=%s&parity=%s", at, baud, parity)
	}
	fmt.Fprintf(b, "\n[[modbus]]\nname = \"modbus\"\nurl = %s\n", quoteTOML(link))
	units := q.scan(ctx, link)
	if len(units) == 0 {
		text := q.ask("No unit answers. Its unit id all the same", "1")
		if n, err := strconv.ParseUint(text, 10, 8); err == nil {
			units = append(units, uint8(n))
		}
	}
	profiles := config.ProfileNames(filepath.Join(filepath.Dir(defaultConfig), "profiles"))
	for i, unit := range units {
		fmt.Fprintf(q.out, "Profiles: %s\n", strings.Join(profiles, ", "))
		profile := q.ask(fmt.Sprintf("Profile of unit %d; none to write its points by hand", unit), "none")
		for profile != "none" && !slices.Contains(profiles, profile) {
			offered := config.Nearest(profile, profiles)
			profile = q.ask("There is no profile "+profile, orNone(offered))
		}
		fmt.Fprintf(b, "  [[modbus.device]]\n  name = %s\n  unit = %d\n", quoteTOML(q.ask("Name of the device", fmt.Sprintf("device%d", i+1))), unit)
		if profile != "none" {
			fmt.Fprintf(b, "  profile = %s\n", quoteTOML(profile))
			continue
		}
		fmt.Fprintf(b, "  # headgate modbus read holding:0 --as all shows what registers may mean.\n  point = [ { name = \"value\", register = \"holding:0\" } ]\n")
	}
}

func orNone(offered string) string {
	if offered == "" {
		return "none"
	}
	return offered
}

// scan asks the first units of a link, if the person wants it.
func (q *interview) scan(ctx context.Context, link string) (units []uint8) {
	if !strings.HasPrefix(q.ask(fmt.Sprintf("Look for units 1 to %d there now", initUnits), "yes"), "y") {
		return nil
	}
	l := modbusLink{URL: link, Timeout: scanTimeout}
	f, _, err := l.find("")
	if err == nil {
		var a modbusAsker
		if a, err = f.open(ctx); err == nil {
			defer a.Close()
			for u := uint8(1); u <= initUnits && err == nil; u++ {
				_, err = a.Do(ctx, modbus.Request{Unit: u, Register: "holding:0", Count: 1, Timeout: scanTimeout})
				switch {
				case err == nil, errors.Is(err, point.ErrException):
					fmt.Fprintf(q.out, "unit %d answers\n", u)
					units = append(units, u)
					err = nil
				case errors.Is(err, point.ErrTimeout):
					err = nil
				}
			}
		}
	}
	if err != nil {
		fmt.Fprintf(q.out, "cannot look: %v\n", err)
	}
	return units
}

// bridge asks for the cloud.
func (q *interview) bridge(b *strings.Builder) {
	upstream := q.ask("Broker in the cloud, like mqtts://broker.example.com; none for none", "none")
	if upstream == "none" {
		return
	}
	if !strings.Contains(upstream, "://") {
		upstream = "mqtts://" + upstream
	}
	fmt.Fprintf(b, "\n[[bridge]]\nname = \"cloud\"\nurl = %s\n", quoteTOML(upstream))
	if user := q.ask("User name there; none for none", "none"); user != "none" {
		file := q.ask("File with the password", "cloud.password")
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(q.out, "There is no %s yet: make it before you start, readable for the gateway alone.\n", file)
		}
		fmt.Fprintf(b, "credentials = { username = %s, password_file = %s }\n", quoteTOML(user), quoteTOML(file))
	}
	b.WriteString("up = [ { filter = \"#\" } ]\n")
}
